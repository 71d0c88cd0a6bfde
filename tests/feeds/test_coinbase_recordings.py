"""What two real sessions with Coinbase look like through the protocols."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

from bus import inputs
from bus.book import Book
from bus.events import BookSnapshot, BookUpdate, DataGap, InstrumentListed, Kline, Trade
from bus.inputs import Input
from feeds.coinbase.protocol import CoinbaseAdvancedProtocol, CoinbaseExchangeProtocol
from feeds.frames import Recording
from feeds.port import VenueProtocol
from tests.feeds.coinbase_frames import counted

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def advanced(recordings: Path) -> list[Input]:
    return read(recordings / "wss/coinbase_advanced/btcusd_ethusd_20260809_part1.jsonl.zst")


@pytest.fixture(scope="module")
def exchange(recordings: Path) -> list[Input]:
    return read(recordings / "wss/coinbase_exchange/multi_20210417_part1.jsonl.zst")


def read(path: Path) -> list[Input]:
    return [item for batch in Recording(path).batches() for item in batch]


def advanced_protocol() -> CoinbaseAdvancedProtocol:
    return CoinbaseAdvancedProtocol("coinbase", lambda venue, symbol: None)


def exchange_protocol() -> CoinbaseExchangeProtocol:
    return CoinbaseExchangeProtocol("coinbaseexchange", lambda venue, symbol: None)


def hear(venue: VenueProtocol, item: Input) -> list[Any]:
    ns = item.ts or 0
    match item.kind:
        case None:
            return list(venue.receive(item.raw, ns, item.conn))
        case inputs.HTTP:
            return list(venue.reply(item.url or "", item.raw, ns))
        case inputs.CONNECT:
            return list(venue.opened(item.conn, ns))
    return []


def hear_all(venue: VenueProtocol, items: list[Input]) -> list[Any]:
    return [event for item in items for event in hear(venue, item)]


def kinds(events: list[Any]) -> dict[str, int]:
    return dict(Counter(type(event).__name__ for event in events))


def books_that_crossed(events: list[Any]) -> list[Any]:
    books: dict[str, Book] = {}
    crossed: list[Any] = []
    for event in events:
        if isinstance(event, BookSnapshot):
            books.setdefault(event.instrument, Book()).reset(event.bids, event.asks)
        elif isinstance(event, BookUpdate):
            books[event.instrument].apply(event.bids, event.asks)
        else:
            continue
        if not books[event.instrument].usable:
            crossed.append(event)
    return crossed


def out_of_order(events: list[Any]) -> list[Trade]:
    last: dict[str, Trade] = {}
    wrong: list[Trade] = []
    for event in events:
        if isinstance(event, Trade):
            before = last.get(event.instrument)
            if before is not None and (event.id != before.id + 1 or event.venue_ns < before.venue_ns):
                wrong.append(event)
            last[event.instrument] = event
    return wrong


def test_every_advanced_frame_is_read(advanced):
    venue = advanced_protocol()

    events = hear_all(venue, advanced)

    assert kinds(events) == {
        "InstrumentListed": 2,
        "BookSnapshot": 2,
        "BookRestored": 2,
        "BookUpdate": 450,
        "Trade": 57,
        "Ticker": 101,
        "Quote": 101,
        "Kline": 202,
    }
    assert counted(venue.counts) == {
        "depth_updates": 450,
        "trades": 57,
        "tickers": 101,
        "quotes": 101,
        "klines": 202,
        "ignored": 19,  # 14 heartbeats, 5 subscription lists
    }


def test_every_exchange_frame_is_read(exchange):
    venue = exchange_protocol()

    events = hear_all(venue, exchange)

    assert kinds(events) == {
        "InstrumentListed": 10,
        "BookSnapshot": 10,
        "BookRestored": 10,
        "BookUpdate": 6851,
        "Trade": 39,
        "Ticker": 49,
    }
    assert counted(venue.counts) == {"depth_updates": 6851, "trades": 39, "tickers": 49, "ignored": 3}


def test_the_advanced_books_never_cross(advanced):
    assert books_that_crossed(hear_all(advanced_protocol(), advanced)) == []


def test_the_exchange_books_never_cross(exchange):
    assert books_that_crossed(hear_all(exchange_protocol(), exchange)) == []


def test_trades_come_in_time_order_with_ids_that_rise_by_one(advanced, exchange):
    assert out_of_order(hear_all(advanced_protocol(), advanced)) == []
    assert out_of_order(hear_all(exchange_protocol(), exchange)) == []


def test_takers_buy_at_the_ask_and_sell_at_the_bid(advanced, exchange):
    for venue, items, expected in (
        (advanced_protocol(), advanced, {"at the touch": 50, "inside": 6}),
        (exchange_protocol(), exchange, {"at the touch": 32, "inside": 7}),
    ):
        assert touches(hear_all(venue, items)) == expected


def touches(events: list[Any]) -> dict[str, int]:
    """Trades by where they printed in the book at hand; a taker on the wrong side would be 'wrong'."""
    books: dict[str, Book] = {}
    found: Counter[str] = Counter()
    for event in events:
        if isinstance(event, BookSnapshot):
            books.setdefault(event.instrument, Book()).reset(event.bids, event.asks)
        elif isinstance(event, BookUpdate):
            books[event.instrument].apply(event.bids, event.asks)
        elif isinstance(event, Trade) and event.instrument in books:
            book = books[event.instrument]
            if book.best_bid < event.price < book.best_ask:
                found["inside"] += 1
            else:
                at_ask = event.price >= book.best_ask
                found["at the touch" if at_ask == (event.taker.value == "buy") else "wrong"] += 1
    return dict(found)


def test_each_listing_comes_just_before_the_first_event_of_its_instrument(advanced, exchange):
    for venue, items in ((advanced_protocol(), advanced), (exchange_protocol(), exchange)):
        events = hear_all(venue, items)
        heard: set[str] = set()
        for event, following in pairwise(events):
            if isinstance(event, InstrumentListed):
                assert event.instrument.name not in heard
                assert getattr(following, "instrument", None) == event.instrument.name
            else:
                heard.add(event.instrument)


def test_the_candle_history_is_closed_and_one_candle_forms(advanced):
    klines = [event for event in hear_all(advanced_protocol(), advanced) if isinstance(event, Kline)]

    by_product = {
        name: [k for k in klines if k.instrument == name] for name in ("coinbase:BTC/USD", "coinbase:ETH/USD")
    }
    for bars in by_product.values():
        assert [bar.closed for bar in bars] == [True] * 99 + [False] * 2
        assert len({bar.start_ns for bar in bars}) == 100


def test_losing_any_one_depth_frame_is_one_gap_and_only_a_later_snapshot_makes_a_book_valid(advanced):
    frames = [shortened(item) for item in advanced if item.kind is None]
    depth = [at for at, item in enumerate(frames[:-1]) if item.raw.startswith('{"channel":"l2_data"')]
    assert len(depth) == 451  # the 452nd is the last frame of all: nothing comes after to show that it is missing

    for at in depth:
        venue = advanced_protocol()
        before = hear_all(venue, frames[:at])
        after = hear_all(venue, frames[at + 1 :])

        begun = {event.instrument for event in before if isinstance(event, BookSnapshot)}
        begun_since = {event.instrument for event in after if isinstance(event, BookSnapshot)}
        gaps = [event for event in after if isinstance(event, DataGap)]
        assert venue.counts.gaps == 1
        assert {event.instrument for event in gaps} == begun
        assert {event.instrument for event in after if isinstance(event, BookUpdate)} <= begun_since


def shortened(item: Input) -> Input:
    """The frame, with a full-depth snapshot cut to its best level: what is tried here is the numbers."""
    if len(item.raw) < 1_000_000:
        return item
    frame = orjson.loads(item.raw)
    del frame["events"][0]["updates"][1:]
    return msgspec.structs.replace(item, raw=orjson.dumps(frame).decode())
