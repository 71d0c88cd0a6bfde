"""A recording played is the recording: the same ids, prices and book, at times of the sandbox's own."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bus.clock import SECOND
from bus.events import BookUpdate, DataGap, Kline, Quote, Trade
from daemon.errors import Usage
from feeds.frames import Recording, RecordingWriter
from sandbox import market
from sandbox.command import recorded
from sandbox.playback import load
from tests.sandbox.reader import Reader
from tests.sandbox.running import Client, running

pytestmark = pytest.mark.asyncio

START_NS = 1_800_000_000_000_000_000
REAL = {
    "binance": ("binance_spot/btcusdt_20240808_20240809", "", "/api/v3", 655, ("trade", "bookTicker", "depth@100ms")),
    "binanceusdm": ("binance_usdm/btcusdt_20240808", "/market", "/fapi/v1", 100, ("trade", "depth@100ms")),
}


def invented(folder: Path, minutes: float = 1.0) -> Path:
    path = folder / "invented.jsonl.zst"
    market.write(path, seed=7, minutes=minutes)
    return path


def told_directly(path: Path, venue: str, seconds: float, kinds: tuple[str, ...]) -> Reader:
    """What a replay hears of so many seconds of the recording, of some kinds of streams."""
    reader = Reader(venue)
    begin = None
    for item in (item for batch in Recording(path).batches() for item in batch):
        begin = begin or item.ts
        if (item.ts or 0) > (begin or 0) + seconds * SECOND:
            break
        if item.kind is None and item.raw[11 : item.raw.index('"', 11)].partition("@")[2][:5] not in kinds:
            continue
        if item.kind is None:
            reader.hear([item.raw])
        elif item.kind == "http":
            reader.hear([item.raw], item.url or "")
    return reader


def untimed(events: list[Any]) -> list[Any]:
    return [structs.replace(event, venue_ns=0) for event in events]


@pytest.mark.shared
@pytest.mark.parametrize("venue", REAL)
async def test_a_real_recording_read_through_the_sandbox_says_what_the_recording_says(recordings, venue):
    name, ws, rest, seconds, kinds = REAL[venue]
    streams = "/stream?streams=" + "/".join(f"btcusdt@{kind}" for kind in kinds)
    path = recordings / "wss" / f"{name}.jsonl.zst"
    reader, heard = Reader(venue), 0
    async with running(recorded(load([path])), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await client.connect(ws + streams, polite=True)
        _, snapshot = await client.get(f"{rest}/depth?symbol=BTCUSDT&limit=1000")
        reader.hear([json.dumps(snapshot)], f"{rest}/depth?symbol=BTCUSDT&limit=1000")
        for _ in range(-(-seconds // 25)):
            await sandbox.turn(25)
            raws = await client.raws(socket)
            heard += len(raws)
            reader.hear(raws)
        _, end = await client.get(f"{rest}/depth?symbol=BTCUSDT&limit=1000")

    direct = told_directly(path, venue, seconds, tuple(kind[:5] for kind in kinds))
    counts = reader.protocol.counts
    assert heard == direct.frames
    assert (heard, counts.trades) == (99_573, 19_904) or venue != "binance"  # all of it
    assert (counts.gaps, counts.duplicates, counts.late, reader.of(DataGap)) == (0, 0, 0, [])
    assert untimed(reader.of(Trade)) == untimed(direct.of(Trade))
    assert untimed(reader.of(Quote)) == untimed(direct.of(Quote))
    assert untimed(reader.of(BookUpdate)[-900:]) == untimed(direct.of(BookUpdate)[-900:])
    assert (reader.book.bids, reader.book.asks) == (direct.book.bids, direct.book.asks)
    assert reader.book.ladder_bids(len(end["bids"])) == [(float(p), float(s)) for p, s in end["bids"]]
    assert reader.book.ladder_asks(len(end["asks"])) == [(float(p), float(s)) for p, s in end["asks"]]
    moved = {mine.venue_ns - theirs.venue_ns for mine, theirs in zip(reader.of(Trade), direct.of(Trade), strict=True)}
    assert len(moved) == 1
    assert START_NS - SECOND < reader.of(Trade)[0].venue_ns < START_NS + 5 * SECOND


async def test_it_begins_when_somebody_listens_and_falls_silent_at_its_end(tmp_path):
    async with running(recorded(load([invented(tmp_path)])), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        await sandbox.turn(100)
        states = [(await client.report())["venues"]["binance"]["market"]]
        _, early = await client.get("/api/v3/depth?symbol=BTCUSDT")
        socket = await client.connect("/ws/btcusdt@trade", polite=True)
        await sandbox.turn(59)
        whole = await client.hear(socket)
        states.append((await client.report())["venues"]["binance"]["market"])
        await sandbox.turn(60)
        end = await client.hear(socket)
        _, late = await client.get("/api/v3/depth?symbol=BTCUSDT")
        states.append((await client.report())["venues"]["binance"]["market"])

    assert states == ["waiting", "playing", "ended"]
    assert early["lastUpdateId"] < late["lastUpdateId"]
    assert START_NS // 10**6 + 100_000 <= whole[0]["E"] < START_NS // 10**6 + 101_000
    assert len(whole) > 1_000
    assert {trade["E"] > START_NS // 10**6 + 158_000 for trade in end} <= {True}


@pytest.mark.parametrize("skew_s", [0.0, -1.3, 7.0])
async def test_no_frame_says_that_it_happened_after_it_was_sent_whatever_the_recorders_clock(tmp_path, skew_s):
    path = tmp_path / "skewed.jsonl.zst"
    with RecordingWriter(path) as writer:
        for item in market.generate(7, 0.2):
            item.ts = None if item.ts is None else item.ts + round(skew_s * SECOND)
            writer.write(item)

    async with running(recorded(load([path])), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade/btcusdt@depth")
        late = []
        for _ in range(40):
            await sandbox.turn(0.1)
            late += [sandbox.clock.read() // 10**6 - frame["E"] for frame in await client.hear(socket)]

    assert len(late) > 100
    assert min(late) >= 0
    assert max(late) < 150


async def test_klines_are_made_again_for_the_new_minutes(tmp_path):
    reader = Reader("binance")
    recording = load([invented(tmp_path, 3)])
    async with running(recorded(recording), start_ns=START_NS + 30 * SECOND) as sandbox, Client(sandbox) as client:
        socket = await client.connect("/stream?streams=btcusdt@kline_1m/btcusdt@trade", polite=True)
        for _ in range(9):
            await sandbox.turn(20)
            reader.hear(await client.raws(socket))

    closed = [kline for kline in reader.of(Kline) if kline.closed]
    assert [kline.start_ns for kline in closed] == [START_NS + n * 60 * SECOND for n in range(3)]
    for kline in closed[1:]:
        inside = [trade for trade in reader.of(Trade) if kline.start_ns <= trade.venue_ns < kline.end_ns]
        assert (kline.open, kline.close, kline.trades) == (inside[0].price, inside[-1].price, len(inside))


async def test_a_hole_in_the_recording_is_a_hole_for_the_client_and_no_book_until_the_recording_has_one(tmp_path):
    items = list(market.generate(7, 1))
    depths = [n for n, item in enumerate(items) if item.kind is None and '"depthUpdate"' in item.raw]
    del items[depths[100]]
    path = tmp_path / "hole.jsonl.zst"
    with RecordingWriter(path) as writer:
        for item in items:
            writer.write(item)

    async with running(recorded(load([path])), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@depth")
        await sandbox.turn(9)
        before, _ = await client.get("/api/v3/depth?symbol=BTCUSDT")
        await sandbox.turn(9)
        diffs = await client.hear(socket)
        after, _ = await client.get("/api/v3/depth?symbol=BTCUSDT")

    assert [b["U"] - a["u"] == 1 for a, b in itertools.pairwise(diffs)].count(False) == 1
    assert (before, after) == (200, 503)


async def test_a_venue_the_sandbox_does_not_speak_is_refused_by_name(recordings):
    coin_margined = recordings / "wss" / "binance_coinm" / "btcusd_perp_20240808.jsonl.zst"

    with pytest.raises(Usage, match="binancecoinm"):
        recorded(load([coin_margined]))
