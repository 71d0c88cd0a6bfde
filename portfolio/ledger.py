"""The account, from fills and funding only: wallets, positions, fees. Whatever else is reported is a query on these.

**Double entry.** Each record moves at least two things; at its own price the sum over everything moves by the fee only:

    spot      base wallet +size, quote wallet -size * price, the lots of the instrument by the base that arrived
    linear    the lots by size; where they close, the settle wallet by size * multiplier * (exit - entry)
    inverse   the same in the base asset, by contracts * multiplier * (1/entry - 1/exit)
    fee       leaves the wallet of its own asset (a negative fee enters it)
    funding   leaves the settle wallet

**A spot fee taken in base** is filled but never arrives: the wallet and the lots change by ``size - fee``, the position
(the sum of the fills) by ``size``. ``inventory`` is what can be sold: it returns to zero, the position does not.

**Realised P&L** is per instrument, first in first out, in the quote asset (spot) or the settle asset, before fees and
funding. For spot, at any mark: realised + unrealised - base fees * fill price = quote spent or earned + base * mark.

**Round trips** are judged after fees and funding: those in the asset the instrument pays in as they are, those in base
at the fill's price; a fee in a third asset is in ``fees`` only. The fill that turns a position through zero is paid for
by the trip it ends.

A fill counts each time it is heard: that none is heard twice is the order state's duty, who knows the fill ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from bus.bus import Bus
from bus.events import FundingPaid, OrderFilled
from bus.state import LedgerState
from bus.values import ZERO, Instrument, Side
from portfolio.lots import Position

_BUY = Side.BUY


class Ledger:
    """``cash`` is the wallet by asset, ``positions`` every instrument ever filled, by name, in order of first fill."""

    def __init__(self, instruments: Mapping[str, Instrument], cash: Mapping[str, Decimal]) -> None:
        self._instruments = instruments
        self.cash: dict[str, Decimal] = dict(cash)
        self.positions: dict[str, Position] = {}
        self.fees: dict[str, Decimal] = {}
        self.funding: dict[str, Decimal] = {}

    def attach(self, bus: Bus) -> None:
        bus.subscribe(OrderFilled, self.on_fill)
        bus.subscribe(FundingPaid, self.on_funding)

    def state(self) -> LedgerState:
        positions = [position.state() for position in self.positions.values()]
        return LedgerState(dict(self.cash), dict(self.fees), dict(self.funding), positions)

    def restore(self, state: LedgerState) -> None:
        """Take the place of whatever was here."""
        self.cash, self.fees, self.funding = dict(state.cash), dict(state.fees), dict(state.funding)
        self.positions = {one.instrument.name: Position.restored(one) for one in state.positions}

    def on_fill(self, fill: OrderFilled) -> None:
        position = self.positions.get(fill.instrument)
        if position is None:
            position = self._first(fill.instrument)
        price, fee, size = fill.price, fill.fee, fill.size
        if fill.side is not _BUY:
            size = -size
        position.filled += size
        expense = self._pay(position, fee, fill.fee_asset, price) if fee else ZERO
        if position.spot:
            cash, terms = self.cash, position.instrument
            amount = size * price
            position.turnover += abs(amount)
            cash[terms.quote] -= amount
            cash[terms.base] += size
            if fee and fill.fee_asset == terms.base:
                size -= fee
            position.trade(size, price, fill.ns, expense)
        else:
            position.turnover += abs(size * position.multiplier * (1 if position.inverse else price))
            self.cash[position.asset] += position.trade(size, price, fill.ns, expense)

    def on_funding(self, paid: FundingPaid) -> None:
        self.cash[paid.asset] = self.cash.get(paid.asset, ZERO) - paid.amount
        self.funding[paid.asset] = self.funding.get(paid.asset, ZERO) + paid.amount
        position = self.positions.get(paid.instrument)
        if position is not None and position.lots and position.asset == paid.asset:
            position.trip -= paid.amount

    def position(self, instrument: str) -> Decimal:
        """The sum of all fills, signed."""
        position = self.positions.get(instrument)
        return position.filled if position is not None else ZERO

    def inventory(self, instrument: str) -> Decimal:
        """The sum of the open lots, signed: the position less what fees in base took of it."""
        position = self.positions.get(instrument)
        return position.size if position is not None else ZERO

    def holding(self, asset: str) -> Decimal:
        """What the wallet has of an asset."""
        return self.cash.get(asset, ZERO)

    def realised(self, instrument: str) -> Decimal:
        position = self.positions.get(instrument)
        return position.realised if position is not None else ZERO

    def unrealised(self, instrument: str, mark: Decimal) -> Decimal:
        position = self.positions.get(instrument)
        return position.unrealised(mark) if position is not None else ZERO

    def average_entry(self, instrument: str) -> Decimal | None:
        position = self.positions.get(instrument)
        return position.average_entry() if position is not None else None

    def _first(self, instrument: str) -> Position:
        """The instrument's first fill: from here it has a position, with the terms it had when first filled."""
        position = self.positions[instrument] = Position(self._instruments[instrument])
        terms = position.instrument
        for asset in (terms.base, terms.quote) if position.spot else (position.asset,):
            self.cash.setdefault(asset, ZERO)
        return position

    def _pay(self, position: Position, fee: Decimal, asset: str, price: Decimal) -> Decimal:
        """Take the fee from its wallet; returns it in the asset the position pays in, 0 where only a mark could say."""
        self.cash[asset] = self.cash.get(asset, ZERO) - fee
        self.fees[asset] = self.fees.get(asset, ZERO) + fee
        if asset == position.asset:
            return fee
        if asset == position.instrument.base and not position.inverse:
            return fee * price
        return ZERO
