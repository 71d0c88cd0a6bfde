"""docs/LIVE-RUNBOOK.md does what it says: its blocks, in one shell, from top to bottom."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "docs" / "LIVE-RUNBOOK.md"
BEGIN = """set -eu
trap 'kill -CONT $daemon 2>/dev/null || true; kill $(jobs -p) 2>/dev/null || true; wait' EXIT
"""


def blocks() -> list[str]:
    return re.findall(r"^```sh\n(.*?)^```$", RUNBOOK.read_text("utf-8"), re.M | re.S)


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's blocks")
def test_every_block_of_the_runbook_does_what_it_says(tmp_path: Path):
    script = BEGIN + "\n".join(f"echo {shlex.quote(f'--- block {n}')}\n{text}" for n, text in enumerate(blocks()))
    command = tmp_path / "bin" / "argus"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m daemon "$@"\n')
    command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"

    with (tmp_path / "out").open("w+") as out:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=120,
            check=False,
        )
        out.seek(0)
        said = out.read()

    assert done.returncode == 0, said[-3000:]
    sessions = list((tmp_path / "var" / "sessions").iterdir())
    assert said.count("every one the same") == len(sessions) >= 4  # five where a day ended meanwhile
