"""The power fails: whichever of a session's two files the disk kept more of, the account goes on."""

from __future__ import annotations

import asyncio
import errno
import itertools
import shutil
import signal
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bus import journal
from bus.clock import SECOND
from bus.values import ZERO
from daemon import session
from daemon.errors import ERROR, KILLED, ORDERS_LEFT
from daemon.live import durable, ending, state
from daemon.live.recorder import pieces
from daemon.live.run import Live
from daemon.proof import refold
from daemon.proof.salvage import UNEXPLAINED
from daemon.proof.verify import verify
from daemon.reading.digest import Reading
from daemon.session import Session, force
from tests.daemon.lineage import latest
from tests.daemon.live_world import START_NS, Market, World, records
from tests.daemon.test_killed import CONFIG, in_a_process, rig


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process leaves that died with fills behind it, orders resting and one on its way."""
    root = tmp_path_factory.mktemp("killed")

    def session() -> None:
        live = World(root, Market(10).lines(), config_text=CONFIG).start()
        rig(live, "committed", 400, when=lambda live: live.sitting.core.router.fills >= 3)
        asyncio.run(live.run())

    assert in_a_process(session) == -signal.SIGKILL
    return root


def after_the_cut(killed: Path, root: Path) -> tuple[World, Session]:
    """The disk as it was, somewhere else, and who starts there."""
    shutil.copytree(killed, root, dirs_exist_ok=True, ignore=shutil.ignore_patterns("control.*"))
    name = (latest(killed) or root).name
    kept = state.read(root / "state")
    assert kept is not None
    kept.session = str(root / "sessions" / name)
    (root / "state" / "state.json").write_bytes(msgspec.json.encode(kept))
    world = World(root, Market(20).lines(), config_text=CONFIG)
    return world, Session.open(Path(kept.session))


def cut(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def told(session: Session) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    """Wallets and positions as the journal alone has them."""
    reading = Reading()
    for entry in journal.read(session.journal):
        reading.note(entry, entry.event())
    account = reading.account
    return dict(account.cash), {name: position.size for name, position in account.positions.items()}


def had(left: Any) -> tuple[dict[str, Decimal], dict[str, Decimal]]:
    return left.ledger.cash, {one.instrument.name: one.filled for one in left.ledger.positions}


@pytest.mark.parametrize("share", [0.0, 0.6])
def test_a_recording_that_was_cut_leaves_the_account_that_the_journal_tells_of(killed, tmp_path, share):
    world, parent = after_the_cut(killed, tmp_path)
    (piece,) = pieces(parent.path)
    cut(piece, share)

    left = refold.left_by(parent)

    first = left.unexplained[0]
    assert [one.seq for one in left.unexplained] == list(range(first.seq, refold.last_record(parent).seq + 1))
    assert had(left.state) == told(parent)
    account = left.state.venue
    for asset, amount in left.state.ledger.cash.items():
        assert account.free.get(asset, ZERO) + account.locked.get(asset, ZERO) == amount
    assert not any(account.locked.values())
    assert (left.state.orders, left.state.sent, account.orders, account.messages) == ([], [], [], [])

    live = world.start()
    (found,) = live.findings.blocking()
    assert f"records {first.seq} to " in found.what
    assert first.type in found.what
    world.held.close()


def test_whoever_looked_and_said_so_goes_on_from_what_the_journal_tells(killed, tmp_path):
    world, parent = after_the_cut(killed, tmp_path)
    cut(pieces(parent.path)[0], 0.5)
    seen: dict[str, Any] = {}

    def look(live: Live) -> None:
        async def operator() -> None:
            await world.feed.over.wait()
            seen["unarmed"] = live.core.switch.state.value, live.core.switch.latched, live.core.router.orders
            live.command("ack", "somebody")
            live.command("arm", "somebody")
            seen["armed"] = live.core.switch.state.value

        live.tasks.start("operator", operator)

    ended = asyncio.run(world.run_through(rig=look))

    assert seen == {"unarmed": ("reconciled", UNEXPLAINED, 0), "armed": "armed"}
    child = Session.open(ended.session)
    assert asyncio.run(verify(child)).equal, "its opening state follows from its parent's files"
    assert told(child)[0] == told(parent)[0]
    numbers = [one["intent_id"] for path in (parent.path, child.path) for one in records(path, "Decision")]
    assert len(numbers) == len(set(numbers)), "no name is given twice"


@pytest.mark.parametrize("share", [0.7])
def test_a_journal_that_was_cut_goes_on_from_where_it_ends(killed, tmp_path, share):
    world, parent = after_the_cut(killed, tmp_path)
    whole = refold.last_record(parent).seq
    shutil.rmtree(parent.path)
    world, parent = after_the_cut(killed, tmp_path)
    cut(parent.path / "journal.db-wal", share)

    left = refold.left_by(parent)

    assert left.state.parent_seq == refold.last_record(parent).seq < whole
    assert left.unexplained == []
    assert had(left.state)[0] == told(parent)[0]
    ended = asyncio.run(world.run_through())
    assert asyncio.run(verify(Session.open(ended.session))).equal


def test_the_recording_is_forced_to_the_disk_before_the_journal(killed, tmp_path, monkeypatch):
    _, parent = after_the_cut(killed, tmp_path)
    forced: list[str] = []
    monkeypatch.setattr(durable, "force", lambda path: forced.append(path.name))
    files = durable.Durable(parent.path, parent.journal)

    files.sync()
    assert forced == ["inputs-0001.jsonl.zst", "journal.db-wal", parent.path.name]

    forced.clear()
    (parent.path / "inputs-0002.jsonl.zst").touch()
    files.sync()
    assert forced[:2] == ["inputs-0001.jsonl.zst", "inputs-0002.jsonl.zst"]
    assert forced[-1] == parent.path.name, "a new file's name is the directory's"

    forced.clear()
    files.sync()
    assert forced == ["inputs-0002.jsonl.zst", "journal.db-wal"]


def test_a_log_that_is_gone_when_it_is_to_be_forced_needs_no_forcing(killed, tmp_path, monkeypatch):
    """Where the process rolls over the journal is closed, just as the thread is about to force its log."""
    _, parent = after_the_cut(killed, tmp_path)
    files = durable.Durable(parent.path, parent.journal)

    def closed_just_now(path: Path) -> None:
        if path.name == "journal.db-wal":
            path.unlink()
        force(path)

    monkeypatch.setattr(durable, "force", closed_just_now)
    files.sync()


def test_a_reader_who_leaves_takes_nothing_with_him_from_a_journal_that_is_forced(tmp_path):
    """He may write, as any program with SQLite in it does: the last to leave a database deletes its log."""
    world = World(tmp_path, Market(20).lines(), config_text=CONFIG)
    came: list[int] = []

    def rig(live: Live) -> None:
        chain = live.door.journal
        commit = chain.commit
        look = f"db = sqlite3.connect({str(chain.path)!r}); db.execute('SELECT * FROM chain').fetchall(); db.close()"

        def commit_and_let_somebody_look(*, last: bool = False) -> None:
            commit(last=last)
            if len(came) < 2 and chain.seq > 10:
                live.sitting.durable.sync()
                subprocess.run([sys.executable, "-c", f"import sqlite3; {look}"], check=True)
                came.append(chain.seq)
                assert len(list(journal.read(chain.path))) == chain.seq

        chain.commit = commit_and_let_somebody_look  # type: ignore[method-assign]  # the journal is real, he looks on

    ended = asyncio.run(world.run_through(rig=rig))

    assert len(came) == 2
    assert asyncio.run(verify(Session.open(ended.session))).equal


@pytest.mark.parametrize(("fails_at", "code"), [(1, ERROR), (2, KILLED)])
def test_a_disk_that_fails_ends_the_session(tmp_path, monkeypatch, fails_at, code):
    world = World(tmp_path, Market(5).lines(), config_text=CONFIG)
    monkeypatch.setattr(durable, "EVERY_S", 0.0)

    def fail(live: Live) -> None:
        asked = itertools.count(1)

        def sync() -> None:
            if next(asked) >= fails_at:
                raise OSError(5, "Input/output error")

        monkeypatch.setattr(live.sitting.durable, "sync", sync)

    ended = asyncio.run(world.run_through(rig=fail))

    assert ended.exit_code == code
    assert "disk" in ended.reason
    assert asyncio.run(verify(Session.open(ended.session))).equal


def takes_nothing(live: Live, *inserts: int) -> None:
    """The disk has no room for so many rows of the journal, counted from 1; for any where none is named."""
    db, count = live.door.journal._db, itertools.count(1)

    class Full:
        def execute(self, *words: Any) -> Any:
            if words[0].startswith("INSERT") and (not inserts or next(count) in inserts):
                raise sqlite3.OperationalError("database or disk is full")
            return db.execute(*words)

        close = db.close

    live.door.journal._db = Full()  # type: ignore[assignment]  # as much of SQLite as a commit needs


def test_a_journal_that_takes_nothing_for_a_while_has_no_hole_when_it_takes_something_again(tmp_path):
    """Somebody held the file, or the disk was full; by the end of the session neither is so any more."""
    world = World(tmp_path, Market(5).lines(), config_text=CONFIG)

    ended = asyncio.run(world.run_through(rig=lambda live: takes_nothing(live, 10)))

    assert (ended.exit_code, ended.reason) == (ERROR, "journal: database or disk is full")
    assert len(list(journal.read(ended.session / "journal.db"))) > 9
    world.items = Market(12).lines(START_NS + 10 * SECOND)
    again = asyncio.run(world.run_through())
    assert Session.open(again.session).manifest["parent"] == str(ended.session)
    assert asyncio.run(verify(Session.open(again.session))).equal


def test_a_session_whose_first_record_is_not_taken_is_nobody_s_latest(tmp_path):
    """It could not be gone on from, and the account of the one before would be out of reach."""
    world = World(tmp_path, Market(2).lines(), config_text=CONFIG)
    first = asyncio.run(world.run_through())
    world.items = Market(12).lines(START_NS + 10 * SECOND)

    failed = asyncio.run(world.run_through(rig=takes_nothing))

    assert (failed.exit_code, failed.reason) == (ERROR, "journal: database or disk is full")
    world.items = Market(22).lines(START_NS + 20 * SECOND)
    third = asyncio.run(world.run_through())
    assert Session.open(third.session).manifest["parent"] == str(first.session)


def test_a_journal_that_cannot_be_closed_keeps_nobody_from_the_last_words(tmp_path):
    world = World(tmp_path, Market(5).lines(), config_text=CONFIG)

    def fail(live: Live) -> None:
        db = live.door.journal._db

        class Full:
            close = db.close

            def execute(self, *words: Any) -> Any:
                if "wal_checkpoint" in words[0]:
                    raise full()
                return db.execute(*words)

        live.door.journal._db = Full()  # type: ignore[assignment]  # as much of SQLite as a commit needs

    ended = asyncio.run(world.run_through(rig=fail))

    assert ended.exit_code == ERROR
    assert "the feed is over" in (ended.session / "last_words.json").read_text()
    assert "was not closed as it should be" in " ".join(world.said)
    assert asyncio.run(verify(Session.open(ended.session))).equal


@pytest.mark.parametrize("file", ["handover.json", "curve.json", "last_words.json"])
def test_a_disk_without_room_for_the_readable_files_keeps_the_code_that_says_what_is_left(tmp_path, monkeypatch, file):
    world = World(tmp_path, Market(5).lines(), config_text=CONFIG)
    replace = session.replace_file

    def full(path: Path, content: bytes) -> None:
        if path.name == file:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(path, content)

    monkeypatch.setattr(session, "replace_file", full)
    monkeypatch.setattr(ending, "open_orders", lambda _core: [{"client_id": "one"}])

    ended = asyncio.run(world.run_through())

    assert ended.exit_code == ORDERS_LEFT
    assert "was not written to its end" in " ".join(world.said)


def full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error
