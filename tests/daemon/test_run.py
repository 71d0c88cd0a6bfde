"""A live session from its first lock to its exit code."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.session import Session
from daemon.verify import verify
from tests.daemon.live_world import Market, World, records

STRATEGY = """
[trading.bars]
intervals = ["1s"]
[[trading.strategies]]
use = "strategies.ema_cross:EmaCross"
params = { fast = 3, slow = 8 }
"""


@pytest.mark.asyncio
async def test_a_session_verifies_and_every_start_goes_through_the_same_states(tmp_path: Path):
    world = World(tmp_path, Market(30).lines(), config_text=STRATEGY)

    ended = await world.run_through()

    assert (ended.exit_code, ended.reason) == (0, "the feed is over")
    assert ended.summary["fills"] >= 2
    states = [record["state"].value for record in records(ended.session, "TradingStateChanged")]
    assert states == ["disconnected", "connected", "reconciled", "armed", "stopping"]
    verdict = await verify(Session.open(ended.session))
    assert (verdict.equal, verdict.difference, verdict.notes) == (True, "", [])
    assert verdict.same == ended.summary["journal_records"]
