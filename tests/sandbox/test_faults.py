"""Each fault is on the wire what its name says, for as long as it was asked for, and is counted."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from typing import Any, get_args

import aiohttp
import pytest

from sandbox.clock import TurnedClock
from sandbox.fault import FIELDS, BadFault, Kind, parse
from sandbox.market import START_NS
from tests.sandbox.running import Client, running, seeded

pytestmark = pytest.mark.asyncio

CLOSE, CLOSED, TEXT = aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.TEXT


def still() -> Any:
    return running(seeded(), start_ns=START_NS)


def ids(frames: list[Any]) -> list[int]:
    return [frame["t"] for frame in frames]


def consecutive(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def trades_under(fault: dict[str, Any], seconds: float = 10) -> tuple[list[int], list[int], Any]:
    """Trade ids heard while a fault was on for some seconds, those heard after, and the report."""
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        await client.fault(**fault)
        await sandbox.turn(seconds)
        during = ids(await client.hear(socket))
        await sandbox.turn(seconds)
        return during, ids(await client.hear(socket)), await client.report()


async def test_drop_loses_the_share_it_was_asked_to_and_always_the_same():
    first = await trades_under({"kind": "drop", "stream": "*@trade", "share": 0.3, "for_s": 10})
    again = await trades_under({"kind": "drop", "stream": "*@trade", "share": 0.3, "for_s": 10})

    during, after, report = first
    lost = after[0] - during[0] - len(during)
    assert 0.2 < lost / (after[0] - during[0]) < 0.4
    assert consecutive(after)
    assert abs(report["fired"]["drop"] - lost) <= 2  # those before the first heard are not seen here
    assert report["active"] == []
    assert again[0] == during


async def test_freeze_silences_one_stream_while_the_socket_and_the_others_go_on():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/stream?streams=btcusdt@trade/btcusdt@depth")
        await sandbox.turn(1)
        before = await client.hear(socket)
        await client.fault(kind="freeze", stream="btcusdt@trade", for_s=5)
        fresh = await client.connect("/ws/btcusdt@trade")  # resubscribing does not help
        await sandbox.turn(5)
        during = [*(await client.hear(socket)), *(await client.hear(fresh))]
        await sandbox.turn(2)
        after = await client.hear(socket)

    assert {frame["stream"] for frame in before} == {frame["stream"] for frame in after}
    assert {frame["stream"] for frame in during} == {"btcusdt@depth"}
    assert len(during) == 50


async def test_gap_leaves_out_diffs_and_nothing_else():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/stream?streams=btcusdt@trade/btcusdt@depth@100ms")
        await sandbox.turn(1)
        await client.fault(kind="gap", count=2)
        await sandbox.turn(2)
        frames = await client.hear(socket)
        report = await client.report()

    diffs = [frame["data"] for frame in frames if "depth" in frame["stream"]]
    links = [later["U"] - earlier["u"] == 1 for earlier, later in itertools.pairwise(diffs)]
    assert (len(diffs), links.count(False)) == (28, 1)
    assert consecutive([frame["data"]["t"] for frame in frames if frame["stream"] == "btcusdt@trade"])
    assert (report["fired"], report["active"]) == ({"gap": 2}, [])


async def test_delay_makes_a_stream_late_and_keeps_its_order():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        await client.fault(kind="delay", stream="btcusdt@trade", delay_s=3, for_s=5)
        await sandbox.turn(2.9)
        nothing = await client.hear(socket)
        await sandbox.turn(1.1)
        some = await client.hear(socket)
        await sandbox.turn(20)
        rest = await client.hear(socket)

    assert nothing == []
    assert all(frame["E"] <= START_NS // 10**6 + 1_000 for frame in some)
    assert consecutive(ids([*some, *rest]))


async def test_a_fault_ends_at_its_own_moment_however_much_time_passes_at_once():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/stream?streams=btcusdt@trade/btcusdt@depth")
        await client.fault(kind="freeze", stream="*@depth", for_s=2)
        await client.fault(kind="delay", stream="*@trade", delay_s=3, for_s=2)
        await sandbox.turn(10)
        frames = await client.hear(socket)

    diffs = [frame["data"]["E"] - START_NS // 10**6 for frame in frames if frame["stream"] == "btcusdt@depth"]
    assert (diffs[0], diffs[-1], len(diffs)) == (2_000, 10_000, 81)
    assert consecutive([frame["data"]["t"] for frame in frames if frame["stream"] == "btcusdt@trade"])
    late = frames.index(next(frame for frame in frames if frame["stream"] == "btcusdt@trade"))
    assert frames[late - 1]["data"]["E"] - START_NS // 10**6 in (2_900, 3_000)


async def test_duplicate_says_everything_again():
    during, after, report = await trades_under({"kind": "duplicate", "stream": "btcusdt@trade", "for_s": 10})

    assert during[::2] == during[1::2]
    assert consecutive(during[::2])
    assert consecutive(after)
    assert report["fired"]["duplicate"] == len(during) / 2


async def test_reorder_turns_neighbours_round_and_loses_none():
    during, after, _ = await trades_under({"kind": "reorder", "stream": "btcusdt@trade", "span": 3, "for_s": 10})

    assert during[:3] == sorted(during[:3], reverse=True)
    assert not consecutive(during)
    assert consecutive(sorted(during + after))
    assert consecutive(after[3:])


@pytest.mark.parametrize(
    ("how", "is_so"),
    [
        ("", lambda raw: raw.startswith('{"e":"trade"') and not raw.endswith("}")),
        ("garbage", lambda raw: "Bad Gateway" in raw),
        ("huge", lambda raw: len(raw) > 10_000_000),
    ],
)
async def test_malformed_frames_come_in_place_of_good_ones(how, is_so):
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        await client.fault(kind="malformed", count=1, how=how)
        await sandbox.turn(2)
        raws = await client.raws(socket)
        report = await client.report()

    assert is_so(raws[0])
    assert consecutive(ids([json.loads(raw) for raw in raws[1:]]))
    assert report["fired"] == {"malformed": 1}


async def test_text_that_is_no_text_ends_the_connection_on_the_clients_side():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        await client.fault(kind="malformed", count=1, how="utf8")
        await sandbox.turn(2)
        message = await socket.receive(5)

    assert message.type is aiohttp.WSMsgType.ERROR
    assert "1007" in str(message.data) or "UTF-8" in str(message.data)


@pytest.mark.parametrize(("how", "said"), [("", CLOSED), ("fin", CLOSED), ("reset", CLOSED), ("close", CLOSE)])
async def test_cut_ends_connections_and_turns_new_ones_away_for_a_while(how, said):
    async with still() as sandbox, Client(sandbox) as client:
        socket, other = await client.connect("/ws/btcusdt@trade"), await client.connect("/market/ws/btcusdt@trade")
        await client.fault(kind="cut", venue="binance", for_s=3, **({"how": how} if how else {}))
        message = await socket.receive(5)
        with pytest.raises(aiohttp.ClientError):
            await client.connect("/ws")
        await sandbox.turn(3)
        await client.connect("/ws")
        report = await client.report()

    assert message.type is said
    assert not other.closed
    assert report["fired"]["cut"] >= 2  # aiohttp asks again when its line is cut while it asks


async def test_half_open_says_nothing_any_more_not_even_goodbye():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        await client.fault(kind="half_open", for_s=5)
        fresh = await client.connect("/ws/btcusdt@trade")
        await sandbox.turn(5)
        await socket.ping()
        await socket.send_str('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        silence = [*(await client.raws(socket)), *(await client.raws(fresh))]
        after = await client.connect("/ws/btcusdt@trade")
        await sandbox.turn(100)
        still_silent = await client.raws(socket)
        good = await client.hear(after)
        report = await client.report()

    assert (silence, still_silent, socket.closed) == ([], [], False)
    assert consecutive(ids(good))
    assert report["fired"] == {"half_open": 2}


async def test_slow_drip_lets_bytes_through_one_by_one():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        await client.fault(kind="slow_drip", bytes_per_s=40, for_s=30)
        first = []
        for _ in range(10):
            await sandbox.turn(1)
            first += await client.raws(socket)
        await sandbox.turn(21)
        rest = await client.raws(socket)

    assert 1 <= len(first) <= 400 / 100
    assert consecutive(ids([json.loads(raw) for raw in [*first, *rest]]))


async def test_roll_over_ends_a_connection_after_its_time_and_can_be_announced():
    async with still() as sandbox, Client(sandbox) as client:
        old = await client.connect("/stream?streams=btcusdt@depth")
        await client.fault(kind="rollover", announce_s=2)
        await sandbox.turn(1)
        young = await client.connect("/ws/btcusdt@depth")
        heard = await client.hear(old)
        await sandbox.turn(1)
        ended = [await client.raws(old), old.close_code]
        await client.fault(kind="rollover", life_s=10)
        await sandbox.turn(8.9)
        await client.raws(young)
        lives = not young.closed
        await sandbox.turn(0.2)
        await client.raws(young)
        report = await client.report()

    assert [frame["data"]["e"] for frame in heard if frame["stream"] == "!serverShutdown"] == ["serverShutdown"]
    assert ended[1] == 1001
    assert (lives, young.close_code) == (True, 1001)
    assert report["fired"] == {"rollover": 2}


async def test_a_connection_lives_24_hours():
    async with running(seeded(activity=0.001), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws")
        sandbox.venues["binance"].limits = sandbox.venues["binance"].limits._replace(ping_every_ns=0)
        assert isinstance(sandbox.clock, TurnedClock)
        await sandbox.turn(86_399)
        early = await client.raws(socket)
        await sandbox.turn(2)
        await client.raws(socket)

    assert early == []
    assert socket.close_code == 1001


async def test_ban_refuses_requests_and_connects_and_says_for_how_long():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws")
        await client.fault(kind="ban", venue="binance", for_s=60)
        ended = await socket.receive(5)
        await sandbox.turn(10)
        async with client.session.get(sandbox.rest + "/api/v3/time") as answer:
            banned = answer.status, answer.headers["Retry-After"], (await answer.json())["code"]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="418"):
            await client.connect("/ws")
        elsewhere, _ = await client.get("/fapi/v1/time")
        await sandbox.turn(50)
        again, _ = await client.get("/api/v3/time")

    assert (ended.type, banned, elsewhere, again) == (CLOSE, (418, "50", -1003), 200, 200)


async def test_ignore_loses_what_clients_send():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws")
        await client.fault(kind="ignore", count=1)
        await socket.send_str('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}')
        answer = await client.ask(socket, method="LIST_SUBSCRIPTIONS", id=2)
        report = await client.report()

    assert answer == {"result": [], "id": 2}
    assert (report["fired"], report["connections"][0]["messages"]) == ({"ignore": 1}, 2)


async def test_a_late_answer_says_what_was_so_when_it_was_asked_for():
    async with running(seeded(), rate=20, start_ns=START_NS) as sandbox, Client(sandbox) as client:
        await client.get("/api/v3/depth?symbol=BTCUSDT")
        await client.fault(kind="rest", path="/time", delay_s=4, count=1)
        _, late = await client.get("/api/v3/time")
        _, now = await client.get("/api/v3/time")

    assert now["serverTime"] - late["serverTime"] >= 4_000


async def test_rest_answers_wrongly_or_late_where_it_was_asked_to():
    async with still() as sandbox, Client(sandbox) as client:
        await client.fault(kind="rest", path="/depth", status=503, count=2)
        answers = [(await client.get("/api/v3/depth?symbol=BTCUSDT"))[0] for _ in range(3)]
        other, _ = await client.get("/api/v3/time")
        await client.fault(kind="rest", path="/time", delay_s=0.1, count=1)
        started = time.monotonic()
        late, _ = await client.get("/api/v3/time")
        took = time.monotonic() - started
        report = await client.report()

    assert (answers, other, late) == ([503, 503, 200], 200, 200)
    assert took >= 0.1
    assert report["fired"] == {"rest": 3}


async def test_pause_stops_time_and_market_and_resume_goes_on_from_there():
    async with running(seeded(), rate=20, start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        paused = await client.fault(kind="pause")
        before = await client.hear(socket)
        _, told = await client.get("/api/v3/time")
        silence = await client.hear(socket)
        await client.fault(kind="resume")
        async with asyncio.timeout(5):
            after = [json.loads((await socket.receive()).data) for _ in range(20)]
        report = await client.report()

    assert told["serverTime"] == paused["clock_ns"] // 10**6
    assert silence == []
    assert consecutive(ids([*before, *after]))
    assert after[0]["E"] < told["serverTime"] + 2_000
    assert report["fired"] == {"pause": 1, "resume": 1}


async def test_faults_end_when_they_are_told_to():
    async with still() as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        first = await client.fault(kind="freeze")
        await client.fault(kind="duplicate")
        async with client.session.delete(f"{sandbox.fault_port_url}?number={first['number']}") as answer:
            left = [fault["kind"] for fault in (await answer.json())["active"]]
        async with client.session.delete(sandbox.fault_port_url) as answer:
            none = (await answer.json())["active"]
        await sandbox.turn(2)
        frames = await client.hear(socket)

    assert (left, none) == (["duplicate"], [])
    assert consecutive(ids(frames))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'{"kind":"flood"}', "flood"),
        (
            b'{"kind":"freeze","stream":"x","delay_s":3}',
            "freeze takes venue, conn, stream, for_s, count; not 'delay_s'",
        ),
        (b'{"kind":"cut","for":3}', "for"),
        (b'{"kind":"cut","how":"gently"}', "one of fin, reset, close"),
        (b'{"kind":"drop","for_s":-1}', "for_s must not be negative"),
        (b'{"kind":"drop","share":1.5}', "share is from 0 to 1"),
        (b'{"kind":"drop","for_s":"long"}', "for_s"),
        (b"cut", "malformed"),
        (b'{"kind":"cut","venue":"mtgox"}', ""),
    ],
)
async def test_a_fault_that_cannot_be_is_refused_in_words(body, says):
    if says:
        with pytest.raises(BadFault, match=says):
            parse(body)

    async with (
        still() as sandbox,
        Client(sandbox) as client,
        client.session.post(sandbox.fault_port_url, data=body) as answer,
    ):
        said = answer.status, await answer.json()

    assert said[0] == 400
    assert said[1]["error"]


async def test_every_kind_has_its_fields():
    assert set(FIELDS) == set(get_args(Kind))
