"""From the socket: how many frames a second reach the bus, and how long one takes until an order is approved.

Each figure stands beside a bare reader of the same frames from the same sender, which is a process of its own, on a
core of its own where there are two. Ours is what ``argus run`` does: reader, door, recording, protocol, bus, gate,
journal, logs, control socket and checks; only the strategies are the benchmark's.
"""

from __future__ import annotations

import json
import os
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

from benchmarks.strategies import Ears
from bus.clock import WallClock
from bus.events import Decision, OrderApproved
from bus.inputs import Input
from bus.values import Instrument
from config import load as config
from config.schema import Config, Process, Trading
from daemon.live import feeding
from daemon.live.door import Accept
from daemon.live.run import Live, RunRequest
from daemon.live.sitting import Clock
from daemon.live.state import StateDirectory
from feeds.binance import wire
from feeds.port import LiveFeed, VenueProtocol

ROUNDS = 3
NAME = "binance:BTC/USDT"
PACE, PACE_S, NTH = 2_000, 16.0, 50


class Far(NamedTuple):
    port: int
    frames: int


@contextmanager
def sender(*arguments: str) -> Iterator[Far]:
    command = [sys.executable, "-m", "benchmarks.sender", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process, _apart(process.pid):
        assert process.stdout is not None
        port, frames = process.stdout.readline().split()
        try:
            yield Far(int(port), int(frames))
        finally:
            process.kill()


@contextmanager
def _apart(far: int) -> Iterator[None]:
    """Each on cores of its own: woken by the sender, a reader would else be put behind it on the same one."""
    ours = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(ours) < 2:
        yield
        return
    os.sched_setaffinity(far, ours[:1])
    os.sched_setaffinity(0, ours[1:])
    try:
        yield
    finally:
        os.sched_setaffinity(0, ours)


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
    """From a frame's leaving the sender to the approval of the order it led to, at an even pace: as it is, and where
    the process stays awake between frames. The bare reader sleeps.
    """
    with sender("pace", str(PACE), str(PACE_S)) as far:
        bare = uvloop.run(_bare_latency(far))
        for busy_poll_ms in (0, 2):
            approved, sent, hops = uvloop.run(_approvals(far, busy_poll_ms))
            how = {"frames_per_s": PACE, "busy_poll_ms": busy_poll_ms}
            yield {"bench": "socket.to_approved", **how, "orders": len(approved), **_beside(approved, bare)}
            yield {"bench": "socket.to_sent", **how, "orders": len(sent), **_beside(sent, bare)}
            yield {"bench": "bus.hop", **how, "frames": len(hops), **_beside(hops, bare)}


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
    with _session(far, ("trade", "quote", "book", "kline")) as session:
        await session.through()
        return session.cpu_s


async def _bare_latency(far: Far) -> list[float]:
    found = []
    async with aiohttp.ClientSession() as session, session.ws_connect(_url(far), compress=0) as socket:
        await socket.send_str("go")
        for _ in range(far.frames):
            message = await socket.receive()
            found.append((time.time_ns() - wire.read_trade(message.data).data.T * 1_000) / 1_000)
    return found


async def _approvals(far: Far, busy_poll_ms: float) -> tuple[list[float], list[float], list[float]]:
    """How old frames were when the order they led to was approved, and when it was on its way to the venue; and how
    long after the door took a frame the strategy had it. All in microseconds.
    """
    approved: list[float] = []
    handed_over: list[float] = []
    with _session(far, ("trade",), NTH, busy_poll_ms) as session:
        bus, trades = session.live.core.bus, session.live.core.market.trades
        decided = [0]

        def judged(_: Decision) -> None:
            decided[0] = time.time_ns()

        def sent(_: OrderApproved) -> None:
            left = trades[NAME].venue_ns
            approved.append((decided[0] - left) / 1_000)
            handed_over.append((time.time_ns() - left) / 1_000)

        bus.subscribe(Decision, judged)  # the last to hear it: the gate has said yes, or no
        bus.subscribe(OrderApproved, sent)  # the last to hear it: the order is on its way to the venue
        with Ears.listening(session.clock) as hops:
            await session.through()
    return approved, handed_over, hops


CONFIG = """
trading.limits = {{ order_rate = {{ orders = 100000 }} }}
[[trading.feeds]]
venue = "binance"
instruments = ["{name}"]
streams = {streams}
[[trading.strategies]]
name = "ears"
use = "benchmarks.strategies:Ears"
[[trading.strategies]]
name = "bench"
use = "benchmarks.strategies:EveryNth"
params = {{ nth = {nth} }}
[process]
out_dir = "{root}/sessions"
state_dir = "{root}/state"
kill_file = "{root}/KILL"
busy_poll_ms = {poll}
[process.endpoints.binance]
ws = ["ws://127.0.0.1:{port}"]
rest = "http://127.0.0.1:{port}"
"""


@contextmanager
def _session(far: Far, streams: Sequence[str], nth: int = 0, busy_poll_ms: float = 0) -> Iterator[_Session]:
    with tempfile.TemporaryDirectory() as root:
        file = Path(root) / "argus.toml"
        words = {"streams": json.dumps(streams), "nth": nth, "poll": busy_poll_ms, "root": root, "port": far.port}
        file.write_text(CONFIG.format(name=NAME, **words))
        loaded = config.load(file, (), {})
        held = StateDirectory.open(loaded.process.state_dir, "paper")
        try:
            yield _Session(far, RunRequest(file), loaded, held)
        finally:
            held.close()


class _Session:
    """What ``argus run`` does, in this process, until all that the far end has was heard. ``cpu_s`` is from the first
    frame to the last.
    """

    def __init__(self, far: Far, request: RunRequest, loaded: Config, held: StateDirectory) -> None:
        self.clock = WallClock()
        self.cpu_s = 0.0
        self._left = far.frames
        self.live = Live(request, loaded.trading, loaded.process, held, self._feeds, self.clock, lambda _said: None)

    async def through(self) -> None:
        ended = await self.live.run()
        assert not ended.exit_code, ended.reason
        assert not self._left, f"{self._left} frames were not heard"

    def _feeds(
        self, trading: Trading, process: Process, instruments: Sequence[Instrument], accept: Accept, clock: Clock
    ) -> Sequence[LiveFeed]:
        def counted(items: Sequence[Input], protocol: VenueProtocol) -> None:
            accept(items, protocol)
            for item in items:
                if item.kind is None:
                    self._count()

        return feeding.feeds(trading, process, instruments, counted, clock)

    def _count(self) -> None:
        if not self.cpu_s:
            self.cpu_s = -time.process_time()
        self._left -= 1
        if not self._left:
            self.cpu_s += time.process_time()
            self.live.stop("all was heard")


def _url(far: Far) -> str:
    return f"ws://127.0.0.1:{far.port}/stream"


def _beside(ours: Sequence[float], bare: Sequence[float]) -> dict[str, float]:
    """Middle and tail in microseconds, those of a bare reader, and their ratios."""
    figures = {}
    for percent in (50, 99):
        mine, theirs = _percentile(ours, percent), _percentile(bare, percent)
        figures[f"p{percent}_us"] = round(mine, 1)
        figures[f"bare_p{percent}_us"] = round(theirs, 1)
        figures[f"ratio_p{percent}"] = round(mine / theirs, 3)
    return figures


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1]


def measure(recording: Path) -> Iterator[dict[str, Any]]:
    yield from throughput(recording)
    yield from latency()
