"""Every fill follows from the recording and the order alone, as a program that knows nothing of us finds."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance import tape
from tests.acceptance.command import ROOT, argus, replay

SCRIPT = Path(__file__).with_name("rebuild.py")
LARGE = (
    *("--set", "cash={USDT=100000000}", "--set", "limits.max_notional=10000000"),
    *("--set", "limits.max_position=20000000"),
)


def rebuilt(recording: Path, session: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    records = tmp_path / "journal.jsonl"
    records.write_text(argus("journal", session, "--json").out)
    return subprocess.run(
        [sys.executable, "-I", SCRIPT, recording, records], cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_the_script_shares_no_code_with_us():
    tree = ast.parse(SCRIPT.read_text())

    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }

    assert imported == {"__future__", "collections", "decimal", "json", "pathlib", "sys", "typing", "zstandard"}
    assert not imported & {path.name for path in ROOT.iterdir()}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("words", "fills"),
    [
        pytest.param(("--params", "fast=50,slow=200"), 60, id="default size"),
        pytest.param(("--params", "fast=50,slow=200,size=6", *LARGE), 1_000, id="deep into the book"),
    ],
)
def test_every_price_size_fee_and_balance_of_the_capture_is_derived_again(recordings, tmp_path, words, fills):
    recording = recordings / tape.CAPTURE
    summary = replay(recording, "--strategy", "ema_cross", *words, "--out", tmp_path / "session")

    made = rebuilt(recording, tmp_path / "session", tmp_path)

    assert made.returncode == 0, made.stderr
    assert summary["fills"] >= fills
    assert json.loads(made.stdout) == {
        "fills": summary["fills"],
        "fees": summary["fees"],
        "equity": summary["equity_end"],
    }


def test_a_synthetic_session_is_derived_again_and_one_wrong_digit_is_found(tmp_path):
    recording = tape.compressed(tmp_path / "market.jsonl.zst", tape.synthetic(1.0))
    words = ("--strategy", "ema_cross", "--params", "fast=5,slow=20,size=1", *LARGE)
    summary = replay(recording, *words, "--out", tmp_path / "session")
    assert summary["fills"] >= 60

    right = rebuilt(recording, tmp_path / "session", tmp_path)
    lines = (tmp_path / "journal.jsonl").read_text()
    fill = lines.splitlines()[next(i for i, line in enumerate(lines.splitlines()) if '"OrderFilled"' in line)]
    (tmp_path / "journal.jsonl").write_text(lines.replace(fill, re.sub(r'("price":"\d+)', r"\g<1>0", fill)))
    wrong = subprocess.run(
        [sys.executable, "-I", SCRIPT, recording, tmp_path / "journal.jsonl"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert json.loads(right.stdout)["equity"] == summary["equity_end"]
    assert (wrong.returncode, json.loads(fill)["fill_id"] + " price" in wrong.stderr) == (1, True)
