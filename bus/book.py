"""An order book at one instrument: two dicts of price to size, and whether they can be believed.

The protocol has already checked the venue's sequence; this applies what it hands on. Best prices and the ladder near
the touch are worked out when somebody asks and kept until the next change, because most updates are read by nobody.
"""

from __future__ import annotations

import heapq

from bus.events import Levels


class Book:
    """``valid`` is the feed's word (no gap, connected). A book that crosses itself is not usable either."""

    __slots__ = ("_best_ask", "_best_bid", "asks", "bids", "id", "local_ns", "valid", "venue_ns")

    def __init__(self) -> None:
        self.bids: dict[float, float] = {}
        self.asks: dict[float, float] = {}
        self.valid = False
        self.id = 0
        self.venue_ns = 0
        self.local_ns = 0
        self._best_bid: float | None = None
        self._best_ask: float | None = None

    def reset(self, bids: Levels, asks: Levels) -> None:
        """Replace everything by a snapshot and believe it."""
        self.bids = {price: size for price, size in bids if size}
        self.asks = {price: size for price, size in asks if size}
        self._best_bid = self._best_ask = None
        self.valid = True

    def apply(self, bids: Levels, asks: Levels) -> None:
        """Set the size of each level named; size 0 removes it, and removing a level we never had is normal."""
        levels = self.bids
        drop = levels.pop
        for price, size in bids:
            if size:
                levels[price] = size
            else:
                drop(price, None)
        levels = self.asks
        drop = levels.pop
        for price, size in asks:
            if size:
                levels[price] = size
            else:
                drop(price, None)
        # A best price that somebody asked for stays known while updates stay behind it.
        if self._best_bid is not None and bids and max(bids)[0] >= self._best_bid:
            self._best_bid = None
        if self._best_ask is not None and asks and min(asks)[0] <= self._best_ask:
            self._best_ask = None

    def invalidate(self) -> None:
        self.valid = False

    @property
    def usable(self) -> bool:
        """Valid, with both sides present and not crossed."""
        return self.valid and bool(self.bids) and bool(self.asks) and self.best_bid < self.best_ask

    @property
    def crossed(self) -> bool:
        """Valid, and wrong all the same."""
        return self.valid and bool(self.bids) and bool(self.asks) and self.best_bid >= self.best_ask

    @property
    def best_bid(self) -> float:
        """Raises ValueError on an empty side; ask ``usable`` first."""
        if self._best_bid is None:
            self._best_bid = max(self.bids)
        return self._best_bid

    @property
    def best_ask(self) -> float:
        if self._best_ask is None:
            self._best_ask = min(self.asks)
        return self._best_ask

    @property
    def mid(self) -> float:
        return (self.best_bid + self.best_ask) / 2

    def ladder_bids(self, depth: int) -> Levels:
        """The best ``depth`` bids as (price, size), best first."""
        return [(price, self.bids[price]) for price in heapq.nlargest(depth, self.bids)]

    def ladder_asks(self, depth: int) -> Levels:
        return [(price, self.asks[price]) for price in heapq.nsmallest(depth, self.asks)]
