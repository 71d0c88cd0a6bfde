"""Binance's market data without the network: spot (and Binance.US), USD-M and COIN-M futures.

Frames and REST replies in, events out. The path of a frame we have met before is short: the text up to the end of its
stream's name finds the parser made for that stream, which decodes the whole frame in one typed pass and builds the
event. Everything else (a stream's first frame, bare frames, other spacing, answers to requests) takes the long way
round through ``_introduce`` and comes out the same.

Where an instrument's trades come both one by one and aggregated, the single ones win: once a ``trade`` was heard, every
``aggTrade`` of that instrument is ignored. In the same way diffs win over partial books.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import parse_qs, urlsplit

import msgspec
from msgspec import UNSET, structs

from bus.events import InstrumentListed, Kline, MarkPrice, PastBar, Quote, Ticker, Trade
from bus.values import Instrument, Kind, Side
from feeds.binance import wire
from feeds.binance.depth import Depth, DepthState
from feeds.binance.floors import Floor, Floors
from feeds.binance.instruments import MARKETS, Instruments, Symbol, guessed_name
from feeds.binance.trades import TradeIds, TradeIdsState
from feeds.binance.wire import MS_MAX, to_ns
from feeds.port import PAST_AFTER_NS, Counts, KnownInstruments, Unparsed

Parse = Callable[[str, int, str | None], Sequence[object]]

_PREFIX = '{"stream":"'
_PREFIX_LENGTH = len(_PREFIX)
_NO_STREAM = "\0"  # begins no frame
# What a frame carries, by the part of its stream's name after the first @ ...
_PARTIAL_BOOKS = {"depth5": "partial", "depth10": "partial", "depth20": "partial"}
# ... or by its event type where there is no stream name.
_EVENT_TYPES = {
    "depthUpdate": "depth",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "ticker",
    "markPriceUpdate": "markPrice",
}
_IGNORED = frozenset({"serverShutdown", "forceOrder", "avgPrice", "contractInfo"})


class Heard:
    """What the protocol keeps of one instrument it has heard of."""

    __slots__ = ("aggregates", "configured", "depth", "listed", "name", "singles", "symbol")

    def __init__(self, symbol: str, name: str, counts: Counts, *, configured: bool, futures: bool) -> None:
        self.symbol = symbol
        self.name = name
        self.configured = configured
        self.listed: Instrument | None = None
        self.depth = Depth(name, counts, futures=futures)
        self.singles = TradeIds(name, counts)
        self.aggregates = TradeIds(name, counts)


class HeardState(msgspec.Struct, array_like=True):
    symbol: str
    name: str
    configured: bool
    listed: Instrument | None
    depth: DepthState
    singles: TradeIdsState
    aggregates: TradeIdsState


class State(msgspec.Struct):
    """The whole conversation. Parsers are not in it: a stream's next frame introduces it again."""

    symbols: list[Symbol]
    heard: list[HeardState]
    floors: dict[str, Floor]
    open: list[str | None]
    closing: list[str | None]


_state = msgspec.json.Decoder(State)


class BinanceProtocol:
    """``known`` names what config describes; the venue's exchangeInfo names and lists the rest.

    Where neither does, the data flows under a guessed name and nothing is listed.
    """

    def __init__(self, venue: str, known: KnownInstruments) -> None:
        self.venue = venue
        self.counts = Counts()
        self._known = known
        self._market = MARKETS[venue]
        self._futures = self._market.kind is not Kind.SPOT
        self._instruments = Instruments(venue)
        self._heard: dict[str, Heard] = {}
        self._parsers: dict[str, Parse] = {}
        self._last = _NO_STREAM
        self._last_parse: Parse = self._introduce
        self._open: set[str | None] = set()
        self._floors = Floors()
        self.closing: set[str | None] = set()
        self._makers: dict[str, Callable[[Heard, str], Parse]] = {
            "trade": self._futures_trades if self._futures else self._trades,
            "aggTrade": self._agg_trades,
            "bookTicker": self._quotes,
            "depth": self._futures_diffs if self._futures else self._diffs,
            "partial": self._futures_partials if self._futures else self._partials,
            "kline": self._klines,
            "ticker": self._tickers,
            "miniTicker": self._tickers,
            "markPrice": self._marks,
        }

    def receive(self, raw: str, local_ns: int, conn: str | None) -> Sequence[object]:
        try:
            if raw.startswith(self._last):  # most frames are of the stream the one before was of
                return self._last_parse(raw, local_ns, conn)
            key = raw[: raw.find('"', _PREFIX_LENGTH)]
            parse = self._parsers.get(key)
            if parse is None:
                return self._introduce(raw, local_ns, conn)
            self._last, self._last_parse = key + '"', parse
            return parse(raw, local_ns, conn)
        except wire.UNREADABLE as error:
            raise Unparsed(str(error)) from None

    def reply(self, url: str, raw: str, local_ns: int) -> Sequence[object]:
        try:
            address = urlsplit(url)
            if self._market.rest in address.path:  # behind a proxy something may stand before it
                if address.path.endswith("/exchangeInfo"):
                    self._instruments.read(raw)
                    self._meet_again()
                elif address.path.endswith("/depth"):
                    return self._book(parse_qs(address.query), raw, local_ns)
                elif address.path.endswith("/klines"):
                    return self._past(parse_qs(address.query), raw, local_ns)
            return ()
        except (*wire.UNREADABLE, ValueError) as error:
            raise Unparsed(_venue_error(raw) or str(error)) from None

    def unbuilt(self) -> list[str]:
        return [symbol for symbol, heard in self._heard.items() if heard.depth.unbuilt]

    def opened(self, conn: str | None, local_ns: int) -> Sequence[object]:
        self._open.add(conn)
        self.closing.discard(conn)
        return [event for heard in self._heard.values() for event in heard.depth.opened(conn, local_ns)]

    def lost(self, conn: str | None, local_ns: int) -> Sequence[object]:
        """Books kept up to date by ``conn`` are invalid. Trade ids go on: a jump after reconnecting is a gap."""
        self._open.discard(conn)
        self.closing.discard(conn)
        if not self._open:
            self._floors.fall()
        return [event for heard in self._heard.values() for event in heard.depth.lost(conn, local_ns)]

    def state(self) -> bytes:
        heard = [
            HeardState(
                one.symbol,
                one.name,
                one.configured,
                one.listed,
                one.depth.state(),
                one.singles.state(),
                one.aggregates.state(),
            )
            for one in self._heard.values()
        ]
        ends = sorted(self._open, key=str), sorted(self.closing, key=str)
        return msgspec.json.encode(State(self._instruments.symbols, heard, self._floors.named, *ends))

    def resume(self, state: bytes, local_ns: int) -> Sequence[object]:
        try:
            was = _state.decode(state)
        except msgspec.DecodeError as error:
            raise Unparsed(str(error)) from None
        self._instruments = Instruments(self.venue, was.symbols)
        self._floors = Floors(was.floors)
        self._open, self.closing = {*was.open}, {*was.closing}
        self._heard = {}
        for one in was.heard:
            heard = Heard(one.symbol, one.name, self.counts, configured=one.configured, futures=self._futures)
            heard.listed = one.listed
            heard.depth.restore(one.depth)
            heard.singles.restore(one.singles)
            heard.aggregates.restore(one.aggregates)
            self._heard[one.symbol] = heard
        self._meet_again()
        return [InstrumentListed(local_ns, one.listed) for one in was.heard if one.listed is not None]

    # --- what arrives for the first time, or in an unusual form ------------------------------------------------

    def _meet_again(self) -> None:
        """Every stream is introduced again, and its instrument listed where it was not."""
        self._last, self._last_parse = _NO_STREAM, self._introduce
        self._parsers.clear()

    def _introduce(self, raw: str, ns: int, conn: str | None) -> Sequence[object]:
        """Find out what a frame is and read it; a stream that could be read has its parser from then on."""
        head = wire.read_head(raw)
        if head.error is not UNSET or head.code is not UNSET:
            raise Unparsed(_venue_error(raw))
        if head.stream and head.data is not UNSET:
            symbol, _, topic = head.stream.partition("@")
            kind = topic.partition("@")[0].partition("_")[0]
            if symbol and symbol[0] != "!":
                return self._read(_PREFIX + head.stream, symbol, _PARTIAL_BOOKS.get(kind, kind), raw, ns, conn)
            raw = bytes(head.data).decode()  # all instruments in one stream: each frame says which
            head = wire.read_head(raw)
        if head.e in _IGNORED or (not head.e and head.result is not UNSET):
            self.counts.ignored += 1
            if head.e == "serverShutdown":
                self.closing.add(conn)
            return ()
        kind = _EVENT_TYPES.get(head.e, head.e) or ("bookTicker" if head.u is not UNSET else "")
        return self._read(f"{head.s}@{kind}", head.s, kind, f'{{"data":{raw}}}', ns, conn)

    def _read(self, key: str, symbol: str, kind: str, raw: str, ns: int, conn: str | None) -> Sequence[object]:
        parse = self._parsers.get(key)
        if parse is not None:
            return parse(raw, ns, conn)
        if kind in _IGNORED:
            self.counts.ignored += 1
            return ()
        make = self._makers.get(kind)
        if make is None or not symbol:
            raise Unparsed(f"unknown stream {key.removeprefix(_PREFIX)!r}")
        heard = self._instrument(symbol.upper())
        parse = make(heard, key)
        events = parse(raw, ns, conn)
        self._heard[heard.symbol] = heard
        self._parsers[key] = parse
        return (*self._list(heard, ns), *events)

    def _book(self, query: dict[str, list[str]], raw: str, ns: int) -> Sequence[object]:
        book = wire.read_book(raw)
        symbol = query.get("symbol", [""])[0].upper()
        if not symbol:
            raise Unparsed("a book snapshot of which symbol? its address does not say")
        _check_book(book.bids, book.asks)
        heard = self._heard.setdefault(symbol, self._instrument(symbol))
        events = heard.depth.snapshot(book.lastUpdateId, book.bids, book.asks, to_ns(book.T), ns)
        return (*self._list(heard, ns), *events)

    def _past(self, query: dict[str, list[str]], raw: str, ns: int) -> Sequence[object]:
        """Bars that closed a while ago. The venue's last one is still forming, whatever our clock says of its end."""
        heard = self._instrument(query.get("symbol", [""])[0].upper())
        bars = []
        for start, open_, high, low, close, volume, last, _, trades, *_ in wire.read_past(raw):
            start_ns, end_ns = to_ns(start), to_ns(last + 1)
            if start_ns < end_ns <= ns - PAST_AFTER_NS and low <= min(open_, close) <= max(open_, close) <= high:
                span = end_ns - start_ns
                bars.append(PastBar(heard.name, span, start_ns, end_ns, open_, high, low, close, volume, trades, ns))
        return (*self._list(heard, ns), *bars)

    def _instrument(self, symbol: str) -> Heard:
        heard = self._heard.get(symbol)
        if heard is not None:
            return heard
        configured = self._known(self.venue, symbol)
        described = configured or self._instruments.get(symbol)
        name = described.name if described else guessed_name(self.venue, symbol)
        return Heard(symbol, name, self.counts, configured=configured is not None, futures=self._futures)

    def _list(self, heard: Heard, ns: int) -> Sequence[object]:
        """The venue's terms, when first known and when they change. A name once given stays."""
        if heard.configured:
            return ()
        instrument = self._instruments.get(heard.symbol)
        if instrument is None:
            return ()
        instrument = structs.replace(instrument, name=heard.name)
        if instrument == heard.listed:
            return ()
        heard.listed = instrument
        return (InstrumentListed(ns, instrument),)

    # --- one parser a stream -----------------------------------------------------------------------------------

    def _trades(self, heard: Heard, _stream: str) -> Parse:
        name, ids, read = heard.name, heard.singles, wire.read_trade
        buy, sell = Side.BUY, Side.SELL

        def parse(raw: str, ns: int, _conn: str | None) -> Sequence[object]:
            data = read(raw).data
            time = data.T
            venue_ns = time * 1_000_000 if time <= MS_MAX else time * 1_000
            trade = Trade(name, data.p, data.q, sell if data.m else buy, data.t, venue_ns, ns)
            return ids.next(data.t, trade, ns)

        return parse

    def _futures_trades(self, heard: Heard, _stream: str) -> Parse:
        name, counts, ids, read = heard.name, self.counts, heard.singles, wire.read_futures_trade
        buy, sell = Side.BUY, Side.SELL

        def parse(raw: str, ns: int, _conn: str | None) -> Sequence[object]:
            data = read(raw).data
            if not data.p:
                if data.X == "MARKET":
                    raise Unparsed("a trade without a price")
                counts.ignored += 1
                return ids.skip(data.t, ns)
            time = data.T
            venue_ns = time * 1_000_000 if time <= MS_MAX else time * 1_000
            trade = Trade(name, data.p, data.q, sell if data.m else buy, data.t, venue_ns, ns)
            return ids.next(data.t, trade, ns)

        return parse

    def _agg_trades(self, heard: Heard, _stream: str) -> Parse:
        name, counts, singles, ids = heard.name, self.counts, heard.singles, heard.aggregates

        def parse(raw: str, ns: int, _conn: str | None) -> Sequence[object]:
            data = wire.read_agg_trade(raw).data
            if singles.heard:
                counts.ignored += 1
                return ()
            trade = Trade(name, data.p, data.q, Side.SELL if data.m else Side.BUY, data.a, to_ns(data.T), ns)
            return ids.next(data.a, trade, ns)

        return parse

    def _quotes(self, heard: Heard, stream: str) -> Parse:
        name, counts, read = heard.name, self.counts, wire.read_quote
        floor = self._floors.new(stream)

        def parse(raw: str, ns: int, _conn: str | None) -> Sequence[object]:
            data = read(raw).data
            bid, ask = data.b, data.a
            if bid >= ask:
                raise Unparsed("crossed quote")
            if data.u <= floor.id:
                counts.duplicates += 1
                return ()
            floor.id = data.u
            counts.quotes += 1
            time = data.T  # 0 on spot, which sends none
            if time:
                time = time * 1_000_000 if time <= MS_MAX else time * 1_000
            return (Quote(name, bid, data.B, ask, data.A, data.u, time, ns),)

        return parse

    def _diffs(self, heard: Heard, _stream: str) -> Parse:
        depth = heard.depth

        def parse(raw: str, ns: int, conn: str | None) -> Sequence[object]:
            data = wire.read_depth(raw).data
            if data.u < data.U:
                raise Unparsed("a depth update that ends before it starts")
            depth.conn = conn
            return depth.diff(data.U, data.u, 0, data.b, data.a, to_ns(data.E), ns)

        return parse

    def _futures_diffs(self, heard: Heard, _stream: str) -> Parse:
        depth = heard.depth

        def parse(raw: str, ns: int, conn: str | None) -> Sequence[object]:
            data = wire.read_futures_depth(raw).data
            if data.u < data.U:
                raise Unparsed("a depth update that ends before it starts")
            depth.conn = conn
            return depth.diff(data.U, data.u, data.pu, data.b, data.a, to_ns(data.T), ns)

        return parse

    def _partials(self, heard: Heard, _stream: str) -> Parse:
        depth = heard.depth

        def parse(raw: str, ns: int, conn: str | None) -> Sequence[object]:
            data = wire.read_partial(raw).data
            _check_book(data.bids, data.asks)
            depth.conn = conn
            return depth.partial(data.lastUpdateId, data.bids, data.asks, 0, ns)

        return parse

    def _futures_partials(self, heard: Heard, _stream: str) -> Parse:
        depth = heard.depth

        def parse(raw: str, ns: int, conn: str | None) -> Sequence[object]:
            data = wire.read_futures_partial(raw).data
            _check_book(data.b, data.a)
            depth.conn = conn
            return depth.partial(data.u, data.b, data.a, to_ns(data.T), ns)

        return parse

    def _klines(self, heard: Heard, stream: str) -> Parse:
        name, counts = heard.name, self.counts
        floor = self._floors.new(stream)

        def parse(raw: str, ns: int, _conn: str | None) -> Sequence[object]:
            data = wire.read_kline(raw).data
            k = data.k
            start_ns = to_ns(k.t)
            end_ns = to_ns(k.T + 1)
            if end_ns <= start_ns or not k.l <= min(k.o, k.c) <= max(k.o, k.c) <= k.h:
                raise Unparsed("a kline that contradicts itself")
            said = (data.E, k.t, k.x)
            if said <= floor.last:
                counts.duplicates += 1
                return ()
            floor.last = said
            counts.klines += 1
            span = end_ns - start_ns
            prices = (k.o, k.h, k.l, k.c)
            return (Kline(name, span, start_ns, end_ns, *prices, k.v, k.n, k.x, to_ns(data.E), ns),)

        return parse

    def _tickers(self, heard: Heard, stream: str) -> Parse:
        name, counts = heard.name, self.counts
        floor = self._floors.new(stream)

        def parse(raw: str, ns: int, _conn: str | None) -> Sequence[object]:
            data = wire.read_ticker(raw).data
            said = (data.E, 0, False)
            if said <= floor.last:
                counts.duplicates += 1
                return ()
            floor.last = said
            counts.tickers += 1
            return (Ticker(name, data.c, data.v, data.b, data.a, to_ns(data.E), ns),)

        return parse

    def _marks(self, heard: Heard, stream: str) -> Parse:
        name, counts = heard.name, self.counts
        floor = self._floors.new(stream)

        def parse(raw: str, ns: int, _conn: str | None) -> Sequence[object]:
            data = wire.read_mark(raw).data
            said = (data.E, 0, False)
            if said <= floor.last:
                counts.duplicates += 1
                return ()
            floor.last = said
            counts.marks += 1
            return (MarkPrice(name, data.p, data.i, float(data.r or 0), to_ns(data.T), to_ns(data.E), ns),)

        return parse


def _check_book(bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
    """The venue sends both sides best first."""
    if bids and asks and bids[0][0] >= asks[0][0]:
        raise Unparsed("crossed book")


def _venue_error(raw: str) -> str:
    """The venue's own words, where ``raw`` is an error of its; otherwise nothing."""
    try:
        head = wire.read_head(raw)
    except wire.UNREADABLE:
        return ""
    if head.error is not UNSET:
        return f"venue error {head.error.code}: {head.error.msg}"
    return f"venue error {head.code}: {head.msg}" if head.code is not UNSET else ""
