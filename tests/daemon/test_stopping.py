"""Every way to stop, with twenty orders open and a flood on the socket: how soon the gate closes, how soon all is
asked back, and how the session ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from bus.clock import SECOND, WallClock
from bus.events import StateRestored
from bus.inputs import Input
from bus.values import Instrument
from config.schema import Process, Trading
from daemon import sources
from daemon.errors import CLEAN, KILLED, ORDERS_LEFT
from daemon.live.door import Accept
from daemon.live.run import Clock, Live
from daemon.proof import refold
from daemon.proof.verify import verify
from daemon.session import Session
from feeds.port import VenueProtocol
from tests.daemon.lineage import latest
from tests.daemon.live_world import Market, World, records
from tests.daemon.test_killed import in_a_process

TRIALS = 100 if os.environ.get("ARGUS_CAMPAIGN") else 1
RATE = 20_000
TWENTY = Path(__file__).with_name("twenty.py")
CONFIG = f"""
[[trading.strategies]]
use = "{TWENTY}"
"""
SLOW = """
[trading.venue.cancel]
model = "fixed"
ms = 60000
"""
GATE_NS, CANCEL_NS = SECOND // 4, SECOND


class Flood:
    """A second of a conversation with a venue, then prints at ``RATE`` a second, in batches as a socket has them."""

    conn = venue = "binance"

    def __init__(self, accept: Accept, protocol: VenueProtocol) -> None:
        self._accept = accept
        self.protocol = protocol
        self._id = 0

    async def run(self) -> None:
        started = list(Market(1).lines())
        self._accept(started, self.protocol)
        last = next(item for item in reversed(started) if '"btcusdt@trade"' in item.raw)
        frame = msgspec.json.decode(last.raw)
        self._id = frame["data"]["t"]
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._accept([self._print(frame) for _ in range(64)], self.protocol)
            due += 64 / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))

    def _print(self, frame: dict[str, dict[str, int]]) -> Input:
        self._id += 1
        frame["data"]["t"] = self._id
        frame["data"]["E"] = frame["data"]["T"] = time.time_ns() // 1_000_000
        return Input(msgspec.json.encode(frame).decode(), conn="binance/spot")


def by_signal(world: World, _live: Live) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def by_file(world: World, _live: Live) -> None:
    (world.root / "KILL").touch()


def by_command(_world: World, live: Live) -> None:
    live.command("stop", "operator", {})


def flooded(root: Path, stop: Callable[[World, Live], None]) -> int:
    """A session that has twenty orders open under a flood and is then told to stop; when that was, is in a file."""
    world = World(root, (), config_text=CONFIG)
    world.clock = WallClock()  # type: ignore[assignment]  # real time is the point here

    def feeds(_t: Trading, _p: Process, here: Sequence[Instrument], accept: Accept, _c: Clock) -> list[Flood]:
        return [Flood(accept, sources.protocol_of("binance", sources.known_by(here)))]

    world.feeds = feeds  # type: ignore[method-assign,assignment]

    async def stopper() -> None:
        while sum(1 for _ in live.core.venue.open_orders()) < 20:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        (root / "asked").write_text(str(time.time_ns()))
        stop(world, live)
        await asyncio.Event().wait()

    async def whole() -> int:
        live.tasks.start("stopper", stopper)
        return (await live.run()).exit_code

    live = world.start()
    return asyncio.run(whole())


@pytest.mark.property
@pytest.mark.parametrize(
    ("stop", "state", "code"),
    [(by_signal, "stopping", CLEAN), (by_file, "halted", KILLED), (by_command, "stopping", CLEAN)],
)
def test_under_a_flood_the_gate_closes_at_once_and_everything_is_asked_back(tmp_path: Path, stop, state, code):
    for trial in range(TRIALS):
        root = tmp_path / str(trial)
        root.mkdir()

        def session() -> None:
            os._exit(flooded(root, stop))  # noqa: B023  # called at once

        assert in_a_process(session) == code
        path = latest(root)
        assert path is not None
        asked = int((root / "asked").read_text())
        closed = next(r["ns"] for r in records(path, "TradingStateChanged") if r["state"].value == state)
        cancels = [record["ns"] for record in records(path, "CancelRequested")]
        assert len(cancels) == 20
        assert closed - asked < GATE_NS, f"trial {trial}: the gate took {(closed - asked) / 1e6:.0f} ms"
        assert max(cancels) - asked < CANCEL_NS, (
            f"trial {trial}: the last cancel took {(max(cancels) - asked) / 1e6} ms"
        )
        assert len(records(path, "OrderCancelled")) == 20
        assert Session.open(path).manifest["exit_code"] == code


@pytest.mark.asyncio
async def test_what_is_still_open_at_the_deadline_is_named_and_has_its_own_exit_code(tmp_path: Path):
    world = World(tmp_path, Market(2).lines(), "process.stop_within_s=0.05", config_text=CONFIG + SLOW)

    ended = await world.run_through()

    assert ended.exit_code == ORDERS_LEFT
    assert ended.summary["orders_left"] == 20
    words = json.loads((ended.session / "last_words.json").read_text())
    assert len(words["orders"]) == 20
    assert words["findings"] == ["20 orders are left at the venue"]
    assert (await verify(Session.open(ended.session))).equal


@pytest.mark.asyncio
async def test_a_stopped_session_verifies_and_hands_over_what_its_recording_says(tmp_path: Path):
    world = World(tmp_path, list(Market(3).lines())[:400], config_text=CONFIG)
    ended = await world.run_through()

    assert ended.exit_code == CLEAN
    assert (await verify(Session.open(ended.session))).equal
    handed = msgspec.json.decode((ended.session / "handover.json").read_bytes(), type=StateRestored)
    made = refold.final_state(Session.open(ended.session))
    assert msgspec.json.encode(handed) == msgspec.json.encode(made)
