"""What there is to change: for every rule of the gate the setting that lets pass what it refused, or refuses what it
let pass, worked out from the numbers it gave.

A ``Step`` is one change as ``--what-if`` takes it: from what, in what unit, how far off as a fraction of what it was
(what is switched on or off is 1 off). ``LEVERS`` knows every rule; a test holds it to the tables of ``risk/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from operator import attrgetter
from typing import Any, NamedTuple

from bus import money
from bus.events import OrderRefused
from bus.values import Check
from config.load import ConfigError, changed
from config.schema import Trading
from daemon.proof.changes import Changes, parse


class Step(NamedTuple):
    word: str
    was: str
    unit: str
    distance: float

    @property
    def setting(self) -> str:
        return self.word.partition("=")[0]

    @property
    def to(self) -> str:
        return self.word.partition("=")[2]

    @property
    def key(self) -> str:
        """What a second step of the same replaces."""
        return self.word.rpartition("=")[0]


Steps = tuple[Step, ...]


def changes_of(steps: Steps, trading: Trading) -> Changes:
    return parse((step.word for step in steps), trading)


def together(steps: Steps, more: Steps) -> Steps:
    """Both, the later of the same setting in place of the earlier."""
    found = {step.key: step for step in steps}
    found.update((step.key, step) for step in more)
    return tuple(found.values())


def count(steps: Steps) -> int:
    """How many things are changed; since when is none."""
    return sum(step.setting != "since" for step in steps)


def distance(steps: Steps) -> float:
    """That of the farthest."""
    return max((step.distance for step in steps), default=0.0)


def apart(to: float, was: float) -> float:
    return abs(to - was) / abs(was) if was else 1.0


def moved(step: Step, to: float) -> Step:
    """The same setting elsewhere, a whole number where it was one."""
    whole = not any(mark in step.was + step.to for mark in ".e")
    text = str(round(to)) if whole else repr(to)
    return step._replace(word=f"{step.setting}={text}", distance=apart(float(text), float(step.was)))


# --- the rules -------------------------------------------------------------------------------------------------

FINE, WHOLE, MILLI = Decimal("1E-8"), Decimal(1), Decimal("1E-3")
_UP, _DOWN = Decimal("1.00001"), Decimal("0.99999")
"""Numbers of the market are told to six digits."""


class Lever(NamedTuple):
    """Where a rule's limit is set, in what unit and by what steps. ``floor``: the setting is the least and not the
    most; ``exact``: its numbers are told to the last digit; ``by``: the setting is a table, by instrument or strategy.
    """

    path: str
    unit: str
    step: Decimal = FINE
    exact: bool = False
    floor: bool = False
    by: str = ""


class Switch(NamedTuple):
    """A rule that asks yes or no: the word that lets pass what it refuses."""

    word: str
    was: str


class Wait(NamedTuple):
    """A rule whose number is what is still to wait of what the setting says."""

    path: str
    unit: str


ARMED = Switch("state=armed", "closed")
LEVERS: Mapping[str, Lever | Switch | Wait] = {
    "max_notional": Lever("limits.max_notional", "quote units", exact=True),
    "max_position": Lever("limits.max_position", "quote units", exact=True),
    "symbol_position": Lever("limits.symbol_position_limits", "base units", exact=True, by="instrument"),
    "session_drawdown": Lever("limits.max_drawdown_bps", "bps", WHOLE),
    "consecutive_rejects": Lever("limits.max_consecutive_rejects", "rejects", WHOLE, exact=True),
    "stale_data": Lever("limits.stale_data_threshold_s", "s", MILLI),
    "kill_switch": ARMED,
    "price_collar": Lever("limits.price_collar_bps", "bps", WHOLE),
    "order_rate": Lever("limits.order_rate.orders", "orders", WHOLE, exact=True),
    "open_orders": Lever("limits.max_open_orders", "orders", WHOLE, exact=True),
    "drawdown_band": ARMED,
    "wallet_verified": Switch("limits.verify_wallet=false", "true"),
    "min_notional": Lever("limits.min_notional", "quote units", exact=True, floor=True),
    "cooldown": Wait("limits.cooldown_s", "s"),
    "spread": Lever("limits.max_spread_bps", "bps"),
    "liquidity": Lever("limits.max_impact_bps", "bps"),
    "min_atr": Lever("limits.min_atr", "of the price", floor=True),
    "max_atr": Lever("limits.max_atr", "of the price"),
    "panic": Switch("governor.panic_exit=false", "true"),
    "account_health": Lever("limits.min_equity", "account currency", exact=True, floor=True),
    "daily_loss": Lever("limits.max_daily_loss_bps", "bps", WHOLE),
    "budget": Lever("limits.budgets", "account currency", exact=True, by="strategy"),
    "correlation": Lever("limits.max_correlation", ""),
    "gross_exposure": Lever("limits.max_gross", "x equity"),
    "net_exposure": Lever("limits.max_net", "x equity"),
    "leverage": Lever("limits.max_leverage", "x equity"),
    "liquidation": Lever("limits.min_liquidation_distance", "of the price", floor=True),
    "var": Lever("limits.max_var", "of equity"),
    "es": Lever("limits.max_es", "of equity"),
    "money_at_risk": Lever("limits.max_money_at_risk", "account currency", exact=True),
    "p_long": Lever("confirmation.conf_min", "probability", floor=True),
}
"""Every rule of the gate."""

SIZES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "intent": (("sizing.notional", "account currency"),),
    "fixed_notional": (("sizing.notional", "account currency"),),
    "dollar_per_trade": (("sizing.notional", "account currency"),),
    "equity_fraction": (("sizing.fraction", "of equity"),),
    "vol_target": (("sizing.vol_target", "per year"), ("sizing.max_fraction", "x equity")),
    "kelly": (("sizing.notional", "account currency"), ("sizing.kelly_share", ""), ("sizing.kelly_cap", "of equity")),
    "exposure_confidence": (("sizing.fraction", "of equity"),),
}
"""What makes an entry larger, by how its size is found."""


def relaxed(check: Check, refusal: OrderRefused, trading: Trading) -> Step | None:
    """What would have let the rule pass, just so; None where nothing would."""
    lever = LEVERS[check.rule]
    if isinstance(lever, Switch):
        return Step(lever.word, lever.was, "", 1.0)
    if isinstance(lever, Wait):
        waited = Decimal(repr(_setting(trading, lever.path))) - Decimal(check.value) * _UP
        return _set(trading, lever.path, lever.unit, money.floor_to(waited, MILLI) if waited > 0 else None)
    measured = Decimal(check.limit if lever.floor else check.value)
    to = None
    if measured.is_finite() and measured > 0:
        slack = Decimal(1) if lever.exact else _DOWN if lever.floor else _UP
        to = (money.floor_to if lever.floor else money.ceil_to)(measured * slack, lever.step)
    return _limit(lever, to, refusal.instrument, refusal.strategy, trading)


def tightened(check: Check, instrument: str, strategy: str, trading: Trading) -> Step | None:
    """What would have made the rule refuse, by a step; None where nothing would."""
    lever = LEVERS[check.rule]
    if not isinstance(lever, Lever):
        return None
    measured = Decimal(check.limit if lever.floor else check.value)
    if not measured.is_finite() or measured <= 0:
        return None
    if lever.floor:
        to = money.ceil_to(measured * _UP, lever.step)
    else:
        to = money.floor_to(measured * _DOWN, lever.step)
    if to <= 0:
        return None
    step = _limit(lever, to, instrument, strategy, trading)
    return step if step is not None and step.to != "none" else None


def _limit(lever: Lever, to: Decimal | None, instrument: str, strategy: str, trading: Trading) -> Step | None:
    if not lever.by:
        return _set(trading, lever.path, lever.unit, to)
    key = instrument if lever.by == "instrument" else strategy
    was = _setting(trading, lever.path).get(key)
    if was is None or to is None:
        return None
    step = Step(f'{lever.path}={{"{key}" = {to:f}}}', f"{was:f}", lever.unit, apart(float(to), float(was)))
    return step if _may_be(step.word, trading) else None


def _set(trading: Trading, path: str, unit: str, to: Decimal | None) -> Step | None:
    """The setting at ``to``, or not asked for at all where it cannot be that."""
    was = _setting(trading, path)
    told = plain(was)
    if to is not None and _may_be(word := f"{path}={to:f}", trading):
        return Step(word, told, unit, apart(float(to), float(was)))
    word = f"{path}=none"
    return Step(word, told, unit, 1.0) if _may_be(word, trading) else None


def plain(value: Any) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else repr(value)


def _setting(trading: Trading, path: str) -> Any:
    return attrgetter(path)(trading)


def _may_be(word: str, trading: Trading) -> bool:
    try:
        changed(trading, (word,))
    except ConfigError:
        return False
    return True
