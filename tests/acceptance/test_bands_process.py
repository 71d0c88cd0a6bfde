"""A real daemon beside a real sandbox falls into its bands, is killed there, and only ``argus clear`` ends them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from daemon.errors import NotRunning, TimedOut
from daemon.operating.client import Client
from daemon.proof.verify import verify
from daemon.session import Session
from risk.governor import Band
from tests.acceptance.command import argus, outcome, start
from tests.daemon import pusher
from tests.daemon.live_world import records
from tests.daemon.test_bands_outlive import Twin, follow
from tests.sandbox.running import spawned

campaign = pytest.mark.skipif(not os.environ.get("ARGUS_CAMPAIGN"), reason="a market takes its time: make ordeals")
LIMITS = ((Band.KILL, D("0.0002")), (Band.SOFT, D("0.0001")))
"""No hard band: whoever is let out only ends up with nothing to lose, and never comes to the kill band."""
CONFIG = """
[test]
rate = {rate}
since_ns = {since_ns}
[process]
state_dir = "state"
out_dir = "sessions"
kill_file = "KILL"
[process.endpoints.binance]
ws = ["{ws}"]
rest = "{rest}"
[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
streams = ["trade"]
max_age_s = {{ trade = 3600 }}
[trading.limits]
max_position = 1000000
max_notional = 1000000
max_drawdown_bps = 9000
missed_after_s = 3600
stale_data_threshold_s = 3600
max_open_orders = 1000
max_consecutive_rejects = 1000
order_rate = {{ orders = 1000, per_s = 1 }}
[trading.governor]
peak = {{ soft = 0.0001, hard = 0.0002, kill = 0.0002 }}
[trading.venue]
entry = {{ model = "fixed" }}
cancel = {{ model = "fixed" }}
slippage = {{ model = "last_price" }}
fees = {{ model = "fixed", maker = 0, taker = 0 }}
[[trading.strategies]]
use = "{strategy}"
params = {{ full = 1.5 }}
"""


class Line:
    """The processes that follow one another on one state directory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sessions: list[Path] = []

    @contextmanager
    def process(self, end: signal.Signals) -> Iterator[Callable[..., dict[str, Any]]]:
        """Running, and asked for its status until that is as wanted; ended by ``end``."""
        process = start("run", "--config", "argus.toml", "--json", cwd=self.folder)

        def until(*states: str, within_s: float = 300.0) -> dict[str, Any]:
            deadline = time.monotonic() + within_s
            while True:
                try:
                    found = Client(self.folder / "state").status()
                    if found["boot"] == len(self.sessions) + 1 and found["state"] in states:
                        return found
                except (NotRunning, TimedOut):
                    pass
                assert process.poll() is None, outcome(process)
                assert time.monotonic() < deadline, f"not {states} in {within_s} s"
                time.sleep(0.02)

        try:
            yield until
            self.sessions.append(self.folder / until(*STATES)["session"])
        finally:
            process.send_signal(end)
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise

    def say(self, *words: str) -> int:
        return argus(*words, "--state-dir", self.folder / "state", "--reason", "looked").code


STATES = ("disconnected", "connected", "reconciled", "armed", "reducing", "shadow")


@campaign
@pytest.mark.ordeal
def test_a_band_of_a_real_process_outlives_its_deaths(tmp_path: Path) -> None:
    line = Line(tmp_path)
    with spawned("--rate", "20") as address:
        clock, venue = address["clock"], address["venues"]["binance"]
        settings = {"rate": clock["rate"], "since_ns": clock["since_ns"], "strategy": pusher.__file__, **venue}
        (tmp_path / "argus.toml").write_text(CONFIG.format(**settings))
        with line.process(signal.SIGKILL) as until:
            until("shadow")
        with line.process(signal.SIGKILL) as until:
            until("shadow")
            assert line.say("disarm") == 0
            assert line.say("arm") == 0
            until("shadow")
        with line.process(signal.SIGKILL) as until:
            until("shadow")
            assert line.say("clear") == 0
        with line.process(signal.SIGTERM) as until:
            until("reconciled")
            time.sleep(1.0)
            until("reconciled", within_s=1.0)
            assert line.say("arm") == 0
            until("shadow")

    for path in line.sessions:
        assert asyncio.run(verify(Session.open(path))).equal
    twin = Twin(LIMITS)
    left = follow(line.sessions, twin)

    assert left == [Band.KILL, Band.KILL, Band.OK, Band.KILL]
    (by,) = twin.cleared_by
    assert by.endswith(f"({os.getuid()})"), "by the word of the kernel"
    (said,) = [one for one in records(line.sessions[2], "TradingStateChanged") if "cleared by" in one["reason"]]
    assert said["reason"] == f"cleared by {by}: looked"
    assert {(Band.OK, "in"), (Band.SOFT, "in"), (Band.SOFT, "out")} <= set(twin.approved)
