"""The book, against a twin that keeps sorted lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.book import Book
from bus.events import Levels


class SortedBook:
    """Two plain lists, sorted after every change: slow, and plainly right."""

    def __init__(self) -> None:
        self.bids: Levels = []
        self.asks: Levels = []

    def reset(self, bids: Levels, asks: Levels) -> None:
        self.bids, self.asks = [], []
        self.apply(bids, asks)

    def apply(self, bids: Levels, asks: Levels) -> None:
        for price, size in bids:
            self.bids = [level for level in self.bids if level[0] != price] + ([(price, size)] if size else [])
        for price, size in asks:
            self.asks = [level for level in self.asks if level[0] != price] + ([(price, size)] if size else [])
        self.bids.sort(reverse=True)
        self.asks.sort()

    @property
    def crossed(self) -> bool:
        return self.bids[0][0] >= self.asks[0][0]


sizes = st.sampled_from([0.0, 0.5, 1.0, 2.25])
bids = st.lists(st.tuples(st.integers(1, 20).map(lambda tick: tick / 4), sizes), max_size=12)
asks = st.lists(st.tuples(st.integers(12, 30).map(lambda tick: tick / 4), sizes), max_size=12)


def once(levels: Levels) -> Levels:
    """A snapshot names a price once; an update may correct itself."""
    return list(dict(levels).items())


changes = st.lists(
    st.one_of(
        st.tuples(st.just("reset"), bids.map(once), asks.map(once)),
        st.tuples(st.just("apply"), bids, asks),
        st.tuples(st.just("invalidate"), st.just([]), st.just([])),
    ),
    max_size=15,
)


@pytest.mark.property
@given(changes, st.integers(0, 25))
def test_it_holds_what_sorted_lists_hold(changes, depth: int) -> None:
    book, twin, valid = Book(), SortedBook(), False

    for what, bids, asks in changes:
        getattr(book, what)(*([] if what == "invalidate" else [bids, asks]))
        if what == "invalidate":
            valid = False
        else:
            getattr(twin, what)(bids, asks)
            valid = valid or what == "reset"

        assert sorted(book.bids.items(), reverse=True) == twin.bids
        assert sorted(book.asks.items()) == twin.asks
        assert book.ladder_bids(depth) == twin.bids[:depth]
        assert book.ladder_asks(depth) == twin.asks[:depth]
        two_sided = bool(twin.bids and twin.asks)
        assert book.usable is (valid and two_sided and not twin.crossed)
        assert book.crossed is (valid and two_sided and twin.crossed)
        if two_sided:
            assert (book.best_bid, book.best_ask) == (twin.bids[0][0], twin.asks[0][0])
            assert book.mid == (twin.bids[0][0] + twin.asks[0][0]) / 2


def test_a_book_nobody_told_about_is_not_usable() -> None:
    assert not Book().usable


@pytest.mark.parametrize(
    ("story", "bids", "asks", "usable"),
    [
        ("two sides with room between them", [(99.0, 1.0)], [(100.0, 1.0)], True),
        ("locked", [(100.0, 1.0)], [(100.0, 1.0)], False),
        ("crossed", [(101.0, 1.0)], [(100.0, 1.0)], False),
        ("no bids", [], [(100.0, 1.0)], False),
        ("no asks", [(100.0, 1.0)], [], False),
        ("only empty levels", [(99.0, 0.0)], [(100.0, 1.0)], False),
    ],
)
def test_a_snapshot_can_be_used_when(story: str, bids: Levels, asks: Levels, usable: bool) -> None:
    book = Book()

    book.reset(bids, asks)

    assert book.usable is usable


def test_an_invalid_book_stays_so_through_updates_and_heals_by_a_snapshot() -> None:
    book = Book()
    book.reset([(99.0, 1.0)], [(100.0, 1.0)])
    book.invalidate()
    book.apply([(98.0, 1.0)], [(101.0, 1.0)])
    assert not book.usable

    book.reset([(99.0, 2.0)], [(100.0, 2.0)])

    assert book.usable
    assert book.ladder_bids(5) == [(99.0, 2.0)]


def test_the_best_price_follows_when_its_level_goes() -> None:
    book = Book()
    book.reset([(99.0, 1.0), (98.0, 1.0)], [(100.0, 1.0), (101.0, 1.0)])
    assert (book.best_bid, book.best_ask) == (99.0, 100.0)

    book.apply([(99.0, 0.0)], [(100.0, 0.0)])

    assert (book.best_bid, book.best_ask) == (98.0, 101.0)
