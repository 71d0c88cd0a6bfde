"""What we could end up holding: what was filled, plus the worst that can become of every order not known to be over.

An order counts from its approval until evidence ends it: a venue's word (filled, cancelled, expired, rejected) or,
before anything was submitted, the refusal of our own outbox. An order in an unknown state is simply one that nothing
has ended. While a replacement is under way the larger of the old and new size counts. Orders that only reduce are
counted as far as there is a position for them to reduce.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from bus.bus import Bus
from bus.events import (
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    ReplaceRejected,
)
from bus.market import Market
from bus.state import OpenOrderState
from bus.values import ZERO, Order, Side
from portfolio.ledger import Ledger
from portfolio.valuation import Valuation

_BUY = Side.BUY


class OpenOrder(msgspec.Struct, eq=False):
    """An order that may still fill: read it, do not keep it, it changes as events come.

    ``leaves`` is the most that may still fill and ``price`` the limit (None: none); ``size`` is the total last known at
    the venue, ``wanted`` the totals of replacements under way. ``client_id`` is empty until it is submitted; ``mid`` is
    the middle of the market when it was approved.
    """

    order: Order
    intent_id: str
    strategy: str
    mid: float
    reserved: Reserved
    size: Decimal
    leaves: Decimal
    price: Decimal | None
    client_id: str = ""
    filled: Decimal = ZERO
    wanted: list[Decimal] = msgspec.field(default_factory=list)


class Reserved:
    """One instrument's open orders, and the sums of their ``leaves`` by what they can do."""

    __slots__ = ("buys", "orders", "reducing_buys", "reducing_sells", "sells")

    def __init__(self) -> None:
        self.orders: dict[str, OpenOrder] = {}
        self.buys = self.sells = ZERO
        self.reducing_buys = self.reducing_sells = ZERO

    def add(self, order: Order, size: Decimal) -> None:
        if order.side is _BUY:
            if order.reduce_only:
                self.reducing_buys += size
            else:
                self.buys += size
        elif order.reduce_only:
            self.reducing_sells += size
        else:
            self.sells += size

    def range(self, held: Decimal, more: Decimal = ZERO) -> tuple[Decimal, Decimal]:
        """The lowest and highest position that fills can lead to, from ``held``, with so much ``more`` that only
        reduces.
        """
        low, high = held - self.sells, held + self.buys
        if held > ZERO:
            low -= min(self.reducing_sells + more, held)
        elif held < ZERO:
            high += min(self.reducing_buys + more, -held)
        return low, high


_NOTHING = Reserved()


class Exposure:
    def __init__(self, ledger: Ledger, market: Market, asset: str) -> None:
        self._ledger = ledger
        self._valuation = Valuation(ledger, market, asset)
        self._by_intent: dict[str, OpenOrder] = {}
        self._by_client: dict[str, OpenOrder] = {}
        self._reserved: dict[str, Reserved] = {}

    def attach(self, bus: Bus) -> None:
        bus.subscribe(OrderRefused, self.on_refused)
        bus.subscribe(OrderSubmitted, self.on_submitted)
        bus.subscribe(OrderFilled, self.on_fill)
        bus.subscribe(OrderReplaced, self.on_replaced)
        bus.subscribe(ReplaceRejected, self.on_replace_rejected)
        bus.subscribe(OrderCancelled, self.on_over)
        bus.subscribe(OrderExpired, self.on_over)
        bus.subscribe(OrderRejected, self.on_over)

    def open_orders(self, instrument: str | None = None, strategy: str | None = None) -> list[OpenOrder]:
        """Oldest approval first."""
        orders = self._by_intent if instrument is None else self._reserved.get(instrument, _NOTHING).orders
        return [o for o in orders.values() if strategy is None or o.strategy == strategy]

    def state(self) -> list[OpenOrderState]:
        return [
            OpenOrderState(o.order, o.client_id, o.mid, o.size, o.price, o.filled, o.leaves, list(o.wanted))
            for o in self._by_intent.values()
        ]

    def restore(self, states: Sequence[OpenOrderState]) -> None:
        for state in states:
            self.reserve(state.order, state.mid)
            entry = self._by_intent[state.order.intent_id]
            entry.size, entry.price, entry.filled, entry.wanted = state.size, state.price, state.filled, [*state.wanted]
            entry.reserved.add(entry.order, state.leaves - entry.leaves)
            entry.leaves = state.leaves
            if state.client_id:
                entry.client_id = state.client_id
                self._by_client[state.client_id] = entry

    def find(self, intent_id: str) -> OpenOrder | None:
        return self._by_intent.get(intent_id)

    def count(self) -> int:
        return len(self._by_intent)

    def position_if_all_fill(self, instrument: str) -> tuple[Decimal, Decimal]:
        """The lowest and the highest position that open orders can lead to."""
        position = self._ledger.positions.get(instrument)
        held = position.size if position is not None else ZERO
        reserved = self._reserved.get(instrument)
        return reserved.range(held) if reserved is not None else (held, held)

    def position_if_it_reduces(self, order: Order, replacing: Decimal = ZERO) -> tuple[Decimal, Decimal]:
        """The same with a reduce-only order more, which takes the place of ``replacing`` of its own size. What closes
        a position makes room for what else may fill to go through it.
        """
        position = self._ledger.positions.get(order.instrument)
        held = position.size if position is not None else ZERO
        closes = held < ZERO if order.side is _BUY else held > ZERO
        reserved = self._reserved.get(order.instrument, _NOTHING)
        return reserved.range(held, order.size - replacing if closes else ZERO)

    def worst_position(self, instrument: str, side: Side, size: Decimal) -> Decimal:
        """How large the position is, either way, if this order and all others on its side fill."""
        low, high = self.position_if_all_fill(instrument)
        return abs(high + size) if side is _BUY else abs(low - size)

    def worst_notional(self, instrument: str, side: Side, size: Decimal) -> Decimal:
        """``worst_position`` at the mark, in the account's asset. Raises CannotValue."""
        return self._valuation.notional(instrument, self.worst_position(instrument, side, size))

    def gross_notional(self) -> Decimal:
        """The sum over instruments of the larger of ``position_if_all_fill``, at the marks. Raises CannotValue."""
        total = ZERO
        for instrument in self._ledger.positions | self._reserved:
            low, high = self.position_if_all_fill(instrument)
            worst = max(abs(low), abs(high))
            if worst:
                total += self._valuation.notional(instrument, worst)
        return total

    def reserve(self, order: Order, mid: float = 0.0) -> None:
        """Count an order from the moment the gate lets it through: the next decision of the same moment must see it."""
        intent_id, size = order.intent_id, order.size
        assert intent_id not in self._by_intent, f"{intent_id} is approved already"
        reserved = self._reserved.get(order.instrument)
        if reserved is None:
            reserved = self._reserved[order.instrument] = Reserved()
        self._by_intent[intent_id] = reserved.orders[intent_id] = OpenOrder(
            order, intent_id, order.strategy, mid, reserved, size, size, order.price
        )
        reserved.add(order, size)

    def on_refused(self, event: OrderRefused) -> None:
        # Once it was submitted, only the venue can say that it is over.
        entry = self._by_intent.get(event.intent_id)
        if entry is not None and not entry.client_id:
            self._release(entry)

    def on_submitted(self, event: OrderSubmitted) -> None:
        entry = self._by_intent.get(event.intent_id)
        if entry is not None:
            entry.client_id = event.client_id
            self._by_client[event.client_id] = entry

    def on_fill(self, fill: OrderFilled) -> None:
        entry = self._by_client.get(fill.client_id)
        if entry is None:
            return  # not ours, or over already: the ledger has it
        entry.filled += fill.size
        if fill.leaves:
            self._settle(entry, fill.leaves)
        else:
            self._release(entry)

    def reserve_replacement(self, intent_id: str, size: Decimal) -> None:
        """Count the larger of old and new total until the venue has answered."""
        entry = self._by_intent.get(intent_id)
        if entry is not None:
            entry.wanted.append(size)
            self._settle(entry, ZERO)

    def on_replaced(self, event: OrderReplaced) -> None:
        entry = self._by_client.get(event.client_id)
        if entry is not None:
            entry.size, entry.price = event.size, event.price
            del entry.wanted[:1]
            self._settle(entry, ZERO)

    def on_replace_rejected(self, event: ReplaceRejected) -> None:
        entry = self._by_client.get(event.client_id)
        if entry is not None:
            del entry.wanted[:1]
            self._settle(entry, ZERO)

    def on_over(self, event: OrderCancelled | OrderExpired | OrderRejected) -> None:
        entry = self._by_client.get(event.client_id)
        if entry is not None:
            self._release(entry)

    def _settle(self, entry: OpenOrder, at_least: Decimal) -> None:
        """Reserve the most that may still fill: by any size the order may have, and by what the venue says is left."""
        leaves = max(entry.size, *entry.wanted) if entry.wanted else entry.size
        leaves = max(leaves - entry.filled, at_least)
        entry.reserved.add(entry.order, leaves - entry.leaves)
        entry.leaves = leaves

    def _release(self, entry: OpenOrder) -> None:
        entry.reserved.add(entry.order, -entry.leaves)
        entry.leaves = ZERO
        del entry.reserved.orders[entry.intent_id]
        del self._by_intent[entry.intent_id]
        self._by_client.pop(entry.client_id, None)
