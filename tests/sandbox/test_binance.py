"""The sandbox's Binance is one to its clients: ours reads it, ccxt reads it, and it keeps to the venue's manners."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
from typing import Any

import aiohttp
import pytest

from bus.clock import MINUTE, SECOND
from bus.events import BookInvalidated, BookRestored, DataGap, Trade
from sandbox.market import START_NS
from tests.sandbox.reader import Reader
from tests.sandbox.running import Client, Running, running, seeded, spawned

pytestmark = pytest.mark.asyncio

STREAMS = "/stream?streams=btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms/btcusdt@kline_1m"
VENUES = {"binance": ("/api/v3", ""), "binanceusdm": ("/fapi/v1", "/market")}


def still() -> Any:
    return running(seeded(), start_ns=START_NS)


@pytest.mark.parametrize("venue", VENUES)
async def test_our_protocol_reads_all_of_it_and_its_book_is_the_venues(venue):
    rest, ws = VENUES[venue]
    reader = Reader(venue)
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect(ws + STREAMS)
        await sandbox.turn(2)
        reader.hear(await client.raws(socket))
        for path in (f"{rest}/exchangeInfo", f"{rest}/depth?symbol=BTCUSDT&limit=1000"):
            reader.hear([json.dumps((await client.get(path))[1])], path)
        await sandbox.turn(70)
        reader.hear(await client.raws(socket))
        _, truth = await client.get(f"{rest}/depth?symbol=BTCUSDT&limit=1000")

    counts = reader.protocol.counts
    assert (counts.gaps, counts.duplicates, counts.late, counts.ignored) == (0, 0, 0, 0)
    assert counts.trades > 500
    assert counts.klines > 30
    assert len(reader.of(BookRestored)) == 1
    assert len(reader.of(BookInvalidated)) == 1  # before the snapshot
    assert reader.of(DataGap) == []
    # The last diff was sent at the last tenth of a second; the truth may be a few updates further.
    seen, now = {**reader.book.bids, **reader.book.asks}, {float(p): float(q) for p, q in truth["bids"] + truth["asks"]}
    assert len(seen.items() & now.items()) > 0.9 * len(now)
    ids = [trade.id for trade in reader.of(Trade)]
    assert ids == list(range(ids[0], ids[0] + len(ids)))


async def test_klines_over_rest_are_those_of_the_stream_and_of_the_trades():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect(STREAMS)
        await sandbox.turn(130)
        heard = [frame["data"] for frame in await client.hear(socket)]
        _, rows = await client.get("/api/v3/klines?symbol=BTCUSDT&interval=1m&limit=3")

    trades = [data for data in heard if data["e" if "e" in data else "u"] == "trade"]
    closed = {data["k"]["t"]: data["k"] for data in heard if data.get("e") == "kline" and data["k"]["x"]}
    assert [row[0] for row in rows] == [(START_NS + i * MINUTE) // 1_000_000 for i in range(3)]
    assert list(closed) == [row[0] for row in rows[:2]]
    for row in rows[:2]:
        kline = closed[row[0]]
        inside = [trade for trade in trades if row[0] <= trade["T"] <= row[6]]
        assert row[1:6] == [kline[letter] for letter in "ohlcv"]
        assert (row[8], kline["f"], kline["L"]) == (len(inside), inside[0]["t"], inside[-1]["t"])
        assert (row[1], row[4]) == (inside[0]["p"], inside[-1]["p"])
        assert float(row[5]) == pytest.approx(sum(float(trade["q"]) for trade in inside))


async def test_it_has_a_past_to_warm_up_from_that_leads_to_the_present():
    async with still() as sandbox, Client(sandbox) as client:
        await client.get("/api/v3/depth?symbol=BTCUSDT")
        await sandbox.turn(1)
        _, hours = await client.get("/api/v3/klines?symbol=BTCUSDT&interval=1h&limit=200")
        _, days = await client.get("/api/v3/klines?symbol=BTCUSDT&interval=1d&limit=20")

    assert len(hours) == 200
    assert [b[0] - a[0] for a, b in itertools.pairwise(hours)] == [3_600_000] * 199
    assert all(float(row[3]) <= min(float(row[1]), float(row[4])) <= float(row[2]) for row in hours + days)
    assert float(hours[-2][4]) == pytest.approx(61_000, rel=0.001)
    by_start = {row[0]: row for row in hours}
    day = next(row for row in days if row[0] in by_start and row[6] + 1 in by_start)
    inside = [row for row in hours if day[0] <= row[0] < day[6]]
    assert (day[1], day[4]) == (inside[0][1], inside[-1][4])
    assert float(day[5]) == pytest.approx(sum(float(row[5]) for row in inside))


async def test_its_clock_is_the_sandboxs():
    async with still() as sandbox, Client(sandbox) as client:
        before = (await client.get("/api/v3/time"))[1]["serverTime"]
        await sandbox.turn(3_600)
        after = (await client.get("/api/v3/time"))[1]["serverTime"]

    assert (before, after) == (START_NS // 1_000_000, START_NS // 1_000_000 + 3_600_000)


@pytest.mark.parametrize(
    ("story", "path", "status", "code"),
    [
        ("no such symbol", "/api/v3/depth?symbol=NOPE", 400, -1121),
        ("no symbol", "/api/v3/depth", 400, -1102),
        ("no such interval", "/api/v3/klines?symbol=BTCUSDT&interval=7m", 400, -1120),
        ("a limit that is no number", "/api/v3/depth?symbol=BTCUSDT&limit=-5", 400, -1100),
        ("a limit futures do not have", "/fapi/v1/depth?symbol=BTCUSDT&limit=7", 400, -1130),
        ("too much weight", "/api/v3/depth?symbol=BTCUSDT&limit=5000", 429, -1003),
    ],
)
async def test_a_wrong_request_is_answered_in_the_venues_words(story, path, status, code):
    async with still() as sandbox, Client(sandbox) as client:
        if status == 429:
            for _ in range(24):
                assert (await client.get(path))[0] == 200
        answer = await client.get(path)
        report = await client.report()

    assert (answer[0], answer[1]["code"]) == (status, code), story
    assert report["broken"] == ({"binance": {"weight": 1}} if status == 429 else {})


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ({"method": "SUBSCRIBE", "params": ["btcusdt@trade"], "id": 1}, {"result": None, "id": 1}),
        ({"method": "UNSUBSCRIBE", "params": ["btcusdt@depth"], "id": "a"}, {"result": None, "id": "a"}),
        ({"method": "LIST_SUBSCRIPTIONS", "id": 3}, {"result": ["btcusdt@depth"], "id": 3}),
        ({"method": "SET_PROPERTY", "params": ["combined", True], "id": 5}, {"result": None, "id": 5}),
        ({"method": "GET_PROPERTY", "params": ["combined"], "id": 2}, {"result": False, "id": 2}),
        ({"method": "GET_PROPERTY", "params": ["speed"], "id": 2}, {"error": {"code": 0}, "id": 2}),
        ({"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 5}, {"error": {"code": 1}, "id": 5}),
        ({"method": "SUBSCRIBE", "params": [], "id": 1}, {"error": {"code": 2}, "id": 1}),
        ({"method": "SUBSCRIBE", "params": [1], "id": 1}, {"error": {"code": 2}, "id": 1}),
        ({"method": "JOIN", "params": ["x@trade"], "id": 1}, {"error": {"code": 2}, "id": 1}),
        ({"params": ["x@trade"], "id": 1}, {"error": {"code": 2}, "id": 1}),
        ({"method": "LIST_SUBSCRIPTIONS", "id": -1}, {"error": {"code": 2}, "id": None}),
        (
            {"method": "SUBSCRIBE", "params": [f"s{n}@trade" for n in range(1024)], "id": 1},
            {"error": {"code": 2}, "id": 1},
        ),
    ],
)
async def test_control_messages_are_answered_as_the_venue_does(request_, answer):
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@depth")
        said = await client.ask(socket, **request_)

    if "error" in answer:
        assert (said["error"]["code"], said["id"]) == (answer["error"]["code"], answer["id"])
    else:
        assert said == answer


async def test_what_is_not_json_is_refused_and_the_connection_lives():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws")
        await socket.send_str("{")
        refused = json.loads((await socket.receive(5)).data)
        alive = await client.ask(socket, method="LIST_SUBSCRIPTIONS", id=1)

    assert refused["error"]["code"] == 3
    assert alive == {"result": [], "id": 1}


async def test_a_subscription_begins_and_ends_when_it_is_told_to():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws")
        await sandbox.turn(1)
        nothing = await client.hear(socket)
        await client.ask(socket, method="SUBSCRIBE", params=["btcusdt@depth@100ms"], id=1)
        await sandbox.turn(1)
        some = await client.hear(socket)
        await client.ask(socket, method="UNSUBSCRIBE", params=["btcusdt@depth@100ms"], id=2)
        await sandbox.turn(1)
        again_nothing = await client.hear(socket)

    assert (nothing, again_nothing) == ([], [])
    assert {frame["e"] for frame in some} == {"depthUpdate"}  # and bare, for want of a combined stream


async def test_a_sixth_message_within_a_second_ends_the_connection_and_is_counted():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws")
        for n in range(5):
            await client.ask(socket, method="LIST_SUBSCRIPTIONS", id=n)
        await sandbox.turn(1)
        for n in range(4):
            await client.ask(socket, method="LIST_SUBSCRIPTIONS", id=n)
        await socket.ping(b"counts too")
        assert (await socket.receive(5)).type is aiohttp.WSMsgType.PONG
        await socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":6}')
        farewell = await socket.receive(5)
        report = await client.report()

    assert (farewell.type, farewell.data) == (aiohttp.WSMsgType.CLOSE, 1008)
    assert report["broken"] == {"binance": {"messages": 1}}
    (connection,) = report["connections"]
    assert (connection["messages"], connection["busiest_second"], connection["closed"]) == (11, 6, "too many messages")


async def test_the_301st_connect_within_five_minutes_is_refused():
    async with still() as sandbox, Client(sandbox) as client:
        venue = sandbox.venues["binance"]
        assert all(venue.may_connect() for _ in range(300))
        with pytest.raises(aiohttp.WSServerHandshakeError, match="429"):
            await client.connect("/ws")
        await sandbox.turn(301)
        await client.connect("/ws")
        report = await client.report()

    assert report["broken"] == {"binance": {"connects": 1}}
    assert report["connects"] == 1


async def test_the_venue_pings_and_lets_go_who_does_not_answer():
    async with still() as sandbox, Client(sandbox) as client:
        silent, lively = await client.connect("/ws"), await client.connect("/ws")
        await sandbox.turn(21)
        for socket in (silent, lively):
            ping = await socket.receive(5)
            assert ping.type is aiohttp.WSMsgType.PING
        await lively.pong(ping.data)
        await heard(sandbox, 2)
        await sandbox.turn(61)
        ends = [(await socket.receive(5)).type for socket in (silent, lively)]
        report = await client.report()

    assert ends == [aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.PING]
    assert report["broken"] == {"binance": {"pong": 1}}


async def heard(sandbox: Running, number: int) -> None:
    """Wait until connection ``number`` has been heard of."""
    async with asyncio.timeout(5):
        while not sandbox.connections[number].messages:
            await asyncio.sleep(0)


@pytest.mark.parametrize(("venue", "symbol"), [("binance", "BTC/USDT"), ("binanceusdm", "BTC/USDT:USDT")])
async def test_the_real_ccxt_reads_it(venue, symbol):
    ccxt = pytest.importorskip("ccxt.pro")
    async with running(seeded(), rate=20, start_ns=START_NS) as sandbox:
        options = {"fetchMarkets": {"types": ["linear" if ":" in symbol else "spot"]}, "fetchCurrencies": False}
        exchange = getattr(ccxt, venue)({"options": options, "enableRateLimit": False})
        for name, url in exchange.urls["api"].items():
            if isinstance(url, str):
                exchange.urls["api"][name] = re.sub(r"https://[^/]+", sandbox.rest, url)
        exchange.urls["api"]["ws"] |= {"spot": f"{sandbox.ws}/stream/ws", "linear": f"{sandbox.ws}/fut/ws"}
        try:
            markets = await exchange.load_markets()
            streamed = await exchange.watch_trades(symbol)
            for _ in range(10):
                followed = await exchange.watch_order_book(symbol)
            trades = await exchange.fetch_trades(symbol, limit=5)
            book = await exchange.fetch_order_book(symbol, 10)
            bars = await exchange.fetch_ohlcv(symbol, "1m", limit=50)
            ticker = await exchange.fetch_ticker(symbol)
        finally:
            await exchange.close()

    assert markets[symbol]["active"]
    assert markets[symbol]["precision"]["price"] == (0.1 if ":" in symbol else 0.01)
    assert followed["bids"][0][0] < followed["asks"][0][0]
    assert book["bids"][0][0] < book["asks"][0][0]
    assert (
        streamed[-1]["price"] == pytest.approx(trades[-1]["price"], rel=0.01) == pytest.approx(ticker["last"], rel=0.01)
    )
    assert len(bars) == 50
    assert all(later[0] - earlier[0] == 60_000 for earlier, later in itertools.pairwise(bars))


async def test_the_command_serves_in_a_process_of_its_own():
    with spawned("--rate", "20") as address:
        assert re.fullmatch(r"ws://127\.0\.0\.1:\d+", address["ws"])
        async with aiohttp.ClientSession() as session, session.get(address["faults"]) as answer:
            report = await answer.json()

    assert (report["clock"]["rate"], report["fired"]) == (20.0, {})
    assert abs(report["clock_ns"] - START_NS) > SECOND  # it is now there, not then
