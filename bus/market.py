"""What is known of every market right now: the last trade, quote, bar and mark, the book, and when we last heard.

First to hear every market event, so that whoever hears it next reads a state that includes it and nothing later.
Everyone below reads it; nobody else writes it, save for ``stale``, which is the word of ``feeds/freshness.py``.
"""

from __future__ import annotations

from typing import Any

from bus.book import Book
from bus.bus import Bus
from bus.events import (
    Bar,
    BookInvalidated,
    BookSnapshot,
    BookUpdate,
    InstrumentListed,
    Kline,
    MarkPrice,
    Quote,
    Ticker,
    Trade,
)
from bus.resume import BookState, MarketResumed
from bus.values import Instrument


def middle(quote: Quote) -> float:
    """0.0 where it has but one side, or the sides cross."""
    return (quote.bid + quote.ask) / 2 if 0.0 < quote.bid < quote.ask else 0.0


class Market:
    """The present, by instrument name."""

    def __init__(self, instruments: list[Instrument]) -> None:
        self.instruments: dict[str, Instrument] = {i.name: i for i in instruments}
        self.trades: dict[str, Trade] = {}
        self.quotes: dict[str, Quote] = {}
        self.bars: dict[str, Bar] = {}
        self.marks: dict[str, MarkPrice] = {}
        self.tickers: dict[str, Ticker] = {}
        self.klines: dict[str, Kline] = {}
        self.books: dict[str, Book] = {}
        self.stale: dict[str, str] = {}  # why an instrument's data may not be traded on; live feeds only

    def attach(self, bus: Bus) -> None:
        bus.subscribe(InstrumentListed, self.on_listed)
        bus.subscribe(Trade, self.on_trade)
        bus.subscribe(Quote, self.on_quote)
        bus.subscribe(BookSnapshot, self.on_snapshot)
        bus.subscribe(BookUpdate, self.on_update)
        bus.subscribe(BookInvalidated, self.on_invalidated)
        bus.subscribe(Bar, self.on_bar)
        bus.subscribe(Kline, self.on_kline)
        bus.subscribe(MarkPrice, self.on_mark)
        bus.subscribe(Ticker, self.on_ticker)
        bus.subscribe(MarketResumed, self.on_resumed)

    def untradeable(self) -> dict[str, str]:
        """Why, of each instrument on which nothing may be done right now because of its data."""
        broken = {name: "its book cannot be used" for name, book in self.books.items() if not book.usable}
        return broken | self.stale

    def mid(self, instrument: str) -> float:
        """The middle of the book where there is one, else of the last quote, else the last price.

        0.0 where nothing is known, or what there is cannot be used: an invalid book, a one-sided or crossed quote.
        """
        book = self.books.get(instrument)
        if book is not None:
            return book.mid if book.usable else 0.0
        quote = self.quotes.get(instrument)
        return middle(quote) if quote is not None else self.last(instrument)

    def last(self, instrument: str) -> float:
        """The last traded price, else the last bar's close, else the middle of the last quote; 0.0 for none."""
        trade = self.trades.get(instrument)
        if trade is not None:
            return trade.price
        bar = self.bars.get(instrument)
        if bar is not None:
            return bar.close
        quote = self.quotes.get(instrument)
        return middle(quote) if quote is not None else 0.0

    def mark(self, instrument: str) -> float:
        """What a position is valued at: the venue's mark price where it sends one, else the last price."""
        mark = self.marks.get(instrument)
        return mark.mark if mark is not None else self.last(instrument)

    def heard_ns(self, instrument: str) -> int:
        """When we last accepted anything about the instrument's market; 0 for never."""
        heard = 0
        if (trade := self.trades.get(instrument)) is not None:
            heard = trade.local_ns
        if (quote := self.quotes.get(instrument)) is not None and quote.local_ns > heard:
            heard = quote.local_ns
        if (book := self.books.get(instrument)) is not None and book.local_ns > heard:
            heard = book.local_ns
        if (bar := self.bars.get(instrument)) is not None and bar.local_ns > heard:
            heard = bar.local_ns
        return heard

    def on_listed(self, event: InstrumentListed) -> None:
        self.instruments[event.instrument.name] = event.instrument

    def on_trade(self, trade: Trade) -> None:
        self.trades[trade.instrument] = trade

    def on_quote(self, quote: Quote) -> None:
        self.quotes[quote.instrument] = quote

    def on_snapshot(self, event: BookSnapshot) -> None:
        book = self.books.get(event.instrument)
        if book is None:
            book = self.books[event.instrument] = Book()
        book.reset(event.bids, event.asks)
        book.id, book.venue_ns, book.local_ns = event.id, event.venue_ns, event.local_ns

    def on_update(self, event: BookUpdate) -> None:
        book = self.books[event.instrument]
        book.apply(event.bids, event.asks)
        book.id, book.venue_ns, book.local_ns = event.id, event.venue_ns, event.local_ns

    def on_invalidated(self, event: BookInvalidated) -> None:
        book = self.books.get(event.instrument)
        if book is None:  # a book that was subscribed and never became whole is a book too: nothing may replace it
            book = self.books[event.instrument] = Book()
        book.invalidate()

    def on_bar(self, bar: Bar) -> None:
        if bar.closed:
            self.bars[bar.instrument] = bar

    def on_kline(self, kline: Kline) -> None:
        self.klines[kline.instrument] = kline

    def on_mark(self, mark: MarkPrice) -> None:
        self.marks[mark.instrument] = mark

    def on_ticker(self, ticker: Ticker) -> None:
        self.tickers[ticker.instrument] = ticker

    def state(self, venue: str) -> dict[str, list[Any]]:
        """All that is known of a venue's instruments, by the fields of ``MarketState``."""
        kept: dict[str, list[Any]] = {
            name: [event for instrument, event in events.items() if instrument.startswith(f"{venue}:")]
            for name, events in self._events().items()
        }
        kept["books"] = [
            BookState(name, b.valid, b.id, b.venue_ns, b.local_ns, [*b.bids.items()], [*b.asks.items()])
            for name, b in self.books.items()
            if name.startswith(f"{venue}:")
        ]
        return kept

    def on_resumed(self, event: MarketResumed) -> None:
        for name, known in self._events().items():
            known.update((one.instrument, one) for one in getattr(event.market, name))
        for state in event.market.books:
            book = self.books[state.instrument] = Book()
            book.reset(state.bids, state.asks)
            book.valid = state.valid
            book.id, book.venue_ns, book.local_ns = state.id, state.venue_ns, state.local_ns

    def _events(self) -> dict[str, dict[str, Any]]:
        return {
            "trades": self.trades,
            "quotes": self.quotes,
            "bars": self.bars,
            "marks": self.marks,
            "tickers": self.tickers,
            "klines": self.klines,
        }
