"""The invented market as a tape that never ends: one model a symbol, each with a past of its own."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import itemgetter

from bus.clock import NEVER
from sandbox.candles import MINUTE_MS, UNIT, Candle, floor
from sandbox.listing import Terms, terms_of
from sandbox.model import LISTINGS, MS, FuturesModel, MarketModel
from sandbox.venue import Told

PAST_MINUTES = 30 * 1_440
_STEP = 0.0006  # of the price, the size of an invented minute's way


class SeededTape:
    """``venue`` sets its draws apart from those of the same symbol elsewhere; ``flood`` is prints a second a symbol."""

    prints = "trade"

    def __init__(
        self, venue: str, seed: int, symbols: Sequence[str] = tuple(LISTINGS), activity: float = 1.0, flood: int = 0
    ) -> None:
        self.symbols = symbols
        self._venue = venue
        self._seed = f"{seed}:{venue}"
        self._activity = activity
        self._flood = flood
        self._make = FuturesModel if venue == "binanceusdm" else MarketModel
        self._models: dict[str, MarketModel] = {}
        self._began_ms = 0

    def begin(self, now_ns: int, *, listening: bool) -> None:
        if self._models:
            return
        self._began_ms = now_ns // MS
        for symbol in self.symbols:
            self._models[symbol] = self._make(self._seed, symbol, now_ns, self._activity, self._flood)

    def due(self) -> int:
        return min((model.due for model in self._models.values()), default=NEVER)

    def told(self, until_ns: int) -> Iterator[Told]:
        each = [self._of(symbol, model, until_ns) for symbol, model in self._models.items() if model.due <= until_ns]
        return each[0] if len(each) == 1 else merge(*each, key=itemgetter(0))

    def book(self, symbol: str, limit: int) -> str:
        return self._models[symbol].snapshot(limit) if self._models else ""

    def terms(self, symbol: str) -> Terms:
        return terms_of(self._venue, symbol, *self._make.listings[symbol].steps())

    def listed(self, symbol: str) -> None:
        return None

    def past(self, symbol: str) -> Iterator[Candle]:
        """A month of minutes that ends at the price the market began with."""
        listing = self._make.listings[symbol]
        draw = random.Random(f"{self._seed}:{symbol}:past")
        unit = UNIT // 10**listing.tick_digits
        ways = [round(draw.gauss(0, _STEP * listing.ticks)) for _ in range(PAST_MINUTES)]
        price = listing.ticks - sum(ways)
        low = listing.ticks // 4
        start = floor(self._began_ms, MINUTE_MS) - PAST_MINUTES * MINUTE_MS
        for index, way in enumerate(ways):
            opened, price = price, price + way
            candle = Candle(start + index * MINUTE_MS, max(low, opened) * unit)
            size = (1 + int(draw.expovariate(1 / listing.lots))) * 10 ** (8 - listing.lot_digits)
            reach = abs(round(draw.gauss(0, _STEP * listing.ticks / 2)))
            for number, ticks in enumerate((opened, max(opened, price) + reach, min(opened, price) - reach, price)):
                candle.trade(-1, max(low, ticks) * unit, size, number % 2 == 1)
            yield candle

    def _of(self, symbol: str, model: MarketModel, until_ns: int) -> Iterator[Told]:
        for ns, raw in model.frames(until_ns):
            at = raw.index('"', 11)
            kind = raw[11:at].partition("@")[2].partition("@")[0]
            if not kind.startswith("kline"):  # the venue makes its own
                yield Told(ns, symbol, kind, raw[at + 9 : -1])
