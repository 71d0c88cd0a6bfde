"""``docs/aliases.md``: every documented command runs, every documented path is made, every variable is known."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from config import surroundings
from daemon.cli import app, guarded
from daemon.session import Session
from tests.acceptance import tape

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "aliases.md").read_text(encoding="utf-8")


def table(heading: str) -> list[list[str]]:
    """The rows of the table under a heading, as cells."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


COMMANDS = [re.fullmatch(r"`(.+)`", row[0])[1] for row in table("Commands")]  # type: ignore[index]  # else: no command


@pytest.mark.parametrize("command", COMMANDS)
def test_a_documented_command_runs(command, tmp_path):
    python, *words = shlex.split(command)
    assert python == "python"
    if words[0].endswith(".py"):
        words[0] = str(ROOT / words[0])

    run = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert run.returncode == 0, run.stdout + run.stderr
    assert "print('OK')" not in command or run.stdout == "OK\n"


def test_every_documented_path_is_made(outside):
    recording = outside / "r.jsonl"
    tape.write(recording, tape.synthetic())
    assert guarded(lambda: app(["replay", str(recording), "--strategy", "buy_and_hold", "--out", "ID"])) == 0
    (outside / "ID" / "execution.log").write_text("a live session leaves one\n")

    for layout in ("argus", "logos"):
        for _ in range(2):
            assert guarded(partial(app, ["export", "ID", "--layout", layout, "--to", "there"])) == 0

    documented = {row[0].strip("`") for row in table("Paths")}
    made = {str(path.relative_to("there")) for path in Path("there").rglob("*") if path.is_file()}
    day = next(name for name in made if name.startswith("runs/live/trades/"))
    assert re.fullmatch(r"runs/live/trades/[A-Z]+-[A-Z]+_[0-9]{8}\.csv", day)
    assert made - {day} == {name for name in documented if not name.startswith("runs/live/trades/")}
    assert (Path("there") / day).read_text() == (outside / "ID" / "trades.csv").read_text()
    shared = Path("there/logos/logs/live.log").read_text()
    assert shared.count("# session ID\n") == 1, "exported twice, in it once"


def test_an_unknown_layout_is_a_usage_error(outside):
    assert guarded(lambda: app(["export", "ID", "--layout", "other"])) == 2


def test_the_page_names_every_variable_that_is_mapped():
    named = set(re.findall(r"`([A-Z_]+)`", PAGE.partition("## Variables")[2]))

    assert named >= set(surroundings.DOCUMENTED)
    for name in named - set(surroundings.DOCUMENTED) - {"ARGUS_STRATEGY_FUNC"}:
        said = [*surroundings.notes({name: "1"}), *surroundings.faults({name: "1"})]
        assert any(name in line for line in said), name


def test_a_session_of_either_kind_keeps_its_own_state_file(outside):
    recording = outside / "r.jsonl"
    tape.write(recording, tape.synthetic())
    guarded(lambda: app(["replay", str(recording), "--strategy", "stub", "--out", "ID"]))
    session = Session.open(Path("ID"))
    session.manifest["mode"] = "live"
    session.write()

    guarded(lambda: app(["export", "ID", "--layout", "argus", "--to", "there"]))

    assert Path("there/prime_state.json").is_file()
    assert not Path("there/paper_prime_state.json").exists()
