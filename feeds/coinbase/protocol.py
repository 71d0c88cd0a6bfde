"""Coinbase's market data without the network: Advanced Trade and Exchange frames in, events out.

A frame is decoded whole, its times included, before anything here changes, so a frame that cannot be read leaves no
trace. On Advanced Trade the frame after it then shows a jump in numbers, which is right: what could not be read may
have been a change of a book.

``side`` is the maker's at both venues. Measured on recordings against the book at hand when the trades arrived: of 56
Advanced trades the 36 marked SELL at or beyond a touch were all at the ask, the 14 marked BUY all at the bid, the other
6 inside the spread; of 39 Exchange matches 25 sells at the ask, 7 buys at the bid, 7 inside. Nothing spoke against it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from bus.clock import DAY, HOUR, MINUTE, SECOND
from bus.events import (
    BookInvalidated,
    BookRestored,
    BookSnapshot,
    BookUpdate,
    DataGap,
    Kline,
    Levels,
    PastBar,
    Quote,
    Ticker,
    Trade,
)
from bus.values import Side
from feeds.coinbase import wire
from feeds.coinbase.depth import Books, Numbering
from feeds.coinbase.instruments import Instruments, Known, ReadProducts, read_advanced, read_exchange
from feeds.coinbase.rfc3339 import nanoseconds
from feeds.port import PAST_AFTER_NS, Counts, KnownInstruments

CANDLE_NS = 5 * MINUTE
GRANULARITIES = {
    "ONE_MINUTE": MINUTE,
    "FIVE_MINUTE": 5 * MINUTE,
    "FIFTEEN_MINUTE": 15 * MINUTE,
    "THIRTY_MINUTE": 30 * MINUTE,
    "ONE_HOUR": HOUR,
    "TWO_HOUR": 2 * HOUR,
    "SIX_HOUR": 6 * HOUR,
    "ONE_DAY": DAY,
}
_PAST = msgspec.json.Decoder(wire.PastCandles, strict=False)

_TAKER = {"BUY": Side.SELL, "SELL": Side.BUY, "buy": Side.SELL, "sell": Side.BUY}


class State(msgspec.Struct):
    """The whole conversation; the last two are Advanced Trade's."""

    instruments: Known
    keepers: Mapping[str, str | None]
    broken: list[str]
    trade_ids: dict[str, int]
    numbers: list[tuple[str | None, int]] = []
    forming: list[wire.Candle] = []


_STATE = msgspec.json.Decoder(State)
Handler = Callable[[Any, int, str | None], Sequence[object]]


class _CoinbaseProtocol:
    """What the two venues have in common: books from snapshots and sizes, trades by rising ids, product lists."""

    def __init__(self, venue: str, known: KnownInstruments, reader: wire.Reader, products: ReadProducts) -> None:
        self.venue = venue
        self.counts = Counts()
        self._reader = reader
        self._read_products = products
        self._instruments = Instruments(venue, known)
        self._books = Books()
        self._trade_ids: dict[str, int] = {}
        self._handlers: dict[type, Handler] = {}
        self.closing: frozenset[str] = frozenset()  # the venue announces nothing

    def unbuilt(self) -> list[str]:
        return self._instruments.symbols_of(self._books.broken)

    def receive(self, raw: str, local_ns: int, conn: str | None) -> Sequence[object]:
        message = self._reader.read(raw)
        return self._handlers[type(message)](message, local_ns, conn)

    def reply(self, url: str, raw: str, local_ns: int) -> Sequence[object]:
        """Of the REST answers the product list and past candles are of use; books come over the socket."""
        path, _, query = url.partition("?")
        if path.endswith("/candles"):
            return self._past(path.rpartition("/candles")[0].rpartition("/")[2], query, raw, local_ns)
        if not url.partition("?")[0].endswith("/products"):
            return ()
        return self._instruments.learn(self._read_products(self.venue, raw), local_ns)

    def _past(self, symbol: str, query: str, raw: str, ns: int) -> Sequence[object]:
        """Advanced Trade's bars, oldest first. One that ended a moment ago may still change."""
        span = GRANULARITIES.get(parse_qs(query).get("granularity", [""])[0])
        if span is None:
            return ()
        out: list[object] = []
        name = self._instruments.name(symbol, ns, out)
        for bar in reversed(wire.decode(_PAST, raw).candles):
            start_ns = bar.start * SECOND
            if start_ns + span <= ns - PAST_AFTER_NS and bar.low <= min(bar.open, bar.close):
                prices = bar.open, bar.high, bar.low, bar.close
                out.append(PastBar(name, span, start_ns, start_ns + span, *prices, bar.volume, 0, ns))
        return out

    def opened(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return self._break_books(conn, local_ns, "connection reopened")

    def lost(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return self._break_books(conn, local_ns, "connection lost")

    def state(self) -> bytes:
        return msgspec.json.encode(self._state())

    def _state(self) -> State:
        books = self._books
        return State(self._instruments.state(), books.keepers, sorted(books.broken), self._trade_ids)

    def resume(self, state: bytes, local_ns: int) -> Sequence[object]:
        return self._restore(wire.decode(_STATE, state.decode()), local_ns)

    def _restore(self, was: State, local_ns: int) -> Sequence[object]:
        self._books = Books(was.keepers, was.broken)
        self._trade_ids = was.trade_ids
        return self._instruments.restore(was.instruments, local_ns)

    def _break_books(self, conn: str | None, local_ns: int, reason: str) -> list[object]:
        return [BookInvalidated(local_ns, name, reason) for name in self._books.drop(conn)]

    def _snapshot(self, snapshot: BookSnapshot, conn: str | None, out: list[object]) -> None:
        out.append(snapshot)
        if self._books.begin(snapshot.instrument, conn):
            out.append(BookRestored(snapshot.local_ns, snapshot.instrument, snapshot.id))

    def _update(self, update: BookUpdate, conn: str | None, out: list[object]) -> None:
        self.counts.depth_updates += 1
        name = update.instrument
        if self._books.keeps(name, conn):
            out.append(update)
        elif self._books.is_whole(name):
            self.counts.duplicates += 1  # a second connection speaks of a book that the first keeps
        elif self._books.miss(name):
            out.append(BookInvalidated(update.local_ns, name, "no snapshot"))

    def _trade(self, trade: wire.PublicTrade | wire.Match, venue_ns: int, local_ns: int, out: list[object]) -> None:
        """Ids of a product are consecutive: what is not the next one was heard before or comes after a loss."""
        symbol, number = trade.product_id, trade.trade_id
        last = self._trade_ids.get(symbol, number - 1)
        if number <= last:
            self.counts.duplicates += 1
            return
        if number > last + 1:
            self._trade_gap(symbol, last + 1, number - 1, local_ns, out)
        self._trade_ids[symbol] = number
        self.counts.trades += 1
        name = self._instruments.name(symbol, local_ns, out)
        out.append(Trade(name, trade.price, trade.size, _TAKER[trade.side], number, venue_ns, local_ns))

    def _traded_before(self, symbol: str, number: int, local_ns: int, out: list[object]) -> None:
        """The venue's latest trade on subscribing: history, except that what we had been following may have a hole."""
        last = self._trade_ids.get(symbol, number)
        if number > last:
            self._trade_gap(symbol, last + 1, number, local_ns, out)
        self._trade_ids[symbol] = max(last, number)

    def _trade_gap(self, symbol: str, first: int, last: int, local_ns: int, out: list[object]) -> None:
        self.counts.gaps += 1
        out.append(DataGap(local_ns, self._instruments.name(symbol, local_ns, out), "trade", first, last))


class CoinbaseAdvancedProtocol(_CoinbaseProtocol):
    """Advanced Trade: every message of a connection is numbered, and each channel wraps its own events."""

    def __init__(self, venue: str, known: KnownInstruments) -> None:
        super().__init__(venue, known, wire.ADVANCED, read_advanced)
        self._numbering = Numbering()
        self._forming: dict[str, wire.Candle] = {}
        self._handlers = {
            wire.Depth: self._on_depth,
            wire.Trades: self._on_trades,
            wire.Summaries: self._on_summaries,
            wire.Candles: self._on_candles,
            wire.QuietNumbered: self._on_quiet,
        }

    def opened(self, conn: str | None, local_ns: int) -> Sequence[object]:
        self._numbering.restart(conn)
        return super().opened(conn, local_ns)

    def lost(self, conn: str | None, local_ns: int) -> Sequence[object]:
        self._numbering.restart(conn)
        return super().lost(conn, local_ns)

    def _state(self) -> State:
        return msgspec.structs.replace(
            super()._state(), numbers=self._numbering.state(), forming=list(self._forming.values())
        )

    def _restore(self, was: State, local_ns: int) -> Sequence[object]:
        self._numbering = Numbering(was.numbers)
        self._forming = {candle.product_id: candle for candle in was.forming}
        return super()._restore(was, local_ns)

    def _follow(self, message: wire.Numbered, local_ns: int, conn: str | None) -> list[object] | None:
        """Take the message's number: None if it was heard before, else a list that begins with what a loss did.

        One jump is one gap, told to each instrument whose book it broke. The other channels need no telling: trades
        have ids of their own, tickers and candles replace what they said before.
        """
        missing = self._numbering.take(conn, message.sequence_num)
        if missing is None:
            self.counts.duplicates += 1
            return None
        if not missing:
            return []
        self.counts.gaps += 1
        broken: list[object] = []
        for name in self._books.drop(conn):
            broken.append(DataGap(local_ns, name, "depth", missing[0], missing[-1]))
            broken.append(BookInvalidated(local_ns, name, "messages lost"))
        return broken

    def _on_depth(self, message: wire.Depth, local_ns: int, conn: str | None) -> Sequence[object]:
        times = [_changed_ns(event, message) for event in message.events]
        out = self._follow(message, local_ns, conn)
        if out is None:
            return ()
        number = message.sequence_num
        for event, venue_ns in zip(message.events, times, strict=True):
            name = self._instruments.name(event.product_id, local_ns, out)
            bids: Levels = []
            asks: Levels = []
            for level in event.updates:
                (bids if level.side == "bid" else asks).append((level.price_level, level.new_quantity))
            if event.type == "update":
                self._update(BookUpdate(name, bids, asks, number, venue_ns, local_ns), conn, out)
            else:
                self._snapshot(BookSnapshot(name, bids, asks, number, venue_ns, local_ns), conn, out)
        return out

    def _on_trades(self, message: wire.Trades, local_ns: int, conn: str | None) -> Sequence[object]:
        times = [[nanoseconds(trade.time) for trade in event.trades] for event in message.events]
        out = self._follow(message, local_ns, conn)
        if out is None:
            return ()
        for event, event_times in zip(message.events, times, strict=True):
            # They come newest first, one product an event; by id is oldest first whichever way they come.
            in_order = sorted(zip(event.trades, event_times, strict=True), key=_trade_id)
            for trade, venue_ns in in_order:
                if event.type == "update":
                    self._trade(trade, venue_ns, local_ns, out)
            if event.type == "snapshot":
                for symbol, number in {trade.product_id: trade.trade_id for trade, _ in in_order}.items():
                    self._traded_before(symbol, number, local_ns, out)
        return out

    def _on_summaries(self, message: wire.Summaries, local_ns: int, conn: str | None) -> Sequence[object]:
        venue_ns = nanoseconds(message.timestamp)
        out = self._follow(message, local_ns, conn)
        if out is None:
            return ()
        for event in message.events:
            for item in event.tickers:
                name = self._instruments.name(item.product_id, local_ns, out)
                bid, ask = item.best_bid or 0.0, item.best_ask or 0.0
                self.counts.tickers += 1
                out.append(Ticker(name, item.price, item.volume_24_h, bid, ask, venue_ns, local_ns))
                if bid and ask and item.best_bid_quantity and item.best_ask_quantity:
                    self.counts.quotes += 1
                    sizes = item.best_bid_quantity, item.best_ask_quantity
                    out.append(Quote(name, bid, sizes[0], ask, sizes[1], message.sequence_num, venue_ns, local_ns))
        return out

    def _on_candles(self, message: wire.Candles, local_ns: int, conn: str | None) -> Sequence[object]:
        """No bucket is ever called closed: it is when a later one begins, and what was last said of it stands."""
        venue_ns = nanoseconds(message.timestamp)
        out = self._follow(message, local_ns, conn)
        if out is None:
            return ()
        touched: dict[str, None] = {}
        for candle in sorted((c for event in message.events for c in event.candles), key=_start):
            symbol = candle.product_id
            forming = self._forming.get(symbol, candle)
            if candle.start < forming.start:
                self.counts.late += 1
                continue
            if candle.start > forming.start:
                self._kline(forming, True, venue_ns, local_ns, out)
            self._forming[symbol] = candle
            touched[symbol] = None
        for symbol in touched:
            self._kline(self._forming[symbol], False, venue_ns, local_ns, out)
        return out

    def _kline(self, candle: wire.Candle, closed: bool, venue_ns: int, local_ns: int, out: list[object]) -> None:
        self.counts.klines += 1
        start_ns = candle.start * 1_000_000_000
        out.append(
            Kline(
                instrument=self._instruments.name(candle.product_id, local_ns, out),
                interval_ns=CANDLE_NS,
                start_ns=start_ns,
                end_ns=start_ns + CANDLE_NS,
                open=candle.open,
                high=candle.high,
                low=candle.low,
                close=candle.close,
                volume=candle.volume,
                trades=0,
                closed=closed,
                venue_ns=venue_ns,
                local_ns=local_ns,
            )
        )

    def _on_quiet(self, message: wire.QuietNumbered, local_ns: int, conn: str | None) -> Sequence[object]:
        out = self._follow(message, local_ns, conn)
        if out is None:
            return ()
        self.counts.ignored += 1
        return out


class CoinbaseExchangeProtocol(_CoinbaseProtocol):
    """Exchange: one flat message a frame, named by its type, unnumbered where it concerns the book."""

    def __init__(self, venue: str, known: KnownInstruments) -> None:
        super().__init__(venue, known, wire.EXCHANGE, read_exchange)
        self._handlers = {
            wire.Update: self._on_update,
            wire.Snapshot: self._on_snapshot,
            wire.Match: self._on_match,
            wire.LastMatch: self._on_last_match,
            wire.Ticker: self._on_ticker,
            wire.Quiet: self._on_quiet,
        }

    def _on_update(self, message: wire.Update, local_ns: int, conn: str | None) -> Sequence[object]:
        venue_ns = nanoseconds(message.time)
        out: list[object] = []
        name = self._instruments.name(message.product_id, local_ns, out)
        bids: Levels = []
        asks: Levels = []
        for side, price, size in message.changes:
            (bids if side == "buy" else asks).append((price, size))
        self._update(BookUpdate(name, bids, asks, 0, venue_ns, local_ns), conn, out)
        return out

    def _on_snapshot(self, message: wire.Snapshot, local_ns: int, conn: str | None) -> Sequence[object]:
        venue_ns = _optional_ns(message.time)
        out: list[object] = []
        name = self._instruments.name(message.product_id, local_ns, out)
        self._snapshot(BookSnapshot(name, message.bids, message.asks, 0, venue_ns, local_ns), conn, out)
        return out

    def _on_match(self, message: wire.Match, local_ns: int, conn: str | None) -> Sequence[object]:
        venue_ns = nanoseconds(message.time)
        out: list[object] = []
        self._trade(message, venue_ns, local_ns, out)
        return out

    def _on_last_match(self, message: wire.LastMatch, local_ns: int, conn: str | None) -> Sequence[object]:
        out: list[object] = []
        self._traded_before(message.product_id, message.trade_id, local_ns, out)
        return out

    def _on_ticker(self, message: wire.Ticker, local_ns: int, conn: str | None) -> Sequence[object]:
        venue_ns = _optional_ns(message.time)
        out: list[object] = []
        name = self._instruments.name(message.product_id, local_ns, out)
        bid, ask = message.best_bid or 0.0, message.best_ask or 0.0
        self.counts.tickers += 1
        out.append(Ticker(name, message.price, message.volume_24h, bid, ask, venue_ns, local_ns))
        if bid and ask and message.best_bid_size and message.best_ask_size:  # sizes since 2022
            self.counts.quotes += 1
            sizes = message.best_bid_size, message.best_ask_size
            out.append(Quote(name, bid, sizes[0], ask, sizes[1], message.sequence, venue_ns, local_ns))
        return out

    def _on_quiet(self, message: wire.Quiet, local_ns: int, conn: str | None) -> Sequence[object]:
        self.counts.ignored += 1
        return ()


def _changed_ns(event: wire.DepthEvent, message: wire.Depth) -> int:
    """When the book changed; when the message was sent, where the venue does not say."""
    changed_ns = nanoseconds(event.updates[-1].event_time) if event.updates else 0
    return changed_ns or nanoseconds(message.timestamp)


def _optional_ns(text: str | None) -> int:
    return nanoseconds(text) if text else 0


def _trade_id(pair: tuple[wire.PublicTrade, int]) -> int:
    return pair[0].trade_id


def _start(candle: wire.Candle) -> int:
    return candle.start
