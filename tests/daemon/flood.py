"""A market in real time, as fast as is asked for: a feed without a socket, and a process's life around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

from bus.clock import WallClock
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

STRATEGY = Path(__file__).with_name("rungs.py")
CONFIG = f"""
[trading.venue.entry]
model = "fixed"
ms = 5
[[trading.strategies]]
use = "{STRATEGY}"
name = "rungs"
"""
_TRADE = (
    '{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{ms},"s":"BTCUSDT","t":{id},"p":"{price:.2f}","q":"0.001",'
    '"T":{ms},"m":false,"M":true}}}}'
)


class Flood:
    """``rate`` trades a second at one price; the reader yields after 64 frames, as a socket's does."""

    conn = venue = "binance"
    unfit: Callable[[], Collection[tuple[str, str]]] = tuple

    def __init__(self, accept: Accept, clock: Clock, protocol: VenueProtocol, rate: int) -> None:
        self._accept, self._clock, self.protocol, self.rate = accept, clock, protocol, rate
        self.sent = 0

    async def run(self) -> None:
        mid = 0.0
        for item in market.generate(3, 0.01, start_ns=self._clock.read()):
            if item.kind == "meta" or (item.kind is None and "@trade" not in item.raw):
                continue
            item.conn = f"binance/{item.conn}"
            if item.kind is None:
                mid = float(item.raw.partition('"p":"')[2].partition('"')[0])
                break
            self._accept((item,), self.protocol)
        begun = time.monotonic()
        while True:
            due = int((time.monotonic() - begun) * self.rate) - self.sent
            for _ in range(min(due, 64)):
                self.sent += 1
                raw = _TRADE.format(ms=self._clock.read() // 1_000_000, id=10**9 + self.sent, price=mid)
                self._accept((Input(raw, conn="binance/spot"),), self.protocol)
            await asyncio.sleep(0 if due > 64 else 0.001)


class Running:
    """A live session in this process, on the wall's own time; ``live`` and ``ended`` as they come to be."""

    def __init__(self, root: Path, rate: int, *settings: str, config_text: str = CONFIG) -> None:
        self.root = root
        self.rate = rate
        root.mkdir(parents=True, exist_ok=True)
        self.config_file = root / "argus.toml"
        self.config_file.write_text(config_text)
        self.kill_file = root / "KILL"
        self.state = root / "state"
        self.said: list[str] = []
        self.request = RunRequest(
            self.config_file,
            (
                f"process.out_dir={root / 'sessions'}",
                f"process.state_dir={self.state}",
                f"process.kill_file={self.kill_file}",
                *settings,
            ),
        )

    def feeds(
        self, _t: Trading, _p: Process, instruments: Sequence[Instrument], accept: Accept, clock: Clock
    ) -> list[Flood]:
        protocol = sources.protocol_of("binance", sources.known_by(instruments))
        return [Flood(accept, clock, protocol, self.rate)]

    async def through(self, act: Callable[[Live], Any], *, orders: int = 20) -> Ended:
        """Run until ``orders`` rest, ``act`` (a coroutine, or a call in a thread), and run to the end."""
        loaded = config.load(self.request.config_file, self.request.overrides, {})
        held = StateDirectory.open(loaded.process.state_dir, "paper")
        live = Live(self.request, loaded.trading, loaded.process, held, self.feeds, WallClock(), self.said.append)
        failed: list[BaseException] = []

        async def stage() -> None:
            try:
                async with asyncio.timeout(20):
                    while sum(1 for _ in live.core.venue.open_orders()) < orders:
                        await asyncio.sleep(0.005)
                done = act(live)
                if asyncio.iscoroutine(done):
                    await done
                await asyncio.Event().wait()
            except Exception as error:
                failed.append(error)
                live.stop("the stage failed")

        live.tasks.start("stage", stage)
        try:
            async with asyncio.timeout(30):
                ended = await live.run()
        finally:
            held.close()
        if failed:
            raise failed[0]
        return ended
