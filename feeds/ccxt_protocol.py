"""What ``feeds/ccxt_pro.py`` records, read back: a venue's market in ccxt's unified words, one thing a frame.

A frame is an object with a ``t``: a trade, a ticker or a bar as ccxt has them but without ``info``, or what changed of
a book. The edge makes them; here, live and in replay alike, they become events. Trades are told apart by the venue's
own ids, because a venue sends its latest again whenever somebody subscribes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from bus.events import (
    BookInvalidated,
    BookRestored,
    BookSnapshot,
    BookUpdate,
    InstrumentListed,
    Kline,
    Levels,
    Quote,
    Ticker,
    Trade,
)
from bus.values import Instrument, Side
from feeds.port import Counts, KnownInstruments, Unparsed

Price = Annotated[float, Meta(gt=0, lt=1e15)]
Size = Annotated[float, Meta(ge=0, lt=1e18)]
Ms = Annotated[int, Meta(ge=0, lt=(1 << 63) // 1_000_000)]
Symbol = Annotated[str, Meta(min_length=1, max_length=64)]

IDS_KEPT = 5_000
_ID_MAX = 1 << 62


class Unified(Struct, tag_field="t", gc=False, omit_defaults=True, kw_only=True):
    s: Symbol
    ms: Ms = 0


# {"t":"trade","s":"BTC/USDT","ms":1700000000120,"id":"41","price":42000.1,"size":0.5,"side":"sell"}
class TradeFrame(Unified, tag="trade"):
    id: str
    price: Price
    size: Size
    side: str = ""


# {"t":"book","s":"BTC/USDT","ms":1700000000120,"whole":true,"bids":[[42000.1,2.5]],"asks":[[42000.2,1.0]]}
class BookFrame(Unified, tag="book"):
    """``whole`` replaces what was known; otherwise these levels changed, and size 0 is a level that is gone."""

    bids: list[tuple[Price, Size]]
    asks: list[tuple[Price, Size]]
    whole: bool = False


# {"t":"broken","s":"BTC/USDT","why":"ChecksumError: okx watchOrderBook"}
class BrokenFrame(Unified, tag="broken"):
    """What was known of the book cannot be gone on from; the next is whole again."""

    why: str


class TickerFrame(Unified, tag="ticker"):
    last: Price
    volume: Size = 0.0
    bid: Size = 0.0
    bid_size: Size = 0.0
    ask: Size = 0.0
    ask_size: Size = 0.0


class BarFrame(Unified, tag="bar"):
    """``ms`` is its start. Whether it has closed only the next one says."""

    interval_ms: Annotated[int, Meta(gt=0)]
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Size


Frame = TradeFrame | BookFrame | BrokenFrame | TickerFrame | BarFrame


class State(Struct):
    """The whole conversation; ``counts`` are of trades, books and quotes."""

    listed: list[Instrument]
    whole: list[str]
    ids: dict[str, list[str]]
    forming: list[tuple[str, BarFrame]]
    counts: tuple[int, int, int]


_state = msgspec.json.Decoder(State)
encode = msgspec.json.Encoder().encode
_frame = msgspec.json.Decoder(Frame)
_listing = msgspec.json.Decoder(list[Instrument])


class CcxtProtocol:
    """One venue by its ccxt id. ``known`` has its symbols under ccxt's names."""

    def __init__(self, venue: str, known: KnownInstruments) -> None:
        self.venue = venue
        self.counts = Counts()
        self.closing: frozenset[str | None] = frozenset()
        self._known = known
        self._listed: dict[str, Instrument] = {}
        self._whole: set[str] = set()
        self._ids: dict[str, tuple[set[str], deque[str]]] = {}
        self._forming: dict[tuple[str, int], BarFrame] = {}

    def unbuilt(self) -> list[str]:
        return []

    def receive(self, raw: str, local_ns: int, conn: str | None) -> Sequence[object]:
        try:
            frame = _frame.decode(raw)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Unparsed(str(error)) from None
        name = f"{self.venue}:{frame.s}"
        match frame:
            case TradeFrame():
                return self._trade(frame, name, local_ns)
            case BookFrame():
                return self._book(frame, name, local_ns)
            case BrokenFrame():
                return self._break(frame.why, local_ns, {name})
            case TickerFrame():
                return self._ticker(frame, name, local_ns)
            case _:
                return self._bar(frame, name, local_ns)

    def reply(self, url: str, raw: str, local_ns: int) -> Sequence[object]:
        if not url.endswith("/markets"):
            return ()
        try:
            instruments = _listing.decode(raw)
        except msgspec.DecodeError as error:
            raise Unparsed(str(error)) from None
        news = [
            instrument
            for instrument in instruments
            if self._listed.get(instrument.name) != instrument and self._known(self.venue, instrument.symbol) is None
        ]
        self._listed.update((instrument.name, instrument) for instrument in news)
        return [InstrumentListed(local_ns, instrument) for instrument in news]

    def opened(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return self._break("connection reopened", local_ns)

    def lost(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return self._break("connection lost", local_ns)

    def state(self) -> bytes:
        counts = self.counts
        return encode(
            State(
                list(self._listed.values()),
                sorted(self._whole),
                {name: list(order) for name, (_, order) in self._ids.items()},
                [(name, frame) for (name, _), frame in self._forming.items()],
                (counts.trades, counts.depth_updates, counts.quotes),
            )
        )

    def resume(self, state: bytes, local_ns: int) -> Sequence[object]:
        try:
            was = _state.decode(state)
        except msgspec.DecodeError as error:
            raise Unparsed(str(error)) from None
        self._listed = {instrument.name: instrument for instrument in was.listed}
        self._whole = {*was.whole}
        self._ids = {name: ({*ids}, deque(ids)) for name, ids in was.ids.items()}
        self._forming = {(name, frame.interval_ms): frame for name, frame in was.forming}
        # Where a venue numbers nothing, our own counts are its numbers.
        self.counts.trades, self.counts.depth_updates, self.counts.quotes = was.counts
        return [InstrumentListed(local_ns, instrument) for instrument in was.listed]

    def _break(self, reason: str, local_ns: int, names: Collection[str] | None = None) -> list[object]:
        broken = sorted(self._whole if names is None else self._whole.intersection(names))
        self._whole.difference_update(broken)
        return [BookInvalidated(local_ns, name, reason) for name in broken]

    def _trade(self, frame: TradeFrame, name: str, ns: int) -> Sequence[object]:
        seen, order = self._ids.setdefault(name, (set(), deque()))
        if frame.id in seen:
            self.counts.duplicates += 1
            return ()
        seen.add(frame.id)
        order.append(frame.id)
        if len(order) > IDS_KEPT:
            seen.discard(order.popleft())
        self.counts.trades += 1
        number = int(frame.id) if frame.id.isdecimal() and len(frame.id) < 20 else 0
        side = Side.SELL if frame.side == "sell" else Side.BUY
        id = number if 0 < number < _ID_MAX else self.counts.trades
        return (Trade(name, frame.price, frame.size, side, id, frame.ms * 1_000_000, ns),)

    def _book(self, frame: BookFrame, name: str, ns: int) -> Sequence[object]:
        self.counts.depth_updates += 1
        venue_ns = frame.ms * 1_000_000
        bids: Levels = frame.bids
        asks: Levels = frame.asks
        if not frame.whole:
            if name not in self._whole:
                raise Unparsed("changes of a book that was never whole")
            return (BookUpdate(name, bids, asks, self.counts.depth_updates, venue_ns, ns),)
        snapshot = BookSnapshot(name, bids, asks, self.counts.depth_updates, venue_ns, ns)
        if name in self._whole:
            return (snapshot,)
        self._whole.add(name)
        return (snapshot, BookRestored(ns, name, snapshot.id))

    def _ticker(self, frame: TickerFrame, name: str, ns: int) -> Sequence[object]:
        self.counts.tickers += 1
        venue_ns = frame.ms * 1_000_000
        ticker = Ticker(name, frame.last, frame.volume, frame.bid, frame.ask, venue_ns, ns)
        if not 0 < frame.bid < frame.ask:
            return (ticker,)
        self.counts.quotes += 1
        number = self.counts.quotes
        return (ticker, Quote(name, frame.bid, frame.bid_size, frame.ask, frame.ask_size, number, venue_ns, ns))

    def _bar(self, frame: BarFrame, name: str, ns: int) -> Sequence[object]:
        forming = self._forming.get((name, frame.interval_ms))
        if forming is not None and frame.ms < forming.ms:
            self.counts.late += 1
            return ()
        self._forming[name, frame.interval_ms] = frame
        events = [self._kline(frame, name, ns, closed=False)]
        if forming is not None and frame.ms > forming.ms:
            events.insert(0, self._kline(forming, name, ns, closed=True))
        return events

    def _kline(self, frame: BarFrame, name: str, ns: int, *, closed: bool) -> Kline:
        self.counts.klines += 1
        start_ns, span = frame.ms * 1_000_000, frame.interval_ms * 1_000_000
        prices = frame.open, frame.high, frame.low, frame.close
        return Kline(name, span, start_ns, start_ns + span, *prices, frame.volume, 0, closed, 0, ns)
