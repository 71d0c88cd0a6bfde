"""kill -9 at any moment, and again, and again: the line of sessions that follows is one account's life."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bus import journal, money
from bus.events import StateRestored
from daemon.live import memory
from daemon.live.recorder import pieces
from daemon.live.run import Live
from daemon.proof import refold
from daemon.session import Session
from feeds.frames import Recording
from sim.orders import VenueOrder
from tests.daemon.lineage import IN_FLIGHT, RESTING, audit, latest, open_at_the_end
from tests.daemon.live_world import START_NS, Market, World, records

pytestmark = pytest.mark.forks

KILLS = 200 if os.environ.get("ARGUS_CAMPAIGN") else 5
LADDER = Path(__file__).with_name("ladder.py")
CONFIG = f"""
[trading.cash]
USDT = 100000
BTC = 1
[trading.journal]
holds = false
[trading.venue.entry]
model = "uniform"
low_ms = 200
high_ms = 600
[[trading.strategies]]
use = "{LADDER}"
params = {{ rungs = 12 }}
"""
MOMENTS = ("heard", "recorded", "done", "flushed", "committed")
EDGES = ("beginning", "closing", "closed")
"""Moments besides, where nothing may be open yet, or any more."""


def dying(number: int) -> list[str]:
    """Where the process dies for the ``number``th time; each second time once more, at one of its edges."""
    edges = [EDGES[number // 2 % len(EDGES)]] if number % 2 == 0 else []
    return [MOMENTS[number % len(MOMENTS)], *edges]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ready(live: Live) -> bool:
    """Orders rest and are on their way, more than enough: what the input at hand did may be lost."""
    resting = sum(1 for _ in live.core.venue.open_orders())
    on_their_way = sum(1 for message in live.core.venue.wire.messages if type(message.content) is VenueOrder)
    return resting >= RESTING + 4 and on_their_way >= IN_FLIGHT + 2


def rig(live: Live, moment: str, after: int, when: Callable[[Live], bool] = ready) -> None:
    """Have the process die at the named moment of an input, the first time after ``after`` inputs that it counts."""
    door = live.door

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def rigged(*args: Any, **kwargs: Any) -> Any:
            if door.accepted >= after and when(live):
                die()
            return call(*args, **kwargs)

        return rigged

    match moment:
        case "heard":
            door._record = before(door._record)  # type: ignore[method-assign]
        case "recorded":
            door.core.intake.accept_frames = before(door.core.intake.accept_frames)  # type: ignore[method-assign]
        case "done":
            door.recorder.flush = before(door.recorder.flush)  # type: ignore[method-assign]
        case "flushed":
            door.journal.commit = before(door.journal.commit)  # type: ignore[method-assign]
        case "committed":
            door._on_wake = before(door._on_wake)
        case "closing":
            door.core.close = die  # type: ignore[method-assign]
        case "closed":
            door.journal.close = die  # type: ignore[assignment, method-assign]  # it never returns
        case "beginning":
            door._commit = die  # type: ignore[method-assign,assignment]


def in_a_process(act: Callable[[], None]) -> int:
    """Run ``act`` in a process of its own; how that ended: an exit code, or less than 0 for a signal."""
    child = os.fork()
    if child == 0:
        code = 1
        signal.alarm(60)  # whatever hangs ends there, and fails the test
        try:
            money.install()
            act()
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def heard_until(session: Path | None) -> int:
    """When the last input on disk came."""
    last = START_NS
    for piece in pieces(session) if session is not None else []:
        for batch in Recording(piece).batches():
            last = batch[-1].ts or last
    return last


@pytest.mark.ordeal
def test_a_line_of_killed_sessions_is_one_account(tmp_path: Path):
    """Each death but those of ``EDGES`` finds orders resting and orders on their way, by what is left on the disk."""
    chance = random.Random(7)
    deaths = [moment for number in range(KILLS) for moment in dying(number)]
    market = Market(3 * len(deaths) + 10)

    def session(moment: str, after: int) -> None:
        world = World(tmp_path, market.lines(since), config_text=CONFIG)
        world.clock.now = max(since, START_NS)
        if moment in (*EDGES, "stop"):
            world.items = iter(list(world.items)[:300])
            assert asyncio.run(world.run_through(rig=lambda live: rig(live, moment, after))).exit_code == 0
            return
        live = world.start()
        rig(live, moment, after)
        asyncio.run(live.run())

    line: list[Path] = []
    for moment in (*deaths, "stop"):
        since = heard_until(latest(tmp_path))
        code = in_a_process(lambda: session(moment, chance.randrange(20, 200)))  # noqa: B023  # called at once
        assert code == (-signal.SIGKILL if moment != "stop" else 0), moment
        now = latest(tmp_path)
        assert now is not None
        if now not in line:
            line.append(now)
        if moment in MOMENTS:
            resting, in_flight = open_at_the_end(now)
            assert resting >= RESTING, now
            assert in_flight >= IN_FLIGHT, now

    assert len(line) == len(deaths) + 1 - deaths.count("beginning")
    made = audit(line)
    assert len(made.account.positions) == 1
    assert made.account.cash != made.opening
    assert records(line[-1], "SessionClosed")


def test_what_was_heard_but_led_to_an_unwritten_record_has_not_happened(tmp_path: Path):
    market = Market(10)

    def session() -> None:
        live = World(tmp_path, market.lines(), config_text=CONFIG).start()
        rig(live, "flushed", 100)
        asyncio.run(live.run())

    assert in_a_process(session) == -signal.SIGKILL

    path = latest(tmp_path)
    assert path is not None
    written = refold.last_record(Session.open(path))
    left = refold.left_by(Session.open(path)).state
    assert (left.parent_seq, left.parent_head) == (written.seq, written.hash.hex())
    assert {one.client_id for one in left.orders} <= {one["client_id"] for one in records(path, "OrderSubmitted")}
    whole = refold.Refold(Session.open(path), journal.Chain())
    whole.run()
    whole.core.chain.seal()
    assert whole.core.chain.seq > written.seq + 1


def test_a_state_put_into_a_core_is_the_state_it_says_of_itself(tmp_path: Path):
    market = Market(10)

    def session() -> None:
        live = World(tmp_path, market.lines(), config_text=CONFIG).start()
        rig(live, "committed", 150)
        asyncio.run(live.run())

    assert in_a_process(session) == -signal.SIGKILL
    parent = Session.open(latest(tmp_path) or tmp_path)
    left = refold.left_by(parent).state
    assert left.orders
    assert left.venue.messages
    assert any(one.shelf for one in left.venue.orders)

    child = refold.Refold(parent, journal.Chain()).core
    child.begin(left.at_ns, left)

    again = memory.remember(child, left.parent, left.parent_seq, bytes.fromhex(left.parent_head))
    for name in StateRestored.__struct_fields__:
        assert journal.encode(getattr(again, name)) == journal.encode(getattr(left, name)), name
