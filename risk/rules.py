"""The rules, one short function each: what it measures, against what.

A rule takes a proposal and answers (value, limit); it is kept while value <= limit. ``GUARDS`` lists the six documented
guards in the order in which they are reported, then ours.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from bus.clock import SECOND
from bus.money import to_float
from bus.values import ZERO, Instrument, Order, OrderType, Side

Measure = tuple[Any, Any]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Every limit is a number; there is no word for unlimited. Notionals in the account's asset, sizes in base
    units.
    """

    max_notional: Decimal
    max_position: Decimal
    symbol_position_limits: Mapping[str, Decimal]
    max_drawdown_bps: float
    max_consecutive_rejects: int
    stale_data_threshold_s: float
    price_collar_bps: float
    max_orders: int
    max_orders_window_s: float
    max_open_orders: int


class Proposal(msgspec.Struct, gc=False):
    """An order on its way through the gate, with what the rules need to know of the world around it.

    ``position_after`` and ``notional_after`` are the worst case on the order's side once everything open fills, in base
    units and in quote; ``reduces`` says that it can only make the position smaller; ``drawdown`` is the fraction of the
    session's start that is lost, infinite where nobody can say. ``replacing`` is the total that a replacement takes the
    place of, 0 where the order is a new one, and ``filled`` what of it the ledger has already.
    """

    order: Order
    instrument: Instrument
    price: Decimal
    notional: Decimal
    position_after: Decimal
    notional_after: Decimal
    reduces: bool
    drawdown: float
    mid: float
    age_ns: int
    now: int
    replacing: Decimal = ZERO
    filled: Decimal = ZERO

    @property
    def leaves(self) -> Decimal:
        """The most of the order that may still fill."""
        return max(ZERO, self.order.size - self.filled)


NO_ORDER = Proposal(
    Order("", "", "", Side.BUY, OrderType.MARKET, ZERO),
    Instrument("", "", "", "", ""),
    ZERO,
    ZERO,
    ZERO,
    ZERO,
    False,
    0.0,
    1.0,
    0,
    0,
)
"""Stands in where the rules are read without an order at hand: whatever is measured of an order is 0."""


class Standing:
    """What the gate has seen so far that a rule may depend on."""

    __slots__ = ("approved_ns", "killed", "open_orders", "rejects")

    def __init__(self, max_orders: int, open_orders: Callable[[], int]) -> None:
        self.killed = ""
        self.rejects = 0
        self.approved_ns: deque[int] = deque(maxlen=max_orders)
        self.open_orders = open_orders


Rule = Callable[[Proposal, Limits, Standing], Measure]


def max_notional(p: Proposal, limits: Limits, _: Standing) -> Measure:
    """A way out is never too big."""
    return (ZERO if p.reduces else p.notional), limits.max_notional


def max_position(p: Proposal, limits: Limits, _: Standing) -> Measure:
    return (ZERO if p.reduces else p.notional_after), limits.max_position


def symbol_position(p: Proposal, limits: Limits, _: Standing) -> Measure:
    cap = limits.symbol_position_limits.get(p.order.instrument)
    return (ZERO, ZERO) if cap is None or p.reduces else (p.position_after, cap)


def session_drawdown(p: Proposal, limits: Limits, _: Standing) -> Measure:
    return p.drawdown * 10_000, limits.max_drawdown_bps


def consecutive_rejects(_: Proposal, limits: Limits, standing: Standing) -> Measure:
    return standing.rejects, limits.max_consecutive_rejects


def stale_data(p: Proposal, limits: Limits, _: Standing) -> Measure:
    return p.age_ns / SECOND, limits.stale_data_threshold_s


def kill_switch(_p: Proposal, _l: Limits, standing: Standing) -> Measure:
    return (1 if standing.killed else 0), 0


def price_collar(p: Proposal, limits: Limits, _: Standing) -> Measure:
    """Distance of the order's own price from the middle of the market, either way (a fat finger has no favourite
    side).
    """
    if p.order.price is None:
        return 0.0, limits.price_collar_bps
    return abs(to_float(p.order.price) - p.mid) / p.mid * 10_000, limits.price_collar_bps


def order_rate(p: Proposal, limits: Limits, standing: Standing) -> Measure:
    """Orders approved in the window that ends now, this one included; a full ring whose oldest is too young is one
    too many.
    """
    recent = standing.approved_ns
    full = len(recent) == limits.max_orders and p.now - recent[0] < limits.max_orders_window_s * SECOND
    return (limits.max_orders + 1 if full else 0), limits.max_orders


def open_orders(p: Proposal, limits: Limits, standing: Standing) -> Measure:
    """With this one, unless it takes the place of one that is counted already."""
    return standing.open_orders() + (0 if p.replacing else 1), limits.max_open_orders


KILL_SWITCH = "kill_switch"
GUARDS: dict[str, Rule] = {
    "max_notional": max_notional,
    "max_position": max_position,
    "symbol_position": symbol_position,
    "session_drawdown": session_drawdown,
    "consecutive_rejects": consecutive_rejects,
    "stale_data": stale_data,
    KILL_SWITCH: kill_switch,
    "price_collar": price_collar,
    "order_rate": order_rate,
    "open_orders": open_orders,
}
HALTING = frozenset({"session_drawdown", "consecutive_rejects", KILL_SWITCH})
"""Breaking one of these stops all trading; the others refuse the one order."""


def first_broken(p: Proposal, limits: Limits, standing: Standing) -> str | None:
    """The kill switch decides first, the rest in their documented order; None when all are kept."""
    if standing.killed:
        return KILL_SWITCH
    for name, rule in GUARDS.items():
        value, limit = rule(p, limits, standing)
        if not value <= limit:  # not `>`: a NaN keeps no rule
            return name
    return None


def all_kept(p: Proposal, limits: Limits, standing: Standing) -> bool:
    """The same answer as ``first_broken(...) is None``, in one expression: an order waits for this.

    The table above is the judge; a property test holds the two together.
    """
    order, recent = p.order, standing.approved_ns
    return (
        not standing.killed
        and (
            p.reduces
            or (
                p.notional <= limits.max_notional
                and p.notional_after <= limits.max_position
                and (
                    not limits.symbol_position_limits
                    or p.position_after <= limits.symbol_position_limits.get(order.instrument, p.position_after)
                )
            )
        )
        and p.drawdown * 10_000 <= limits.max_drawdown_bps
        and standing.rejects <= limits.max_consecutive_rejects
        and p.age_ns <= limits.stale_data_threshold_s * SECOND
        and (order.price is None or abs(to_float(order.price) - p.mid) / p.mid * 10_000 <= limits.price_collar_bps)
        and (len(recent) < limits.max_orders or p.now - recent[0] >= limits.max_orders_window_s * SECOND)
        and standing.open_orders() + (0 if p.replacing else 1) <= limits.max_open_orders
    )


_LARGER_IS_TIGHTER = frozenset({"max_orders_window_s"})


def looser_than(now: Limits, other: Limits) -> list[str]:
    """What ``other`` allows that ``now`` does not, in words; nothing where it only tightens."""
    found = []
    for name in Limits.__struct_fields__:
        before, after = getattr(now, name), getattr(other, name)
        if name == "symbol_position_limits":
            found += [
                f"{name}.{symbol}: {before[symbol]} → {after.get(symbol, 'none')}"
                for symbol in sorted(before)
                if symbol not in after or after[symbol] > before[symbol]
            ]
        elif (after < before) if name in _LARGER_IS_TIGHTER else (after > before):
            found.append(f"{name}: {before} → {after}")
    return found
