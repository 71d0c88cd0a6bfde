"""``argus sandbox``: what it refuses, and that it ends when it is told to."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from daemon.cli import app
from daemon.errors import Usage
from tests.sandbox.running import ROOT


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--rate", "0"], "--rate: the rate must be above 0"),
        (["--market", "real"], "--market is seeded, not 'real'"),
        (["--symbol", "DOGEUSDT"], "no market for 'DOGEUSDT'; there is one for BTCUSDT, ETHUSDT"),
        (["--recording", str(Path(__file__))], "is not a recording"),
    ],
)
def test_what_cannot_be_served_is_refused_in_a_line(args, says):
    result = CliRunner().invoke(app, ["sandbox", *args])

    assert says in str(result.exception)


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "sandbox.command", raising=False)
    monkeypatch.delitem(sys.modules, "sandbox.server", raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", None)

    result = CliRunner().invoke(app, ["sandbox"])

    assert isinstance(result.exception, Usage)
    assert "argus-trader[live]" in str(result.exception)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(number):
    command = [sys.executable, "-m", "daemon", "sandbox", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, errors = process.communicate(timeout=10)

    assert (process.returncode, errors) == (0, "sandbox closed\n")
