"""What the venue tells us, and when we hear it. Reports of one order never overtake each other."""

from __future__ import annotations

import msgspec

from bus.bus import Bus
from bus.clock import Clock
from bus.events import Record
from bus.rng import Draws
from sim.latency import Latency
from sim.orders import DONE, VenueOrder
from sim.wire import Wire


class Act(msgspec.Struct, eq=False):
    """All that happens to one order at one moment at the venue: it travels in one message, heard at ``ns``.

    ``order`` is None in the answer to a request about an order the venue does not have.
    """

    order: VenueOrder | None
    ns: int
    events: list[Record] = msgspec.field(default_factory=list)


class Reporter:
    """Gives each act its acknowledgement latency, and forgets an order once its end has been heard."""

    __slots__ = ("_bus", "_clock", "_draws", "_latency", "_orders", "_wire")

    def __init__(
        self, clock: Clock, bus: Bus, wire: Wire, draws: Draws, latency: Latency, orders: dict[str, VenueOrder]
    ) -> None:
        self._clock = clock
        self._bus = bus
        self._wire = wire
        self._draws = draws
        self._latency = latency
        self._orders = orders

    def begin(self, order: VenueOrder) -> Act:
        ns = self._clock.now + self._latency.draw(self._draws, "latency.ack", order.terms.intent_id, order.acts)
        order.acts += 1
        if ns < order.heard_ns:
            ns = order.heard_ns
        order.heard_ns = ns
        return Act(order, ns)

    def begin_unknown(self, client_id: str) -> Act:
        return Act(None, self._clock.now + self._latency.draw(self._draws, "latency.ack", client_id, 0))

    def tell(self, act: Act) -> None:
        """Unless nothing came of it: an order that waited for a bar's open and found it beyond its limit only rests."""
        if act.events:
            self._wire.send(act.ns, self.hear, act)

    def hear(self, act: Act) -> None:
        order = act.order
        if order is not None and order.stage is DONE and order.heard_ns == act.ns:
            orders, client_id = self._orders, order.client_id
            if orders.get(client_id) is order:  # not where it was refused because another has its id
                del orders[client_id]
        self._bus.publish_all(act.events)
