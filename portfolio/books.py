"""Sub-ledgers: what each strategy has of the one position that the venue knows.

The ledger holds one net position an instrument; every fill carries the strategy whose order it was, so the same fills
folded once more by strategy give each its own lots, realised result and round trips. The sizes of all strategies add up
to the net position, always. Where two of them stand against each other, ``netting`` says by how much: that part is in
nobody's market and still costs both their fees.

A fill of the house (the governor's way out, a flatten) closes what strategies hold: it is shared out among
those on the other side, by name, and only what is left over is the house's own.

Nothing here is subscribed unless something asks: budgets, cooldowns, Kelly, positions of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from bus import money
from bus.bus import Bus
from bus.events import OrderFilled
from bus.journal import encode
from bus.state import PositionState
from bus.values import ZERO, Instrument, Side
from portfolio.lots import Position, RoundTrips

HOUSE = frozenset({"governor", "flatten"})
"""Who closes positions that are not theirs. No strategy may be called so."""

_BUY = Side.BUY


class Netting(NamedTuple):
    """One instrument: what strategies are long and short (both positive), what that nets to, and what is in both."""

    long: Decimal
    short: Decimal
    net: Decimal
    crossed: Decimal


class Books:
    """``positions`` by strategy, then by instrument, in order of first fill."""

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self._instruments = instruments
        self.positions: dict[str, dict[str, Position]] = {}
        self.reduced_ns: dict[tuple[str, str], int] = {}
        """When a strategy last made a position of its own smaller."""

    def attach(self, bus: Bus) -> None:
        bus.subscribe(OrderFilled, self.on_fill)

    def on_fill(self, fill: OrderFilled) -> None:
        size = fill.size if fill.side is _BUY else -fill.size
        if fill.strategy not in HOUSE:
            self._book(fill.strategy, fill, size, fill.fee)
            return
        left, fee_left = size, fill.fee
        for strategy, theirs in sorted(self._against(fill.instrument, size)):
            part = max(left, -theirs) if left < ZERO else min(left, -theirs)
            fee = money.divide(fill.fee * part, size) if part != left else fee_left
            self._book(strategy, fill, part, fee)
            left, fee_left = left - part, fee_left - fee
            if not left:
                return
        self._book(fill.strategy, fill, left, fee_left)

    def size(self, strategy: str, instrument: str) -> Decimal:
        """What the strategy holds of it, signed."""
        position = self.positions.get(strategy, {}).get(instrument)
        return position.size if position is not None else ZERO

    def trips(self, strategy: str) -> RoundTrips:
        """All of its round trips; instruments that pay in different assets are added up as they are."""
        total = RoundTrips()
        for position in self.positions.get(strategy, {}).values():
            trips = position.trips
            total.count += trips.count
            total.wins += trips.wins
            total.losses += trips.losses
            total.profit += trips.profit
            total.loss += trips.loss
        return total

    def netting(self, instrument: str) -> Netting:
        sizes = [self.size(strategy, instrument) for strategy in self.positions]
        long = sum((size for size in sizes if size > ZERO), ZERO)
        short = -sum((size for size in sizes if size < ZERO), ZERO)
        return Netting(long, short, long - short, min(long, short))

    def state(self) -> dict[str, Any]:
        positions = {
            strategy: [msgspec.json.decode(encode(one.state())) for one in held.values()]
            for strategy, held in self.positions.items()
        }
        return {"positions": positions, "reduced": [[*key, ns] for key, ns in self.reduced_ns.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        for strategy, held in state["positions"].items():
            restored = (Position.restored(one) for one in msgspec.convert(held, list[PositionState]))
            self.positions[strategy] = {one.instrument.name: one for one in restored}
        self.reduced_ns = {(strategy, name): ns for strategy, name, ns in state["reduced"]}

    def disown(self, ledger: Mapping[str, Position]) -> list[str]:
        """Forget whose an instrument is where the parts do not add up to what the ledger has: a session in between kept
        no books. Returns those of which something is held, which nobody's strategy will close.
        """
        names = {name for held in self.positions.values() for name in held} | ledger.keys()
        nobodys = []
        for name in sorted(names):
            whole = ledger[name].size if name in ledger else ZERO
            if sum((self.size(strategy, name) for strategy in self.positions), ZERO) == whole:
                continue
            for held in self.positions.values():
                held.pop(name, None)
            if whole:
                nobodys.append(name)
        return nobodys

    def _against(self, instrument: str, size: Decimal) -> Iterator[tuple[str, Decimal]]:
        for strategy in self.positions:
            theirs = self.size(strategy, instrument)
            if theirs * size < ZERO:
                yield strategy, theirs

    def _book(self, strategy: str, fill: OrderFilled, size: Decimal, fee: Decimal) -> None:
        held = self.positions.setdefault(strategy, {})
        position = held.get(fill.instrument)
        if position is None:
            position = held[fill.instrument] = Position(self._instruments[fill.instrument])
        if position.size * size < ZERO:
            self.reduced_ns[strategy, fill.instrument] = fill.ns
        position.filled += size
        expense = fee if fill.fee_asset == position.asset else ZERO
        if fee and fill.fee_asset == position.instrument.base and not position.inverse:
            expense = fee * fill.price
            if position.spot:
                size -= fee
        position.trade(size, fill.price, fill.ns, expense)
