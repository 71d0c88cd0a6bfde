"""What stands around a live session: the lock, the kill file, the clock's watch, the tasks' owner."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from bus.clock import HOUR, SECOND, WallClock
from daemon.errors import LockHeld, Usage
from daemon.live import state
from daemon.live.killfile import KillFile
from daemon.live.state import StateDirectory
from daemon.live.supervise import Supervisor
from daemon.live.wallclock import ClockWatch
from daemon.session import SessionError

# --- the state directory ----------------------------------------------------------------------------------------


def test_one_process_holds_a_state_directory_and_the_second_is_told_which(tmp_path):
    held = StateDirectory.open(tmp_path / "state", "paper")

    with pytest.raises(LockHeld, match=f"in use by process {os.getpid()}"):
        StateDirectory.open(tmp_path / "state", "paper")

    held.close()
    StateDirectory.open(tmp_path / "state", "paper").close()


def test_a_lock_where_the_file_system_has_none_is_a_file_of_a_process_that_lives(tmp_path, monkeypatch):
    def none(_fd: int) -> None:
        raise OSError("not supported")

    monkeypatch.setattr(state, "_lock", none)
    (tmp_path / "lock.pid").write_text("999999999\n")  # left behind by a process that is gone
    held = StateDirectory.open(tmp_path, "paper")

    with pytest.raises(LockHeld):
        StateDirectory.open(tmp_path, "paper")

    held.close()
    assert not (tmp_path / "lock.pid").exists()


def test_paper_and_live_never_share_a_state_directory(tmp_path):
    held = StateDirectory.open(tmp_path, "paper")
    held.boot()
    held.close()

    with pytest.raises(Usage, match="belongs to paper sessions"):
        StateDirectory.open(tmp_path, "live")
    StateDirectory.open(tmp_path, "paper").close()  # the refusal let go of the lock


def test_starts_are_counted_on_disk_before_anybody_uses_the_number(tmp_path):
    for expected in (1, 2):
        held = StateDirectory.open(tmp_path, "paper")
        assert held.boot() == expected
        kept = state.read(tmp_path)
        assert kept is not None
        assert kept.boot == expected
        held.close()


def test_a_damaged_state_file_is_refused_by_name(tmp_path):
    (tmp_path / "state.json").write_text("{")

    with pytest.raises(SessionError, match=r"state\.json is not readable"):
        StateDirectory.open(tmp_path, "paper")


# --- the kill file ----------------------------------------------------------------------------------------------


def test_only_the_presence_of_a_kill_file_counts(tmp_path):
    kill = KillFile(tmp_path / "KILL")
    assert not kill.present

    (tmp_path / "KILL").touch()
    assert kill.look()
    (tmp_path / "KILL").unlink()
    assert not kill.look()


def test_a_link_to_nowhere_is_a_kill_file(tmp_path):
    (tmp_path / "KILL").symlink_to(tmp_path / "gone")

    assert KillFile(tmp_path / "KILL").present


def test_a_kill_file_that_nobody_can_look_for_is_there(tmp_path):
    (tmp_path / "file").touch()

    kill = KillFile(tmp_path / "file" / "KILL")

    assert kill.present
    assert "nobody can say" in kill.why


# --- time -------------------------------------------------------------------------------------------------------


class Times:
    """The wall, the time elapsed and the time awake, moved by hand."""

    def __init__(self) -> None:
        self.wall, self.elapsed, self.awake = 10 * HOUR, HOUR, HOUR
        self.said: list[str] = []
        self.watch = ClockWatch(self.said.append, lambda: self.wall, lambda: self.elapsed, lambda: self.awake)

    def second(self, *, wall: int = 0, asleep: int = 0, stood: int = 0) -> None:
        self.awake += SECOND + stood
        self.elapsed += SECOND + stood + asleep
        self.wall += SECOND + stood + asleep + wall
        self.watch.look()


def test_a_quiet_day_is_not_worth_a_word():
    times = Times()
    for _ in range(1_000):
        times.second(wall=50_000)  # 50 ppm: what a clock without discipline loses

    assert times.said == []
    assert times.watch.offset_ns == 50_000_000


def test_a_wall_that_was_set_is_said_once():
    times = Times()
    times.second(wall=HOUR)
    times.second()
    times.second(wall=-HOUR)

    assert [text.split(";")[0] for text in times.said] == [
        "the wall clock was moved by +3600.000 s",
        "the wall clock was moved by -3600.000 s",
    ]


def test_a_machine_that_slept_and_a_process_that_stood_still_are_told_apart():
    times = Times()
    times.second(asleep=8 * HOUR)
    times.second()
    times.second(stood=20 * SECOND)

    assert times.said == ["the machine slept for 28800.0 s", "the process stood still for 20.0 s"]


def test_two_clocks_of_a_rehearsal_agree_when_told_the_same():
    since = WallClock().read() - 10 * SECOND
    fast = WallClock(20.0, since)

    assert abs(fast.read() - (since + 200 * SECOND)) < 5 * SECOND
    assert abs(WallClock(20.0, since).read() - fast.read()) < SECOND
    assert 0.0 <= fast.wait_s(fast.read() + 20 * SECOND) <= 1.0


# --- tasks ------------------------------------------------------------------------------------------------------


class Told:
    def __init__(self) -> None:
        self.ends: list[tuple[str, str, bool]] = []

    def __call__(self, name: str, error: BaseException | None, last: bool) -> None:
        self.ends.append((name, repr(error), last))


async def forever() -> None:
    await asyncio.Event().wait()


@pytest.mark.asyncio
async def test_a_task_that_raises_is_started_again_as_often_as_it_may_be(monkeypatch):
    monkeypatch.setattr("daemon.live.supervise.FIRST_WAIT_S", 0.0)
    told, over = Told(), asyncio.Event()
    tasks = Supervisor(told)

    async def broken() -> None:
        if len(told.ends) == 2:
            over.set()
        raise ValueError("again")

    tasks.start("broken", broken, restarts=2)
    await over.wait()
    await asyncio.sleep(0)

    assert told.ends == [("broken", "ValueError('again')", last) for last in (False, False, True)]
    assert tasks.names == []


@pytest.mark.asyncio
async def test_who_raises_while_it_is_ended_is_not_started_again(monkeypatch):
    monkeypatch.setattr("daemon.live.supervise.FIRST_WAIT_S", 0.0)
    tasks, begun = Supervisor(Told()), list[int]()

    async def clumsy() -> None:
        begun.append(1)
        try:
            await forever()
        finally:
            raise OSError("the socket was gone already")

    tasks.start("clumsy", clumsy, restarts=1)
    await asyncio.sleep(0)

    assert await tasks.stop(0.2) == []
    assert begun == [1]


@pytest.mark.asyncio
async def test_tasks_end_in_the_reverse_of_their_order_and_nobody_is_told():
    told, ended = Told(), list[str]()
    tasks = Supervisor(told)

    def make(name: str):
        async def run() -> None:
            try:
                await forever()
            finally:
                ended.append(name)

        return run

    for name in ("first", "second", "third"):
        tasks.start(name, make(name))
    await asyncio.sleep(0)

    assert await tasks.stop(1.0) == []
    assert ended == ["third", "second", "first"]
    assert told.ends == []


@pytest.mark.asyncio
async def test_who_does_not_end_in_time_is_named():
    tasks, release = Supervisor(Told()), asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    tasks.start("stubborn", stubborn)
    await asyncio.sleep(0)

    assert await tasks.stop(0.01) == ["stubborn"]
    release.set()
    await asyncio.sleep(0)


def test_the_path_of_a_session_outlives_a_change_of_folder(tmp_path: Path):
    held = StateDirectory.open(tmp_path, "paper")
    held.began(Path("var/sessions/x"))
    held.close()

    kept = state.read(tmp_path)
    assert kept is not None
    assert Path(kept.session).is_absolute()
