"""A process that goes on in a new session: nothing is lost, nothing happens twice, nobody notices."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus import inputs
from bus.clock import DAY, MINUTE, NEVER, SECOND
from bus.events import CommandGiven
from bus.inputs import Input
from bus.journal import Journal
from config.schema import Trading, canonical
from daemon.app import Request, replay
from daemon.errors import ERROR
from daemon.live import memory, rolling
from daemon.live.recorder import Keeping, pieces, prune
from daemon.live.run import Ended, Live
from daemon.live.sitting import Sitting
from daemon.live.state import StateDirectory, is_latest
from daemon.operating.control import Observer
from daemon.proof.verify import verify
from daemon.session import Session, SessionError
from daemon.wiring import Core
from feeds.frames import Recording
from tests.daemon.lineage import audit, latest
from tests.daemon.live_world import START_NS, Market, TurnedClock, World, records
from tests.daemon.test_killed import CONFIG as KILLED
from tests.daemon.test_killed import die as killed
from tests.daemon.test_killed import heard_until, in_a_process

HERE = Path(__file__).parent
CONFIG = f"""
[trading.cash]
USDT = 100000
BTC = 1
[trading.journal]
holds = false
[trading.bars]
intervals = ["1s", "5s"]
[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
streams = ["trade", "quote", "book"]
max_age_s = {{ trade = 0.3, quote = 0.3, book = 0.3 }}
[[trading.strategies]]
use = "{HERE / "ladder.py"}"
[[trading.strategies]]
use = "{HERE / "ticker.py"}"
[[trading.strategies]]
use = "{HERE / "follower.py"}"
[[trading.strategies]]
use = "strategies.ema_cross:EmaCross"
params = {{ fast = 3, slow = 8 }}
"""
ASIDE = {"SessionOpened", "SessionClosed", "StateRestored", "CommandGiven", "TradingStateChanged", "InstrumentListed"}


class StillClock(TurnedClock):
    """Moves only when it is told to, so that two runs of the same frames give them the same times."""

    def read(self) -> int:
        return self.now


def world(root: Path, items: Iterable[Input], config: str = CONFIG) -> World:
    root.mkdir(exist_ok=True)
    made = World(root, items, config_text=config)
    made.clock = StillClock()
    return made


def after(live: Live, acts: Mapping[int, Callable[[], object]]) -> None:
    """Have something done after so many of the feed's inputs, whatever session hears them."""
    accept, count = live.accept, 0

    def accepting(items: Any, protocol: Any) -> None:
        nonlocal count
        accept(items, protocol)
        before, count = count, count + len(items)
        for at, act in acts.items():
            if before < at <= count:
                act()

    live.feeds[0]._accept = accepting  # type: ignore[attr-defined]


def rolls(live: Live) -> Callable[[], object]:
    def roll() -> None:
        assert live.roll("a test") == ""

    return roll


def holed(market: Market) -> tuple[list[Input], int]:
    """Five seconds with a hole in them, after which the book is worth nothing until it is asked for again; and how
    many inputs come before the hole.
    """
    since = START_NS + 3 * SECOND
    before = [item for item in market.lines() if (item.ts or 0) < since - SECOND // 8]
    gone = since + SECOND // 2
    between = [item for item in market.lines() if gone < (item.ts or 0) <= START_NS + 4 * SECOND]
    return [*before, *between, *market.lines(START_NS + 4 * SECOND)], len(before)


def line_to(session: Path) -> list[Path]:
    """The sessions that led to this one, the first one first."""
    line = [session]
    while (parent := Session.open(line[0]).manifest["parent"]) is not None:
        line.insert(0, Path(parent))
    return line


def told(line: list[Path], until_ns: int) -> list[dict[str, Any]]:
    return [
        record
        for session in line
        for record in records(session)
        if record["type"] not in ASIDE and record["ns"] <= until_ns
    ]


def heard(session: Path) -> list[Input]:
    return [item for piece in pieces(session) for batch in Recording(piece).batches() for item in batch]


@pytest.mark.asyncio
async def test_what_is_decided_and_done_over_the_line_is_what_one_session_would_have(tmp_path: Path):
    items, hole = holed(Market(5))
    last_ns = items[-1].ts or 0
    whole = await world(tmp_path / "whole", [msgspec.structs.replace(item) for item in items]).run_through()

    cores: list[weakref.ref[Core]] = []

    def rig(live: Live) -> None:
        def roll() -> None:
            cores.append(weakref.ref(live.core))
            rolls(live)()

        def on_its_way() -> None:
            orders = [
                message.content for message in live.core.venue.wire.messages if message.read.__name__ == "_arrive"
            ]
            if len(cores) == 1 and any(order.terms.strategy == "follower" for order in orders):
                roll()

        after(live, dict.fromkeys(range(200, hole, 2), on_its_way) | dict.fromkeys([3, hole + 4, hole + 60], roll))

    ended = await world(tmp_path / "line", items).run_through(rig=rig)

    line = line_to(ended.session)
    assert len(line) == 5
    assert told(line, last_ns) == told([whole.session], last_ns)
    gc.collect()
    assert [core() for core in cores] == [None] * 4  # what was handed over keeps no memory
    kinds = {record["type"] for record in told(line, last_ns)}
    assert {"OrderFilled", "OrderCancelled", "StreamStale", "StreamFresh", "BookInvalidated", "DataGap"} <= kinds
    for session in line:
        verdict = await verify(Session.open(session))
        assert verdict.equal, verdict.difference


@pytest.mark.asyncio
async def test_what_an_operator_said_stands_on_the_other_side_and_both_sides_say_what_happened(tmp_path: Path):
    seen: list[dict[str, Any]] = []
    made = world(tmp_path, Market(3).lines())

    def rig(live: Live) -> None:
        tight = live.trading.limits.model_copy(update={"max_notional": Decimal(500)})

        def say() -> None:
            live.command("reload", "anna", {"limits": canonical(Trading(limits=tight))["limits"]})
            live.command("routing", "anna", {"on": False})
            live.command("shadow", "anna", {"reason": "lunch"})
            seen.append(live.status())
            live.command("roll", "anna", {"reason": "to see it"})
            seen.append(live.status())

        def look() -> None:
            seen.append(live.status())
            observer = Observer(live.core.bus, [CommandGiven])
            live.attendant.control._observers.add(observer)
            assert live.roll("a test") == ""
            live.command("routing", "anna", {"on": True})
            assert [one.name for one in observer.inbox.take(9)] == ["routing"]
            assert live.attendant.watchdog.look()
            assert live.attendant.integrity.look() is None
            assert live.attendant.integrity.journal == live.session.journal
            observer.close()

        after(live, {200: say, 400: look})

    ended = await made.run_through(rig=rig)

    before, then, later = seen
    parent = Path(before["session"])
    assert then["parent"] == str(parent)
    child = Path(then["session"])
    assert line_to(ended.session) == [parent, child, ended.session]
    same = ("state", "routing", "held", "cash", "positions", "orders", "boot", "next_roll_ns", "equity")
    assert {name: before[name] for name in same} == {name: then[name] for name in same}
    assert (later["state"], later["routing"], later["held"]) == ("shadow", False, "shadow")
    assert later["next_roll_ns"] == (START_NS // DAY + 1) * DAY
    states = [(record["state"].value, record["rule"]) for record in records(child, "TradingStateChanged")]
    assert states == [("disconnected", "start"), ("shadow", "roll")]
    assert records(child, "SessionOpened")[0]["trading"]["limits"]["max_notional"] == "500"
    outcomes = [records(path, "SessionClosed")[0]["outcome"] for path in (parent, child, ended.session)]
    assert outcomes == ["handed over", "handed over", "ended"]
    words = json.loads((parent / "last_words.json").read_text())
    assert (words["reason"], words["exit_code"]) == (f"handed over to {child.name}", 0)
    assert "handed over" in (parent / "session.md").read_text()
    assert [one["who"] for one in records(parent, "CommandGiven") if one["name"] == "roll"] == ["anna"]
    assert made.held.kept.boot == 1


@pytest.mark.asyncio
async def test_what_cannot_be_begun_is_a_finding_and_the_session_goes_on(tmp_path: Path, monkeypatch):
    made = world(tmp_path, Market(3).lines())
    said: list[str] = []

    def rig(live: Live) -> None:
        def fail() -> None:
            with monkeypatch.context() as broken:
                broken.setattr(Session, "create", full)
                broken.setattr("daemon.watch.findings.replace_file", full)  # it is the same disk
                said.append(live.roll("a test"))
            said.append(live.roll("a test"))

        after(live, {100: fail})

    ended = await made.run_through(rig=rig)

    assert said == ["[Errno 28] no room: 'here'", ""]
    assert len(line_to(ended.session)) == 2
    found = json.loads((tmp_path / "state" / "findings.json").read_text())
    assert "could not go on in a new session: [Errno 28] no room: 'here'" in [one["what"] for one in found]
    # What a strategy keeps to itself is gone with it.
    assert "follower keeps heard in itself and has no state(): each new session forgets that" in [
        one["what"] for one in found
    ]


@pytest.mark.asyncio
async def test_a_session_whose_first_record_is_not_taken_is_not_the_one_the_next_start_goes_on_from(
    tmp_path: Path, monkeypatch
):
    made = world(tmp_path, Market(3).lines())

    def rig(live: Live) -> None:
        before, commit = live.session.path, Journal.commit

        def fill(journal: Journal, *, last: bool = False) -> None:
            if journal.path.parent != before:
                raise sqlite3.OperationalError("database or disk is full")
            commit(journal, last=last)

        monkeypatch.setattr(Journal, "commit", fill)
        after(live, {100: lambda: live.roll("a test")})

    ended = await made.run_through(rig=rig)

    assert ended.exit_code == ERROR
    assert "database or disk is full" in ended.reason
    assert latest(tmp_path) != ended.session


def full(*_: object) -> None:
    raise OSError(28, "no room", "here")


@pytest.mark.asyncio
async def test_a_strategy_that_cannot_say_what_it_keeps_is_quarantined_and_the_process_goes_on(tmp_path: Path):
    wordless = CONFIG + f'[[trading.strategies]]\nuse = "{HERE / "wordless.py"}"\n'
    made = world(tmp_path, Market(3).lines(), wordless)

    ended = await made.run_through(rig=lambda live: after(live, {300: rolls(live)}))

    parent, child = line_to(ended.session)
    assert ended.exit_code == 0
    assert [r["outcome"] for r in records(parent, "SessionClosed")] == ["handed over"]
    assert [(r["strategy"], r["error"]) for r in records(child, "StrategyQuarantined")] == [("wordless", "KeyError")]
    assert {"wordless"} < {r["strategy"] for r in records(parent, "Decision")}
    assert "wordless" not in {r["strategy"] for r in records(child, "Decision")} != set()
    pulled = [r["intent_id"] for r in records(child, "CancelRequested") if r["who"] == "quarantine"]
    assert [intent_id.partition("-")[0] for intent_id in pulled] == ["wordless"]
    for session in (parent, child):
        verdict = await verify(Session.open(session))
        assert verdict.equal, verdict.difference


@pytest.mark.asyncio
async def test_a_session_that_ended_and_cannot_be_handed_over_ends_the_process(tmp_path: Path, monkeypatch):
    """Else it would go on, deaf. The service begins again, from what the session's recording says."""
    made = world(tmp_path, Market(3).lines())
    said: list[str] = []

    def rig(live: Live) -> None:
        def fail() -> None:
            monkeypatch.setattr(live.feeds[0].protocol, "state", full)
            said.append(live.roll("a test"))

        after(live, {100: fail})

    ended = await made.run_through(rig=rig)

    assert said == ["it could not be handed over: OSError: [Errno 28] no room: 'here'"]
    assert (ended.exit_code, ended.reason) == (1, said[0])
    verdict = await verify(Session.open(ended.session))
    assert verdict.equal, verdict.difference
    monkeypatch.undo()
    again = await made.run_through()
    assert line_to(again.session)[0] == ended.session


@pytest.mark.asyncio
async def test_a_replay_of_the_second_session_knows_the_market_from_its_first_frame(tmp_path: Path):
    made = world(tmp_path, Market(3).lines())
    ended = await made.run_through(rig=lambda live: after(live, {400: rolls(live)}))

    replayed = await replay(Request([ended.session], config_file=made.config_file, out=tmp_path / "replayed"))

    assert replayed.session.manifest["data"][0]["venue"] == "binance"
    kinds = [record["type"] for record in records(replayed.session.path)]
    assert "OrderFilled" in kinds
    assert not {"BookInvalidated", "DataGap"} & set(kinds)


def test_it_is_due_at_the_same_time_each_day_and_again_a_minute_after_it_could_not_be():
    clock = StillClock(START_NS)
    answers = ["not now", "", ""]
    schedule = rolling.Schedule("09:30", clock, lambda: answers.pop(0))
    assert schedule.next_ns == START_NS + 30 * MINUTE

    schedule.look()
    assert len(answers) == 3
    clock.now = START_NS + 31 * MINUTE
    schedule.look()
    assert schedule.next_ns == START_NS + 32 * MINUTE
    clock.now = START_NS + 32 * MINUTE
    schedule.look()
    assert schedule.next_ns == START_NS + DAY + 30 * MINUTE
    assert rolling.Schedule("", clock, str).next_ns == NEVER


def test_a_recording_that_somebody_would_go_on_from_is_not_deleted(tmp_path: Path):
    """Two agents keep their sessions in one place."""
    one, other = (StateDirectory.open(tmp_path / name, "paper") for name in ("one", "other"))
    sessions = []
    for held, name in ((one, "old"), (one, "latest"), (other, "of another")):
        path = tmp_path / "sessions" / name
        Session.create(path, {"state_dir": str(held.path)})
        (path / "inputs-0001.jsonl.zst").write_bytes(b"x")
        held.began(path)
        sessions.append(path)
        held.close()

    gone = prune(tmp_path / "sessions", Keeping(budget_bytes=0), 0, frozenset(), is_latest)

    assert [piece.parent for piece in gone] == [sessions[0]]


def test_of_two_that_choose_the_same_name_at_the_same_moment_one_has_it(tmp_path: Path, monkeypatch):
    """Two agents that keep their sessions in one place both go on at midnight, to the millisecond."""
    path = tmp_path / "20260106T000000Z-paper"
    write = Session.write

    def meanwhile(session: Session) -> None:
        monkeypatch.setattr(Session, "write", write)
        with pytest.raises(SessionError, match="already holds a session"):
            Session.create(path, {"boot": 2})
        write(session)

    monkeypatch.setattr(Session, "write", meanwhile)

    Session.create(path, {"boot": 1})
    assert Session.open(path).manifest["boot"] == 1


# --- killed while it rolls over ---------------------------------------------------------------------------------


def die(*_: object, **__: object) -> None:
    killed()


BEFORE = ("ready", "said", "heard its end", "ended", "begun", "recorded", "committed")
AFTER = ("latest", "turned", "writing")
ALL = bool(os.environ.get("ARGUS_CAMPAIGN"))
MOMENTS = (*BEFORE, *AFTER) if ALL else ("heard its end", "committed", "latest")


def dies_at(live: Live, moment: str) -> None:
    """Have the process die at the named moment of its next roll-over."""
    where: dict[str, tuple[object, str]] = {
        "ready": (live.door, "command"),
        "said": (live.door, "end"),
        "heard its end": (live.core, "close"),
        "ended": (rolling, "carried"),
        "begun": (Sitting, "begin"),
        "recorded": (memory, "recall"),
        "committed": (live._held, "began"),
        "latest": (live, "_listen"),
        "turned": (live, "_write_aside"),
        "writing": (Sitting, "write"),
    }
    setattr(*where[moment], die)


@pytest.mark.ordeal
def test_killed_at_any_moment_of_it_nothing_is_lost_and_nothing_happens_twice(tmp_path: Path):
    market = Market(3 * len(MOMENTS) + 6)

    def session(moment: str) -> None:
        made = World(tmp_path, market.lines(since), config_text=KILLED)
        made.clock.now = max(since, START_NS)
        if not moment:
            made.items = iter(list(made.items)[:300])
        live = made.start()
        after(live, {149: lambda: dies_at(live, moment), 150: rolls(live)} if moment else {150: rolls(live)})
        if moment:
            asyncio.run(live.run())
        else:
            asyncio.run(stopped_after(live, made))

    line: list[Path] = []
    for moment in (*MOMENTS, ""):
        since = heard_until(latest(tmp_path))
        code = in_a_process(lambda: session(moment))  # noqa: B023  # called at once
        assert code == (-signal.SIGKILL if moment else 0), moment
        now = latest(tmp_path)
        assert now is not None
        line += [one for one in line_to(now) if one not in line]

    crossed = sum(1 for path in line if Session.open(path).manifest["parent"] and resumed(path))
    assert crossed == 1 + sum(1 for moment in MOMENTS if moment in AFTER)
    assert len(line) == len(MOMENTS) + 1 + crossed
    assert len(audit(line).fills) > 5 * len(MOMENTS)


async def stopped_after(live: Live, made: World) -> Ended:
    async def stop() -> None:
        await made.feed.over.wait()
        live.stop("the feed is over")
        await asyncio.Event().wait()

    live.tasks.start("stopper", stop)
    return await live.run()


def resumed(session: Path) -> bool:
    return any(item.kind == inputs.RESUME for item in heard(session))
