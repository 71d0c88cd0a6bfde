"""Real Binance recordings: everything is read, nothing is missing, and the books agree with the quotes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from bus.book import Book
from bus.events import BookInvalidated, BookSnapshot, BookUpdate, DataGap, InstrumentListed, Quote
from bus.inputs import CONNECT, HTTP, Input
from feeds.binance.protocol import BinanceProtocol
from feeds.detect import venue_of
from feeds.frames import Recording

pytestmark = pytest.mark.shared

FILES = {
    "binance_spot/btcusdt_20240808_20240809": (99_573, 73_174, 19_904, 6_495, 1_072),
    "binance_spot/ethusdt_20240808": (33_617, 24_077, 6_106, 3_434, 577),
    "binance_spot/multi_20211012": (265, 84, 2, 177, None),
    "binance_us/multi_20211012": (480, 128, 11, 336, None),
    "binance_usdm/btcusdt_20240808": (93_953, 66_089, 21_313, 6_551, 629),
    "binance_usdm/multi_20210722": (1_535, 613, 91, 764, None),
    "binance_coinm/btcusd_perp_20240808": (48_269, 19_136, 2_286, 26_847, 1_124),
}
BTCUSDT = "binance_spot/btcusdt_20240808_20240809"


def inputs_of(recordings: Path, name: str) -> list[Input]:
    return [item for batch in Recording(recordings / "wss" / f"{name}.jsonl.zst").batches() for item in batch]


class Listener:
    """Feeds inputs to a protocol and keeps the books its events describe."""

    def __init__(self, venue: str) -> None:
        self.protocol = BinanceProtocol(venue, lambda _venue, _symbol: None)
        self.books: dict[str, Book] = {}
        self.seen: Counter[type] = Counter()
        self.frames = 0

    def hear(self, item: Input) -> list[object]:
        ns = item.ts or 0
        if item.kind is None:
            self.frames += 1
            events = self.protocol.receive(item.raw, ns, item.conn)
        elif item.kind == HTTP:
            events = self.protocol.reply(item.url or "", item.raw, ns)
        else:
            events = self.protocol.opened(item.conn, ns) if item.kind == CONNECT else ()
        for event in events:
            self.seen[type(event)] += 1
            if isinstance(event, BookSnapshot):
                self.books[event.instrument] = book = Book()
                book.reset(event.bids, event.asks)
            elif isinstance(event, BookUpdate):
                self.books[event.instrument].apply(event.bids, event.asks)
            elif isinstance(event, BookInvalidated) and event.instrument in self.books:
                self.books[event.instrument].invalidate()
        return list(events)


@pytest.mark.parametrize("name", FILES)
def test_a_recording_is_read_whole_and_its_books_agree_with_its_quotes(recordings, name):
    frames, quotes, trades, depth_updates, agreed = FILES[name]
    inputs = inputs_of(recordings, name)
    listener = Listener(venue_of(inputs[:100]) or "")
    tops: dict[tuple[str, int], tuple[float, ...]] = {}
    quoted: dict[tuple[str, int], tuple[float, ...]] = {}

    for item in inputs:
        for event in listener.hear(item):
            if isinstance(event, Quote):
                quoted[event.instrument, event.id] = (event.bid, event.bid_size, event.ask, event.ask_size)
            elif isinstance(event, BookUpdate):
                book = listener.books[event.instrument]
                bid, ask = book.best_bid, book.best_ask
                assert bid < ask
                tops[event.instrument, event.id] = (bid, book.bids[bid], ask, book.asks[ask])

    counts = listener.protocol.counts
    assert (listener.frames, counts.quotes, counts.trades, counts.depth_updates) == (
        frames,
        quotes,
        trades,
        depth_updates,
    )
    assert (counts.gaps, counts.ignored, counts.late, counts.duplicates) == (0, 0, 0, 0)
    assert all(book.usable for book in listener.books.values())
    compared = tops.keys() & quoted.keys()
    assert len(compared) == (agreed if agreed is not None else len(compared))
    assert {key: tops[key] for key in compared} == {key: quoted[key] for key in compared}
    assert listener.seen[InstrumentListed] == (0 if agreed is not None else 4)


@pytest.mark.parametrize("lost", [3, 700, 6_493])
def test_one_diff_lost_from_a_recording_is_one_gap_with_its_ids(recordings, lost):
    inputs = inputs_of(recordings, BTCUSDT)
    diffs = [n for n, item in enumerate(inputs) if '"depthUpdate"' in item.raw]
    missing = inputs.pop(diffs[lost])
    listener = Listener("binance")

    gaps = [event for item in inputs for event in listener.hear(item) if isinstance(event, DataGap)]

    assert [
        (f'"U":{gap.first_missing},' in missing.raw, f'"u":{gap.last_missing},' in missing.raw) for gap in gaps
    ] == [(True, True)]
    assert listener.protocol.counts.gaps == 1
    assert not listener.books["binance:BTC/USDT"].valid
