"""Coinbase Advanced Trade: a book is whole, or it is broken and says so."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.book import Book
from bus.events import BookInvalidated, BookRestored, BookSnapshot, BookUpdate, DataGap
from tests.feeds.coinbase_frames import CONN, SNAPSHOT, STAMP_NS, advanced, beat, candles, counted, depth, hear, trades


def test_a_snapshot_and_its_updates_become_book_events():
    venue = advanced()

    events = hear(venue, SNAPSHOT, depth(1, "update", "AAA-USD", {"10": "0"}, {"10.5": "3"}))

    changed_ns = STAMP_NS - 1_000_000_007
    assert events == [
        BookSnapshot("coinbase:AAA/USD", [(10.0, 1.0)], [(11.0, 2.0)], 0, changed_ns, 5),
        BookRestored(5, "coinbase:AAA/USD", 0),
        BookUpdate("coinbase:AAA/USD", [(10.0, 0.0)], [(10.5, 3.0)], 1, changed_ns, 5),
    ]
    assert counted(venue.counts) == {"depth_updates": 1}


@pytest.mark.parametrize("event_time", ["1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_change_without_a_time_of_its_own_has_the_messages(event_time):
    venue = advanced()

    event, _ = hear(venue, SNAPSHOT.replace("2026-01-02T03:04:04Z", event_time))

    assert isinstance(event, BookSnapshot)
    assert event.venue_ns == STAMP_NS


@pytest.mark.parametrize(
    "next_frame", [depth(3, "update", "AAA-USD", {"9": "1"}, {}), beat(3), trades(3, "update", [])]
)
def test_a_jump_in_numbers_breaks_every_book_of_the_connection(next_frame):
    venue = advanced()
    hear(venue, SNAPSHOT, depth(1, "snapshot", "BBB-USD", {"5": "1"}, {"6": "1"}))
    hear(venue, depth(0, "snapshot", "CCC-USD", {"5": "1"}, {"6": "1"}), conn="ws.2")

    events = hear(venue, next_frame)

    assert events == [
        DataGap(5, "coinbase:AAA/USD", "depth", 2, 2),
        BookInvalidated(5, "coinbase:AAA/USD", "messages lost"),
        DataGap(5, "coinbase:BBB/USD", "depth", 2, 2),
        BookInvalidated(5, "coinbase:BBB/USD", "messages lost"),
    ]
    assert venue.counts.gaps == 1


def test_a_broken_book_is_quiet_until_its_next_snapshot():
    venue = advanced()
    hear(venue, SNAPSHOT, beat(2))

    quiet = hear(venue, depth(3, "update", "AAA-USD", {"9": "1"}, {}))
    events = hear(venue, depth(4, "snapshot", "AAA-USD", {"9": "1"}, {"10": "1"}))

    assert quiet == []
    assert [type(event) for event in events] == [BookSnapshot, BookRestored]
    assert venue.counts.gaps == 1


def test_a_frame_heard_before_is_counted_and_ignored():
    venue = advanced()
    hear(venue, SNAPSHOT, beat(1))

    events = hear(venue, SNAPSHOT, beat(1), trades(0, "update", [7]), candles(1, (300, "9")))

    assert events == []
    assert counted(venue.counts) == {"ignored": 1, "duplicates": 4}


def test_a_new_snapshot_of_a_whole_book_restores_nothing():
    venue = advanced()

    events = hear(venue, SNAPSHOT, depth(1, "snapshot", "AAA-USD", {"9": "1"}, {}))

    assert [type(event) for event in events] == [BookSnapshot, BookRestored, BookSnapshot]


def test_an_update_without_a_snapshot_says_once_that_there_is_no_book():
    venue = advanced()

    events = hear(venue, depth(0, "update", "AAA-USD", {"9": "1"}, {}), depth(1, "update", "AAA-USD", {"9": "2"}, {}))

    assert events == [BookInvalidated(5, "coinbase:AAA/USD", "no snapshot")]


def test_only_the_connection_that_sent_the_snapshot_keeps_the_book():
    venue = advanced()
    hear(venue, SNAPSHOT, conn="ws.1")
    hear(venue, SNAPSHOT, conn="ws.2")

    late = hear(venue, depth(1, "update", "AAA-USD", {"9": "1"}, {}), conn="ws.1")
    events = hear(venue, depth(1, "update", "AAA-USD", {"9": "1"}, {}), conn="ws.2")

    assert late == []
    assert [type(event) for event in events] == [BookUpdate]
    assert venue.lost("ws.1", 6) == []


def test_a_lost_connection_breaks_its_books_and_the_next_one_counts_afresh():
    venue = advanced()
    hear(venue, SNAPSHOT, beat(1))

    lost = venue.lost(CONN, 6)
    opened = venue.opened(CONN, 7)
    events = hear(venue, SNAPSHOT)

    assert lost == [BookInvalidated(6, "coinbase:AAA/USD", "connection lost")]
    assert opened == []
    assert [type(event) for event in events] == [BookSnapshot, BookRestored]
    assert counted(venue.counts) == {"ignored": 1}


def test_a_connection_reopened_without_a_word_breaks_its_books_too():
    venue = advanced()
    hear(venue, SNAPSHOT)

    assert venue.opened(CONN, 6) == [BookInvalidated(6, "coinbase:AAA/USD", "connection reopened")]


def test_a_snapshot_of_many_megabytes_is_read_whole():
    venue = advanced()
    bids = {f"{price}.5": "1.25" for price in range(1, 60_001)}

    event, _ = hear(venue, raw := depth(0, "snapshot", "AAA-USD", bids, {"70000": "1"}))

    assert len(raw) > 5_000_000
    assert isinstance(event, BookSnapshot)
    assert len(event.bids) == 60_000


LEVELS = st.dictionaries(st.sampled_from(["1", "2", "3", "4"]), st.sampled_from(["0", "1", "2.5"]), max_size=3)
MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["snapshot", "update", "update", "update", "beat"]),
        st.sampled_from(["AAA-USD", "BBB-USD"]),
        LEVELS,
        LEVELS,
        st.sampled_from(["arrives"] * 8 + ["lost", "twice", "late"]),
    ),
    max_size=30,
)


@pytest.mark.property
@given(MESSAGES)
def test_whatever_is_lost_repeated_or_late_a_valid_book_is_the_true_book(messages):
    truths: list[dict[str, Book]] = []
    sent: list[tuple[float, int, str]] = []
    for number, (kind, product, bids, asks, fate) in enumerate(messages):
        truth = {name: copy(book) for name, book in truths[-1].items()} if truths else {}
        raw = beat(number) if kind == "beat" else depth(number, kind, product, bids, asks)
        if kind != "beat":
            fold(truth, f"coinbase:{product.replace('-', '/')}", kind, pairs(bids), pairs(asks))
        truths.append(truth)
        sent += [(number + 1.5 * (fate == "late"), number, raw)] * {"lost": 0, "twice": 2}.get(fate, 1)
    venue = advanced()
    books: dict[str, Book] = {}
    newest = -1

    for _, number, raw in sorted(sent):
        newest = max(newest, number)
        for event in venue.receive(raw, 5, CONN):
            heard(books, event)

        for name, book in books.items():
            if book.valid:
                assert (book.bids, book.asks) == (truths[newest][name].bids, truths[newest][name].asks)


def heard(books: dict[str, Book], event: object) -> None:
    match event:
        case BookSnapshot():
            books.setdefault(event.instrument, Book()).reset(event.bids, event.asks)
        case BookUpdate():
            books[event.instrument].apply(event.bids, event.asks)
        case BookInvalidated():
            books.setdefault(event.instrument, Book()).invalidate()


def fold(books: dict[str, Book], name: str, kind: str, bids: Any, asks: Any) -> None:
    book = books.setdefault(name, Book())
    (book.reset if kind == "snapshot" else book.apply)(bids, asks)


def copy(book: Book) -> Book:
    same = Book()
    same.reset(list(book.bids.items()), list(book.asks.items()))
    return same


def pairs(levels: dict[str, str]) -> list[tuple[float, float]]:
    return [(float(price), float(size)) for price, size in levels.items()]
