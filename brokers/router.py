"""Approved orders go out to their venue; what becomes of them comes back and is held to the table of moves.

The router knows an order from approval until it is done and no request about it is still under way, and forgets it
then. A cancel that overtook its order, and was refused for that, is asked for again once the order is there: whoever
wanted nothing left open has said so once.

It trusts nobody: an event for an order it does not know, or a move the table does not have, raises, and trading halts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from brokers.order_state import CANCELLING, DONE, SUBMITTED, UNKNOWN, ImpossibleMove, Move, advance
from brokers.outbox import Outbox
from brokers.port import Broker
from bus.bus import Bus
from bus.clock import Clock
from bus.events import (
    CancelRejected,
    CancelRequested,
    OrderAccepted,
    OrderApproved,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderTriggered,
    ReplaceApproved,
    ReplaceRejected,
)
from bus.state import SentState
from bus.values import OrderState

Report = OrderTriggered | OrderCancelled | OrderExpired | OrderRejected | OrderReplaced
_MOVES: Mapping[type[Report], Move] = {
    OrderTriggered: Move.TRIGGERED,
    OrderCancelled: Move.CANCELLED,
    OrderExpired: Move.EXPIRED,
    OrderRejected: Move.REJECTED,
    OrderReplaced: Move.REPLACED,
}
_LATE: Mapping[type[CancelRejected | ReplaceRejected], Move] = {
    CancelRejected: Move.CANCEL_REJECTED,
    ReplaceRejected: Move.REPLACE_REJECTED,
}
_ACCEPTED, _CANCEL_ASKED, _REPLACE_ASKED, _PART_FILLED, _FILLED = (
    Move.ACCEPTED,
    Move.CANCEL_ASKED,
    Move.REPLACE_ASKED,
    Move.PART_FILLED,
    Move.FILLED,
)
WHO = "router"
_ANSWERS = frozenset({OrderCancelled, OrderReplaced})


class Sent(msgspec.Struct, eq=False):
    """An order at a venue, as we know it. ``asked`` counts cancels and replaces that have no answer yet; ``unwanted``
    says that a cancel was refused before the order was accepted.
    """

    client_id: str
    intent_id: str
    instrument: str
    broker: Broker
    state: OrderState = SUBMITTED
    asked: int = 0
    accepted: bool = False
    unwanted: bool = False


class _Sent(dict[str, Sent]):
    """By client id."""

    def __missing__(self, client_id: str) -> Sent:
        raise ImpossibleMove(f"a report about {client_id}, which is not an order of ours")


class Router:
    """``brokers`` by venue (the part of an instrument's name before the colon)."""

    def __init__(self, bus: Bus, clock: Clock, outbox: Outbox, brokers: Mapping[str, Broker]) -> None:
        self._bus = bus
        self._clock = clock
        self._outbox = outbox
        self._brokers = brokers
        self._by_instrument: dict[str, Broker] = {}
        self._sent = _Sent()
        self._by_intent: dict[str, Sent] = {}
        self.orders = self.fills = 0

    def attach(self, bus: Bus) -> None:
        bus.subscribe(OrderApproved, self.on_approved)
        bus.subscribe(CancelRequested, self.on_cancel)
        bus.subscribe(ReplaceApproved, self.on_replace)
        bus.subscribe(OrderFilled, self.on_filled)
        bus.subscribe(OrderAccepted, self.on_accepted)
        for event_type in _MOVES:
            bus.subscribe(event_type, self.on_report)
        for late in _LATE:
            bus.subscribe(late, self.on_refused)

    @property
    def unasked(self) -> bool:
        """Whether an order is out whose cancel nobody asked for, or was refused."""
        return any(sent.state is not CANCELLING and sent.state not in DONE for sent in self._sent.values())

    def state(self) -> list[SentState]:
        return [
            SentState(s.client_id, s.intent_id, s.instrument, s.state, s.asked, s.accepted, s.unwanted)
            for s in self._sent.values()
        ]

    def restore(self, states: Sequence[SentState]) -> None:
        for state in states:
            sent = Sent(state.client_id, state.intent_id, state.instrument, self._broker(state.instrument))
            sent.state, sent.asked = state.state, state.asked
            sent.accepted, sent.unwanted = state.accepted, state.unwanted
            self._sent[sent.client_id] = sent
            self._by_intent.setdefault(sent.intent_id, sent)

    def on_approved(self, event: OrderApproved) -> None:
        order = event.order
        intent_id = order.intent_id
        broker = self._broker(order.instrument)
        client_id = self._outbox.next_id(order.strategy)
        sent = Sent(client_id, intent_id, order.instrument, broker)
        self._sent[client_id] = self._by_intent[intent_id] = sent
        self.orders += 1
        self._bus.publish(OrderSubmitted(self._clock.now, client_id, intent_id))
        broker.submit(client_id, order)

    def on_cancel(self, event: CancelRequested) -> None:
        """A cancel of what is already done, or was never sent, has lost its race: nothing to do."""
        sent = self._by_intent.get(event.intent_id)
        if sent is None or sent.state in DONE or sent.state is CANCELLING:
            return
        sent.state = advance(sent.state, _CANCEL_ASKED)
        sent.asked += 1
        sent.unwanted = False
        sent.broker.cancel(sent.client_id)

    def on_replace(self, event: ReplaceApproved) -> None:
        sent = self._by_intent.get(event.intent_id)
        if sent is None or sent.state in DONE or sent.state is CANCELLING or sent.state is UNKNOWN:
            return
        sent.state = advance(sent.state, _REPLACE_ASKED)
        sent.asked += 1
        sent.broker.replace(sent.client_id, event.price, event.size)

    def on_accepted(self, event: OrderAccepted) -> None:
        sent = self._sent[event.client_id]
        sent.state = advance(sent.state, _ACCEPTED)
        self._is_there(sent)

    def on_filled(self, event: OrderFilled) -> None:
        sent = self._sent[event.client_id]
        self.fills += 1
        if event.leaves:
            sent.state = advance(sent.state, _PART_FILLED)
            self._is_there(sent)  # a fill may overtake the acknowledgement
        else:
            sent.state = advance(sent.state, _FILLED)
            self._forget(sent)

    def on_report(self, event: Report) -> None:
        kind, sent = type(event), self._sent[event.client_id]
        sent.state = state = advance(sent.state, _MOVES[kind])
        if sent.asked and kind in _ANSWERS:
            sent.asked -= 1
        if state in DONE:
            self._forget(sent)

    def on_refused(self, event: CancelRejected | ReplaceRejected) -> None:
        """A request of ours about an order came too late, or too early."""
        if event.client_id not in self._sent and self._outbox.issued(event.client_id):
            return  # the order was over, by the venue's own doing, before our request got there
        kind, sent = type(event), self._sent[event.client_id]
        sent.state = advance(sent.state, _LATE[kind])
        if sent.asked:
            sent.asked -= 1
        if kind is CancelRejected:
            sent.unwanted = not sent.accepted
        if sent.state in DONE:
            self._forget(sent)

    def _broker(self, instrument: str) -> Broker:
        broker = self._by_instrument.get(instrument)
        if broker is None:
            broker = self._by_instrument[instrument] = self._brokers[instrument.partition(":")[0]]
        return broker

    def _is_there(self, sent: Sent) -> None:
        sent.accepted = True
        if sent.unwanted:
            why = "the cancel was there before the order"
            self._bus.publish(CancelRequested(self._clock.now, sent.intent_id, WHO, why))

    def _forget(self, sent: Sent) -> None:
        """Done, and every question about it answered: an order that keeps its place while a late refusal is on its
        way.
        """
        if not sent.asked:
            del self._sent[sent.client_id]
            self._by_intent.pop(sent.intent_id, None)
