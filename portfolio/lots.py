"""One instrument's lots, first in, first out, and what closing them earned. Arithmetic only: no cash, no events.

**Worth.** A size at a price is worth, in the asset the instrument pays in,

    spot, linear    size * multiplier * price
    inverse        -size * multiplier / price      (quantised at 1E-18; negative: a long contract owes coins, fewer
                                                    of them the higher the price)

so for every kind what a lot earned is its worth at the exit less its worth at the entry (its ``cost``). A lot closed in
parts gives up exactly what its cost falls by, so the costs of the open lots always add up to ``Position.cost`` and
nothing is lost to rounding between parts. Only inverse contracts divide; everything else adds and multiplies.
"""

from __future__ import annotations

from collections import deque
from decimal import Decimal

from bus import money
from bus.state import LotState, PositionState
from bus.values import ONE, ZERO, Instrument, Kind


class Lot:
    """What is left of one fill. ``size`` is signed; ``ns`` is when it was filled."""

    __slots__ = ("cost", "ns", "price", "size")

    def __init__(self, size: Decimal, price: Decimal, ns: int, cost: Decimal) -> None:
        self.size = size
        self.price = price
        self.ns = ns
        self.cost = cost


class RoundTrips:
    """Trips from flat to flat (a position turned through zero ends one and begins the next), in the asset it pays in.

    ``profit`` is the sum of those that won, ``loss`` of those that lost (positive). ``count - wins - losses`` came out
    even.
    """

    __slots__ = ("count", "loss", "losses", "profit", "wins")

    def __init__(self) -> None:
        self.count = 0
        self.wins = 0
        self.losses = 0
        self.profit = ZERO
        self.loss = ZERO

    def add(self, result: Decimal) -> None:
        self.count += 1
        if result > ZERO:
            self.wins += 1
            self.profit += result
        elif result < ZERO:
            self.losses += 1
            self.loss -= result


class Position:
    """``size`` is the sum of the open lots, ``cost`` of their costs; ``filled`` is the sum of all fills, signed.

    The two sizes differ only where a spot fee was taken in the base asset: that part was filled and never arrived.
    ``turnover`` is in quote units, ``realised`` in ``asset`` (the quote asset for spot, else the settle asset), before
    fees and funding.
    """

    __slots__ = (
        "asset",
        "cost",
        "filled",
        "instrument",
        "inverse",
        "lots",
        "multiplier",
        "realised",
        "single",
        "size",
        "spot",
        "trip",
        "trips",
        "turnover",
    )

    def __init__(self, instrument: Instrument) -> None:
        self.instrument = instrument
        self.spot = instrument.kind is Kind.SPOT
        self.inverse = instrument.kind is Kind.INVERSE
        self.multiplier = instrument.multiplier
        self.single = instrument.multiplier == ONE
        self.asset = instrument.quote if self.spot else instrument.settle
        self.lots: deque[Lot] = deque()
        self.filled = ZERO
        self.size = ZERO
        self.cost = ZERO
        self.realised = ZERO
        self.turnover = ZERO
        self.trip = ZERO  # the result so far of the round trip under way, after its fees and funding
        self.trips = RoundTrips()

    def state(self) -> PositionState:
        trips = self.trips
        return PositionState(
            self.instrument,
            self.filled,
            self.realised,
            self.turnover,
            self.trip,
            (trips.count, trips.wins, trips.losses),
            trips.profit,
            trips.loss,
            [LotState(lot.size, lot.price, lot.ns, lot.cost) for lot in self.lots],
        )

    @classmethod
    def restored(cls, state: PositionState) -> Position:
        position = cls(state.instrument)
        position.filled, position.realised, position.turnover = state.filled, state.realised, state.turnover
        position.trip, trips = state.trip, position.trips
        (trips.count, trips.wins, trips.losses), trips.profit, trips.loss = state.trips, state.profit, state.loss
        position.lots.extend(Lot(lot.size, lot.price, lot.ns, lot.cost) for lot in state.lots)
        position.size = sum((lot.size for lot in state.lots), ZERO)
        position.cost = sum((lot.cost for lot in state.lots), ZERO)
        return position

    def trade(self, size: Decimal, price: Decimal, ns: int, expense: Decimal) -> Decimal:
        """Fold in a signed size; returns what it realised. ``expense`` is the fee, in ``asset``, the trip bears."""
        self.trip -= expense
        if not size:
            return ZERO
        realised = ZERO
        if self.lots and (size > ZERO) is not (self.size > ZERO):
            self.size += size
            closed, released = self._release(size)
            self.cost -= released
            realised = self.worth(closed, price) - released
            self.realised += realised
            self.trip += realised
            if self.flat:
                self.trips.add(self.trip)
                self.trip = ZERO
            size += closed
            if not size:
                return realised
        else:
            self.size += size
        cost = self.worth(size, price)
        self.cost += cost
        self.lots.append(Lot(size, price, ns, cost))
        return realised

    @property
    def flat(self) -> bool:
        """Nothing is left that could be traded: no lot, or of a spot asset less than the venue's step (what a fee in
        base leaves behind is dust, not a position).
        """
        return not self.lots or (self.spot and -self.instrument.lot < self.size < self.instrument.lot)

    def worth(self, size: Decimal, price: Decimal) -> Decimal:
        if self.inverse:
            return -money.divide(size * self.multiplier, price)
        worth = size * price
        return worth if self.single else worth * self.multiplier

    def unrealised(self, mark: Decimal) -> Decimal:
        return self.worth(self.size, mark) - self.cost

    def average_entry(self) -> Decimal | None:
        """The price at which the open lots together would have cost what they did; None when flat."""
        if not self.lots:
            return None
        if self.inverse:
            return money.divide(self.size * self.multiplier, -self.cost)
        return money.divide(self.cost, self.size * self.multiplier)

    def _release(self, size: Decimal) -> tuple[Decimal, Decimal]:
        """Take up to ``-size`` from the oldest lots: the signed size that closed, and the cost it had."""
        lots = self.lots
        left = -size
        closed = released = ZERO
        while lots and left:
            lot = lots[0]
            if abs(lot.size) <= abs(left):
                lots.popleft()
                part, cost = lot.size, lot.cost
            else:
                lot.size -= left
                rest = self.worth(lot.size, lot.price)
                part, cost = left, lot.cost - rest
                lot.cost = rest
            closed += part
            released += cost
            left -= part
        return closed, released
