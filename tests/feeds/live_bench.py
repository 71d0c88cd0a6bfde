"""Live feeds on the bench: a sandbox in this process, cores small enough to look into, and one clock that a test turns.

Sockets are real (the loopback), time is not: ``pass_time`` moves sandbox, rim and cores together, in steps, and lets
what was sent arrive before it goes on.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from random import Random
from typing import Any

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import RECORDS, BookUpdate, PastBar, Quote, Trade
from bus.inputs import Input
from bus.market import Market
from daemon.intake import Intake
from daemon.sources import protocol_of
from feeds.binance.live import BinanceDialect
from feeds.coinbase.live import CoinbaseDialect
from feeds.crew import Crew
from feeds.freshness import Freshness, Watched
from feeds.live import Dialect, Endpoints, NativeFeed, Past, Wanted
from feeds.pace import RimClock
from feeds.port import VenueProtocol
from sandbox.clock import TurnedClock
from sandbox.fault import parse
from sandbox.market import START_NS
from sandbox.server import Speakers
from tests.sandbox.running import Running, running, seeded

INSTRUMENTS = {
    "binance": ("binance:BTC/USDT", "BTCUSDT"),
    "binanceusdm": ("binanceusdm:BTC/USDT:USDT", "BTCUSDT"),
    "coinbase": ("coinbase:BTC/USD", "BTC-USD"),
}
DIALECTS: dict[str, Callable[[], Dialect]] = {
    "binance": lambda: BinanceDialect(futures=False),
    "binanceusdm": lambda: BinanceDialect(futures=True),
    "coinbase": CoinbaseDialect,
}
MAX_AGE_S = {"trade": 3.0, "quote": 2.0, "book": 2.0}


class TurnedRim(RimClock):
    """The rim's clock on a sandbox's: waits end when the test has turned it so far."""

    def __init__(self, clock: TurnedClock) -> None:
        super().__init__(clock)
        self._clock = clock
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> int:
        return self._clock.read()

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._count += 1
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heappush(self._waiting, (self.now() + round(seconds * SECOND), self._count, over))
        await over

    def wake(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.now():
            over = heappop(self._waiting)[2]
            if not over.done():
                over.set_result(None)


class Bench:
    """A feed and a core that keeps everything: ``inputs`` as the door stamped them, ``events`` as the bus carried them.

    ``spells`` are (seconds since the start, why not or "") at each change of whether the instrument may be traded.
    """

    def __init__(
        self,
        sandbox: Running,
        rim: TurnedRim,
        venue: str,
        streams: Sequence[str],
        past: Sequence[Past] = (),
        dialect: Dialect | None = None,
        ws: Sequence[str] = (),
    ) -> None:
        self._sandbox = sandbox
        self.venue = venue
        self.name, self.symbol = INSTRUMENTS[venue]
        self.streams = streams
        self.inputs: list[Input] = []
        self.events: list[Any] = []
        self.protocol = protocol_of(venue, lambda _venue, _symbol: None)
        self.intake, self.market, self.freshness = core(self.events, self.name, streams, sandbox.clock.read())
        root = f"{sandbox.ws}/coinbase" if venue == "coinbase" else sandbox.ws
        self.feed = NativeFeed(
            venue,
            [Wanted(self.name, self.symbol, streams)],
            self.protocol,
            self.accept,
            sandbox.clock,
            dialect or DIALECTS[venue](),
            Endpoints(ws or [root], sandbox.rest),
            past,
            Random(1),
            rim,
        )
        self.feed.unfit = self.freshness.unfit
        self.is_over = False  # what comes from here on is the feed's leave-taking
        self.spells: list[tuple[float, str]] = []
        self._began = sandbox.clock.read()

    def accept(self, items: Sequence[Input], protocol: VenueProtocol) -> None:
        if self.is_over:
            return
        for item in items:
            item.ts = self._sandbox.clock.read()
        self.inputs += items
        self.intake.accept_frames(items, protocol)

    @property
    def why_not(self) -> str:
        """Why the instrument may not be traded right now; empty when it may."""
        if self.name in self.market.stale:
            return self.market.stale[self.name]
        book = self.market.books.get(self.name)
        return "" if book is None or book.usable else "its book cannot be used"

    def tick(self) -> None:
        """Fire the core's timers, as the door does while nothing is heard."""
        item = Input("", self._sandbox.clock.read(), kind="tick")
        self.inputs.append(item)
        self.intake.accept_frames((item,), self.protocol)
        why = self.why_not
        if not self.spells or (self.spells[-1][1] != "") != (why != ""):
            self.spells.append(((self._sandbox.clock.read() - self._began) / SECOND, why))

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in self.events if type(event) in kinds]


class World:
    """The sandbox, and everyone who listens to it."""

    def __init__(self, sandbox: Running) -> None:
        assert isinstance(sandbox.clock, TurnedClock)
        self.sandbox = sandbox
        self.rim = TurnedRim(sandbox.clock)
        self.benches: list[Bench] = []
        self._began = sandbox.clock.read()

    @property
    def seconds(self) -> float:
        return (self.sandbox.clock.read() - self._began) / SECOND

    async def pass_time(self, seconds: float, step: float = 0.2) -> None:
        for _ in range(max(1, round(seconds / step))):
            await self.sandbox.turn(step)
            self.rim.wake()
            await settle()
            for bench in self.benches:
                bench.tick()

    async def until_tradeable(self, within_s: float = 10.0) -> None:
        """Fails when not everybody may trade after so long."""
        end = self.seconds + within_s
        while any(bench.why_not for bench in self.benches):
            assert self.seconds < end, [(bench.venue, bench.why_not) for bench in self.benches]
            await self.pass_time(0.2)

    def fault(self, **fault: Any) -> None:
        self.sandbox.faults.post(parse(json.dumps(fault).encode()))


def core(events: list[Any], name: str, streams: Sequence[str], now: int) -> tuple[Intake, Market, Freshness]:
    """Door, market and freshness, with everything that the bus carries kept in ``events``."""

    def failed(_handler: object, _event: object, error: Exception) -> None:
        raise error

    clock, bus = Clock(now), Bus(failed)
    market = Market([])
    market.attach(bus)
    kinds: list[type] = [Trade, Quote, BookUpdate, PastBar, *RECORDS.values()]
    for kind in kinds:
        bus.subscribe(kind, events.append)
    ages = [Watched(name, stream, round(MAX_AGE_S[stream] * SECOND)) for stream in streams]
    freshness = Freshness(clock, bus, market, ages)
    freshness.start(expecting=True)
    return Intake(clock, bus, lambda _item, _reason: None), market, freshness


def replayed(bench: Bench) -> list[Any]:
    """What the recorded inputs lead to in another core."""
    events: list[Any] = []
    intake, _, _ = core(events, bench.name, bench.streams, START_NS)
    intake.accept_frames(bench.inputs, protocol_of(bench.venue, lambda _venue, _symbol: None))
    return events


async def settle() -> None:
    """Let what is on the loopback arrive."""
    for _ in range(4):
        await asyncio.sleep(0.0005)


@asynccontextmanager
async def world(
    venues: Sequence[str] = ("binance",),
    streams: Sequence[str] = ("trade", "quote", "book"),
    speakers: Speakers | None = None,
    **options: Any,
) -> AsyncIterator[World]:
    """Feeds that run, on a sandbox whose time stands still until it is passed."""
    async with running(speakers or seeded(), start_ns=START_NS) as sandbox:
        made = World(sandbox)
        async with Crew() as crew:
            for venue in venues:
                bench = Bench(sandbox, made.rim, venue, streams, **options)
                made.benches.append(bench)
                crew.start(bench.feed.run())
            await settle()
            yield made
            for bench in made.benches:
                bench.is_over = True
