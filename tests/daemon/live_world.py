"""A live daemon without a venue: a feed that plays a recording through the door, and a clock that a test turns."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from bus import inputs, journal
from bus.clock import SECOND
from bus.inputs import Input
from bus.values import Instrument
from config import load as config
from config.schema import Process, Trading
from daemon import sources
from daemon.live.door import Accept
from daemon.live.run import Ended, Live, RunRequest
from daemon.live.sitting import Clock
from daemon.live.state import StateDirectory
from feeds.port import VenueProtocol
from sandbox import market
from sandbox.model import MarketModel

START_NS = market.START_NS


class TurnedClock:
    """A wall that moves when it is told to, and a little at each look, as real ones do."""

    rate = 1.0

    def __init__(self, now: int = START_NS) -> None:
        self.now = now

    def read(self) -> int:
        self.now += 1_000
        return self.now

    def wait_s(self, ns: int) -> float:
        return max(0.0, (ns - self.now) / SECOND / 10)


class Market:
    """An invented market that goes on while nobody listens: whoever connects again hears it from there on."""

    def __init__(self, seconds: int, seed: int = 3, start_ns: int = START_NS) -> None:
        self.start_ns = start_ns
        model = MarketModel(seed, "BTCUSDT", start_ns)
        network = random.Random(f"{seed}:network")
        self._snapshots: list[str] = []
        self._frames: list[list[Input]] = []
        heard = start_ns
        for second in range(seconds):
            self._snapshots.append(model.snapshot())
            frames: list[Input] = []
            for ns, raw in model.frames(start_ns + (second + 1) * SECOND):
                heard = max(heard + 1, ns + 2_000_000 + int(network.expovariate(1e-6)))
                frames.append(Input(raw, heard, "binance/spot"))
            self._frames.append(frames)

    def lines(self, since_ns: int = 0) -> Iterator[Input]:
        """What is heard by who connects at the first whole second at or after ``since_ns``."""
        second = max(0, -(-(since_ns - self.start_ns) // SECOND))
        now = self.start_ns + second * SECOND
        connect, listing, depth = islice((i for i in market.generate(1, 0.01) if i.kind != inputs.META), 3)
        for item, raw in ((connect, ""), (listing, listing.raw), (depth, self._snapshots[second])):
            yield Input(raw, now, f"binance/{item.conn}", item.kind, item.url)
        for frames in self._frames[second:]:
            for item in frames:
                yield msgspec.structs.replace(item)


def lines(minutes: float, seed: int = 3) -> list[Input]:
    """What is heard in so long from the market's beginning on."""
    return list(Market(round(minutes * 60), seed).lines())


class FakeFeed:
    """Plays lines through the door, turning the clock to their own times: ``run`` with a loop, ``step`` without one."""

    conn = venue = "binance"
    unfit: Callable[[], Collection[tuple[str, str]]] = tuple

    def __init__(self, items: Sequence[Input], accept: Accept, clock: TurnedClock, protocol: VenueProtocol) -> None:
        self._items = iter(items)
        self._accept = accept
        self._clock = clock
        self.protocol = protocol
        self.over = asyncio.Event()

    def step(self, count: int) -> bool:
        """Let in the next ``count`` lines at once, as a socket that had so many; whether there were any."""
        batch = list(islice(self._items, count))
        if not batch:
            return False
        self._clock.now = max(self._clock.now, batch[-1].ts or 0)
        self._accept(batch, self.protocol)
        return True

    async def run(self) -> None:
        while self.step(2):
            await asyncio.sleep(0)
        self.over.set()
        while True:  # the market is quiet, and time goes on
            await asyncio.sleep(0.001)
            self._clock.now += SECOND // 100


class World:
    """A process's start and what it is given: everything under ``root``. Starting again is another start of it."""

    def __init__(self, root: Path, items: Iterable[Input], *settings: str, config_text: str = "") -> None:
        self.root = root
        self.clock = TurnedClock()
        self.items: Iterator[Input] = iter(items)
        self.said: list[str] = []
        self.config_file = root / "argus.toml"
        self.config_file.write_text(config_text)
        self.settings = (
            f"process.out_dir={root / 'sessions'}",
            f"process.state_dir={root / 'state'}",
            f"process.kill_file={root / 'KILL'}",
            *settings,
        )

    def request(self, mode: str = "paper") -> RunRequest:
        return RunRequest(self.config_file, self.settings, mode=mode)

    def feeds(
        self, _t: Trading, _p: Process, instruments: Sequence[Instrument], accept: Accept, _c: Clock
    ) -> list[FakeFeed]:
        protocol = sources.protocol_of("binance", sources.known_by(instruments))
        self.feed = FakeFeed(self.items, accept, self.clock, protocol)  # type: ignore[arg-type]  # an iterator is enough
        return [self.feed]

    def start(self, mode: str = "paper") -> Live:
        """The session as it is before its first input; no loop turns it."""
        request = self.request(mode)
        loaded = config.load(request.config_file, request.overrides, {})
        self.held = StateDirectory.open(loaded.process.state_dir, mode)
        return Live(request, loaded.trading, loaded.process, self.held, self.feeds, self.clock, self.said.append)

    async def run_through(self, mode: str = "paper", rig: Callable[[Live], None] = lambda _: None) -> Ended:
        """A session from its start to the end of its feed, stopped in order."""
        live = self.start(mode)
        rig(live)

        async def stop() -> None:
            await self.feed.over.wait()
            live.stop("the feed is over")
            await asyncio.Event().wait()

        live.tasks.start("stopper", stop)
        try:
            return await live.run()
        finally:
            self.held.close()


def records(session: Path, *kinds: str) -> list[dict[str, Any]]:
    """A session's records by name, as ``argus journal --json`` has them."""
    return [
        {"type": entry.type, **msgspec.structs.asdict(entry.event())}
        for entry in journal.read(session / "journal.db")
        if not kinds or entry.type in kinds
    ]
