"""The nearest change that would have flipped a decision: which ones are tried, and in what order.

A change is of a setting or of the bar's close, and each is tried before it is named: ``trial`` runs the bar with it and
returns what was seen. A decision is flipped when other orders come of the bar than did. Settings are worked out from
the numbers in the refusal or the approval; the close is searched outward on both sides, doubling, then halved in upon.
What is found is the nearest on that grid; a flip between two of its points may be missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import NamedTuple

from bus import money
from bus.events import Bar
from bus.values import Action, Check
from config.schema import Trading
from daemon.probe import Changes, Facts
from strategies.council import LONG, SHORT, of

Trial = Callable[[Changes], Facts]

FINEST, DOUBLINGS = 1e-4, 12
FARTHEST = FINEST * 2 ** (DOUBLINGS - 1)
"""How far the close is moved at first and at last, as a fraction of it."""
HALVINGS = 10
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

    def flips(changes: Changes) -> list[str] | None:
        outcome = trial(changes).outcome
        return outcome if outcome != base.outcome else None

    found = [
        Flip(changes, was, distance, outcome)
        for changes, was, distance in _settings(base, trading)
        if (outcome := flips(changes)) is not None
    ]
    found += _sizes(base, trading, flips)
    found += _closes(bar, flips)
    return base, sorted(found, key=lambda flip: flip.distance)


def searched() -> str:
    """The range that was looked through, in words."""
    return (
        "the settings of the rules that decided, one at a time or, where several refused, together; "
        f"the bar's close to {FARTHEST:.1%} below and above, from {FINEST:.2%} on doubling, then halving"
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
    setting = SETTING.get(check.rule) or _Setting(check.rule, _FINE)
    value, limit = Decimal(check.value), Decimal(check.limit)
    if (
        not value.is_finite()
        or not value
        or not limit
        or (check.rule not in SETTING and check.rule != "symbol_position")
    ):
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
    if voted.action is Action.HOLD:
        if 0.0 < best < chosen.threshold:
            yield _threshold(best, trading)
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


def _threshold(to: float, trading: Trading) -> _Candidate:
    chosen = trading.council
    settings = [f"council.threshold={to!r}"]
    if to < chosen.exit_threshold:
        settings.insert(0, f"council.exit_threshold={to!r}")
    return Changes(settings=tuple(settings)), repr(chosen.threshold), _apart(to, chosen.threshold)


def _apart(to: float, was: float) -> float:
    return abs(to - was) / was if was else 1.0


# --- the size and the close ------------------------------------------------------------------------------------

_Flips = Callable[[Changes], list[str] | None]


def _sizes(base: Facts, trading: Trading, flips: _Flips) -> Iterator[Flip]:
    """A larger default size, where an order came to too little."""
    if any(refusal.rule == "translator" for refusal in base.refused):
        was = trading.sizing.notional
        for factor in SIZES:
            changes = Changes(settings=(f"sizing.notional={was * Decimal(factor):f}",))
            if (outcome := flips(changes)) is not None:
                yield Flip(changes, f"{was:f}", float(factor - 1), outcome)
                return


def _closes(bar: Bar, flips: _Flips) -> Iterator[Flip]:
    """The nearest close on either side that flips the decision, if one in range does."""
    reach = 0.0
    for doubling in range(DOUBLINGS):
        near, reach = reach, FINEST * 2**doubling
        hits = [sign for sign in (1.0, -1.0) if flips(_close(bar, sign * reach)) is not None]
        for sign in hits:
            low, high = near, reach
            for _ in range(HALVINGS):
                middle = (low + high) / 2.0
                if flips(_close(bar, sign * middle)) is not None:
                    high = middle
                else:
                    low = middle
            changes = _close(bar, sign * high)
            outcome = flips(changes)
            assert outcome is not None, "it was halved in upon"
            yield Flip(changes, repr(bar.close), high, outcome)
        if hits:
            return


def _close(bar: Bar, by: float) -> Changes:
    return Changes(close=bar.close * (1.0 + by))
