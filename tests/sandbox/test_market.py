"""The invented market: its frames tell the whole truth about its book, in order, and always the same."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.book import Book
from bus.clock import MINUTE, SECOND
from bus.events import BookInvalidated, BookSnapshot, DataGap, InstrumentListed, Quote, Trade
from bus.inputs import Input
from bus.values import Instrument
from config.load import known_instruments
from feeds.binance.protocol import BinanceProtocol
from feeds.frames import Recording
from sandbox.market import NOTE, START_NS, generate, write
from sandbox.model import LISTINGS, MS, MarketModel

ROOT = Path(__file__).resolve().parents[2]


def frames(lines: list[Input], stream: str) -> list[dict[str, Any]]:
    envelopes = (json.loads(line.raw) for line in lines if line.kind is None)
    return [each["data"] for each in envelopes if each["stream"] == stream]


def levels(pairs):
    return [(float(price), float(size)) for price, size in pairs]


def opened(snapshot: str) -> Book:
    book, body = Book(), json.loads(snapshot)
    book.reset(levels(body["bids"]), levels(body["asks"]))
    book.id = body["lastUpdateId"]
    return book


def follow(book: Book, update: dict[str, Any]) -> None:
    """One depth frame by the published procedure: older than the book is dropped, what does not follow on fails."""
    if update["u"] <= book.id:
        return
    assert update["U"] <= book.id + 1 <= update["u"]
    book.apply(levels(update["b"]), levels(update["a"]))
    book.id = update["u"]


@pytest.fixture(scope="module")
def recording() -> list[Input]:
    return list(generate(7, 3))


def test_a_recording_says_what_it_is_and_begins_as_a_real_one_does(recording):
    meta, connect, listed, snapshot, first = recording[:5]

    assert (meta.kind, meta.ts) == ("meta", None)
    assert NOTE.startswith("SYNTHETIC")
    assert meta.note == NOTE
    assert json.loads(meta.raw) == {"seed": 7, "minutes": 3, "symbols": ["BTCUSDT"], "start_ns": START_NS}
    assert (connect.kind, connect.ts) == ("connect", START_NS)
    assert connect.url == (
        "wss://stream.binance.com:9443/stream?streams="
        "btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms/btcusdt@kline_1m"
    )
    assert (listed.kind, listed.url) == ("http", "https://api.binance.com/api/v3/exchangeInfo")
    assert (snapshot.kind, snapshot.url) == ("http", "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000")
    assert (first.kind, first.conn) == (None, connect.conn)


def test_it_starts_when_it_says():
    assert datetime.fromtimestamp(START_NS / SECOND, UTC) == datetime(2026, 1, 5, 9, 0, tzinfo=UTC)


def test_the_listing_has_the_filters_a_venue_sends(recording):
    (listed,) = json.loads(recording[2].raw)["symbols"]
    filters = {each["filterType"]: each for each in listed["filters"]}

    assert (listed["symbol"], listed["status"], listed["baseAsset"], listed["quoteAsset"]) == (
        "BTCUSDT",
        "TRADING",
        "BTC",
        "USDT",
    )
    assert filters["PRICE_FILTER"]["tickSize"] == "0.01000000"
    assert filters["LOT_SIZE"]["stepSize"] == "0.00001000"
    assert filters["NOTIONAL"]["minNotional"] == "5.00000000"


def test_times_only_go_forward_and_a_frame_takes_a_moment_to_arrive(recording):
    heard = [line.ts for line in recording if line.ts is not None]
    sent = [(line.ts, data["E"]) for line in recording if "E" in (data := json.loads(line.raw or "{}").get("data", {}))]
    delays = [ts - sent_ms * MS for ts, sent_ms in sent]

    assert all(earlier < later for earlier, later in itertools.pairwise(heard))
    assert min(delays) >= 2 * MS
    assert max(delays) < SECOND


def test_the_first_depth_frame_bridges_the_snapshot_and_each_next_follows_on(recording):
    book = opened(recording[3].raw)
    first = frames(recording, "btcusdt@depth@100ms")[0]

    assert first["U"] < book.id + 1 <= first["u"]
    for update in frames(recording, "btcusdt@depth@100ms"):
        follow(book, update)


def test_trade_ids_go_up_by_one(recording):
    ids = [trade["t"] for trade in frames(recording, "btcusdt@trade")]

    assert ids == list(range(ids[0], ids[0] + len(ids)))


def test_prices_and_sizes_are_texts_of_eight_places_on_the_tick_and_lot(recording):
    for trade in frames(recording, "btcusdt@trade"):
        assert trade["p"].partition(".")[2][2:] == "000000"
        assert trade["q"].partition(".")[2][5:] == "000"
        assert len(trade["p"].partition(".")[2]) == len(trade["q"].partition(".")[2]) == 8


def test_closed_klines_are_the_bars_of_the_trades(recording):
    trades = frames(recording, "btcusdt@trade")
    closed = [each["k"] for each in frames(recording, "btcusdt@kline_1m") if each["k"]["x"]]

    assert [kline["t"] for kline in closed] == [(START_NS + i * MINUTE) // MS for i in range(3)]
    for kline in closed[1:]:  # the first began before the recording's first trade
        inside = [trade for trade in trades if kline["t"] <= trade["T"] <= kline["T"]]
        prices = [trade["p"] for trade in inside]
        assert (kline["o"], kline["c"], kline["n"]) == (prices[0], prices[-1], len(inside))
        assert (kline["h"], kline["l"]) == (max(prices, key=float), min(prices, key=float))
        assert (kline["f"], kline["L"]) == (inside[0]["t"], inside[-1]["t"])
        assert float(kline["v"]) == pytest.approx(sum(float(trade["q"]) for trade in inside))
        assert float(kline["V"]) == pytest.approx(sum(float(trade["q"]) for trade in inside if not trade["m"]))
        assert float(kline["q"]) == pytest.approx(sum(float(trade["p"]) * float(trade["q"]) for trade in inside))


def test_the_rates_are_those_of_a_busy_market(recording):
    seen = Counter(json.loads(line.raw)["stream"].partition("@")[2] for line in recording if line.kind is None)

    assert 120 < seen.total() / 180 < 190
    assert 20 < seen["trade"] / 180 < 50
    assert 1_750 < seen["depth@100ms"] <= 1_800
    assert seen["kline_1m"] == 90


def test_the_price_moves_enough_for_averages_to_cross_a_few_dozen_times_in_twenty_minutes():
    trades = frames(list(generate(7, 20)), "btcusdt@trade")
    closes = list({trade["T"] // 1000: float(trade["p"]) for trade in trades}.values())
    fast = slow = closes[0]
    above = []
    for close in closes:
        fast, slow = fast + 2 / 11 * (close - fast), slow + 2 / 41 * (close - slow)
        above.append(fast > slow)

    assert 12 <= sum(a is not b for a, b in itertools.pairwise(above)) <= 60
    assert max(closes) / min(closes) < 1.05


@pytest.mark.property
@given(st.integers(0, 2**32), st.sampled_from(sorted(LISTINGS)), st.integers(0, MINUTE))
def test_a_book_rebuilt_from_the_frames_alone_is_the_generators_own(seed, symbol, offset):
    model = MarketModel(seed, symbol, START_NS + offset)
    stream = symbol.lower()
    list(model.frames(START_NS + offset + 40 * MS))
    book = opened(model.snapshot())
    quoted: dict[int, dict[str, Any]] = {}
    touch: dict[str, Any] = {}
    until = START_NS + offset + 2 * SECOND
    last_depth = until - until % (100 * MS)

    for _, raw in model.frames(last_depth):
        envelope = json.loads(raw)
        data = envelope["data"]
        match envelope["stream"].removeprefix(stream):
            case "@bookTicker":
                assert data["u"] > touch.get("u", 0)
                quoted[data["u"]] = touch = data
            case "@trade" if touch:
                # Prints at the best price last quoted, for no more than was shown there.
                price, size = (touch["b"], touch["B"]) if data["m"] else (touch["a"], touch["A"])
                assert data["p"] == price
                assert 0 < float(data["q"]) <= float(size)
            case "@depth@100ms":
                follow(book, data)
                assert book.usable
                if book.id in quoted:
                    assert (float(touch["b"]), float(touch["a"])) == (book.best_bid, book.best_ask)
                    assert float(touch["B"]) == book.bids[book.best_bid]
                    assert float(touch["A"]) == book.asks[book.best_ask]

    truth = json.loads(model.snapshot())
    assert book.id == truth["lastUpdateId"]
    assert book.ladder_bids(1000) == levels(truth["bids"])
    assert book.ladder_asks(1000) == levels(truth["asks"])
    assert 1 <= len(truth["bids"]) <= 50  # makers stop at 30 when they cancel, takers at the last


def test_two_symbols_are_told_on_one_connection_and_neither_disturbs_the_other(recording):
    both = list(generate(7, 3, ("ETHUSDT", "BTCUSDT")))

    assert [line.url for line in both[2:5]][1:] == [
        "https://api.binance.com/api/v3/depth?symbol=ETHUSDT&limit=1000",
        "https://api.binance.com/api/v3/depth?symbol=BTCUSDT&limit=1000",
    ]
    alone = frames(recording, "btcusdt@depth@100ms")
    together = frames(both, "btcusdt@depth@100ms")
    assert together == alone
    books = {symbol: opened(line.raw) for symbol, line in zip(("ethusdt", "btcusdt"), both[3:5], strict=True)}
    for symbol, book in books.items():
        for update in frames(both, f"{symbol}@depth@100ms"):
            follow(book, update)


def test_the_houses_own_protocol_reads_all_of_it_and_misses_nothing(recording):
    protocol = BinanceProtocol("binance", lambda venue, symbol: None)
    events: list[object] = []
    for line in recording[1:]:
        assert line.ts is not None
        if line.kind == "http":
            events += protocol.reply(line.url or "", line.raw, line.ts)
        elif line.kind is None:
            events += protocol.receive(line.raw, line.ts, line.conn)
    counts, seen = protocol.counts, Counter(type(event) for event in events)

    assert [counts.gaps, counts.duplicates, counts.late, counts.ignored] == [0, 0, 0, 0]
    assert seen[Trade] == len(frames(recording, "btcusdt@trade"))
    assert seen[Quote] == len(frames(recording, "btcusdt@bookTicker"))
    assert seen[BookSnapshot] >= 1
    assert seen[DataGap] + seen[BookInvalidated] == 0
    (listed,) = (event.instrument for event in events if isinstance(event, InstrumentListed))
    built_in = next(terms for terms in known_instruments() if terms.name == "binance:BTC/USDT")
    assert listed == msgspec.convert(built_in.row(), Instrument)


def test_an_unknown_symbol_is_refused_by_name():
    with pytest.raises(ValueError, match=r"no market for 'DOGEUSDT'; there is one for BTCUSDT, ETHUSDT"):
        list(generate(7, 1, ("DOGEUSDT",)))


def test_another_seed_is_another_market():
    raws = [[line.raw for line in generate(seed, 0.05)][3:] for seed in (7, 8)]

    assert set(raws[0]).isdisjoint(raws[1])


def test_a_longer_recording_begins_with_the_shorter():
    short, long = list(generate(7, 0.1)), list(generate(7, 0.2))

    assert long[1 : len(short)] == short[1:]


def test_the_same_seed_gives_the_same_bytes_under_any_hash_seed(tmp_path):
    code = "import sys; from pathlib import Path; from sandbox.market import write; write(Path(sys.argv[1]), 7, 0.5)"
    digests: set[str] = set()
    for hash_seed in ("0", "1", "4711"):
        path = tmp_path / f"{hash_seed}.jsonl.zst"
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed, "TZ": f"UTC-{len(digests)}"}
        subprocess.run([sys.executable, "-c", code, str(path)], check=True, cwd=ROOT, env=environ)
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())

    assert len(digests) == 1


def test_a_written_recording_reads_back_line_for_line(tmp_path):
    path = tmp_path / "synthetic.jsonl.zst"

    lines = write(path, 7, 0.2, ("BTCUSDT", "ETHUSDT"))

    read = [line for batch in Recording(path).batches() for line in batch]
    assert read == list(generate(7, 0.2, ("BTCUSDT", "ETHUSDT")))
    assert len(read) == lines


def test_twenty_minutes_are_made_in_seconds():
    started = time.process_time()

    made = sum(1 for _ in generate(7, 20))

    assert made > 150_000
    assert time.process_time() - started < 8
