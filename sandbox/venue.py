"""What a venue knows of its market and says of it: prints, candles, summaries, the book near the touch.

A tape tells what happened, in Binance's words and in order; the market keeps what a venue keeps of that and tells what
follows from it. What nobody listens to is not made.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from bus.clock import DAY, HOUR, NEVER, SECOND
from sandbox.candles import INTERVALS, UNIT, Candles, Past, floor, text, units
from sandbox.listing import Terms

MS = 1_000_000
TICK_OFFSET = 100 * MS  # summaries are pushed this long after the full second, when what belongs into it has come
PARTIAL = {"depth5": 5, "depth10": 10, "depth20": 20}
DAY_MS = DAY // MS
FUNDING = "0.00010000"
_TRADES_KEPT = 1_000
_IDS = {"trade": "t", "aggTrade": "a"}  # what a frame calls its id, where not u


class Told(NamedTuple):
    """One thing that happened: when it is sent, and the ``data`` of its frame."""

    ns: int
    symbol: str
    kind: str  # trade, aggTrade, bookTicker, depth, …: the stream's name without symbol and speed
    data: str


class Tape(Protocol):
    """A market as it happens. ``prints`` is the kind that candles are made of."""

    symbols: Sequence[str]
    prints: str

    def begin(self, now_ns: int, *, listening: bool) -> None:
        """Somebody listens, or only asks. What has begun goes on."""
        ...

    def due(self) -> int:
        """When something happens next."""
        ...

    def told(self, until_ns: int) -> Iterator[Told]:
        """All that is sent up to and including ``until_ns``."""
        ...

    def book(self, symbol: str, limit: int) -> str:
        """The best ``limit`` levels a side, as REST answers; "" while there is none."""
        ...

    def terms(self, symbol: str) -> Terms: ...
    def listed(self, symbol: str) -> dict[str, Any] | None:
        """What the venue itself said of the symbol, where that is known."""
        ...

    def past(self, symbol: str) -> Past | None:
        """What was before the beginning, once that is known and where anything is."""
        ...

    def again(self) -> Tape:
        """The same before its beginning."""
        ...


class Print(NamedTuple):
    id: int
    ms: int
    price: str
    size: str
    maker: bool  # the buyer was the maker


class Symbol:
    """What is kept of one symbol."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.stream = name.lower()
        self.candles = Candles()
        self.prints: deque[Print] = deque(maxlen=_TRADES_KEPT)
        self.touch: dict[str, Any] = {}


class Market:
    """A tape, and what a venue makes of it. ``wanted`` says which streams anybody listens to."""

    def __init__(self, tape: Tape, wanted: Mapping[str, object], now_ns: int, *, futures: bool) -> None:
        self.tape = tape
        self.symbols = {name: Symbol(name) for name in tape.symbols}
        self.futures = futures
        self._wanted = wanted
        self._made_ns = now_ns
        self._begun: list[tuple[int, bool]] = []  # the first who asked, and the first who listened
        self._left: deque[tuple[int, str, str]] = deque()  # of the moment to which it was played
        self._tick_due = now_ns - now_ns % SECOND + TICK_OFFSET
        self._closed: dict[str, int] = {}  # kline stream to the start of the last candle told of

    def begin(self, now_ns: int, *, listening: bool) -> None:
        if (not self._begun or listening) and not any(heard for _, heard in self._begun):
            self._begun.append((now_ns, listening))
        self.tape.begin(now_ns, listening=listening)
        for symbol in self.symbols.values():
            symbol.candles.past = self.tape.past(symbol.name)

    def due(self) -> int:
        return self._left[0][0] if self._left else min(self._tick_due, self.tape.due())

    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.tape.due() >= NEVER

    def advance(self, until_ns: int) -> Iterator[tuple[int, str, str]]:
        """(when, stream, data) of everything sent up to and including ``until_ns``."""
        while self._left and self._left[0][0] <= until_ns:
            yield self._left.popleft()
        while self._tick_due <= until_ns:
            yield from self._happen(self._tick_due - 1)
            yield from self._second(self._tick_due)
            self._tick_due += SECOND
        yield from self._happen(until_ns)

    # --- once more ---

    def again(self) -> Market:
        """The same market before its beginning, which was when it was."""
        market = Market(self.tape.again(), self._wanted, self._made_ns, futures=self.futures)
        for now_ns, listening in self._begun:
            market.begin(now_ns, listening=listening)
        return market

    def play_to(self, stream: str, id: int, last_ns: int) -> int | None:
        """Let it happen up to and including a frame, for nobody; what else is of the same moment comes next. When that
        frame was sent, None where it was not by ``last_ns``.
        """
        key = _IDS.get(stream.partition("@")[2], "u")
        while (due := self.due()) <= last_ns:
            sent = list(self.advance(due))
            for at, (ns, name, data) in enumerate(sent, 1):
                if name == stream and orjson.loads(data).get(key) == id:
                    self._left.extend(sent[at:])
                    return ns
        return None

    # --- what happens ---

    def _happen(self, until_ns: int) -> Iterator[tuple[int, str, str]]:
        wanted, symbols, prints = self._wanted, self.symbols, self.tape.prints
        for ns, name, kind, data in self.tape.told(until_ns):
            symbol = symbols[name]
            if kind == prints:
                self._print(symbol, orjson.loads(data))
                if kind == "trade" and (stream := f"{symbol.stream}@aggTrade") in wanted:
                    yield ns, stream, self._aggregate(symbol, ns)
            elif kind == "bookTicker":
                symbol.touch = {"raw": data}
            elif kind == "depth":
                for partial, limit in PARTIAL.items():
                    if (stream := f"{symbol.stream}@{partial}") in wanted and (book := self.tape.book(name, limit)):
                        yield ns, stream, book if not self.futures else _as_diff(book, name)
            yield ns, f"{symbol.stream}@{kind}", data

    def _print(self, symbol: Symbol, data: dict[str, Any]) -> None:
        price, size = data["p"], data["q"]
        if (paid := units(price)) == 0:
            return  # futures number their settlements among the trades, without a price
        id = data["t"] if "t" in data else data["a"]
        symbol.candles.trade(data["T"], id, paid, units(size), not data["m"])
        symbol.prints.append(Print(id, data["T"], price, size, data["m"]))

    def _aggregate(self, symbol: Symbol, ns: int) -> str:
        """Every trade is an aggregate of its own here."""
        if not symbol.prints:
            return "{}"
        last = symbol.prints[-1]
        body = {"e": "aggTrade", "E": ns // MS, "s": symbol.name, **aggregate(last)}
        return orjson.dumps(body if self.futures else {**body, "M": True}).decode()

    # --- what is pushed by the second ---

    def _second(self, ns: int) -> Iterator[tuple[int, str, str]]:
        for stream in list(self._wanted):
            name, _, kind = stream.partition("@")
            symbol = self.symbols.get(name.upper())
            if symbol is None or not symbol.candles.last_price:
                continue
            if kind.startswith("kline_"):
                for data in self._kline(stream, symbol, kind.removeprefix("kline_"), ns):
                    yield ns, stream, data
            elif kind in ("ticker", "miniTicker"):
                full = kind == "ticker"
                event = {"e": "24hrTicker" if full else "24hrMiniTicker", "E": ns // MS, "s": symbol.name}
                yield ns, stream, _json({**event, **self.day(symbol, ns // MS, full=full)})
            elif kind == "markPrice" and self.futures:
                yield ns, stream, _json({"e": "markPriceUpdate", "E": ns // MS, **self.mark(symbol, ns // MS)})

    def _kline(self, stream: str, symbol: Symbol, interval: str, ns: int) -> Iterator[str]:
        length = INTERVALS.get(interval)
        if length is None:
            return
        ms = ns // MS
        start = floor(ms, length)
        before = self._closed.get(stream, start)
        event = {"e": "kline", "E": ms, "s": symbol.name}
        if before < start:
            closed = symbol.candles.at(start - length, length)
            yield _json({**event, "k": closed.stream(symbol.name, interval, closed=True)})
        self._closed[stream] = start
        if interval == "1s" or before < start or ns // SECOND % 2 == 0:
            forming = symbol.candles.at(start, length)
            yield _json({**event, "k": forming.stream(symbol.name, interval, closed=False)})

    # --- what REST and summaries have in common ---

    def touch(self, symbol: Symbol) -> dict[str, Any]:
        """The best prices as last told; empty before the first."""
        if "raw" in symbol.touch:
            symbol.touch = orjson.loads(symbol.touch["raw"])
        return symbol.touch

    def mark(self, symbol: Symbol, ms: int) -> dict[str, Any]:
        price = symbol.candles.last_price
        if touch := self.touch(symbol):
            price = (units(touch["b"]) + units(touch["a"])) // 2
        following = ms - ms % (8 * HOUR // MS) + 8 * HOUR // MS
        marked = text(price)
        return {"s": symbol.name, "p": marked, "i": marked, "P": marked, "r": FUNDING, "T": following}

    def day(self, symbol: Symbol, ms: int, *, full: bool) -> dict[str, Any]:
        """The last 24 hours in a ticker's letters."""
        day = symbol.candles.day(ms)
        letters: dict[str, Any] = {
            "c": text(day.close),
            "o": text(day.open),
            "h": text(day.high),
            "l": text(day.low),
            "v": text(day.volume),
            "q": text(day.turnover // UNIT),
        }
        if not full:
            return letters
        touch, last = self.touch(symbol), symbol.prints[-1] if symbol.prints else None
        change = day.close - day.open
        letters |= {
            "p": _signed(change),
            "P": f"{100 * change / day.open:.3f}" if day.open else "0.000",
            "w": text(day.turnover // day.volume) if day.volume else text(day.close),
            "Q": last.size if last else "0",
            "O": ms - DAY_MS,
            "C": ms,
            "F": max(day.first, 0),
            "L": max(day.last, 0),
            "n": day.trades,
        }
        if not self.futures:
            letters |= {
                "x": text(day.open),
                "b": touch.get("b", "0"),
                "B": touch.get("B", "0"),
                "a": touch.get("a", "0"),
                "A": touch.get("A", "0"),
            }
        return letters


def aggregate(each: Print) -> dict[str, Any]:
    return {
        "a": each.id,
        "p": each.price,
        "q": each.size,
        "f": each.id,
        "l": each.id,
        "T": each.ms,
        "m": each.maker,
    }


def _as_diff(book: str, name: str) -> str:
    """A futures venue sends its partial books in the shape of diffs."""
    body = orjson.loads(book)
    head = {"e": "depthUpdate", "E": body["E"], "T": body["T"], "s": name}
    id = body["lastUpdateId"]
    return _json({**head, "U": id, "u": id, "pu": id - 1, "b": body["bids"], "a": body["asks"]})


def _signed(value: int) -> str:
    return f"-{text(-value)}" if value < 0 else text(value)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
