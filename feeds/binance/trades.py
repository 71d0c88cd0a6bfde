"""Trade ids go up by one: what a jump, a repetition and a latecomer mean."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bus.events import DataGap, Trade
from feeds.port import Counts

HOLES_MAX = 1_000


class TradeIdsState(msgspec.Struct, array_like=True):
    heard: bool
    expected: int
    holes: list[tuple[int, int]]


class TradeIds:
    """The ids of one instrument's trades. ``heard`` is whether there were any."""

    __slots__ = ("_counts", "_expected", "_holes", "_name", "heard")

    def __init__(self, name: str, counts: Counts) -> None:
        self.heard = False
        self._name = name
        self._counts = counts
        self._expected = -1
        self._holes: list[tuple[int, int]] = []  # ids that never came, oldest first; the oldest are forgotten

    def state(self) -> TradeIdsState:
        return TradeIdsState(self.heard, self._expected, self._holes)

    def restore(self, state: TradeIdsState) -> None:
        self.heard, self._expected, self._holes = state.heard, state.expected, state.holes

    def next(self, id: int, trade: Trade, ns: int) -> Sequence[object]:
        """``trade``, after the gap before it; nothing when it was heard already."""
        if id == self._expected:
            self._expected = id + 1
            self._counts.trades += 1
            return (trade,)
        return self._irregular(id, (trade,), ns)

    def skip(self, id: int, ns: int) -> Sequence[object]:
        """An id that stands for no trade."""
        if id == self._expected:
            self._expected = id + 1
            return ()
        return self._irregular(id, (), ns)

    def _irregular(self, id: int, trades: Sequence[Trade], ns: int) -> Sequence[object]:
        first, last = self._expected, id - 1
        if self.heard and id < first:
            if not self._fill(id):
                self._counts.duplicates += 1
                return ()
            self._counts.late += 1
            self._counts.trades += len(trades)
            return trades
        self._expected = id + 1
        self._counts.trades += len(trades)
        if not self.heard:
            self.heard = True
            return trades
        self._holes = [*self._holes[1 - HOLES_MAX :], (first, last)]
        self._counts.gaps += 1
        return (DataGap(ns, self._name, "trade", first, last), *trades)

    def _fill(self, id: int) -> bool:
        """Whether ``id`` was missing; it no longer is."""
        for at, (first, last) in enumerate(self._holes):
            if first <= id <= last:
                rest = [(first, id - 1), (id + 1, last)]
                self._holes[at : at + 1] = [(start, end) for start, end in rest if start <= end]
                return True
        return False
