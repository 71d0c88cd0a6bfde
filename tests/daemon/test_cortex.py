"""``cortex.json`` while a session runs: the last decision, whole, soon, and never at the loop's cost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from daemon.live import cortex
from daemon.live.run import Live
from daemon.proof.verify import verify
from daemon.session import Session
from tests.daemon.live_world import Market, World, records

DOCUMENTED = {
    "timestamp_utc", "mode", "intent_action", "intent_reason", "intent_source", "external_strategy_module",
    "external_strategy_func", "p_long", "conf_min", "equity_usd", "drawdown_frac", "dd_band", "dry_run",
    "wallet_verified",
}  # fmt: skip
CONFIG = """
[trading.bars]
intervals = ["1s"]
[[trading.strategies]]
use = "momentum"
params = { fast = 2, slow = 3 }
[[trading.strategies]]
use = "stub"
"""


class AtOnce:
    """In the place of the thread."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def __call__(self, text: str) -> None:
        self._tell(text)

    def close(self) -> None: ...


def watched(live: Live, seen: list[dict[str, Any]]) -> None:
    live.sitting.cortex._aside.close()
    live.sitting.cortex._aside = AtOnce(live.sitting.cortex._tell)  # type: ignore[assignment]
    write = live.sitting.cortex.write

    def kept(text: str) -> None:
        write(text)
        seen.append(orjson.loads((live.session.path / "cortex.json").read_bytes()))

    live.sitting.cortex.write = kept  # type: ignore[method-assign]


@pytest.mark.asyncio
async def test_while_it_runs_the_file_has_the_latest_decision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cortex, "EVERY_S", 0.0)
    seen: list[dict[str, Any]] = []
    world = World(tmp_path, Market(20).lines(), config_text=CONFIG)

    session = (await world.run_through(rig=lambda live: watched(live, seen))).session

    assert all(one.keys() >= DOCUMENTED for one in seen)
    wanted = [(r["strategy"], r["intent"].action.value, r["intent"].reason) for r in records(session, "Decision")]
    told = [(one["strategy"], one["intent_action"], one["intent_reason"]) for one in seen]
    assert [one for one in told if one[1] != "HOLD"] == wanted != []
    assert {one[0] for one in told if one[1] == "HOLD"} == {"stub"}, "the last to be asked"
    assert all(one["wallet_verified"] and one["dry_run"] and one["dd_band"] == "ok" for one in seen)
    assert all(-0.01 < one["drawdown_frac"] <= 0.0 and one["equity_usd"] > 99_000 for one in seen)
    assert (await verify(Session.open(session))).equal
    history = [orjson.loads(line) for line in (session / "cortex.jsonl").read_bytes().splitlines()]
    assert [
        (h["strategy"], h["intent_action"], h["intent_reason"]) for h in history if h["intent_action"] != "HOLD"
    ] == wanted


@pytest.mark.asyncio
async def test_a_disk_that_hangs_holds_up_nobody_and_decisions_of_the_meantime_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cortex, "EVERY_S", 0.0)
    hangs, written = threading.Event(), list[str]()
    world = World(tmp_path, Market(20).lines(), config_text=CONFIG)

    def rig(live: Live) -> None:
        def slow(text: str) -> None:
            hangs.wait()
            written.append(text)

        live.sitting.cortex.write = slow  # type: ignore[method-assign]
        close = live.sitting.cortex.close

        def at_last() -> None:
            hangs.set()
            close()

        live.sitting.cortex.close = at_last  # type: ignore[method-assign]

    session = (await world.run_through(rig=rig)).session

    assert len(written) <= 2, "the one that hung, and the latest"
    assert len(records(session, "Decision")) > 2
    assert (session / "cortex.json").is_file(), "written for good at the end"
