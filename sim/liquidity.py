"""What the public market offers in one instrument, less what we have already taken of it.

Our fills do not change the recorded market, so what they took is remembered here, level by level, until the feed next
speaks of that level: displayed size is consumed once. Levels come as floats and leave as ``Decimal``.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from bus import money
from bus.book import Book
from bus.events import BookUpdate, Quote
from bus.market import Market
from bus.values import ZERO, MatchSource, Side
from sim.members import BAR, BOOK, BUY, QUOTE, SELL, TRADE

Level = tuple[Decimal, Decimal]
Taken = dict[float, tuple[float, Decimal]]
"""Price to (the size displayed when we took, how much we took)."""

_LADDER = 16


class Offers:
    """One instrument's offers. ``side`` is always the side of the order that takes, unless a name says otherwise."""

    __slots__ = ("_market", "_name", "_taken_by_buys", "_taken_by_sells")

    def __init__(self, name: str, market: Market) -> None:
        self._name = name
        self._market = market
        self._taken_by_buys: Taken = {}
        self._taken_by_sells: Taken = {}

    def source(self) -> MatchSource | None:
        """What orders are matched against: the first of book, quote, trade, bar that has been heard.

        A book, once there, is never replaced by another source, however long it stays invalid.
        """
        name, market = self._name, self._market
        if name in market.books:
            return BOOK
        if name in market.quotes:
            return QUOTE
        if name in market.trades:
            return TRADE
        if name in market.bars:
            return BAR
        return None

    def frozen(self) -> bool:
        """Whether a book is used that cannot be believed: then nothing fills and nothing triggers."""
        book = self._market.books.get(self._name)
        return book is not None and not book.usable

    def has_trades(self) -> bool:
        return self._name in self._market.trades

    def reference(self) -> float:
        """What stops watch and filters measure by: the last trade, else the middle, else the last close, else 0.0."""
        trade = self._market.trades.get(self._name)
        return trade.price if trade is not None else self._market.mid(self._name)

    def bar_open(self) -> float:
        return self._market.bars[self._name].open

    def touch(self, side: Side) -> float | None:
        """The best price on offer to ``side``, taken already or not; the last price where nothing is displayed."""
        market, name = self._market, self._name
        book = market.books.get(name)
        if book is not None:
            return (book.best_ask if side is BUY else book.best_bid) if book.usable else None
        quote = market.quotes.get(name)
        if quote is not None:
            return quote.ask if side is BUY else quote.bid
        return market.last(name) or None

    def offers(self, side: Side) -> Iterator[Level]:
        """(price, size still there), best first: all levels of a usable book, or the touch of a quote."""
        market, name = self._market, self._name
        taken = self._taken_by_buys if side is BUY else self._taken_by_sells
        book = market.books.get(name)
        if book is None:
            quote = market.quotes.get(name)
            levels = iter(()) if quote is None else iter((_touch_of(quote, side),))
        else:
            levels = _ladder(book, side) if book.usable else iter(())
        for price, size in levels:
            if price > 0 and size > 0:
                left = money.from_float(size)
                if taken and (before := taken.get(price)) is not None and before[0] == size:
                    left -= before[1]
                yield money.from_float(price), left

    def take(self, side: Side, price: Decimal, size: Decimal) -> None:
        """Remember that ``side`` took ``size`` of what is displayed at ``price``."""
        market, name = self._market, self._name
        taken = self._taken_by_buys if side is BUY else self._taken_by_sells
        key = money.to_float(price)
        book = market.books.get(name)
        if book is not None:
            displayed = (book.asks if side is BUY else book.bids)[key]
        else:
            displayed = _touch_of(market.quotes[name], side)[1]
            if key not in taken:
                taken.clear()  # a quote shows one price; what we took at another is history
        before = taken.get(key)
        taken[key] = (displayed, before[1] + size if before is not None and before[0] == displayed else size)

    def displayed(self, side: Side, price: float) -> float | None:
        """The public size at ``price`` on the *same* side as an order of ``side``; None where nobody can know."""
        market, name = self._market, self._name
        book = market.books.get(name)
        if book is not None:
            if not book.usable:
                return None
            return (book.bids if side is BUY else book.asks).get(price, 0.0)
        quote = market.quotes.get(name)
        if quote is None:
            return None
        best, size = (quote.bid, quote.bid_size) if side is BUY else (quote.ask, quote.ask_size)
        if price == best:
            return size
        better = price > best if side is BUY else price < best
        return 0.0 if better else None

    def displayed_ns(self) -> int:
        """When, by the venue's clock, the display was as it is; 0 where it does not say."""
        shown = self._market.books.get(self._name) or self._market.quotes.get(self._name)
        return shown.venue_ns if shown is not None else 0

    def taken_at(self, side: Side, price: float) -> Decimal:
        """What we took, by orders *opposite* to ``side``, of the level an order of ``side`` would rest at."""
        taken = self._taken_by_sells if side is BUY else self._taken_by_buys
        before = taken.get(price)
        return before[1] if before is not None else ZERO

    def taken_levels(self) -> int:
        """Levels of a book we must hear about, to know when they are new again."""
        if self._name not in self._market.books:
            return 0
        return len(self._taken_by_buys) + len(self._taken_by_sells)

    def state(self) -> tuple[Taken, Taken]:
        return self._taken_by_buys, self._taken_by_sells

    def restore(self, by_buys: Taken, by_sells: Taken) -> None:
        self._taken_by_buys, self._taken_by_sells = by_buys, by_sells

    def changed(self, event: BookUpdate) -> None:
        """The feed spoke of these levels: what they show now is all there."""
        if self._taken_by_sells:
            for price, _ in event.bids:
                self._taken_by_sells.pop(price, None)
        if self._taken_by_buys:
            for price, _ in event.asks:
                self._taken_by_buys.pop(price, None)

    def renewed(self) -> None:
        """A snapshot: everything it shows is there."""
        self._taken_by_buys.clear()
        self._taken_by_sells.clear()


def _touch_of(quote: Quote, side: Side) -> tuple[float, float]:
    return (quote.ask, quote.ask_size) if side is BUY else (quote.bid, quote.bid_size)


def _ladder(book: Book, side: Side) -> Iterator[tuple[float, float]]:
    """Levels best first. Most orders end at the touch, few leave the first rungs: sort no more than is asked for."""
    levels = book.asks if side is BUY else book.bids
    best = book.best_ask if side is BUY else book.best_bid
    yield best, levels[best]
    rungs = book.ladder_asks(_LADDER) if side is BUY else book.ladder_bids(_LADDER)
    yield from rungs[1:]
    if len(levels) > _LADDER:
        yield from sorted(levels.items(), reverse=side is SELL)[_LADDER:]
