"""What is known of a market right now, and which source speaks when several could."""

from __future__ import annotations

import pytest

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
from bus.market import Market
from bus.values import Instrument, Side

BTC = Instrument("v:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT")
NAME = BTC.name


def trade(price: float, ns: int = 1) -> Trade:
    return Trade(NAME, price, 1.0, Side.BUY, 1, ns, ns)


def quote(bid: float, ask: float, ns: int = 1) -> Quote:
    return Quote(NAME, bid, 1.0, ask, 1.0, 1, ns, ns)


def bar(close: float, *, closed: bool = True, ns: int = 1) -> Bar:
    return Bar(NAME, 60, 0, 60, close, close, close, close, 1.0, 1, closed, False, ns)


def snapshot(bid: float, ask: float, ns: int = 1) -> BookSnapshot:
    return BookSnapshot(NAME, [(bid, 1.0)], [(ask, 1.0)], 1, ns, ns)


def update(bid: float, ask: float, ns: int = 2) -> BookUpdate:
    return BookUpdate(NAME, [(bid, 1.0)], [(ask, 1.0)], 2, ns, ns)


def mark(price: float) -> MarkPrice:
    return MarkPrice(NAME, price, price, 0.0, 0, 1, 1)


def market_after(*events: object) -> Market:
    def failed(_handler: object, _event: object, error: Exception) -> None:
        raise error

    bus, market = Bus(failed), Market([BTC])
    market.attach(bus)
    for event in events:
        bus.publish(event)
    return market


INVALID = BookInvalidated(1, NAME, "gap")


@pytest.mark.parametrize(
    ("story", "events", "mid", "last", "mark_price"),
    [
        ("nothing is known", [], 0.0, 0.0, 0.0),
        ("a quote alone", [quote(99, 101)], 100.0, 100.0, 100.0),
        ("a bar alone", [bar(90)], 90.0, 90.0, 90.0),
        ("a forming bar is no price", [bar(90, closed=False)], 0.0, 0.0, 0.0),
        ("a trade before a bar", [bar(90), trade(95)], 95.0, 95.0, 95.0),
        ("a trade, however old, before a bar", [trade(95, 1), bar(90, ns=9)], 95.0, 95.0, 95.0),
        ("the quote's middle before the last trade", [trade(95), quote(99, 101)], 100.0, 95.0, 95.0),
        ("the book's middle before the quote's", [quote(99, 101), snapshot(103, 105)], 104.0, 100.0, 100.0),
        ("the book after an update", [snapshot(103, 105), update(104, 105)], 104.5, 0.0, 0.0),
        ("the venue's mark values, it is no market", [trade(95), mark(97)], 95.0, 95.0, 97.0),
        (
            "an invalid book has no middle, and nothing replaces it",
            [trade(95), quote(99, 101), snapshot(103, 105), INVALID],
            0.0,
            95.0,
            95.0,
        ),
        ("a book that never became whole is a book too", [trade(95), quote(99, 101), INVALID], 0.0, 95.0, 95.0),
        ("a crossed book has no middle either", [quote(99, 101), snapshot(105, 103)], 0.0, 100.0, 100.0),
        ("a new snapshot heals it", [snapshot(103, 105), INVALID, snapshot(106, 108)], 107.0, 0.0, 0.0),
    ],
)
def test_which_price_speaks(story: str, events: list[object], mid: float, last: float, mark_price: float) -> None:
    market = market_after(*events)

    assert (market.mid(NAME), market.last(NAME), market.mark(NAME)) == (mid, last, mark_price)


def test_a_market_was_heard_when_its_latest_word_came() -> None:
    assert market_after().heard_ns(NAME) == 0
    assert market_after(trade(1, ns=5), quote(1, 2, ns=9), bar(1, ns=7)).heard_ns(NAME) == 9
    assert market_after(quote(1, 2, ns=9), snapshot(1, 2, ns=8), update(1, 2, ns=11)).heard_ns(NAME) == 11


def test_a_venue_mark_is_no_sign_of_a_live_market() -> None:
    assert market_after(mark(100)).heard_ns(NAME) == 0


def test_other_news_is_kept_by_name() -> None:
    listed = Instrument("v:ETH/USDT", "ETHUSDT", "ETH", "USDT", "USDT")
    ticker = Ticker(NAME, 1.0, 2.0, 0.0, 0.0, 1, 1)
    kline = Kline(NAME, 60, 0, 60, 1.0, 1.0, 1.0, 1.0, 1.0, 1, False, 1, 1)

    market = market_after(InstrumentListed(1, listed), ticker, kline)

    assert market.instruments == {NAME: BTC, listed.name: listed}
    assert (market.tickers[NAME], market.klines[NAME]) == (ticker, kline)


def test_the_book_says_when_and_at_which_update_it_is() -> None:
    book = market_after(snapshot(1, 2, ns=5), update(1, 2, ns=7)).books[NAME]

    assert (book.id, book.venue_ns, book.local_ns) == (2, 7, 7)
