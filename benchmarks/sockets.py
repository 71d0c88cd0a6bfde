"""From the socket: how many frames a second reach the bus, and how long one takes until an order is approved.

Each figure stands beside a bare reader of the same frames from the same sender, which is a process of its own. Ours is
the whole of a paper session: reader, door, recording, protocol, bus, gate, journal; the strategy is the benchmark's.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import uvloop
from websockets.asyncio.client import connect

from benchmarks.strategies import EveryNth
from bus.clock import SECOND, WallClock
from bus.events import OrderApproved
from bus.inputs import Input
from bus.journal import Journal
from config.schema import Trading
from daemon.live.door import Door
from daemon.live.recorder import Keeping, Recorder
from daemon.models import instruments_of
from daemon.sources import known_by, protocol_of
from daemon.wiring import Core, build
from feeds.binance import wire
from feeds.binance.live import BinanceDialect
from feeds.crew import Crew
from feeds.live import Endpoints, NativeFeed, Wanted
from feeds.port import VenueProtocol

ROUNDS = 3
NAME = "binance:BTC/USDT"
PACE, PACE_S = 2_000, 8.0


class Far(NamedTuple):
    port: int
    frames: int


@contextmanager
def sender(*arguments: str) -> Iterator[Far]:
    command = [sys.executable, "-m", "benchmarks.sender", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port, frames = process.stdout.readline().split()
        try:
            yield Far(int(port), int(frames))
        finally:
            process.kill()


def throughput(recording: Path) -> Iterator[dict[str, Any]]:
    """Frames a second of CPU time, the sender at full speed."""
    rates: dict[str, list[float]] = {"aiohttp": [], "websockets": [], "argus": []}
    with sender("blast", str(recording)) as far:
        for _ in range(ROUNDS):
            for name, read in (("aiohttp", _aiohttp), ("websockets", _websockets), ("argus", _argus)):
                rates[name].append(far.frames / uvloop.run(read(far)))
    best = {name: max(each) for name, each in rates.items()}
    yield {
        "bench": "socket.reader",
        "frames": far.frames,
        "aiohttp_per_s": round(best["aiohttp"]),
        "websockets_per_s": round(best["websockets"]),
        "ratio": round(best["aiohttp"] / best["websockets"], 2),
    }
    yield {
        "bench": "socket.to_bus",
        "frames": far.frames,
        "frames_per_s": round(best["argus"]),
        "us_per_frame": round(1e6 / best["argus"], 2),
        "bare_us_per_frame": round(1e6 / best["aiohttp"], 2),
        "ratio": round(best["aiohttp"] / best["argus"], 2),
    }


def latency() -> Iterator[dict[str, Any]]:
    """From a frame's leaving the sender to the approval of the order it led to, at an even pace."""
    with sender("pace", str(PACE), str(PACE_S)) as far:
        bare = uvloop.run(_bare_latency(far))
        ours = uvloop.run(_approvals(far))
    yield {
        "bench": "socket.to_approved",
        "frames_per_s": PACE,
        "orders": len(ours),
        "p50_us": round(_percentile(ours, 50)),
        "p99_us": round(_percentile(ours, 99)),
        "bare_p50_us": round(_percentile(bare, 50)),
        "bare_p99_us": round(_percentile(bare, 99)),
        "ratio_p50": round(_percentile(ours, 50) / _percentile(bare, 50), 2),
    }


async def _aiohttp(far: Far) -> float:
    async with aiohttp.ClientSession() as session, session.ws_connect(_url(far), compress=0, max_msg_size=0) as socket:
        await socket.send_str("go")
        began, receive = time.process_time(), socket.receive
        for _ in range(far.frames):
            await receive()
        return time.process_time() - began


async def _websockets(far: Far) -> float:
    async with connect(_url(far), compression=None, max_size=None, proxy=None) as socket:
        await socket.send("go")
        began, receive = time.process_time(), socket.recv
        for _ in range(far.frames):
            await receive()
        return time.process_time() - began


async def _argus(far: Far) -> float:
    """The whole daemon but for its process: from the socket to the bus, recorded and committed."""
    with tempfile.TemporaryDirectory() as folder:
        live = _Session(Path(folder), far, EveryNth(0))
        began = time.process_time()
        await live.through(far.frames)
        return time.process_time() - began


async def _bare_latency(far: Far) -> list[float]:
    found = []
    async with aiohttp.ClientSession() as session, session.ws_connect(_url(far), compress=0) as socket:
        await socket.send_str("go")
        for _ in range(far.frames):
            message = await socket.receive()
            found.append((time.time_ns() - wire.read_trade(message.data).data.T * 1_000) / 1_000)
    return found


async def _approvals(far: Far) -> list[float]:
    found: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        live = _Session(Path(folder), far, EveryNth(50))

        def approved(_: OrderApproved) -> None:
            found.append((time.time_ns() - live.core.market.trades[NAME].venue_ns) / 1_000)

        live.core.bus.subscribe(OrderApproved, approved)
        await live.through(far.frames)
    return found


class _Session:
    def __init__(self, folder: Path, far: Far, strategy: EveryNth) -> None:
        trading = Trading()
        instruments = [instrument for instrument in instruments_of(trading) if instrument.venue == "binance"]
        journal = Journal(folder / "journal.db")
        self.core: Core = build(
            trading,
            instruments,
            ["binance"],
            journal,
            self._failed,
            [("bench", strategy, None)],
            step_ns=SECOND,
            boot=1,
        )
        self._door = Door(self.core, journal, Recorder(folder, Keeping()), WallClock())
        self._frames = 0
        self._until = 0
        self._done = asyncio.Event()
        streams = ("trade", "quote", "book", "kline") if not strategy.nth else ("trade",)
        self._feed = NativeFeed(
            "binance",
            [Wanted(NAME, "BTCUSDT", streams)],
            protocol_of("binance", known_by(instruments)),
            self._accept,
            WallClock(),
            BinanceDialect(futures=False),
            Endpoints([f"ws://127.0.0.1:{far.port}"], f"http://127.0.0.1:{far.port}"),
        )

    async def through(self, frames: int) -> None:
        self._until = frames
        self._door.begin({}, None)
        for command in ("connect", "reconcile", "arm"):
            self._door.command(command, "bench", {})
        async with Crew() as crew:
            crew.start(self._feed.run())
            await self._done.wait()
        self._door.end()

    def _accept(self, items: Sequence[Input], protocol: VenueProtocol) -> None:
        self._door.accept(items, protocol)
        for item in items:
            if item.kind is None:
                self._frames += 1
        if self._frames >= self._until:
            self._done.set()

    def _failed(self, where: str, error: Exception) -> None:
        raise AssertionError(where) from error


def _url(far: Far) -> str:
    return f"ws://127.0.0.1:{far.port}/stream"


def _percentile(values: list[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def measure(recording: Path) -> Iterator[dict[str, Any]]:
    yield from throughput(recording)
    yield from latency()
