"""The nearest change that would have flipped a decision: which ones are tried, and in what order.

A change is of a setting or of the bar's close, and each is tried before it is named: ``trial`` runs the bar with it and
returns what was seen. A decision is flipped when other orders come of the bar than did. Settings are worked out from
the numbers in the refusal or the approval; the close is searched outward on both sides, doubling, then halved in upon.
What is found is the nearest on that grid; a flip between two of its points may be missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from msgspec import structs

from bus import money
from bus.events import Bar, CouncilVoted
from bus.values import Action, Check
from config.schema import Trading
from daemon.proof.probe import Changes, Facts
from strategies.votes import FLAT, LONG, SHORT, of, support, verdict

Trial = Callable[[Changes], Facts]

FINEST, DOUBLINGS = 1e-4, 12
FARTHEST = FINEST * 2 ** (DOUBLINGS - 1)
"""How far the close is moved at first and at last, as a fraction of it."""
HALVINGS = 10
HEAVIEST = 50.0
"""What voters' weights are multiplied by, at most."""
SIZES = tuple(2**power for power in range(1, 11))
"""What the default size is multiplied by."""


class Flip(NamedTuple):
    """A change that flips the decision: from what, how far off as a fraction of that, and the orders it leads to."""

    changes: Changes
    was: str
    distance: float
    outcome: list[str]


def search(bar: Bar, trading: Trading, trial: Trial) -> tuple[Facts, list[Flip]]:
    """What happened at the bar, and the changes that would have made it otherwise, nearest first."""
    base = trial(Changes())

    def flipped(candidates: Iterable[_Candidate]) -> list[Flip]:
        outcomes = ((candidate, trial(candidate[0]).outcome) for candidate in candidates)
        return [Flip(*candidate, outcome) for candidate, outcome in outcomes if outcome != base.outcome]

    def other_orders(changes: Changes) -> bool:
        return trial(changes).outcome != base.outcome

    def other_answers(changes: Changes) -> bool:
        return _said(trial(changes)) != _said(base)

    found = flipped(_settings(base, trading))
    found += flipped(_sizes(base, trading, other_orders))
    found += flipped(_closes(bar, other_orders))
    if not found:  # another close makes somebody say something else, and a setting lets that through
        for moved, was, distance in _closes(bar, other_answers):
            with_close = (
                (Changes(moved.close, changes.settings), f"{was}, {before}", max(distance, further))
                for changes, before, further in _settings(trial(moved), trading)
            )
            found += flipped(with_close)
    return base, sorted(found, key=lambda flip: flip.distance)


def _said(facts: Facts) -> list[tuple[str, Action]]:
    return [(answer.strategy, intent.action) for answer in facts.answers for intent in answer.intents]


def searched() -> str:
    """The range that was looked through, in words."""
    return (
        "the settings of the rules that decided, one at a time or, where several refused, together; the council's "
        f"thresholds and weights (to {HEAVIEST:g} times theirs); the bar's close to {FARTHEST:.1%} below and above, "
        f"from {FINEST:.2%} on doubling, then halving; where none of these does, such a close and a setting together"
    )


# --- settings --------------------------------------------------------------------------------------------------

_Candidate = tuple[Changes, str, float]


class _Setting(NamedTuple):
    """Where a rule's limit is set, and its smallest step."""

    path: str
    step: Decimal


_FINE, _WHOLE, _MILLI = Decimal("1E-8"), Decimal(1), Decimal("1E-3")
SETTING: Mapping[str, _Setting] = {
    "max_notional": _Setting("limits.max_notional", _FINE),
    "max_position": _Setting("limits.max_position", _FINE),
    "session_drawdown": _Setting("limits.max_drawdown_bps", _WHOLE),
    "consecutive_rejects": _Setting("limits.max_consecutive_rejects", _WHOLE),
    "stale_data": _Setting("limits.stale_data_threshold_s", _MILLI),
    "price_collar": _Setting("limits.price_collar_bps", _WHOLE),
    "order_rate": _Setting("limits.order_rate.orders", _WHOLE),
    "open_orders": _Setting("limits.max_open_orders", _WHOLE),
    "spread": _Setting("limits.max_spread_bps", _FINE),
    "liquidity": _Setting("limits.max_impact_bps", _FINE),
    "max_atr": _Setting("limits.max_atr", _FINE),
    "correlation": _Setting("limits.max_correlation", _FINE),
    "gross_exposure": _Setting("limits.max_gross", _FINE),
    "net_exposure": _Setting("limits.max_net", _FINE),
    "leverage": _Setting("limits.max_leverage", _FINE),
    "var": _Setting("limits.max_var", _FINE),
    "es": _Setting("limits.max_es", _FINE),
    "money_at_risk": _Setting("limits.max_money_at_risk", _FINE),
}
"""The rules whose limit is a setting."""


def _settings(base: Facts, trading: Trading) -> Iterator[_Candidate]:
    if trading.council.mode == "off":
        yield Changes(settings=("council.mode=solo",)), "off", 1.0
    yield from _council(base, trading)
    for refusal in base.refused:
        broken = [check for check in refusal.checks if not check.passed]
        if broken and refusal.rule in {check.rule for check in broken}:
            yield from _together([_limit(check, up=True, instrument=refusal.instrument) for check in broken])
    for approval in base.approved:
        for check in base.judged.get(approval.order.intent_id, ()):
            yield from _together([_limit(check, up=False, instrument=approval.order.instrument)])


def _together(steps: list[tuple[str, str, float] | None]) -> Iterator[_Candidate]:
    """One change of all these settings, if all of them are settings."""
    if steps and all(step is not None for step in steps):
        known = [step for step in steps if step is not None]
        was = ", ".join(step[1] for step in known)
        yield Changes(settings=tuple(step[0] for step in known)), was, max(step[2] for step in known)


def _limit(check: Check, *, up: bool, instrument: str) -> tuple[str, str, float] | None:
    """The limit at which a rule would have said the opposite: just enough, or a step too little."""
    if check.rule not in SETTING and check.rule != "symbol_position":
        return None  # its limit is worked out, or says more than a number
    setting = SETTING.get(check.rule) or _Setting(check.rule, _FINE)
    value, limit = Decimal(check.value), Decimal(check.limit)
    if not value.is_finite() or not value or not limit:
        return None
    if up:  # numbers of the market are told to six digits
        slack = Decimal("1.00001") if setting.step == _MILLI else Decimal(1)
        moved = money.ceil_to(value * slack, setting.step)
    else:
        moved = money.floor_to(value * Decimal("0.99999"), setting.step)
    if moved <= 0:
        return None
    distance = abs(float(moved - limit)) / float(limit)
    if check.rule == "symbol_position":
        return f'limits.symbol_position_limits={{"{instrument}" = {moved:f}}}', check.limit, distance
    return f"{setting.path}={moved:f}", check.limit, distance


def _council(base: Facts, trading: Trading) -> Iterator[_Candidate]:
    """The threshold just reached where it was not, or just missed where it was."""
    voted, chosen = base.voted, trading.council
    if voted is None:
        return
    best = max(voted.support)
    yield from _weights(voted, trading)
    if voted.action is Action.HOLD:
        if 0.0 < best < chosen.threshold:
            yield _threshold(best, trading)
        for kept in (voted.support[0], voted.support[2]):
            if 0.0 < kept < 1.0:  # what is held would be left
                more = min(1.0, kept + 1e-9)
                settings = (f"council.threshold={max(more, chosen.threshold)!r}", f"council.exit_threshold={more!r}")
                yield Changes(settings=settings), repr(chosen.exit_threshold), _apart(more, chosen.exit_threshold)
        return
    if best >= chosen.threshold:
        if best < 1.0:
            yield _threshold(min(1.0, math.nextafter(best, 2.0) + 1e-9), trading)
        return
    # what was entered had lost its support
    held = of(voted.support, LONG if voted.action is Action.EXIT_LONG else SHORT)
    yield (
        Changes(settings=(f"council.exit_threshold={held!r}",)),
        repr(chosen.exit_threshold),
        _apart(held, chosen.exit_threshold),
    )


def _weights(voted: CouncilVoted, trading: Trading) -> Iterator[_Candidate]:
    """For each stance, its voters' weights multiplied by what makes it win, if anything up to HEAVIEST does."""
    chosen = trading.council
    for stance in (LONG, FLAT, SHORT):
        behind = [ballot.voter for ballot in voted.ballots if ballot.stance == stance]

        def wins(factor: float, stance: int = stance) -> bool:
            heavier = [
                structs.replace(b, weight=b.weight * (factor if b.stance == stance else 1.0)) for b in voted.ballots
            ]
            return verdict(support(chosen.rule, heavier), FLAT, chosen.threshold, chosen.exit_threshold) == stance

        if not behind or wins(1.0) or not wins(HEAVIEST):
            continue
        low, high = 1.0, HEAVIEST
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if wins(middle) else (middle, high)
        weights = {name: chosen.voters.get(name, 1.0) for name in behind}
        table = ", ".join(f'"{name}" = {weight * high!r}' for name, weight in weights.items())
        yield Changes(settings=(f"council.voters={{{table}}}",)), ", ".join(map(repr, weights.values())), high - 1.0


def _threshold(to: float, trading: Trading) -> _Candidate:
    chosen = trading.council
    settings = [f"council.threshold={to!r}"]
    if to < chosen.exit_threshold:
        settings.insert(0, f"council.exit_threshold={to!r}")
    return Changes(settings=tuple(settings)), repr(chosen.threshold), _apart(to, chosen.threshold)


def _apart(to: float, was: float) -> float:
    return abs(to - was) / was if was else 1.0


# --- the size and the close ------------------------------------------------------------------------------------

_Test = Callable[[Changes], bool]


def _sizes(base: Facts, trading: Trading, flips: _Test) -> Iterator[_Candidate]:
    """A larger default size, where an order came to too little."""
    if any(refusal.rule == "translator" for refusal in base.refused):
        was = trading.sizing.notional
        for factor in SIZES:
            changes = Changes(settings=(f"sizing.notional={was * Decimal(factor):f}",))
            if flips(changes):
                yield changes, f"{was:f}", float(factor - 1)
                return


def _closes(bar: Bar, holds: _Test) -> Iterator[_Candidate]:
    """The nearest close on either side at which ``holds``, if there is one in range."""
    reach = 0.0
    for doubling in range(DOUBLINGS):
        near, reach = reach, FINEST * 2**doubling
        hits = [sign for sign in (1.0, -1.0) if holds(_close(bar, sign * reach))]
        for sign in hits:
            low, high = near, reach
            for _ in range(HALVINGS):
                middle = (low + high) / 2.0
                low, high = (low, middle) if holds(_close(bar, sign * middle)) else (middle, high)
            yield _close(bar, sign * high), repr(bar.close), high
        if hits:
            return


def _close(bar: Bar, by: float) -> Changes:
    return Changes(close=bar.close * (1.0 + by))
