"""The sandbox's Coinbase is one to its clients: ours reads it, its messages are numbered, and it keeps its manners."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from typing import Any

import aiohttp
import pytest
from msgspec import structs

from bus.events import BookInvalidated, BookSnapshot, BookUpdate, DataGap, Kline, Quote, Ticker, Trade
from feeds.frames import Recording
from sandbox.command import recorded
from sandbox.market import START_NS
from sandbox.playback import load
from tests.sandbox.reader import Reader
from tests.sandbox.running import Client, Running, running, seeded

pytestmark = pytest.mark.asyncio

CHANNELS = ("level2", "market_trades", "ticker", "candles")


def still() -> Any:
    return running(seeded(), start_ns=START_NS)


async def subscribed(
    sandbox: Running, client: Client, *channels: str, products: tuple[str, ...] = ("BTC-USD",)
) -> aiohttp.ClientWebSocketResponse:
    socket = await client.connect("/")
    for channel in channels:
        await socket.send_str(json.dumps({"type": "subscribe", "channel": channel, "product_ids": products}))
    async with asyncio.timeout(5):
        while sum(each.messages for each in sandbox.connections.values()) % len(channels):
            await asyncio.sleep(0)
        while not sandbox.connections[max(sandbox.connections)].messages:
            await asyncio.sleep(0)
    return socket


async def test_our_protocol_reads_all_of_it_and_its_book_is_the_venues():
    reader = Reader("coinbase")
    async with still() as sandbox, Client(sandbox) as client:
        _, products = await client.get("/api/v3/brokerage/market/products")
        reader.hear([json.dumps(products)], "/api/v3/brokerage/market/products")
        socket = await subscribed(sandbox, client, *CHANNELS, "heartbeats")
        for _ in range(4):
            await sandbox.turn(20)
            reader.hear(await client.raws(socket))
        await sandbox.turn(0.01 + (-sandbox.clock.read() % 100_000_000) / 1e9)
        _, truth = await client.get("/api/v3/brokerage/market/product_book?product_id=BTC-USD&limit=1000")
        reader.hear(await client.raws(socket))

    counts = reader.protocol.counts
    assert (counts.gaps, counts.duplicates, counts.late) == (0, 0, 0)
    assert counts.trades > 500
    assert min(len(reader.of(kind)) for kind in (Ticker, Quote, Kline)) > 20
    assert (len(reader.of(BookSnapshot)), reader.of(BookInvalidated), reader.of(DataGap)) == (1, [], [])
    assert reader.book.usable
    for side, levels in (("bids", reader.book.bids), ("asks", reader.book.asks)):
        assert levels == {float(each["price"]): float(each["size"]) for each in truth["pricebook"][side]}


async def test_messages_are_numbered_by_connection_and_a_snapshot_comes_before_the_answer():
    async with still() as sandbox, Client(sandbox) as client:
        first = await subscribed(sandbox, client, "market_trades", "heartbeats")
        await sandbox.turn(5)
        second = await subscribed(sandbox, client, "level2", "market_trades")
        await sandbox.turn(5)
        heard = [await client.hear(socket) for socket in (first, second)]

    for messages in heard:
        assert [message["sequence_num"] for message in messages] == list(range(len(messages)))
    assert [message["channel"] for message in heard[0][:3]] == ["market_trades", "subscriptions", "subscriptions"]
    assert [message["channel"] for message in heard[1][:4]] == [
        "l2_data",
        "subscriptions",
        "market_trades",
        "subscriptions",
    ]
    assert heard[1][3]["events"] == [{"subscriptions": {"level2": ["BTC-USD"], "market_trades": ["BTC-USD"]}}]
    beats = [message["events"][0] for message in heard[0] if message["channel"] == "heartbeats"]
    assert [later["heartbeat_counter"] - beat["heartbeat_counter"] for beat, later in itertools.pairwise(beats)] == [
        1
    ] * 9
    snapshot = heard[1][2]["events"][0]["trades"]
    assert snapshot == sorted(snapshot, key=lambda trade: int(trade["trade_id"]), reverse=True)


async def test_trades_come_newest_first_every_quarter_of_a_second_with_the_makers_side():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await subscribed(sandbox, client, "market_trades", "level2")
        await sandbox.turn(10)
        heard = await client.hear(socket)

    batches = [m["events"][0]["trades"] for m in heard if m["channel"] == "market_trades"][1:]
    ids = [[int(trade["trade_id"]) for trade in batch] for batch in batches]
    assert all(batch == sorted(batch, reverse=True) for batch in ids)
    assert sorted(itertools.chain.from_iterable(ids)) == list(range(ids[0][-1], ids[-1][0] + 1))
    assert 20 < len(batches) <= 40
    assert {trade["side"] for batch in batches for trade in batch} == {"BUY", "SELL"}


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("{", "failure to parse"),
        ('{"type":"join"}', "unknown type: join"),
        ('{"type":"subscribe","channel":"full","product_ids":["BTC-USD"]}', "unknown channel: full"),
        ('{"type":"subscribe","channel":"level2","product_ids":["X-USD"]}', "unknown products: X-USD"),
        ('{"type":"subscribe","channel":"level2"}', "product_ids required"),
    ],
)
async def test_what_cannot_be_subscribed_is_an_error_and_the_connection_lives(message, says):
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/")
        await socket.send_str(message)
        said = json.loads((await socket.receive(5)).data)
        await socket.send_str('{"type":"subscribe","channel":"heartbeats"}')
        answer = json.loads((await socket.receive(5)).data)

    assert (said["type"], said["message"].startswith(says)) == ("error", True)
    assert answer["events"] == [{"subscriptions": {"heartbeats": ["heartbeats"]}}]


async def test_an_unsubscribed_channel_falls_silent():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await subscribed(sandbox, client, "market_trades", "heartbeats")
        await socket.send_str('{"type":"unsubscribe","channel":"market_trades","product_ids":["BTC-USD"]}')
        while sandbox.connections[1].messages < 3:
            await asyncio.sleep(0)
        await client.hear(socket)
        await sandbox.turn(3)
        heard = await client.hear(socket)

    assert Counter(message["channel"] for message in heard) == {"heartbeats": 3}


async def test_who_subscribes_to_nothing_within_five_seconds_is_let_go():
    async with still() as sandbox, Client(sandbox) as client:
        idle = await client.connect("/")
        await sandbox.turn(5.1)
        ended = await idle.receive(5)
        report = await client.report()

    assert ended.type is aiohttp.WSMsgType.CLOSE
    assert report["broken"] == {"coinbase": {"subscribe": 1}}


async def test_a_frozen_channel_leaves_no_hole_in_the_numbers_and_a_gap_does():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await subscribed(sandbox, client, "level2", "heartbeats")
        await client.fault(kind="freeze", stream="level2:*", for_s=3)
        await sandbox.turn(2.99)
        frozen = await client.hear(socket)
        await client.fault(kind="gap", count=1)
        await sandbox.turn(1)
        numbers = [message["sequence_num"] for message in await client.hear(socket)]
        report = await client.report()

    assert [message["sequence_num"] for message in frozen] == list(range(len(frozen)))
    assert [message["channel"] for message in frozen[3:]] == ["heartbeats"] * 3
    assert [later - earlier for earlier, later in itertools.pairwise(numbers)].count(2) <= 1
    assert numbers[-1] - frozen[-1]["sequence_num"] == len(numbers) + 1
    assert report["fired"]["gap"] == 1
    assert report["fired"]["freeze"] == 29


async def test_who_subscribes_to_a_frozen_channel_hears_its_snapshot_first_once_it_goes_on():
    async with still() as sandbox, Client(sandbox) as client:
        await client.fault(kind="freeze", stream="level2:*", for_s=3)
        socket = await subscribed(sandbox, client, "level2")
        await sandbox.turn(2.9)
        frozen = await client.hear(socket)
        await sandbox.turn(1)
        heard = [message for message in await client.hear(socket) if message["channel"] == "l2_data"]

    assert [message for message in frozen if message["channel"] == "l2_data"] == []
    assert [message["events"][0]["type"] for message in heard[:3]] == ["snapshot", "update", "update"]


async def test_candles_over_rest_lead_from_the_past_to_the_present():
    async with still() as sandbox, Client(sandbox) as client:
        await subscribed(sandbox, client, "market_trades")
        await sandbox.turn(70)
        now = sandbox.clock.read() // 10**9
        path = "/api/v3/brokerage/market/products/BTC-USD/candles"
        status, answer = await client.get(f"{path}?start={now - 3_600}&end={now}&granularity=ONE_MINUTE")
        refused, _ = await client.get(f"{path}?granularity=ONE_MINUTE")

    starts = [int(candle["start"]) for candle in answer["candles"]]
    assert (status, refused) == (200, 400)
    assert starts == list(range(now - now % 60, now - 3_600, -60))[: len(starts)]
    assert len(starts) == 60


@pytest.mark.shared
async def test_a_real_recording_read_through_the_sandbox_says_what_the_recording_says(recordings):
    path = recordings / "wss" / "coinbase_advanced" / "btcusd_ethusd_20260809_part1.jsonl.zst"
    reader, direct = Reader("coinbase"), Reader("coinbase")
    for item in (item for batch in Recording(path).batches() for item in batch):
        if item.kind is None:
            direct.hear([item.raw])
    async with running(recorded(load([path])), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await subscribed(sandbox, client, *CHANNELS, "heartbeats", products=("BTC-USD", "ETH-USD"))
        for _ in range(5):
            await sandbox.turn(3)
            reader.hear(await client.raws(socket))
        late = await subscribed(sandbox, client, "level2", products=("BTC-USD", "ETH-USD"))
        whole = Reader("coinbase")
        whole.hear(await client.raws(late))

    assert (len(reader.of(BookSnapshot)), reader.of(DataGap)) == (2, [])
    assert reader.protocol.counts.duplicates == reader.protocol.counts.gaps == 0
    for kind in (Trade, BookUpdate):
        mine, theirs = (
            [structs.replace(event, venue_ns=0, **({"id": 0} if kind is BookUpdate else {})) for event in each.of(kind)]
            for each in (reader, direct)
        )
        assert mine == theirs
    assert [ticker.last for ticker in reader.of(Ticker)][-99:] == [ticker.last for ticker in direct.of(Ticker)][-99:]
    for name, book in direct.books.items():
        for other in (reader.books[name], whole.books[name]):
            assert (other.bids, other.asks) == (book.bids, book.asks)
    moved = {mine.venue_ns - theirs.venue_ns for mine, theirs in zip(reader.of(Trade), direct.of(Trade), strict=True)}
    assert len(moved) == 1
