"""The simulated venue: a broker like any other, whose market is the recorded or live one and whose fills are modelled.

The story of an order: ``submit`` puts it on the wire; when its latency has passed it arrives, is refused or accepted by
the venue's rules, and acts on what is known *then*; what rests waits for market events; whatever happens to it travels
back as reports. Nothing here looks ahead and nothing fills twice. The assumptions are objects in ``Models``. Which
orders an event reaches is decided in ``matching``, what becomes of them on the ``floor``, what is on offer in
``liquidity``, what it costs in ``account`` and ``fees``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import partial

from bus.bus import Bus
from bus.clock import Clock
from bus.events import CancelRejected, OrderAccepted, OrderCancelled, OrderRejected, OrderReplaced, ReplaceRejected
from bus.market import Market
from bus.resume import MarketResumed
from bus.rng import Draws
from bus.values import Order
from sim import filters
from sim.account import Account, lock
from sim.filters import Refusal
from sim.floor import NOTHING, Floor, affords, reducible
from sim.funding import Funding
from sim.matching import Desk, passed
from sim.members import GTD, LIMIT, MARKET, STOP, STOP_LIMIT
from sim.models import Models
from sim.orders import DONE, OPEN, TRAVELLING, VenueOrder
from sim.reports import Reporter
from sim.wire import Wire

KNOCK_NS = 100_000_000
"""How often an order that waits for a market after a restart looks again."""


class Exchange:
    """One account at one venue. ``wire.messages`` and ``open_orders`` are all it has in hand."""

    def __init__(
        self, clock: Clock, bus: Bus, market: Market, draws: Draws, models: Models, balances: Mapping[str, Decimal]
    ) -> None:
        self._clock = clock
        self._market = market
        self._draws = draws
        self._models = models
        self._orders: dict[str, VenueOrder] = {}
        self.account = Account(balances, models.leverage)
        self.unheard: set[str] = set()  # where orders are due since a restart, and the market may not be known yet
        self.wire = Wire(clock)
        self._reporter = Reporter(clock, bus, self.wire, draws, models.acknowledgement, self._orders)
        self._funding = Funding(clock, bus, market, self.account)
        self._floor = Floor(clock, market, models, self.account, self._funding, self._reporter)

    def attach(self, bus: Bus) -> None:
        """Take a place among those who hear the market; it listens only while it has something to hear for."""
        self._floor.attach(bus)
        self._funding.attach(bus)
        bus.subscribe(MarketResumed, self._on_resumed)

    def open_orders(self) -> Iterator[VenueOrder]:
        for desk in self._floor.desks.values():
            yield from desk.open_orders()

    # --- requests: what we ask ---------------------------------------------------------------------------------

    def submit(self, client_id: str, order: Order) -> None:
        priced = order.type is LIMIT or order.type is STOP_LIMIT  # the price of any other means nothing
        sent = VenueOrder(client_id, order, order.price if priced else None, order.size, order.size)
        self._orders.setdefault(client_id, sent)
        delay = self._models.entry.draw(self._draws, "latency.entry", order.intent_id, 0)
        self.wire.send(self._clock.now + delay, self._arrive, sent)

    def cancel(self, client_id: str) -> None:
        order, name, earlier = self._orders.get(client_id), client_id, 0
        if order is not None:
            name, earlier = order.terms.intent_id, order.cancels
            order.cancels = earlier + 1
        delay = self._models.cancel.draw(self._draws, "latency.cancel", name, earlier)
        self.wire.send(self._clock.now + delay, self._cancel, client_id)

    def replace(self, client_id: str, price: Decimal, size: Decimal) -> None:
        order, name, earlier = self._orders.get(client_id), client_id, 0
        if order is not None:
            name, earlier = order.terms.intent_id, order.replaces + 1  # the order itself was the first
            order.replaces = earlier
        delay = self._models.entry.draw(self._draws, "latency.entry", name, earlier)
        self.wire.send(self._clock.now + delay, self._replace, (client_id, price, size))

    # --- arrivals: what the venue makes of it ------------------------------------------------------------------

    def _arrive(self, order: VenueOrder) -> None:
        terms, floor, now = order.terms, self._floor, self._clock.now
        if order.stage is DONE:
            return  # cancelled while it waited for a market
        order.arrival_ns = now
        instrument = self._market.instruments.get(terms.instrument)
        if instrument is None:
            self._refuse(order, Refusal.UNKNOWN_SYMBOL)
            return
        desk = floor.desk(instrument)
        if self.unheard and self._must_wait(desk):
            self.wire.send(now + KNOCK_NS, self._arrive, order)
            return
        refusal = self._refusal(desk, order)
        if refusal is not None:
            self._refuse(order, refusal)
            return
        acts_now = terms.type is LIMIT or terms.type is MARKET
        too_late = terms.tif is GTD and terms.expires_ns <= now
        taking = floor.taking(desk, order) if acts_now and not too_late else NOTHING
        levels = taking.levels
        # A market order that is filled whole at once gives what it locked in the same breath: nothing need be locked.
        at_once = order.price is None and len(levels) == 1 and levels[0][1] == order.leaves
        if not ((at_once or self._lock(desk, order)) and affords(self.account, desk, order, levels, desk.taker_rate)):
            self._refuse(order, Refusal.BALANCE, desk)
            return
        order.stage = OPEN
        act = self._reporter.begin(order)
        act.events.append(OrderAccepted(act.ns, order.client_id, "v-" + order.client_id, now))
        if too_late:
            floor.expire(desk, order, "good till date", act)
        elif acts_now:
            floor.enter(desk, order, taking, act)
        else:
            floor.watch_price(desk, order)
        if terms.tif is GTD and order.stage is OPEN:
            order.timer = self._clock.at(terms.expires_ns, partial(self._reach_date, order))
        self._reporter.tell(act)

    def _on_resumed(self, _: MarketResumed) -> None:
        """A market that was carried over is known, however it stands: nothing is waited for."""
        market = self._market
        for known in (market.books, market.quotes, market.trades, market.bars):
            self.unheard.difference_update(known)

    def _must_wait(self, desk: Desk) -> bool:
        """A restart: an order that was on its way meets the market when there is one, not the silence before it."""
        name = desk.instrument.name
        if name in self.unheard and (desk.offers.source() is None or desk.offers.frozen()):
            return True
        self.unheard.discard(name)
        return False

    def _refusal(self, desk: Desk, order: VenueOrder) -> Refusal | None:
        """Why the venue will not have it, money aside."""
        terms = order.terms
        if self._orders.get(order.client_id) is not order:
            return Refusal.DUPLICATE
        refusal = filters.check(desk.instrument, order, desk.offers.reference)
        if refusal is not None:
            return refusal
        if terms.reduce_only and not reducible(self.account, desk, order):
            return Refusal.REDUCE_ONLY
        if (terms.type is STOP or terms.type is STOP_LIMIT) and passed(order, desk.offers.reference()):
            return Refusal.WOULD_TRIGGER
        if terms.post_only and terms.type is LIMIT and order.price is not None:
            return Refusal.WOULD_TAKE if desk.would_take(terms.side, order.price) else None
        return None

    def _lock(self, desk: Desk, order: VenueOrder) -> bool:
        """Lock what the order's present terms need; False, and nothing changed, when too little is free."""
        needed = desk.settlement.needs(self.account, desk.instrument, order, desk.highest_rate)
        return (not needed and not order.held) or lock(self.account, desk.instrument, order, needed)

    def _refuse(self, order: VenueOrder, refusal: Refusal, desk: Desk | None = None) -> None:
        if desk is not None:
            self._floor.end(desk, order)  # gives back what was locked before the rest proved too dear
        order.stage = DONE
        code, reason = filters.words(order.terms.instrument, refusal)
        act = self._reporter.begin(order)
        act.events.append(OrderRejected(act.ns, order.client_id, code, reason))
        self._reporter.tell(act)

    def _cancel(self, client_id: str) -> None:
        order = self._orders.get(client_id)
        # It may be here already and wait for a market, which nobody may ever hear again.
        waits = order is not None and order.stage is TRAVELLING and order.arrival_ns
        if order is None or not (order.stage is OPEN or waits):
            self._turn_down(CancelRejected, client_id, order, Refusal.UNKNOWN_ORDER)
            return
        act = self._reporter.begin(order)
        act.events.append(OrderCancelled(act.ns, client_id, "requested"))
        self._floor.end(self._floor.desk(self._market.instruments[order.terms.instrument]), order)
        self._reporter.tell(act)

    def _replace(self, request: tuple[str, Decimal, Decimal]) -> None:
        client_id, price, size = request
        order = self._orders.get(client_id)
        if order is None or order.stage is not OPEN:
            self._turn_down(ReplaceRejected, client_id, order, Refusal.UNKNOWN_ORDER)
            return
        floor, desk = self._floor, self._floor.desks[order.terms.instrument]
        refusal = self._amend(desk, order, price, size)
        if refusal is not None:
            self._turn_down(ReplaceRejected, client_id, order, refusal)
            return
        act = self._reporter.begin(order)
        act.events.append(OrderReplaced(act.ns, client_id, price, size, order.arrival_ns))
        if order.shelf is None:
            floor.enter_late(desk, order, floor.taking(desk, order), act)
        self._reporter.tell(act)

    def _amend(self, desk: Desk, order: VenueOrder, price: Decimal, size: Decimal) -> Refusal | None:
        """Give the order its new terms, or say why not and leave it as it was.

        A smaller size at the same price keeps its place, and so does a stop; anything else leaves the shelf, to arrive
        again.
        """
        before = order.price, order.size, order.leaves
        leaves = size - (order.size - order.leaves)
        if order.price is None or leaves <= 0:
            return Refusal.AMEND
        keeps_place = (price == order.price and size <= order.size) or order.shelf is desk.stops
        order.price, order.size, order.leaves = price, size, leaves
        refusal = filters.check(desk.instrument, order, desk.offers.reference)
        if refusal is None and not keeps_place and order.terms.post_only and desk.would_take(order.terms.side, price):
            refusal = Refusal.WOULD_TAKE
        if refusal is None and not self._lock(desk, order):
            refusal = Refusal.BALANCE
        if refusal is not None:
            order.price, order.size, order.leaves = before
        elif not keeps_place:
            desk.remove(order)
            order.arrival_ns = self._clock.now
        return refusal

    def _reach_date(self, order: VenueOrder) -> None:
        act = self._reporter.begin(order)
        self._floor.expire(self._floor.desks[order.terms.instrument], order, "good till date", act)
        self._reporter.tell(act)

    def _turn_down(
        self,
        event: type[CancelRejected] | type[ReplaceRejected],
        client_id: str,
        order: VenueOrder | None,
        refusal: Refusal,
    ) -> None:
        """A request about an order that is not there (yet, or any more), or that cannot be had."""
        known = order.terms.instrument if order is not None else next(iter(self._market.instruments), "")
        code, reason = filters.words(known, refusal)
        act = self._reporter.begin(order) if order is not None else self._reporter.begin_unknown(client_id)
        act.events.append(event(act.ns, client_id, code, reason))
        self._reporter.tell(act)
