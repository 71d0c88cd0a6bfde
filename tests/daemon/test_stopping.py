"""Every way to stop a real process, with twenty orders open and a flood on its socket: how soon the gate closes, how
soon all is asked back, and how the session ends. What was when is read from what the session wrote.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from bus.clock import SECOND
from bus.events import CancelRejected, OrderAccepted, OrderSubmitted, StateRestored
from daemon import cli
from daemon.errors import CLEAN, KILLED, ORDERS_LEFT, NotRunning, TimedOut
from daemon.live import feeding  # noqa: F401  # what every process made here would load for itself
from daemon.live.recorder import pieces
from daemon.live.run import Live
from daemon.operating.client import Client
from daemon.proof import refold
from daemon.proof.verify import verify
from daemon.session import Session
from feeds.frames import Recording
from tests.daemon.lineage import latest
from tests.daemon.live_world import Market, World, records
from tests.sandbox.running import spawned

pytestmark = pytest.mark.forks

CAMPAIGN = bool(os.environ.get("ARGUS_CAMPAIGN"))
TRIALS, RATE = (100, 20_000) if CAMPAIGN else (1, 4_000)
TWENTY = Path(__file__).with_name("twenty.py")
CONFIG = f"""
[[trading.strategies]]
use = "{TWENTY}"
"""
FED = """
[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
streams = ["trade", "quote", "book"]
past_bars = 0
max_age_s = {{ trade = 60, quote = 60, book = 60 }}
[process]
out_dir = "{root}/sessions"
state_dir = "{root}/state"
kill_file = "{root}/KILL"
[process.session]
roll_at = ""
[process.endpoints.binance]
ws = ["{ws}"]
rest = "{rest}"
"""
SLOW = """
[trading.venue.cancel]
model = "fixed"
ms = 60000
"""
OVERTAKEN = """
[trading.venue.entry]
model = "fixed"
ms = 2000
[trading.venue.cancel]
model = "fixed"
ms = 100
[trading.venue.ack]
model = "fixed"
ms = 100
"""
GATE_S, CANCEL_S = 0.25, 1.0


class Passed(NamedTuple):
    """What passed since just before somebody asked: ns, and frames let in."""

    ns: int
    frames: int

    def within(self, seconds: float) -> bool:
        """A busy machine is late, and lets in fewer frames in its time; what is said in seconds holds where nobody
        else is, and in frames everywhere.
        """
        return self.frames <= seconds * RATE and (not CAMPAIGN or self.ns <= seconds * SECOND)


class Stopped(NamedTuple):
    """``before`` is how many frames were let in in the second before it was asked for."""

    before: int
    gate: Passed
    cancels: Passed


@pytest.fixture(scope="module")
def flood() -> Iterator[dict[str, Any]]:
    """A market in a process of its own, that says so many prints a second on top of what happens there, and a few to
    spare: where it is.
    """
    with spawned("--flood", str(RATE + RATE // 20)) as said:
        yield said["venues"]["binance"]


def by_signal(daemon: int, _root: Path) -> None:
    os.kill(daemon, signal.SIGTERM)


def by_file(_daemon: int, root: Path) -> None:
    (root / "KILL").touch()


def by_command(_daemon: int, root: Path) -> None:
    Client(root / "state").command("stop", {})


def stopped(root: Path, flood: dict[str, Any], stop: Callable[[int, Path], None], closed: str) -> tuple[int, Stopped]:
    """``argus run`` with twenty orders open under a flood, told to stop: its exit code, and what its session says."""
    root.mkdir()
    config = root / "argus.toml"
    config.write_text(CONFIG + FED.format(root=root, **flood))
    daemon = argus(root / "said", "run", "--config", str(config))
    try:
        _until_flooded(Client(root / "state"))
        asked = time.time_ns()
        stop(daemon, root)
    except BaseException:
        os.kill(daemon, signal.SIGKILL)
        raise
    finally:
        code = os.waitstatus_to_exitcode(os.waitpid(daemon, 0)[1])
    session = latest(root)
    assert session is not None
    return code, _told(session, closed, asked)


def argus(said: Path, *words: str) -> int:
    """``argus`` in a process of its own, spared only an interpreter's start; its number."""
    child = os.fork()
    if child == 0:
        signal.alarm(120)  # whatever hangs ends there, and fails the test
        gc.freeze()  # what was the parent's is not looked through again
        with said.open("w") as out:
            sys.argv, sys.stdout, sys.stderr = ["argus", *words], out, out
            code = 1
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0
            finally:
                out.flush()
                os._exit(code)
    return child


def _until_flooded(client: Client) -> None:
    """Until twenty orders are open; in a campaign also until a second brought what it should, or never will."""
    deadline, before, figures = time.monotonic() + 60, (0.0, 0.0), dict[str, Any]()
    while time.monotonic() < deadline:
        with contextlib.suppress(NotRunning, TimedOut):
            figures = client.get("metrics")
        if figures.get("open_orders") == 20:
            now = (time.monotonic(), figures["frames_total"])
            if not CAMPAIGN or now[1] - before[1] >= RATE * (now[0] - before[0]):
                return
            before = now
            time.sleep(0.95)
        time.sleep(0.05)
    assert figures.get("open_orders") == 20, f"no flood: {figures}"


def _told(session: Path, closed: str, asked: int) -> Stopped:
    """By the journal, when the gate closed and when the cancels were asked for; by the recording, what was let in until
    then. The last cancel was through before the next input came, which has the stamp that counts.
    """
    gate = next(one["ns"] for one in records(session, "TradingStateChanged") if one["state"].value == closed)
    asked_for = {one["intent_id"]: one["ns"] for one in records(session, "CancelRequested")}
    assert len(asked_for) == len(records(session, "OrderCancelled")) == 20
    items = chain.from_iterable(batch for piece in pieces(session) for batch in Recording(piece).batches())
    heard = [(item.ts or 0, item.kind is None) for item in items]
    through = next(ns for ns, _ in heard if ns > max(asked_for.values()))

    def frames(since: int, until: int) -> int:
        return sum(is_frame and since < ns <= until for ns, is_frame in heard)

    return Stopped(
        frames(asked - SECOND, asked),
        Passed(gate - asked, frames(asked, gate)),
        Passed(through - asked, frames(asked, through)),
    )


@pytest.mark.ordeal
@pytest.mark.parametrize(
    ("stop", "closed", "code"),
    [(by_signal, "stopping", CLEAN), (by_file, "halted", KILLED), (by_command, "stopping", CLEAN)],
)
def test_under_a_flood_the_gate_closes_at_once_and_everything_is_asked_back(
    tmp_path, flood, capsys, stop, closed, code
):
    trials = list[Stopped]()
    try:
        while len(trials) < TRIALS:
            root = tmp_path / "trial"
            ended, told = stopped(root, flood, stop, closed)
            assert ended == code
            assert told.gate.within(GATE_S), told
            assert told.cancels.within(CANCEL_S), told
            if told.before >= RATE or not CAMPAIGN:  # who was not flooded is no trial
                trials.append(told)
            shutil.rmtree(root)
    finally:
        if CAMPAIGN and trials:
            before, gates, cancels = zip(*trials, strict=True)
            with capsys.disabled():
                print(
                    f"\n{stop.__name__}: {len(trials)} trials under {min(before)} to {max(before)} frames/s,"
                    f" slowest gate {max(gates).ns / 1e6:.1f} ms, slowest last cancel {max(cancels).ns / 1e6:.1f} ms"
                )


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
async def test_a_cancel_that_overtook_its_order_is_asked_for_again_when_the_order_is_there(tmp_path: Path):
    world = World(tmp_path, Market(2).lines(), config_text=CONFIG + OVERTAKEN)

    def rig(live: Live) -> None:
        live.core.bus.subscribe(OrderSubmitted, lambda _: live.stop("an order is on its way"))

    ended = await world.run_through(rig=rig)

    assert ended.exit_code == CLEAN
    assert [one["who"] for one in records(ended.session, "CancelRequested")] == ["daemon", "router"]
    assert records(ended.session, "OrderCancelled")
    assert not [one for one in records(ended.session, "CommandGiven") if one["name"] == "cancel"]


@pytest.mark.asyncio
async def test_a_cancel_that_the_venue_refused_is_asked_for_again(tmp_path: Path):
    world = World(tmp_path, Market(2).lines(), config_text=CONFIG)
    refused: list[str] = []

    def rig(live: Live) -> None:
        core, cancel = live.core, live.core.venue.cancel

        def overloaded_once(client_id: str) -> None:
            there = {sent.client_id for sent in core.router.state() if sent.accepted}
            if refused or client_id not in there:
                cancel(client_id)
                return
            refused.append(client_id)
            core.bus.publish(CancelRejected(core.clock.now, client_id, "-1001", "overloaded"))

        core.venue.cancel = overloaded_once  # type: ignore[method-assign]  # a venue as it may be
        core.bus.subscribe(OrderAccepted, lambda _: live.stop("an order is open"))

    ended = await world.run_through(rig=rig)

    assert refused
    assert ended.exit_code == CLEAN
    assert [one["name"] for one in records(ended.session, "CommandGiven")].count("cancel") >= 1
    assert records(ended.session, "OrderCancelled")


@pytest.mark.asyncio
async def test_a_stopped_session_verifies_and_hands_over_what_its_recording_says(tmp_path: Path):
    world = World(tmp_path, list(Market(3).lines())[:400], config_text=CONFIG)
    ended = await world.run_through()

    assert ended.exit_code == CLEAN
    assert (await verify(Session.open(ended.session))).equal
    handed = msgspec.json.decode((ended.session / "handover.json").read_bytes(), type=StateRestored)
    made = refold.left_by(Session.open(ended.session)).state
    assert msgspec.json.encode(handed) == msgspec.json.encode(made)
