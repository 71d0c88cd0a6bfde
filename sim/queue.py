"""Where a resting order stands in the public's queue, and how much of a trade reaches it. One class per assumption.

The theory: at arrival everything displayed at our price is ahead of us. Trades at our price eat from the front; what
is left of a trade when the front is gone is ours. What the feed does not say is whether a shrinking level lost volume
ahead of us or behind; that is what the classes differ in. Trades and depth come on separate streams: a trade the
display already contains (by the venue's clock; where it sends none, every trade may be one) must not be counted a
second time. An order whose queue nobody can know (a price behind the quote's best, data without depth) has ``ahead``
None and is reached only by trades through its price.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from bus import money
from bus.values import ZERO
from sim.orders import VenueOrder


class Queue(Protocol):
    def show(self, order: VenueOrder, displayed: float) -> None:
        """The level now shows ``displayed``."""
        ...

    def trade(self, order: VenueOrder, volume: Decimal, shown_already: bool) -> Decimal:
        """``volume`` traded at the order's price: how much of it gets past the queue ahead."""
        ...


def join(order: VenueOrder, displayed: float, taken: Decimal) -> None:
    """The order stands behind ``displayed``, less what we took of it ourselves."""
    order.ahead = max(money.from_float(displayed) - taken, ZERO)
    order.shown = displayed
    order.traded = ZERO


class CancelsBehindUs:
    """Whoever cancels stood behind us, as long as the size displayed allows it."""

    def show(self, order: VenueOrder, displayed: float) -> None:
        if displayed < order.shown:
            order.shown = displayed

    def trade(self, order: VenueOrder, volume: Decimal, shown_already: bool) -> Decimal:
        ahead = order.ahead
        if not ahead:
            return ZERO if ahead is None else volume
        shown = money.from_float(order.shown)
        if shown_already:  # the display is what this trade left: it may cap the queue only after it
            order.ahead = min(max(ahead - volume, ZERO), shown)
        else:
            ahead = min(ahead, shown)
            order.ahead = max(ahead - volume, ZERO)
        return max(volume - ahead, ZERO)


class CancelsProRata:
    """Cancellations fall on the whole level evenly, so the queue ahead shrinks by its share of them.

    A level's decrease is taken for cancellation as far as the trades heard before it do not explain it; a trade that
    comes after the depth that shows it has then moved us already, and brings nothing more.
    """

    def show(self, order: VenueOrder, displayed: float) -> None:
        if order.ahead:
            now = money.from_float(displayed)
            expected = money.from_float(order.shown) - order.traded
            if now < expected:
                order.ahead -= money.divide(order.ahead * (expected - now), expected)
            order.ahead = max(min(order.ahead, now), ZERO)
        order.shown = displayed
        order.traded = ZERO

    def trade(self, order: VenueOrder, volume: Decimal, shown_already: bool) -> Decimal:
        ahead = order.ahead
        if ahead is None or (shown_already and ahead):
            return ZERO
        order.traded += volume
        order.ahead = max(ahead - volume, ZERO)
        return max(volume - ahead, ZERO)


class OppositeReachesUs:
    """Where no trades are heard: a resting order fills when the other side's display reaches it, up to its size."""


class BarTradesThroughUs:
    """Where only bars are known: a resting order fills whole when the bar trades through it; a touch is no fill."""
