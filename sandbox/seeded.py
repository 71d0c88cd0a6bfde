"""The invented market as a tape that never ends: one model a symbol, each with a past of its own."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import accumulate
from operator import itemgetter
from typing import Any

import orjson

from bus.clock import NEVER
from sandbox.candles import DAY_MS, MINUTE_MS, UNIT, Candle, floor
from sandbox.listing import Terms, terms_of
from sandbox.model import LEVELS_MAX, LISTINGS, MS, FuturesModel, Listing, MarketModel
from sandbox.products import Event, rfc3339
from sandbox.venue import Told

BATCH_NS = 250 * MS  # how long Coinbase gathers trades
_MINUTES = 1_440
_STEP = 0.0006  # of the price, the size of an invented minute's way


class SeededTape:
    """``venue`` sets its draws apart from those of the same symbol elsewhere; ``flood`` is prints a second a symbol."""

    prints = "trade"

    def __init__(
        self, venue: str, seed: int, symbols: Sequence[str] = tuple(LISTINGS), activity: float = 1.0, flood: int = 0
    ) -> None:
        self.symbols = symbols
        self._venue = venue
        self._drawn_from, self._seed = seed, f"{seed}:{venue}"
        self._activity = activity
        self._flood = flood
        self._make = FuturesModel if venue == "binanceusdm" else MarketModel
        self._models: dict[str, MarketModel] = {}
        self._pasts: dict[str, InventedPast] = {}

    def begin(self, now_ns: int, *, listening: bool) -> None:
        if self._models:
            return
        for symbol in self.symbols:
            self._models[symbol] = self._make(self._seed, symbol, now_ns, self._activity, self._flood)
            self._pasts[symbol] = InventedPast(f"{self._seed}:{symbol}", self._make.listings[symbol], now_ns // MS)

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

    def last_print(self, symbol: str) -> tuple[int, str, str]:
        """Of before the beginning."""
        return self._models[symbol].last_print()

    def past(self, symbol: str) -> InventedPast | None:
        return self._pasts.get(symbol)

    def again(self) -> SeededTape:
        return SeededTape(self._venue, self._drawn_from, self.symbols, self._activity, self._flood)

    def _of(self, symbol: str, model: MarketModel, until_ns: int) -> Iterator[Told]:
        for ns, raw in model.frames(until_ns):
            at = raw.index('"', 11)
            kind = raw[11:at].partition("@")[2].partition("@")[0]
            if not kind.startswith("kline"):  # the venue makes its own
                yield Told(ns, symbol, kind, raw[at + 9 : -1])


class InventedPast:
    """A month of minutes that leads to the price the market begins with.

    A walk of days, backwards; the minutes of a day are a walk from the day's first price to its last, drawn when the
    day is asked for.
    """

    days = 30

    def __init__(self, seed: str, listing: Listing, began_ms: int) -> None:
        self.end_ms = floor(began_ms, MINUTE_MS)
        self._seed = seed
        self._listing = listing
        draw = random.Random(f"{seed}:past")
        self._opens = [listing.ticks]  # from the last to the first
        for _ in range(self.days):
            way = draw.gauss(0, _STEP * listing.ticks * math.sqrt(_MINUTES))
            self._opens.append(max(listing.ticks // 2, round(self._opens[-1] - way)))

    def day(self, number: int) -> Iterator[Candle]:
        listing, draw = self._listing, random.Random(f"{self._seed}:past:{number}")
        unit, lot = UNIT // 10**listing.tick_digits, UNIT // 10**listing.lot_digits
        opened, closed = self._opens[number + 1], self._opens[number]
        step = _STEP * listing.ticks
        walk = list(accumulate(draw.gauss(0, step) for _ in range(_MINUTES)))
        pull = (closed - opened - walk[-1]) / _MINUTES  # so that it ends where it must
        start_ms, price = self.end_ms - (number + 1) * DAY_MS, opened
        for minute, way in enumerate(walk):
            before, price = price, max(1, round(opened + way + pull * (minute + 1)))
            candle = Candle(start_ms + minute * MINUTE_MS, before * unit)
            reach, size = abs(round(draw.gauss(0, step / 2))), 1 + int(draw.expovariate(1 / listing.lots))
            for ticks in (before, max(before, price) + reach, max(1, min(before, price) - reach), price):
                candle.trade(-1, ticks * unit, size * lot, ticks > before)
            yield candle


class SeededProducts:
    """The same kind of market in Coinbase's events: trades every quarter of a second, newest first, then a ticker."""

    def __init__(self, seed: int, symbols: Sequence[str], activity: float = 1.0, flood: int = 0) -> None:
        self._tape = SeededTape("coinbase", seed, symbols, activity, flood)
        self._names = {symbol: symbol.replace("USDT", "-USD") for symbol in symbols}
        self._symbols = {name: symbol for symbol, name in self._names.items()}
        self.products: Sequence[str] = list(self._symbols)
        self._trades: dict[str, list[dict[str, Any]]] = {}
        self._batch_due = NEVER

    def begin(self, now_ns: int, *, listening: bool) -> None:
        self._tape.begin(now_ns, listening=listening)
        if self._batch_due == NEVER:
            self._batch_due = now_ns - now_ns % BATCH_NS + BATCH_NS

    def due(self) -> int:
        return min(self._tape.due(), self._batch_due)

    def told(self, until_ns: int) -> Iterator[Event]:
        while self._batch_due <= until_ns:
            yield from self._happen(self._batch_due - 1)
            for name, trades in self._trades.items():
                yield Event(self._batch_due, name, "market_trades", {"type": "update", "trades": trades[::-1]})
                yield Event(self._batch_due, name, "ticker", {"type": "update", "tickers": []})
            self._trades.clear()
            self._batch_due += BATCH_NS
        yield from self._happen(until_ns)

    def opening(self, product: str) -> Iterator[Event]:
        ns = self._batch_due - BATCH_NS
        book = orjson.loads(self._tape.book(self._symbols[product], LEVELS_MAX))
        yield Event(ns, product, "level2", _levels("snapshot", product, ns, book["bids"], book["asks"]))
        before = _trade(product, *self._tape.last_print(self._symbols[product]), ns, maker=True)
        yield Event(ns, product, "market_trades", {"type": "snapshot", "trades": [before]})

    def terms(self, product: str) -> Terms:
        return terms_of("coinbase", product, *LISTINGS[self._symbols[product]].steps())

    def listed(self, product: str) -> None:
        return None

    def past(self, product: str) -> InventedPast | None:
        return self._tape.past(self._symbols[product])

    def _happen(self, until_ns: int) -> Iterator[Event]:
        for told in self._tape.told(until_ns):
            name = self._names[told.symbol]
            if told.kind == "depth":
                diff = orjson.loads(told.data)
                yield Event(told.ns, name, "level2", _levels("update", name, told.ns, diff["b"], diff["a"]))
            elif told.kind == "trade":
                trade = orjson.loads(told.data)
                told_so = _trade(name, trade["t"], trade["p"], trade["q"], told.ns, maker=trade["m"])
                self._trades.setdefault(name, []).append(told_so)


def _trade(product: str, id: int, price: str, size: str, ns: int, *, maker: bool) -> dict[str, Any]:
    return {
        "product_id": product,
        "trade_id": str(id),
        "price": price,
        "size": size,
        "time": rfc3339(ns),
        "side": "BUY" if maker else "SELL",  # the maker's
    }


def _levels(type: str, product: str, ns: int, bids: list[list[str]], asks: list[list[str]]) -> dict[str, Any]:
    time = rfc3339(ns)
    updates = [
        {"side": side, "event_time": time, "price_level": price, "new_quantity": size}
        for side, levels in (("bid", bids), ("offer", asks))
        for price, size in levels
    ]
    return {"type": type, "product_id": product, "updates": updates}
