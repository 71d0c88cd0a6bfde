"""Where orders meet the market: those that take, those that rest, and what every market event does to them.

``Exchange`` lets orders in; from there on their fills, expiries and triggers are decided here. The floor hears the
market only while something rests on it, or while we must know whether levels we took from are new again.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from bus import money
from bus.bus import Bus, Subscription
from bus.clock import Clock
from bus.events import Bar, BookSnapshot, BookUpdate, OrderExpired, OrderFilled, OrderTriggered, Quote, Trade
from bus.market import Market
from bus.values import ZERO, Instrument, Liquidity, MatchSource, Order
from sim import filters, matching
from sim.account import Account, unlock
from sim.fees import fee
from sim.filters import Refusal
from sim.funding import Funding
from sim.matching import Desk
from sim.members import BAR, BOOK, BUY, FOK, IOC, MAKER, QUOTE, SPOT, TAKER, TRADE, TRAILING_STOP
from sim.models import Models
from sim.orders import DONE, VenueOrder
from sim.queue import BarTradesThroughUs, OppositeReachesUs
from sim.reports import Act, Reporter
from sim.slippage import Plan, Slippage, StopAtWorseOfOpen


class Taking(msgspec.Struct, frozen=True, gc=False):
    """What an order would get if it took now: ``levels`` of ``source``, priced by ``model`` (None: no market).

    ``own`` says that an order of ours stands in the way of more.
    """

    levels: Plan
    source: MatchSource
    model: Slippage | None
    own: bool = False


NOTHING = Taking([], BOOK, None)
PATIENCE = 16
"""Events an empty floor still hears before it goes deaf."""


class Floor:
    def __init__(
        self, clock: Clock, market: Market, models: Models, account: Account, funding: Funding, reporter: Reporter
    ) -> None:
        self._clock = clock
        self._market = market
        self._models = models
        self._slippage = models.slippage
        self._queue = models.queue
        self._queue_name = type(models.queue).__name__
        self._account = account
        self._funding = funding
        self._reporter = reporter
        self.desks: dict[str, Desk] = {}
        self._busy: dict[str, Desk] = {}
        self._arrivals = 0
        self._ears: list[Subscription] = []
        self._listening = False
        self._patience = PATIENCE

    def attach(self, bus: Bus) -> None:
        self._ears = [
            bus.subscribe(Trade, self._on_trade, active=False),
            bus.subscribe(Quote, self._on_quote, active=False),
            bus.subscribe(BookSnapshot, self._on_snapshot, active=False),
            bus.subscribe(BookUpdate, self._on_update, active=False),
            bus.subscribe(Bar, self._on_bar, active=False),
        ]

    def desk(self, instrument: Instrument) -> Desk:
        desk = self.desks.get(instrument.name)
        if desk is None:
            desk = self.desks[instrument.name] = Desk(instrument, self._market, self._models.fees)
        elif desk.instrument is not instrument:
            desk.relist(instrument, self._models.fees)
        return desk

    # --- orders that take --------------------------------------------------------------------------------------

    def taking(self, desk: Desk, order: VenueOrder, *, at_open: bool = False) -> Taking:
        """What the order would get: short of our own orders, whole or nothing for FOK; before a bar's open, nothing."""
        offers = desk.offers
        source = offers.source()
        if source is None or (source is BOOK and offers.frozen()):
            return NOTHING
        model = self._slippage[source]
        if model.waits and not at_open:
            return Taking([], source, model)
        terms = order.terms
        size = self._tradeable(desk, order) if terms.reduce_only else order.leaves
        levels = model.plan(offers, desk.instrument, terms.side, order.price, size) if size else []
        in_the_way = False
        if levels and (desk.bids or desk.asks) and (own := desk.own_best(terms.side)) is not None:
            wanted, buys = len(levels), terms.side is BUY
            levels = [level for level in levels if (level[0] < own if buys else level[0] > own)]
            in_the_way = len(levels) < wanted
        if terms.tif is FOK and sum((filled for _, filled in levels), ZERO) < size:
            levels = []
        return Taking(levels, source, model, in_the_way)

    def _tradeable(self, desk: Desk, order: VenueOrder) -> Decimal:
        """What is left of the order; of one that only reduces, no more than there is to reduce."""
        if order.terms.reduce_only:
            return min(order.leaves, reducible(self._account, desk, order))
        return order.leaves

    def enter(self, desk: Desk, order: VenueOrder, taking: Taking, act: Act) -> None:
        """Fill what can be taken, then rest or expire what is left; where prices come with bars, wait for one."""
        model = taking.model
        if model is not None and model.waits and not taking.levels and self._would_take(desk, order):
            desk.keep(order, desk.waiting)
            self._heed(desk)
        else:
            self._take(desk, order, taking, act)

    def _take(self, desk: Desk, order: VenueOrder, taking: Taking, act: Act) -> None:
        terms, levels, model = order.terms, taking.levels, taking.model
        if levels and model is not None:
            if model.consumes:
                for price, size in levels:
                    desk.offers.take(terms.side, price, size)
                if taking.source is BOOK:
                    self._heed(desk)
            self._fill(desk, order, levels, TAKER, taking.source, type(model).__name__, act)
            if order.stage is DONE:
                return
        if taking.own or (order.price is not None and desk.meets_own(terms.side, order.price)):
            self.expire(desk, order, "self-trade prevention", act)
        elif order.price is None or _at_once(terms):
            self.expire(desk, order, "nothing left to take", act)
        else:
            self._arrivals += 1
            desk.rest(order, self._arrivals)
            self._heed(desk)

    def enter_late(self, desk: Desk, order: VenueOrder, taking: Taking, act: Act) -> None:
        """An order that was accepted earlier takes only now; too little money ends it, and nothing left to reduce."""
        if not self._tradeable(desk, order):
            self._expire_spent(desk, order, act)
        elif affords(self._account, desk, order, taking.levels, desk.taker_rate):
            self.enter(desk, order, taking, act)
        else:
            self._expire_poor(desk, order, act)

    def _would_take(self, desk: Desk, order: VenueOrder) -> bool:
        """Whether the order would take now, if a bar were a market."""
        return order.price is None or _at_once(order.terms) or desk.would_take(order.terms.side, order.price)

    def watch_price(self, desk: Desk, order: VenueOrder) -> None:
        """Keep a stop until its price comes."""
        if order.terms.type is TRAILING_STOP:
            matching.trail(order, desk.offers.reference())
        elif order.terms.stop is not None:
            order.trigger = money.to_float(order.terms.stop)
        desk.keep(order, desk.stops)
        self._heed(desk)

    # --- the end of orders -------------------------------------------------------------------------------------

    def end(self, desk: Desk, order: VenueOrder) -> None:
        """Nothing more will happen to it: off the shelf, out of the account."""
        desk.remove(order)
        unlock(self._account, desk.instrument, order)
        order.stage = DONE
        if order.timer is not None:
            order.timer.cancel()
            order.timer = None

    def expire(self, desk: Desk, order: VenueOrder, reason: str, act: Act) -> None:
        self.end(desk, order)
        act.events.append(OrderExpired(act.ns, order.client_id, reason))

    def _expire_poor(self, desk: Desk, order: VenueOrder, act: Act) -> None:
        _, reason = filters.words(desk.instrument.name, Refusal.BALANCE)
        self.expire(desk, order, reason, act)

    def _expire_spent(self, desk: Desk, order: VenueOrder, act: Act) -> None:
        self.expire(desk, order, "nothing left to reduce", act)

    def _fill(
        self, desk: Desk, order: VenueOrder, plan: Plan, liquidity: Liquidity, source: MatchSource, model: str, act: Act
    ) -> None:
        """Book the plan's fills, and end the order when nothing is left of it, or nothing it may reduce."""
        terms, instrument, client_id = order.terms, desk.instrument, order.client_id
        settlement, highest = desk.settlement, desk.highest_rate
        rate = desk.maker_rate if liquidity is MAKER else desk.taker_rate
        for price, size in plan:
            cost, asset = fee(instrument, terms.side, price, size, rate)
            order.leaves -= size
            order.fills += 1
            settlement.settle(self._account, instrument, order, price, size, cost, highest)
            act.events.append(
                OrderFilled(
                    act.ns,
                    client_id,
                    terms.intent_id,
                    terms.strategy,
                    terms.instrument,
                    f"{client_id}.{order.fills}",
                    terms.side,
                    price,
                    size,
                    cost,
                    asset,
                    liquidity,
                    order.arrival_ns,
                    order.leaves,
                    source,
                    model,
                )
            )
        if instrument.kind is not SPOT:
            self._funding.position_changed(instrument.name)
        if not order.leaves:
            if order.shelf is None and not order.held and order.timer is None:
                order.stage = DONE  # it never rested: there is nothing to clear away
            else:
                self.end(desk, order)
        elif terms.reduce_only and not reducible(self._account, desk, order):
            self._expire_spent(desk, order, act)

    # --- orders that rest, and the market that comes to them ---------------------------------------------------

    def _reach(self, desk: Desk, match: matching.Match, source: MatchSource, model: str) -> None:
        order, price, size = match
        act = self._reporter.begin(order)
        size = min(size, self._tradeable(desk, order))
        plan = [(price, size)]
        if not size:
            self._expire_spent(desk, order, act)
        elif desk.instrument.kind is not SPOT and not affords(self._account, desk, order, plan, desk.maker_rate):
            self._expire_poor(desk, order, act)
        else:
            self._fill(desk, order, plan, MAKER, source, model, act)
        self._reporter.tell(act)

    def _trigger(self, desk: Desk, price: float) -> None:
        for order in matching.triggered(desk, price, price, self._clock.now):
            act = self._triggered(desk, order, money.from_float(price))
            self.enter_late(desk, order, self.taking(desk, order), act)
            self._reporter.tell(act)

    def _take_at_open(self, desk: Desk, order: VenueOrder, act: Act) -> None:
        taking = self.taking(desk, order, at_open=True)
        if not self._tradeable(desk, order):
            self._expire_spent(desk, order, act)
        elif affords(self._account, desk, order, taking.levels, desk.taker_rate):
            self._take(desk, order, taking, act)
        else:
            self._expire_poor(desk, order, act)

    def _trigger_by_bar(self, desk: Desk, bar: Bar) -> None:
        for order in matching.triggered(desk, bar.high, bar.low, bar.start_ns):
            price = StopAtWorseOfOpen.price(order.terms.side, order.trigger, bar.open)
            act = self._triggered(desk, order, price)
            size = self._tradeable(desk, order)
            if not size:
                self._expire_spent(desk, order, act)
            elif order.price is not None:
                order.arrival_ns = bar.end_ns  # when in the bar it happened is unknown: the limit acts after it
                self.enter(desk, order, NOTHING, act)
            elif not affords(self._account, desk, order, plan := [(price, size)], desk.taker_rate):
                self._expire_poor(desk, order, act)
            else:
                self._fill(desk, order, plan, TAKER, BAR, StopAtWorseOfOpen.__name__, act)
            self._reporter.tell(act)

    def _triggered(self, desk: Desk, order: VenueOrder, price: Decimal) -> Act:
        desk.remove(order)
        act = self._reporter.begin(order)
        act.events.append(OrderTriggered(act.ns, order.client_id, price))
        return act

    def _on_trade(self, trade: Trade) -> None:
        desk = self._awake(trade.instrument)
        if desk is None or desk.offers.frozen():
            return
        for match in matching.by_trade(desk, trade, self._queue):
            self._reach(desk, match, TRADE, self._queue_name)
        if desk.stops:
            self._trigger(desk, trade.price)

    def _on_quote(self, quote: Quote) -> None:
        desk = self._awake(quote.instrument)
        if desk is not None and desk.offers.source() is QUOTE:
            self._displayed(desk, QUOTE)

    def _on_snapshot(self, event: BookSnapshot) -> None:
        desk = self._awake(event.instrument)
        if desk is not None:
            desk.offers.renewed()
            self._displayed(desk, BOOK)

    def _on_update(self, event: BookUpdate) -> None:
        desk = self._awake(event.instrument)
        if desk is not None:
            desk.offers.changed(event)
            self._displayed(desk, BOOK)

    def _displayed(self, desk: Desk, source: MatchSource) -> None:
        """The display has changed. It fills and triggers only where no trades are heard to do so."""
        if not desk.watched or desk.offers.frozen():
            return
        matching.show(desk, self._queue)
        if not desk.offers.has_trades():
            for match in matching.by_offers(desk):
                self._reach(desk, match, source, OppositeReachesUs.__name__)
            if desk.stops:
                self._trigger(desk, desk.offers.reference())

    def _on_bar(self, bar: Bar) -> None:
        desk = self._awake(bar.instrument)
        if desk is None or not bar.closed or desk.offers.source() is not BAR:
            return
        for match in matching.by_bar(desk, bar):
            self._reach(desk, match, BAR, BarTradesThroughUs.__name__)
        for order in [order for order in desk.waiting if order.arrival_ns <= bar.start_ns]:
            desk.remove(order)
            act = self._reporter.begin(order)
            self._take_at_open(desk, order, act)
            self._reporter.tell(act)
        if desk.stops:
            self._trigger_by_bar(desk, bar)

    # --- whether to listen -------------------------------------------------------------------------------------

    def _heed(self, desk: Desk) -> None:
        self._busy[desk.instrument.name] = desk
        if not self._listening:
            self._listening = True
            for ear in self._ears:
                ear.resume()

    def _awake(self, instrument: str) -> Desk | None:
        """The desk if anything waits there. An empty floor goes deaf after a while, not at once: where orders come
        and go with every event, going deaf and listening again would cost more than hearing a few for nothing.
        """
        desk = self._busy.get(instrument)
        if desk is not None and not desk.idle:
            self._patience = PATIENCE
            return desk
        self._patience -= 1
        if self._patience > 0:
            return None
        self._patience = PATIENCE
        self._busy = {name: busy for name, busy in self._busy.items() if not busy.idle}
        if not self._busy and self._listening:
            self._listening = False
            for ear in self._ears:
                ear.pause()
        return None


def affords(account: Account, desk: Desk, order: VenueOrder, plan: Plan, rate: Decimal) -> bool:
    """Whether the plan can be paid; a spot order with a limit has it locked already."""
    instrument = desk.instrument
    if not plan or (order.price is not None and instrument.kind is SPOT):
        return True
    return desk.settlement.affords(account, instrument, order, plan, rate)


def reducible(account: Account, desk: Desk, order: VenueOrder) -> Decimal:
    """How much a reduce-only order may still trade, in whole lots."""
    return money.floor_to(desk.settlement.reducible(account, desk.instrument, order), desk.instrument.lot)


def _at_once(terms: Order) -> bool:
    return terms.tif is IOC or terms.tif is FOK
