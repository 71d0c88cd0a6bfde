"""The command line as its users have it: run in this process, or in one of its own where the process is the point."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from daemon.cli import app, guarded

ROOT = Path(__file__).resolve().parents[2]


class Said(NamedTuple):
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The object that ends stdout."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


def argus(*words: object) -> Said:
    """A command in this process. What it raises and nobody turned into an exit code fails the test: no tracebacks."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = guarded(lambda: app([str(word) for word in words]))
    said = Said(code, out.getvalue(), err.getvalue())
    assert "Traceback" not in said.err + said.out
    return said


def replay(*words: object) -> dict[str, Any]:
    """The summary of a replay that must succeed."""
    said = argus("replay", *words, "--json")
    assert said.code == 0, said.err
    return said.summary


def journal(session: Path, *kinds: str) -> list[dict[str, Any]]:
    """The records of a session, of the named types or all, as ``argus journal --json`` prints them."""
    said = argus("journal", session, *(word for kind in kinds for word in ("--type", kind)), "--json")
    assert said.code == 0, said.err
    return said.lines


def start(*words: object, cwd: Path, **environ: str) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "daemon", *(str(word) for word in words)],
        cwd=cwd,
        env=_environment(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str], timeout: float = 60) -> Said:
    out, err = process.communicate(timeout=timeout)
    assert "Traceback" not in err, err
    return Said(process.returncode, out, err)


def _environment(changes: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ARGUS_")}
    return {**ours, "PYTHONPATH": str(ROOT), **changes}
