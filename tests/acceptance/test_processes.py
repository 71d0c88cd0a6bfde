"""What no process may change: the journal is the same wherever it is made, and whatever cuts it leaves a beginning."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.acceptance import tape
from tests.acceptance.command import argus, journal, outcome, replay, start

# Every other trade is a decision: many records, so that a journal is committed again and again.
BUSY = ("--strategy", "ema_cross", "--params", "fast=1,slow=2", "--set", "limits.order_rate.orders=1000")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """Enough lines for several commits: a commit needs the end of what is read at once."""
    return tape.write(tmp_path_factory.mktemp("market") / "a.jsonl", tape.synthetic(2.0))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, recording) -> Path:
    out = tmp_path_factory.mktemp("whole") / "session"
    assert replay(recording, *BUSY, "--out", out)["journal_records"] > 3_000
    return Path(out)


# --- the same head ---------------------------------------------------------------------------------------------

ELSEWHERE = {
    "hash seed": ({"PYTHONHASHSEED": "1"}, ()),
    "another hash seed": ({"PYTHONHASHSEED": "4242"}, ()),
    "time zone": ({"TZ": "Asia/Kathmandu"}, ()),
    "locale": ({"LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE.UTF-8"}, ()),
    "plain locale": ({"LC_ALL": "C"}, ()),
    "paced": ({}, ("--speed", "100")),
}


def test_the_head_is_the_same_in_any_process(tmp_path, recording):
    """Hash seed, time zone, locale, working directory, speed and session directory: all of them at once, by twos."""
    expected = replay(recording, *BUSY, "--out", tmp_path / "here")["journal_head"]
    heads: dict[str, str] = {}
    waiting: list[tuple[str, subprocess.Popen[str]]] = []
    for number, (name, (environ, words)) in enumerate(ELSEWHERE.items()):
        cwd = tmp_path / f"cwd {number}"
        cwd.mkdir()
        out = () if number == 0 else ("--out", cwd / f"out-{number}" / "é ß")  # the first makes one of its own
        waiting.append((name, start("replay", recording, *BUSY, *words, *out, "--json", cwd=cwd, **environ)))
        if len(waiting) == 2:
            heads.update((which, outcome(process).summary["journal_head"]) for which, process in waiting)
            waiting.clear()

    assert heads == dict.fromkeys(ELSEWHERE, expected)


def test_a_session_without_a_directory_of_its_own_gets_one_under_var(tmp_path, recording):
    said = outcome(start("replay", recording, "--json", cwd=tmp_path))

    (made,) = (tmp_path / "var" / "sessions").iterdir()
    assert (tmp_path / said.summary["session"]).samefile(made)


def test_a_session_verifies_in_another_process_and_place(tmp_path, whole):
    said = outcome(start("verify", whole, "--json", cwd=tmp_path, PYTHONHASHSEED="77", TZ="America/St_Johns"))

    assert (said.code, said.summary["equal"]) == (0, True)


# --- cut short -------------------------------------------------------------------------------------------------


def rows(session: Path) -> int:
    """How many commits a journal under way has."""
    try:
        with closing(sqlite3.connect(f"file:{session / 'journal.db'}?mode=ro", uri=True)) as db:
            count: int = db.execute("SELECT count(*) FROM chain").fetchone()[0]
            return count
    except sqlite3.Error:  # not there yet
        return 0


def cut(recording: Path, session: Path, commits: int, how: signal.Signals) -> subprocess.Popen[str]:
    """A replay in its own process, sent a signal once it has committed that often."""
    process = start("replay", recording, *BUSY, "--speed", "40", "--out", session, "--json", cwd=session.parent)
    while rows(session) < commits and process.poll() is None:
        pass
    process.send_signal(how)
    return process


@pytest.mark.parametrize("draw", range(3))
def test_a_killed_replay_leaves_a_readable_session_that_is_a_beginning(tmp_path, recording, whole, draw):
    commits = random.Random(draw).randint(1, 5)

    process = cut(recording, tmp_path / "session", commits, signal.SIGKILL)
    code = process.wait(30)
    process.communicate()

    written, full = journal(tmp_path / "session"), journal(whole)
    assert code == -signal.SIGKILL
    assert len(written) >= commits
    assert written == full[: len(written)]
    assert len(written) < len(full)
    assert json.loads((tmp_path / "session" / "manifest.json").read_text())["ended"] is None
    said = argus("verify", tmp_path / "session", "--json")
    assert (said.code, said.summary["same"]) == (0, len(written))
    assert "never ended" in said.err


def test_a_killed_session_still_exports_and_reports(tmp_path, recording):
    process = cut(recording, tmp_path / "session", 2, signal.SIGKILL)
    process.communicate(timeout=30)

    assert argus("export", tmp_path / "session").code == 0
    assert argus("report", tmp_path / "session").code == 0
    assert (tmp_path / "session" / "report.html").stat().st_size > 1_000
    assert argus("verify", tmp_path / "session").code == 0


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_replay_ends_cleanly_with_its_artifacts_and_verifies(tmp_path, recording, how):
    process = cut(recording, tmp_path / "session", 3, how)
    said = outcome(process)

    manifest = json.loads((tmp_path / "session" / "manifest.json").read_text())
    assert said.code == 0
    assert (manifest["reason"], manifest["exit_code"]) == (f"interrupted by {how.name}", 0)
    assert manifest["summary"]["journal_head"] == said.summary["journal_head"]
    for name in ("orders.csv", "trades.csv", "positions.csv", "account.csv", "state.json", "session.md", "curve.json"):
        assert (tmp_path / "session" / name).is_file(), name
    assert journal(tmp_path / "session")[-1]["type"] == "SessionClosed"
    verdict = argus("verify", tmp_path / "session", "--json")
    assert verdict.summary == {"equal": True, "same": said.summary["journal_records"], "difference": "", "notes": []}
