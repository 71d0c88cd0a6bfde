"""``docs/add_a_strategy.md``, block by block, in an empty directory; it ends in ``argus verify`` exit 0."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_five_steps_work_as_they_are_written(tmp_path):
    text = (ROOT / "docs" / "add_a_strategy.md").read_text(encoding="utf-8")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = []

    for language, body in BLOCK.findall(text):
        first = body.splitlines()[0]
        if language == "sh":
            for line in body.splitlines():
                words = shlex.split(line)
                assert words[0] == "argus"
                run = subprocess.run(
                    [sys.executable, "-P", "-m", "daemon", *words[1:]],
                    cwd=tmp_path,
                    env=environ,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
                done.append((words[1], run.stdout))
        elif first.startswith("# ") and first.endswith(".py"):
            with (tmp_path / first[2:]).open("a", encoding="utf-8") as file:
                file.write(body)
        else:
            subprocess.run([sys.executable, "-c", body], cwd=tmp_path, check=True)

    assert [command for command, _ in done] == [
        *("check-strategy", "check-strategy", "replay", "report", "verify", "replay", "verify"),
    ]
    assert all("note it wanted nothing" not in said for _, said in done)
    assert all("every one the same" in said for command, said in done if command == "verify")
