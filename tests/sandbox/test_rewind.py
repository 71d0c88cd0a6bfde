"""A market that goes back says the same again, from the very frame on, whoever hears it then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox import market
from sandbox.command import recorded
from sandbox.market import START_NS
from sandbox.playback import load
from sandbox.server import Speakers
from tests.sandbox.running import Client, Running, running, seeded

pytestmark = pytest.mark.asyncio

STREAMS = "/stream?streams=btcusdt@trade/btcusdt@bookTicker/btcusdt@depth@100ms"
ID = {"trade": "t", "bookTicker": "u", "depth": "u"}


def invented(_: Path) -> Speakers:
    return seeded()


def played(folder: Path) -> Speakers:
    path = folder / "invented.jsonl.zst"
    market.write(path, seed=7, minutes=0.5)
    return recorded(load([path]))


async def alone(sandbox: Running) -> None:
    while sandbox.connections:
        await asyncio.sleep(0)


async def heard(sandbox: Running, client: Client, *turns: float) -> list[Any]:
    """What somebody hears who comes now and goes again after so many seconds."""
    socket = await client.connect(STREAMS)
    frames: list[Any] = []
    await client.fault(kind="resume")
    for seconds in turns:
        await sandbox.turn(seconds)
        frames += await client.hear(socket)
    await socket.close()
    await alone(sandbox)
    return frames


@pytest.mark.parametrize("speakers", [invented, played])
async def test_a_market_that_goes_back_to_a_frame_says_what_came_after_it_again(
    tmp_path: Path, speakers: Callable[[Path], Speakers]
):
    async with running(speakers(tmp_path), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        whole = await heard(sandbox, client, 3, 2)
        for at in (len(whole) // 3, len(whole) // 2, 7):
            stream = whole[at]["stream"]
            told = await client.fault(
                kind="rewind", venue="binance", stream=stream, id=whole[at]["data"][ID[stream.split("@")[1]]]
            )
            assert START_NS < told["clock_ns"] <= sandbox.clock.read() == told["clock_ns"]
            _, depth = await client.get("/api/v3/depth?symbol=BTCUSDT")
            again = await heard(sandbox, client, (START_NS + 5 * 10**9 - told["clock_ns"]) / 1e9)

            assert again == whole[at + 1 :]
            sent = [frame["data"]["u"] for frame in whole[: at + 1] if "@depth" in frame["stream"]]
            next_sent = next(frame["data"] for frame in again if "@depth" in frame["stream"])
            assert max(sent, default=0) <= depth["lastUpdateId"] <= next_sent["u"]
        report = await client.report()

    assert report["fired"]["rewind"] == 3


async def test_after_going_back_the_market_stands_until_it_may_go_on():
    async with running(seeded(), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        whole = await heard(sandbox, client, 1)
        trade = next(frame["data"] for frame in whole if frame["stream"] == "btcusdt@trade")
        await client.fault(kind="rewind", venue="binance", stream="btcusdt@trade", id=trade["t"])
        socket = await client.connect(STREAMS)
        await sandbox.turn(5)

        assert await client.hear(socket) == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"stream": "btcusdt@trade", "id": 1}, "which venue"),
        ({"venue": "binance", "stream": "btcusdt@trade", "id": 1}, "has sent no frame 1 of btcusdt@trade"),
        ({"venue": "binance"}, "of no stream"),
        ({"venue": "coinbase"}, "coinbase cannot go back"),
    ],
)
async def test_where_a_market_cannot_go_back_it_stays(fault: dict[str, Any], says: str):
    async with running(seeded(), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        await heard(sandbox, client, 1)
        now = sandbox.clock.read()
        assert says in (await client.fault(kind="rewind", **fault))["error"]

        assert (sandbox.clock.read(), sandbox.clock.paused) == (now, False)


async def test_nobodys_market_goes_back():
    async with running(seeded(), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await client.connect(STREAMS)
        await sandbox.turn(1)
        trade = next(f["data"] for f in await client.hear(socket) if f["stream"] == "btcusdt@trade")
        answer = await client.fault(kind="rewind", venue="binance", stream="btcusdt@trade", id=trade["t"])

    assert "somebody listens to binance" in answer["error"]
