"""What our own protocols make of the sandbox's frames, and the book that follows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bus.book import Book
from bus.events import BookInvalidated, BookSnapshot, BookUpdate
from feeds.binance.protocol import BinanceProtocol
from feeds.coinbase.protocol import CoinbaseAdvancedProtocol


class Reader:
    """Reads one venue. A frame that cannot be read raises Unparsed, and the test fails."""

    def __init__(self, venue: str) -> None:
        protocol = CoinbaseAdvancedProtocol if venue == "coinbase" else BinanceProtocol
        self.protocol = protocol(venue, lambda _venue, _symbol: None)
        self.books: dict[str, Book] = {}
        self.events: list[object] = []
        self.frames = 0

    @property
    def book(self) -> Book:
        (book,) = self.books.values()
        return book

    def hear(self, raws: Iterable[str], url: str = "") -> None:
        for raw in raws:
            self.frames += not url
            events = self.protocol.reply(url, raw, 1) if url else self.protocol.receive(raw, 1, "c")
            for event in events:
                self.events.append(event)
                if isinstance(event, BookSnapshot):
                    self.books.setdefault(event.instrument, Book()).reset(event.bids, event.asks)
                elif isinstance(event, BookUpdate):
                    self.books[event.instrument].apply(event.bids, event.asks)
                elif isinstance(event, BookInvalidated) and event.instrument in self.books:
                    self.books[event.instrument].invalidate()

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]
