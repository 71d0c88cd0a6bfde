"""At what prices, and for how much, an order that takes is filled. One class per assumption, named for it.

A plan is a list of (price, size), best first, never beyond the limit; it changes nothing. ``consumes`` says whether its
sizes come out of what is displayed, ``waits`` whether there is nothing to fill at before the next bar opens.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, Protocol

from bus import money
from bus.values import ONE, ZERO, Instrument, MatchSource, Side
from sim.liquidity import Level, Offers
from sim.members import BUY, INVERSE, SELL

Plan = list[Level]

_BPS = Decimal("0.0001")


class Slippage(Protocol):
    consumes: ClassVar[bool]
    waits: ClassVar[bool]

    def plan(
        self, offers: Offers, instrument: Instrument, side: Side, limit: Decimal | None, size: Decimal
    ) -> Plan: ...


class WalkTheBook:
    """Level by level at the displayed prices and sizes; on a quote the touch and no further."""

    consumes: ClassVar[bool] = True
    waits: ClassVar[bool] = False

    def plan(self, offers: Offers, instrument: Instrument, side: Side, limit: Decimal | None, size: Decimal) -> Plan:
        plan: Plan = []
        if limit is not None and not _within(side, offers.touch(side), money.to_float(limit)):
            return plan
        for price, available in offers.offers(side):
            if beyond(side, price, limit):
                break
            if available >= size:
                plan.append((price, size))
                break
            available = money.floor_to(available, instrument.lot)
            if available > 0:
                plan.append((price, available))
                size -= available
        return plan


class SpreadPlusImpact:
    """Where no depth is known: the last price, worse by half a spread and by an impact linear in the order's worth.

    price = last * (1 ± (half_spread_bps + impact_bps * notional / typical_notional) / 10000), rounded to the tick
    against us, for the whole size. ``impact_bps`` is what an order of ``typical_notional`` (quote units) moves the
    price by.
    """

    consumes: ClassVar[bool] = False
    waits: ClassVar[bool] = False

    def __init__(
        self,
        half_spread_bps: Decimal = Decimal(1),
        impact_bps: Decimal = Decimal(1),
        typical_notional: Decimal = Decimal(10_000),
    ) -> None:
        if half_spread_bps < 0 or impact_bps < 0 or typical_notional <= 0:
            raise ValueError("spread and impact cannot be negative, the typical notional must be positive")
        self._half_spread_bps = half_spread_bps
        self._impact_bps = impact_bps
        self._typical_notional = typical_notional

    def plan(self, offers: Offers, instrument: Instrument, side: Side, limit: Decimal | None, size: Decimal) -> Plan:
        last = money.from_float(offers.reference())
        worth = size * instrument.multiplier * (ONE if instrument.kind is INVERSE else last)
        impact = self._impact_bps * money.divide(worth, self._typical_notional)
        away = last * (self._half_spread_bps + impact) * _BPS
        price = money.ceil_to(last + away, instrument.tick)
        if side is SELL:
            price = money.floor_to(max(last - away, ZERO), instrument.tick)
        return whole(side, price, limit, size)


class NextOpen:
    """Where only bars are known: the open of the first bar that starts at or after the order's arrival, whole size."""

    consumes: ClassVar[bool] = False
    waits: ClassVar[bool] = True

    def plan(self, offers: Offers, instrument: Instrument, side: Side, limit: Decimal | None, size: Decimal) -> Plan:
        return whole(side, money.from_float(offers.bar_open()), limit, size)


class LastPrice:
    """The last price (before any trade, the middle), whole size, at once. Flattering: for comparison with peers."""

    consumes: ClassVar[bool] = False
    waits: ClassVar[bool] = False

    def plan(self, offers: Offers, instrument: Instrument, side: Side, limit: Decimal | None, size: Decimal) -> Plan:
        return whole(side, money.from_float(offers.reference()), limit, size)


class StopAtWorseOfOpen:
    """Where only bars are known: a stop fills at its trigger, or at the open of a bar that opened beyond it."""

    @staticmethod
    def price(side: Side, trigger: float, bar_open: float) -> Decimal:
        return money.from_float(max(trigger, bar_open) if side is BUY else min(trigger, bar_open))


DEFAULT: Mapping[MatchSource, Slippage] = {
    MatchSource.BOOK: WalkTheBook(),
    MatchSource.QUOTE: WalkTheBook(),
    MatchSource.TRADE: SpreadPlusImpact(),
    MatchSource.BAR: NextOpen(),
}
LAST_PRICE: Mapping[MatchSource, Slippage] = dict.fromkeys(MatchSource, LastPrice())


def beyond(side: Side, price: Decimal, limit: Decimal | None) -> bool:
    """Whether ``price`` is worse for ``side`` than its limit allows."""
    return limit is not None and (price > limit if side is BUY else price < limit)


def _within(side: Side, touch: float | None, limit: float) -> bool:
    """A cheap look before the exact one: float order never contradicts decimal order, it can only miss a difference."""
    return touch is not None and (touch <= limit if side is BUY else touch >= limit)


def whole(side: Side, price: Decimal, limit: Decimal | None, size: Decimal) -> Plan:
    """Everything at one price, or nothing when the limit or a missing price forbids it."""
    return [] if price <= 0 or (limit is not None and beyond(side, price, limit)) else [(price, size)]
