"""``argus run`` beside ``argus sandbox``, over sockets, rolling over on the clock they share, on a word, and killed."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bus import inputs
from bus.clock import MINUTE, SECOND
from daemon.proof.refold import recorded
from daemon.session import Session
from tests.daemon.lineage import audit
from tests.daemon.live_world import records
from tests.daemon.processes import Daemon, armed, write_config
from tests.daemon.test_rolling import line_to
from tests.sandbox.running import spawned

LADDER = Path(__file__).with_name("ladder.py")
LATENCY = 'model = "uniform", low_ms = 500, high_ms = 2000'


@pytest.mark.ordeal
@pytest.mark.skipif(not os.environ.get("ARGUS_CAMPAIGN"), reason="minutes of a market; make ordeals")
def test_a_process_rolls_over_by_the_clock_and_on_a_word_and_its_sockets_never_notice(tmp_path: Path):
    seen: list[str] = []

    def in_another(status: dict[str, Any]) -> bool:
        return armed(status) and status["session"] not in seen and status["inputs"] > 200 and len(status["orders"]) > 3

    with spawned("--rate", "20") as sandbox:
        clock = sandbox["clock"]
        now = clock["since_ns"] + (time.time_ns() - clock["since_ns"]) * clock["rate"]
        due = datetime.fromtimestamp((int(now) // MINUTE + 4) * MINUTE / SECOND, UTC)
        config = write_config(tmp_path, sandbox, LADDER, entry=LATENCY, cancel=LATENCY)
        config.write_text(config.read_text() + f'\n[process.session]\nroll_at = "{due:%H:%M}"\n')
        with Daemon(config, clock) as daemon:
            for act in ("wait", "roll", "roll", "kill"):
                assert daemon.until(in_another)
                status = daemon.status()
                seen.append(status["session"])
                assert status["next_roll_ns"] // MINUTE % 60 == due.minute
                if act == "roll":
                    daemon.client.command("roll", {})
                elif act == "kill":
                    daemon.kill()
        with Daemon(config, clock) as daemon:
            assert daemon.until(in_another)
            seen.append(daemon.status()["session"])
            daemon.stop()

    line = line_to(Path(seen[-1]))
    assert [str(one) for one in line] == seen
    assert len(audit(line).fills) > 10
    for before, after in pairwise(line[:4]):
        assert records(before, "SessionClosed")[0]["outcome"] == "handed over"
        assert not records(after, "FeedOpened", "FeedLost", "BookInvalidated", "DataGap", "StreamStale")
        assert trades(after)[0] == trades(before)[-1] + 1
    assert records(line[4], "FeedOpened")  # the killed one's successor hears the market anew


def trades(session: Path) -> list[int]:
    """Ids in the order in which they were heard."""
    raws = (item.raw for item in recorded(Session.open(session)) if item.kind is inputs.FRAME)
    return [int(found[1]) for raw in raws if "@trade" in raw[:40] and (found := re.search(r'"t":(\d+)', raw))]
