"""kill -9 at any moment, and again, and again: the line of sessions that follows is one account's life."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bus import journal, money
from bus.events import Decision, OrderFilled, OrderSubmitted, SessionClosed, SessionOpened, StateRestored
from daemon.live import memory, state
from daemon.live.recorder import pieces
from daemon.live.run import Live
from daemon.proof import refold
from daemon.proof.verify import verify
from daemon.reading.fold import Account, Orders
from daemon.session import Session
from feeds.frames import Recording
from sim.orders import VenueOrder
from tests.daemon.live_world import START_NS, Market, World, records

KILLS = 200 if os.environ.get("ARGUS_CAMPAIGN") else 8
LADDER = Path(__file__).with_name("ladder.py")
CONFIG = f"""
[trading.cash]
USDT = 100000
BTC = 1
[trading.journal]
holds = false
[[trading.strategies]]
use = "{LADDER}"
"""
MOMENTS = ("heard", "recorded", "done", "flushed", "committed", "beginning", "closing", "closed")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def ready(live: Live) -> bool:
    """At least three orders rest, and one is on its way."""
    resting = sum(1 for _ in live.core.venue.open_orders())
    return resting >= 3 and any(type(message.content) is VenueOrder for message in live.core.venue.wire.messages)


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
            door.journal.close = die  # type: ignore[method-assign]
        case "beginning":
            door._commit = die  # type: ignore[method-assign]


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


def latest(root: Path) -> Path | None:
    kept = state.read(root / "state")
    return Path(kept.session) if kept is not None and kept.session else None


@pytest.mark.property
def test_a_line_of_killed_sessions_is_one_account(tmp_path: Path):
    chance = random.Random(7)
    market = Market(3 * KILLS + 10)

    def session(moment: str, after: int) -> None:
        world = World(tmp_path, market.lines(since), config_text=CONFIG)
        world.clock.now = max(since, START_NS)
        if moment in ("closing", "closed", "stop"):
            world.items = iter(list(world.items)[:300])
            assert asyncio.run(world.run_through(rig=lambda live: rig(live, moment, after))).exit_code == 0
            return
        live = world.start()
        rig(live, moment, after)
        asyncio.run(live.run())

    line: list[Path] = []
    for number in range(KILLS + 1):
        since = heard_until(latest(tmp_path))
        moment = MOMENTS[number % len(MOMENTS)] if number < KILLS else "stop"
        code = in_a_process(lambda: session(moment, chance.randrange(20, 200)))  # noqa: B023  # called at once
        assert code == (-signal.SIGKILL if moment != "stop" else 0), moment
        now = latest(tmp_path)
        if now is not None and now not in line:
            line.append(now)

    assert len(line) == KILLS + 1 - sum(1 for n in range(KILLS) if MOMENTS[n % len(MOMENTS)] == "beginning")
    account, orders = Account(), Orders()
    opening: dict[str, Decimal] = {}
    ids: list[str] = []
    for path in line:
        verdict = asyncio.run(verify(Session.open(path)))
        assert verdict.equal, f"{path.name}: {verdict.difference}"
        first = records(path, "TradingStateChanged")[0]
        assert first["state"].value == "disconnected"
        for entry in journal.read(path / "journal.db"):
            event = entry.event()
            if not isinstance(event, StateRestored):
                orders.note(event, account.instruments)
            match event:
                case SessionOpened():
                    opening = opening or event.opening
                    account.instruments |= {i.name: i for i in event.instruments}
                    if path == line[0]:
                        account.note(event)
                case StateRestored():
                    assert event.parent == line[line.index(path) - 1].name
                    assert event.ledger.cash == account.cash
                    assert sorted(o.client_id for o in event.orders) == sorted(o.client_id for o in orders.unfinished())
                    assert {p.instrument.name: p.filled for p in event.ledger.positions} == {
                        name: position.size for name, position in account.positions.items()
                    }
                case OrderFilled():
                    account.note(event)
                    ids.append(event.fill_id)
                case OrderSubmitted():
                    ids.append(event.client_id)
                case Decision():
                    ids.append(event.intent_id)
                case SessionClosed():
                    assert event.cash == account.cash
    assert len(ids) == len(set(ids))
    assert len(account.positions) == 1
    assert account.cash != opening
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
    left = refold.final_state(Session.open(path))
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
    left = refold.final_state(parent)
    assert left.orders
    assert left.venue.messages
    assert any(one.shelf for one in left.venue.orders)

    child = refold.Refold(parent, journal.Chain()).core
    child.begin(left.at_ns, left)

    again = memory.remember(child, left.parent, left.parent_seq, bytes.fromhex(left.parent_head))
    for name in StateRestored.__struct_fields__:
        assert journal.encode(getattr(again, name)) == journal.encode(getattr(left, name)), name
