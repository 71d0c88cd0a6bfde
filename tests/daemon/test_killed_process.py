"""``argus run`` beside ``argus sandbox``, over sockets: killed with SIGKILL again and again, its market goes on."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.lineage import IN_FLIGHT, RESTING, audit, latest, open_at_the_end
from tests.daemon.live_world import records
from tests.daemon.processes import Daemon, armed, ready, write_config
from tests.sandbox.running import spawned

LINES, KILLS = 4, 50
LADDER = Path(__file__).with_name("ladder.py")
TRAVEL = 'model = "uniform", low_ms = 2000, high_ms = 8000'


@pytest.mark.ordeal
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
@pytest.mark.skipif("ARGUS_CAMPAIGN" not in os.environ, reason="minutes of a market; make ordeals")
@pytest.mark.parametrize("number", range(LINES))
def test_a_process_killed_beside_the_sandbox_again_and_again_keeps_one_account(tmp_path: Path, number: int):
    """Each dies at the first moment, from one drawn by seed on, at which orders rest and are on their way. Where a busy
    machine was late with it, and none was any more, that was a death like any other and does not count.
    """
    chance = random.Random(number)
    line: list[Path] = []
    with spawned("--rate", "10") as sandbox:
        config = write_config(tmp_path, sandbox, LADDER, params="rungs = 90", entry=TRAVEL, cancel=TRAVEL)

        def live(end: Callable[[Daemon], object]) -> Path:
            with Daemon(config, sandbox["clock"]) as daemon:
                assert daemon.until(armed)
                time.sleep(chance.uniform(0.0, 1.0))
                assert daemon.until(ready)
                end(daemon)
            session = latest(tmp_path)
            assert session is not None
            line.append(session)
            return session

        kills = 0
        while kills < KILLS:
            resting, in_flight = open_at_the_end(live(Daemon.kill))
            kills += resting >= RESTING and in_flight >= IN_FLIGHT
            assert len(line) < 2 * KILLS, f"{kills} of {len(line)} deaths came in time"
        live(Daemon.stop)

    assert len(set(line)) == len(line)
    made = audit(line)
    assert made.fills
    assert records(line[-1], "SessionClosed")
