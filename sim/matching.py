"""Which of our resting orders a market event reaches, and for how much. It decides; ``Exchange`` does what follows.

One ``Desk`` per instrument keeps the orders that wait: limit orders in price then time order, stops that watch a price,
and orders that wait for the next bar's open.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from decimal import Decimal

from bus import money
from bus.events import Bar, Trade
from bus.market import Market
from bus.values import ZERO, Instrument, Side
from sim.account import SETTLEMENTS
from sim.fees import Fees
from sim.liquidity import Offers
from sim.members import BUY, MAKER, SELL, TAKER, TRAILING_STOP
from sim.orders import VenueOrder
from sim.queue import Queue, join
from sim.slippage import WalkTheBook, beyond

Match = tuple[VenueOrder, Decimal, Decimal]
"""An order, the price and the size it would be filled at."""

_Place = tuple[float, int, VenueOrder]

_walk = WalkTheBook()


class Desk:
    """``bids`` and ``asks`` hold (key, arrival number, order); the smaller the key, the better the price."""

    __slots__ = (
        "asks",
        "bids",
        "highest_rate",
        "instrument",
        "maker_rate",
        "offers",
        "settlement",
        "stops",
        "taker_rate",
        "waiting",
    )

    def __init__(self, instrument: Instrument, market: Market, fees: Fees) -> None:
        self.offers = Offers(instrument.name, market)
        self.relist(instrument, fees)
        self.bids: list[_Place] = []
        self.asks: list[_Place] = []
        self.stops: list[VenueOrder] = []
        self.waiting: list[VenueOrder] = []

    def relist(self, instrument: Instrument, fees: Fees) -> None:
        """Take the venue's present rules for the instrument, and what follows from them."""
        self.instrument = instrument
        self.settlement = SETTLEMENTS[instrument.kind]
        self.maker_rate = fees.rate(instrument, MAKER)
        self.taker_rate = fees.rate(instrument, TAKER)
        self.highest_rate = max(self.maker_rate, self.taker_rate)

    @property
    def idle(self) -> bool:
        """Whether the market's next event can mean nothing here."""
        return not (self.bids or self.asks or self.stops or self.waiting or self.offers.taken_levels())

    @property
    def watched(self) -> bool:
        """Whether an order rests here, or a stop looks on."""
        return bool(self.bids or self.asks or self.stops)

    def rest(self, order: VenueOrder, number: int) -> None:
        """Put a limit order at the back of its price."""
        assert order.price is not None, "only an order with a limit can rest"
        side = order.terms.side
        price = order.price_float = money.to_float(order.price)
        order.shelf, key = (self.bids, -price) if side is BUY else (self.asks, price)
        order.place = (key, number, order)
        insort(order.shelf, order.place)
        order.ahead = None
        displayed = self.offers.displayed(side, price)
        if displayed is not None:
            join(order, displayed, self.offers.taken_at(side, price))
            order.shown_ns = self.offers.displayed_ns()

    def keep(self, order: VenueOrder, shelf: list[VenueOrder]) -> None:
        """Put an order on ``stops`` or ``waiting``."""
        order.shelf, order.place = shelf, order
        shelf.append(order)

    def remove(self, order: VenueOrder) -> None:
        if order.shelf is not None:
            order.shelf.remove(order.place)
            order.shelf = order.place = None

    def own_best(self, side: Side) -> Decimal | None:
        """The best price of our own orders that an order of ``side`` would meet."""
        shelf = self.asks if side is BUY else self.bids
        return shelf[0][2].price if shelf else None

    def meets_own(self, side: Side, limit: Decimal) -> bool:
        own = self.own_best(side)
        return own is not None and not beyond(side, own, limit)

    def would_take(self, side: Side, limit: Decimal) -> bool:
        """Whether a limit order crosses what is on offer, or an order of our own."""
        touch = self.offers.touch(side)
        crosses = touch is not None and touch > 0 and not beyond(side, money.from_float(touch), limit)
        return crosses or self.meets_own(side, limit)

    def open_orders(self) -> Iterator[VenueOrder]:
        for shelf in (self.bids, self.asks):
            for _, _, order in shelf:
                yield order
        yield from self.stops
        yield from self.waiting


def by_trade(desk: Desk, trade: Trade, queue: Queue) -> Iterable[Match]:
    """Resting orders a public trade would have met. Its size is shared in price then time order and given out once."""
    sells = trade.taker is SELL
    shelf = desk.bids if sells else desk.asks
    worst = -trade.price if sells else trade.price
    if not shelf or shelf[0][0] > worst:
        return ()
    matches: list[Match] = []
    left = money.from_float(trade.size)
    for key, _, order in shelf:
        if key > worst or left <= 0:
            break
        if key < worst:
            order.ahead = ZERO  # it traded past our price: nobody is left before us
            reaches = left
        else:
            # Equal times are no answer, and neither is a missing one: then the display may contain the trade.
            reaches = queue.trade(order, left, trade.venue_ns <= order.shown_ns or not order.shown_ns)
        size = min(order.leaves, _to_lot(desk, reaches, order))
        if size > 0:
            matches.append((order, _limit(order), size))
            left -= size
    return matches


def by_offers(desk: Desk) -> Iterable[Match]:
    """Resting orders that the displayed other side has reached; for markets whose trades we do not hear.

    Each match must be taken from the offers before the next is asked for.
    """
    for shelf in (desk.bids, desk.asks):
        for _, _, order in tuple(shelf):
            plan = _walk.plan(desk.offers, desk.instrument, order.terms.side, order.price, order.leaves)
            if not plan:
                break  # nothing left for the best order is nothing for those behind it
            for price, size in plan:
                desk.offers.take(order.terms.side, price, size)
            yield order, _limit(order), sum((size for _, size in plan), ZERO)


def by_bar(desk: Desk, bar: Bar) -> Iterable[Match]:
    """Resting orders through which a bar traded: at their limit, or at the open where it was better still."""
    for shelf, worst in ((desk.bids, -bar.low), (desk.asks, bar.high)):
        for key, _, order in tuple(shelf):
            if key >= worst:
                break
            if order.arrival_ns <= bar.start_ns:
                opened = money.from_float(bar.open)
                yield order, _limit(order) if beyond(order.terms.side, opened, order.price) else opened, order.leaves


def show(desk: Desk, queue: Queue) -> None:
    """Tell every resting order what its level displays now."""
    offers, shown_ns = desk.offers, desk.offers.displayed_ns()
    for shelf, side in ((desk.bids, BUY), (desk.asks, SELL)):
        for _, _, order in shelf:
            displayed = offers.displayed(side, order.price_float)
            if displayed is None:
                continue
            if order.ahead is None:
                join(order, displayed, ZERO)
                order.shown_ns = shown_ns
            elif displayed != order.shown or order.traded:
                queue.show(order, displayed)
                order.shown_ns = shown_ns


def triggered(desk: Desk, high: float, low: float, since_ns: int) -> list[VenueOrder]:
    """Stops set off by prices between ``low`` and ``high``, among those that arrived by ``since_ns``.

    A trailing stop is asked first and moved after: within one bar the order of high and low is not known.
    """
    hit = []
    for order in desk.stops:
        if order.arrival_ns > since_ns:
            continue
        buys = order.terms.side is BUY
        if order.trigger and (high >= order.trigger if buys else low <= order.trigger):
            hit.append(order)
        elif order.terms.type is TRAILING_STOP:
            trail(order, low if buys else high)
    return hit


def passed(order: VenueOrder, price: float) -> bool:
    """Whether the market is already at or beyond the order's stop."""
    stop = order.terms.stop
    if stop is None or price <= 0:
        return False
    return price >= float(stop) if order.terms.side is BUY else price <= float(stop)


def trail(order: VenueOrder, price: float) -> None:
    """Move a trailing stop after the best price since it arrived."""
    assert order.terms.trail is not None, "a trailing stop has a distance"
    buys = order.terms.side is BUY
    if price > 0 and (not order.best or (price < order.best if buys else price > order.best)):
        order.best = price
        best = money.from_float(price)
        order.trigger = float(best + order.terms.trail if buys else best - order.terms.trail)


def _limit(order: VenueOrder) -> Decimal:
    assert order.price is not None, "what rests has a limit"
    return order.price


def _to_lot(desk: Desk, size: Decimal, order: VenueOrder) -> Decimal:
    return size if size >= order.leaves else money.floor_to(size, desk.instrument.lot)
