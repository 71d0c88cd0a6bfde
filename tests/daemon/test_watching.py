"""A process that looks after itself: tokens, fuses, findings, checks, figures."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import aiohttp
import pytest

from bus.events import Token
from daemon.aside import CAPACITY, Aside
from daemon.live.run import Live
from daemon.log import RunLog
from daemon.watch.breaker import Breaker, Tripped
from daemon.watch.checks import Integrity, checks_of
from daemon.watch.findings import Finding, Findings, Level
from daemon.watch.health import Check, Health, Problem
from daemon.watch.lag import Lag
from daemon.watch.metrics import Metrics
from daemon.watch.watchdog import Notifier, Watchdog
from tests.daemon.flood import CONFIG, Running
from tests.daemon.live_world import records

# --- the token -------------------------------------------------------------------------------------------------


class Ear:
    """As systemd listens."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._wire.bind(str(path))
        self._wire.settimeout(1)

    def hear(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in self._wire.recv(4096).decode().splitlines())

    def close(self) -> None:
        self._wire.close()


def test_the_watchdog_is_fed_by_what_came_through_and_by_nothing_else(tmp_path: Path):
    """Each of the stations is stuck in turn; none of the tokens leaves a record."""
    ear = Ear(tmp_path / "notify")
    world = Running(tmp_path, 200, config_text=CONFIG + "params = { rungs = 1 }\n")
    told: list[str] = []

    async def act(live: Live) -> None:
        environ = {"NOTIFY_SOCKET": str(ear.path), "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}
        watchdog = Watchdog(live.door, Notifier(environ), lambda: "armed", told.append)
        assert watchdog.every_s == 5.0
        before = (live.core.chain.seq + len(live.core.chain.pending), live.core.clock.now)
        assert watchdog.look()
        assert ear.hear() == {"WATCHDOG": "1", "STATUS": "armed"}
        assert (live.core.chain.seq + len(live.core.chain.pending), live.core.clock.now) == before

        (gate,) = live.core.bus._subscriptions[Token]
        gate.pause()  # the gate is deaf
        assert not watchdog.look()
        assert ear.hear() == {"STATUS": "stuck: the gate"}
        gate.resume()

        blocker = sqlite3.connect(live.session.journal, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")  # somebody else has the journal
        assert not watchdog.look()
        assert "journal: database is locked" in ear.hear()["STATUS"]
        blocker.execute("ROLLBACK")
        blocker.close()

        assert watchdog.look()
        assert ear.hear()["WATCHDOG"] == "1"
        live.door.broken = "journal: the disk is gone"
        assert not watchdog.look()
        live.door.broken = ""
        live.stop("enough")

    ended = asyncio.run(world.through(act, orders=1))

    ear.close()
    assert [what.partition(":")[0] for what in told] == ["the gate", "journal", "journal"]
    assert not [one for one in records(ended.session) if "oken" in one["type"]]


def test_nobody_is_told_anything_where_nobody_listens(tmp_path: Path):
    quiet = Notifier({})
    quiet.say(READY="1")
    gone = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone"), "WATCHDOG_USEC": "1000000"})
    gone.say(READY="1")

    assert (quiet.watchdog_s, quiet.failed) == (0.0, "")
    assert (gone.watchdog_s, "gone" in gone.failed) == (1.0, True)
    assert Notifier({"NOTIFY_SOCKET": "x", "WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}).watchdog_s == 0.0


# --- fuses, findings, checks -----------------------------------------------------------------------------------


class Elapsed:
    def __init__(self) -> None:
        self.s = 100.0

    def __call__(self) -> float:
        return self.s


def fails() -> str:
    raise OSError("no route")


def test_a_fuse_trips_after_so_many_failures_rests_longer_each_time_and_forgets_at_the_first_success():
    now, calls = Elapsed(), []
    fuse = Breaker("venue", now, failures=2, rest_s=5, longest_s=8)

    for _ in range(2):
        with pytest.raises(OSError, match="no route"):
            fuse.call(fails)
    with pytest.raises(Tripped, match="failed 2 times, last by OSError: no route; resting 5 s"):
        fuse.call(lambda: calls.append(1))
    now.s += 5
    with pytest.raises(OSError, match="no route"):
        fuse.call(fails)
    now.s += 7.9
    with pytest.raises(Tripped):
        fuse.check()
    now.s += 0.2
    fuse.call(lambda: calls.append(2))

    assert (calls, fuse.in_a_row, fuse.trips, fuse.closed) == ([2], 0, 2, True)


def findings(tmp_path: Path, heard: Callable[[Finding], object] = lambda _: None) -> Findings:
    return Findings(tmp_path, lambda: 7, heard)


def test_a_critical_finding_outlives_the_process_until_somebody_acknowledges_it(tmp_path: Path):
    heard: list[Finding] = []
    before = findings(tmp_path, heard.append)
    before.add("the disk is almost full", Level.CRITICAL, "prune_recordings: 3 pieces")
    before.add("the disk is almost full", Level.CRITICAL)
    before.add("a note", Level.INFO)

    after = findings(tmp_path)

    assert [one.what for one in heard] == ["the disk is almost full", "a note"]
    assert [one.number for one in after.blocking()] == [1]
    assert after.acknowledge(1, "alice(1000)") == 1
    assert findings(tmp_path).blocking() == []
    assert findings(tmp_path).all[0].by == "alice(1000)"


def test_a_finding_that_the_disk_does_not_take_is_told_all_the_same_and_written_with_the_next(tmp_path, monkeypatch):
    heard: list[Finding] = []
    found = findings(tmp_path, heard.append)
    with monkeypatch.context() as broken:
        broken.setattr("daemon.watch.findings.replace_file", full)
        found.add("nothing is recorded any more", Level.CRITICAL)
    found.add("a note", Level.INFO)

    assert [one.what for one in heard] == ["nothing is recorded any more", "a note"]
    assert heard[0].action == "not written down: [Errno 28] No space left on device"
    assert [one.what for one in findings(tmp_path).blocking()] == ["nothing is recorded any more"]


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_findings_that_cannot_be_read_are_one_themselves(tmp_path: Path):
    (tmp_path / "findings.json").write_text("[")

    assert "is not readable" in findings(tmp_path).blocking()[0].what


def test_a_problem_has_its_named_action_taken_audited_and_left_alone_when_that_keeps_failing(tmp_path: Path):
    now, audit = Elapsed(), []
    problems = [Problem("the disk is full", Level.CRITICAL, "prune", "1 MiB")] * 5 + [None]
    found = findings(tmp_path)
    health = Health(
        [Check("disk", 10.0, lambda: problems.pop(0))], {"prune": fails}, found, lambda *said: audit.append(said), now
    )

    for _ in range(5):
        health.look()
        health.look()  # not due yet
        assert not health.well
        now.s += 10
    health.look()

    assert health.well
    assert audit == [("prune", "the disk is full", "failed: OSError: no route")] * 3
    assert [one.what for one in found.blocking()] == ["the disk is full (1 MiB)"]
    assert found.all[0].action == "prune: failed: OSError: no route"


def test_a_damaged_journal_is_seen(tmp_path: Path):
    path = tmp_path / "journal.db"
    db = sqlite3.connect(path)
    db.executescript("CREATE TABLE t (a); " + "INSERT INTO t VALUES (randomblob(3000));" * 20)
    db.close()
    well = Integrity(path).look()
    raw = bytearray(path.read_bytes())
    raw[4096:8192] = b"\xff" * 4096
    path.write_bytes(raw)

    ill = Integrity(path).look()

    assert well is None
    assert ill is not None
    assert (ill.level, ill.action) == (Level.CRITICAL, "halt")


def test_a_journal_that_was_taken_away_halts(tmp_path: Path):
    world = Running(tmp_path, 200, config_text=CONFIG + "params = { rungs = 1 }\n")

    async def act(live: Live) -> None:
        aside = live.session.path / "elsewhere"
        live.session.journal.rename(aside)
        check = next(one for one in live.attendant.checking._checks if one.name == "journal")
        live.attendant.checking.note(check, check.look())
        aside.rename(live.session.journal)

    ended = asyncio.run(world.through(act, orders=1))

    assert (ended.exit_code, ended.reason) == (7, "halted by operator: health: what is decided could not be kept")


# --- who may be slow -------------------------------------------------------------------------------------------


def test_whoever_hangs_costs_words_and_not_time():
    import threading

    hang, told = threading.Event(), []

    def tell(words: str) -> None:
        hang.wait(10)
        told.append(words)

    aside = Aside(tell, "test")
    begun = time.monotonic()
    for number in range(CAPACITY + 100):
        aside(str(number))
    took_s = time.monotonic() - begun

    assert took_s < 5
    assert not aside.close(0.01)
    hang.set()
    assert aside.close(5)
    assert len(told) + aside.dropped == CAPACITY + 100
    assert told[:3] == ["0", "1", "2"]


def test_a_log_that_was_moved_away_is_begun_again(tmp_path: Path):
    log = RunLog(tmp_path, "INFO")
    log.event("info", "a.first")
    log.close()
    log = RunLog(tmp_path, "INFO")
    (tmp_path / "run.log").rename(tmp_path / "run.log.1")
    log.reopen()
    log.event("info", "a.second", more=1)
    log.close()

    assert json.loads((tmp_path / "run.log").read_text())["event"] == "a.second"
    assert "a.first" in (tmp_path / "run.log.1").read_text()


# --- figures ---------------------------------------------------------------------------------------------------


def test_lag_is_what_a_nap_took_too_long():
    lag = Lag()
    for late_ms in range(100):
        lag.note(late_ms / 1_000)

    assert (lag.percentile(0.5), lag.percentile(0.99), lag.percentile(1.0)) == (0.05, 0.099, 0.099)
    assert (lag.take(), lag.take()) == (0.099, 0.0)


class Process:
    def __init__(self) -> None:
        self.well = True

    def figures(self) -> dict[str, float]:
        return {"up": 1.0, "orders_total": 3, "feed_age_seconds/v:A/B": 0.5, "feed_age_seconds/v:C/D": 1.5}

    def health(self) -> dict[str, bool]:
        return {"well": self.well}


@pytest.mark.asyncio
async def test_prometheus_and_a_health_check_are_answered_on_the_loopback():
    process = Process()
    metrics = Metrics(process, 0)
    await metrics.start()
    try:
        async with aiohttp.ClientSession() as web:
            async with web.get(f"http://127.0.0.1:{metrics.port}/metrics") as answer:
                text = await answer.text()
            async with web.get(f"http://127.0.0.1:{metrics.port}/healthz") as answer:
                well = answer.status
            process.well = False
            async with web.get(f"http://127.0.0.1:{metrics.port}/healthz") as answer:
                ill = answer.status
    finally:
        await metrics.stop()

    assert "# TYPE argus_orders_total counter\nargus_orders_total 3.0" in text
    assert 'argus_feed_age_seconds{instrument="v:C/D"} 1.5' in text
    assert (well, ill) == (200, 503)


def test_what_is_heard_and_not_written_is_seen(tmp_path: Path):
    world, found = Running(tmp_path, 500, config_text=CONFIG + "params = { rungs = 1 }\n"), []

    async def act(live: Live) -> None:
        look = next(
            one for one in checks_of(live, Lag(), Integrity(live.session.journal)) if one.name == "recording"
        ).look
        for _ in range(2):
            live.door.fault("a test", "heard")
            found.append(look())
        live.recorder.flush = lambda: None  # type: ignore[method-assign]  # the disk takes nothing
        found.append(look())
        live.door.fault("a test", "heard")
        found.append(look())
        del live.recorder.flush
        live.stop("enough")

    asyncio.run(world.through(act, orders=1))

    assert found[:3] == [None, None, None]
    assert found[3] is not None
    assert found[3].what == "what is heard is not written"
