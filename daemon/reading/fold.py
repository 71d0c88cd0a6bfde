"""A journal read back into an account and its orders: a second opinion on ``portfolio``, which it never imports.

Amounts are exact and equal the ledger's to the last digit, so where the two differ, one of them is wrong.

A size at a price is worth, in the asset its instrument pays in: ``size * multiplier * price``, for inverse contracts
``-size * multiplier / price`` (a long contract owes coins, fewer of them the higher the price). Lots close first in,
first out; closing realises what the closed part is worth at the fill less what it was worth when it was opened.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from bus import money
from bus.events import (
    CancelRejected,
    CancelRequested,
    FundingPaid,
    InstrumentListed,
    OrderAccepted,
    OrderApproved,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    Record,
    SessionClosed,
    SessionOpened,
    StateRestored,
)
from bus.state import OpenOrderState
from bus.values import ONE, ZERO, Instrument, Kind, Order, OrderState, Side

Amounts = dict[str, Decimal]

_ANSWERS = (
    OrderAccepted,
    OrderFilled,
    OrderReplaced,
    CancelRejected,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
)


class FoldError(Exception):
    """The records do not make an account; the text says which of them."""


class Change(NamedTuple):
    """One movement of one wallet, and what the wallet holds after it."""

    asset: str
    amount: Decimal
    balance: Decimal


class Lot(NamedTuple):
    size: Decimal
    price: Decimal
    ns: int


class Position:
    """``size`` is the sum of the fills, ``inventory`` of the open lots: less by what spot fees in base took.

    ``cost`` is what the open lots were worth when opened, ``realised`` what closing earned before fees and funding;
    both are in ``asset``.
    """

    def __init__(self, terms: Instrument) -> None:
        self.terms = terms
        self.asset = terms.quote if terms.kind is Kind.SPOT else terms.settle
        self.lots: deque[Lot] = deque()
        self.size = ZERO
        self.inventory = ZERO
        self.cost = ZERO
        self.realised = ZERO
        self.funding = ZERO
        self.fees: Amounts = {}

    @property
    def average_entry(self) -> Decimal | None:
        """The one price at which the open lots would have cost what they did; None when flat."""
        return price_of(self.terms, self.inventory, self.cost) if self.lots else None

    def unrealised(self, mark: Decimal) -> Decimal:
        return worth(self.terms, self.inventory, mark) - self.cost

    def trade(self, size: Decimal, price: Decimal, ns: int) -> Decimal:
        """Fold a signed size into the lots; returns what closing the oldest of them realised."""
        self.inventory += size
        closed = released = ZERO
        while size and self.lots and (self.lots[0].size > 0) is not (size > 0):
            lot = self.lots.popleft()
            part = lot.size if abs(lot.size) <= abs(size) else -size
            rest = lot.size - part
            if rest:
                self.lots.appendleft(lot._replace(size=rest))
            closed += part
            released += worth(self.terms, lot.size, lot.price) - worth(self.terms, rest, lot.price)
            size += part
        if size:
            self.lots.append(Lot(size, price, ns))
        self.cost += worth(self.terms, size, price) - released
        realised = worth(self.terms, closed, price) - released
        self.realised += realised
        return realised


class Account:
    """Wallets and positions after the records so far."""

    def __init__(self) -> None:
        self.asset = ""
        self.instruments: dict[str, Instrument] = {}
        self.cash: Amounts = {}
        self.positions: dict[str, Position] = {}
        self.fees: Amounts = {}
        self.funding: Amounts = {}
        self.prices: Amounts = {}  # of the last fill by instrument: all that a journal itself knows of the market

    def note(self, event: Record) -> list[Change]:
        """Fold one record in; returns the wallets it moved, () for records that move none. Raises FoldError."""
        match event:
            case OrderFilled():
                return self._fill(event)
            case FundingPaid():
                _add(self.funding, event.asset, event.amount)
                if event.instrument in self.positions:
                    self.positions[event.instrument].funding += event.amount
                return [self._move(event.asset, -event.amount)]
            case SessionOpened():
                self.asset = str(event.trading.get("asset", ""))
                self.instruments |= {i.name: i for i in event.instruments}
                return [self._move(asset, amount) for asset, amount in event.opening.items()]
            case StateRestored():
                return self._restore(event)
            case InstrumentListed():
                self.instruments[event.instrument.name] = event.instrument
            case SessionClosed():
                self.asset = event.asset
        return []

    def equity(self, marks: Mapping[str, Decimal] | None = None) -> Decimal | None:
        """All of it in the account's asset, by ``marks`` or by the last fills; None where something has no price."""
        marks = self.prices if marks is None else marks
        amounts = dict(self.cash)
        for name, position in self.positions.items():
            if position.lots and position.terms.kind is not Kind.SPOT:
                if name not in marks:
                    return None
                _add(amounts, position.asset, position.unrealised(marks[name]))
        total = ZERO
        for asset, amount in amounts.items():
            if amount:
                price = self._price(asset, marks)
                if price is None:
                    return None
                total += amount * price
        return total

    def _price(self, asset: str, marks: Mapping[str, Decimal]) -> Decimal | None:
        """By an instrument ``asset``/account: one we have traded before others, spot before contracts."""
        if asset == self.asset:
            return ONE
        quoting = (i for i in self.instruments.values() if (i.base, i.quote) == (asset, self.asset) and i.name in marks)
        best = min(quoting, key=lambda i: (i.name not in self.positions, i.kind is not Kind.SPOT), default=None)
        return None if best is None else marks[best.name]

    def _fill(self, fill: OrderFilled) -> list[Change]:
        position = self.positions.get(fill.instrument)
        if position is None:
            if fill.instrument not in self.instruments:
                raise FoldError(f"fill {fill.fill_id} is of {fill.instrument}, which no record lists")
            position = self.positions[fill.instrument] = Position(self.instruments[fill.instrument])
        terms = position.terms
        size = fill.size if fill.side is Side.BUY else -fill.size
        position.size += size
        self.prices[fill.instrument] = fill.price
        changes = []
        if terms.kind is Kind.SPOT:
            arrived = size - fill.fee if fill.fee_asset == terms.base else size
            position.trade(arrived, fill.price, fill.ns)
            changes += [self._move(terms.quote, -size * fill.price), self._move(terms.base, size)]
        else:
            changes.append(self._move(terms.settle, position.trade(size, fill.price, fill.ns)))
        if fill.fee:
            _add(self.fees, fill.fee_asset, fill.fee)
            _add(position.fees, fill.fee_asset, fill.fee)
            changes.append(self._move(fill.fee_asset, -fill.fee))
        return changes

    def _restore(self, event: StateRestored) -> list[Change]:
        self.instruments |= {instrument.name: instrument for instrument in event.instruments}
        self.fees, self.funding = dict(event.ledger.fees), dict(event.ledger.funding)
        for state in event.ledger.positions:
            position = self.positions[state.instrument.name] = Position(state.instrument)
            position.lots.extend(Lot(lot.size, lot.price, lot.ns) for lot in state.lots)
            position.size, position.realised = state.filled, state.realised
            position.inventory = sum((lot.size for lot in state.lots), ZERO)
            position.cost = sum((lot.cost for lot in state.lots), ZERO)
        return [self._move(asset, amount) for asset, amount in event.ledger.cash.items()]

    def _move(self, asset: str, amount: Decimal) -> Change:
        _add(self.cash, asset, amount)
        return Change(asset, amount, self.cash[asset])


class OrderLife:
    """One order from its approval on. Times are 0 until they happen; ``price`` and ``size`` follow its replacements."""

    __slots__ = (
        "accepted_ns",
        "cancelling",
        "client_id",
        "done_ns",
        "ended",
        "fees",
        "filled",
        "price",
        "reason",
        "size",
        "submitted_ns",
        "terms",
        "worth",
    )

    def __init__(self, terms: Order) -> None:
        self.terms = terms
        self.client_id = ""
        self.price = terms.price
        self.size = terms.size
        self.filled = ZERO
        self.worth = ZERO
        self.fees: Amounts = {}
        self.submitted_ns = self.accepted_ns = self.done_ns = 0
        self.cancelling = False
        self.ended: OrderState | None = None
        self.reason = ""

    @classmethod
    def again(cls, state: OpenOrderState, ns: int) -> OrderLife:
        """An order that another session left open."""
        life = cls(state.order)
        life.client_id, life.price, life.size, life.filled = state.client_id, state.price, state.size, state.filled
        life.submitted_ns = life.accepted_ns = ns
        return life

    @property
    def state(self) -> OrderState | None:
        """None: approved, and the journal ends before it was handed over."""
        if self.ended is not None:
            return self.ended
        if self.cancelling:
            return OrderState.CANCELLING
        if self.filled:
            return OrderState.PARTLY_FILLED
        if self.accepted_ns:
            return OrderState.OPEN
        return OrderState.SUBMITTED if self.submitted_ns else None

    def average_price(self, instrument: Instrument) -> Decimal | None:
        return price_of(instrument, self.filled, self.worth) if self.filled else None


class Orders:
    """Orders under way, in the order of their approval. What has ended is handed out once, counted and forgotten."""

    def __init__(self) -> None:
        self.ended: Counter[OrderState] = Counter()
        self._by_intent: dict[str, OrderLife] = {}
        self._by_client: dict[str, OrderLife] = {}

    def note(self, event: Record, instruments: Mapping[str, Instrument]) -> OrderLife | None:
        """Fold one record in; returns the order it ended, if it ended one."""
        match event:
            case OrderApproved(order=order):
                self._by_intent[order.intent_id] = OrderLife(order)
            case StateRestored():
                for state in event.orders:
                    self._by_intent[state.order.intent_id] = self._by_client[state.client_id] = OrderLife.again(
                        state, event.ns
                    )
            case OrderSubmitted():
                if (life := self._by_intent.get(event.intent_id)) is not None:
                    life.client_id, life.submitted_ns = event.client_id, event.ns
                    self._by_client[event.client_id] = life
            case CancelRequested():
                if (life := self._by_intent.get(event.intent_id)) is not None:
                    life.cancelling = True
            case _ if isinstance(event, _ANSWERS):
                if (life := self._by_client.get(event.client_id)) is not None:
                    return self._answer(life, event, instruments)
        return None

    def unfinished(self) -> list[OrderLife]:
        return list(self._by_intent.values())

    def _answer(self, life: OrderLife, event: Record, instruments: Mapping[str, Instrument]) -> OrderLife | None:
        match event:
            case OrderAccepted():
                life.accepted_ns = life.accepted_ns or event.ns
            case OrderReplaced():
                life.price, life.size = event.price, event.size
            case CancelRejected():
                life.cancelling = False
            case OrderFilled():
                life.filled += event.size
                life.worth += worth(instruments[event.instrument], event.size, event.price)
                if event.fee:
                    _add(life.fees, event.fee_asset, event.fee)
                if not event.leaves:
                    return self._end(life, OrderState.FILLED, event.ns, "")
            case OrderCancelled():
                return self._end(life, OrderState.CANCELLED, event.ns, event.reason)
            case OrderExpired():
                return self._end(life, OrderState.EXPIRED, event.ns, event.reason)
            case OrderRejected():
                return self._end(life, OrderState.REJECTED, event.ns, f"{event.code} {event.reason}".strip())
        return None

    def _end(self, life: OrderLife, state: OrderState, ns: int, reason: str) -> OrderLife:
        life.ended, life.done_ns, life.reason = state, ns, reason
        self.ended[state] += 1
        del self._by_client[life.client_id]
        del self._by_intent[life.terms.intent_id]
        return life


def worth(terms: Instrument, size: Decimal, price: Decimal) -> Decimal:
    if terms.kind is Kind.INVERSE:
        return -money.divide(size * terms.multiplier, price)
    return size * price * terms.multiplier


def price_of(terms: Instrument, size: Decimal, worth: Decimal) -> Decimal:
    """The price at which ``size`` is worth that much, to the finest digit money keeps."""
    if terms.kind is Kind.INVERSE:
        return money.divide(size * terms.multiplier, -worth)
    return money.divide(worth, size * terms.multiplier)


def differences(account: Account, closed: SessionClosed) -> list[str]:
    """Where the account the session closed with is not the one its records make: nothing, or a sentence for each."""
    found = []
    for asset in sorted({*closed.cash, *account.cash}):
        said, made = closed.cash.get(asset, ZERO), account.cash.get(asset, ZERO)
        if said != made:
            found.append(f"{asset}: the session closed with {said:f}, its records make {made:f}")
    equity = account.equity(closed.marks)
    if equity != (closed.equity if closed.equity.is_finite() else None):
        made_of = "nothing that can be valued" if equity is None else f"{equity:f}"
        found.append(f"equity: the session closed with {closed.equity:f} {closed.asset}, its records make {made_of}")
    return found


def text_of(amounts: Mapping[str, Decimal]) -> str:
    """``"0.1 BNB; 2.5 USDT"``: amounts of several assets in one cell."""
    return "; ".join(f"{money.plain(amounts[asset])} {asset}" for asset in sorted(amounts))


def _add(amounts: Amounts, asset: str, amount: Decimal) -> None:
    amounts[asset] = amounts.get(asset, ZERO) + amount
