"""A live session from its first lock to its exit code."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bus.clock import HOUR, SECOND
from bus.inputs import HTTP, TICK, Input
from daemon.app import Request, replay
from daemon.errors import CLEAN, KILLED, Usage
from daemon.live.recorder import pieces
from daemon.live.run import Live
from daemon.proof.verify import NOT_FINAL, verify
from daemon.session import Session
from feeds.frames import Recording
from tests.daemon.live_world import START_NS, Market, World, records

HOURLY = f"""
[trading.bars]
intervals = ["1h"]
[[trading.strategies]]
use = "{Path(__file__).with_name("hourly.py")}"
"""
NO_LATENCY = """
[trading.venue.entry]
model = "fixed"
ms = 0
"""
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


@pytest.mark.asyncio
async def test_the_way_of_an_order_is_rehearsed_while_frames_come_and_no_record_knows_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    world = World(tmp_path, Market(30).lines(), config_text=STRATEGY)
    weighed: list[int] = []

    def rig(live: Live) -> None:
        rehearse = live.core.gate.rehearse

        def counted() -> None:
            before = live.core.chain.seq + len(live.core.chain.pending)
            rehearse()
            weighed.append(live.core.chain.seq + len(live.core.chain.pending) - before)

        monkeypatch.setattr(live.core.gate, "rehearse", counted)

    ended = await world.run_through(rig=rig)

    assert len(weighed) > 100
    assert not any(weighed)
    assert (await verify(Session.open(ended.session))).equal


TICKER = Path(__file__).with_name("ticker.py")
QUIET = f"""
[[trading.strategies]]
use = "{TICKER}"
"""


def inputs_of(session: Path) -> list[Input]:
    return [item for piece in pieces(session) for batch in Recording(piece).batches() for item in batch]


@pytest.mark.asyncio
async def test_every_timer_that_fired_without_a_frame_is_in_the_recording(tmp_path: Path):
    world = World(tmp_path, Market(2).lines(), config_text=QUIET)
    live = world.start()

    async def stop() -> None:
        await world.feed.over.wait()
        while live.core.clock.now < START_NS + 4 * SECOND:  # the market is quiet now, and timers go on
            await asyncio.sleep(0.001)
        live.stop("quiet enough")
        await asyncio.Event().wait()

    live.tasks.start("stopper", stop)
    ended = await live.run()
    world.held.close()

    ticks = [item.ts for item in inputs_of(ended.session) if item.kind == TICK]
    fired = [record["ns"] for record in records(ended.session, "CancelRequested")]
    quiet = [ns for ns in fired if ns > START_NS + 2 * SECOND]
    assert len(quiet) >= 10
    # Each fired at its own time, and the input that turned the clock over it is the recording's next.
    assert all(any(0 <= (tick or 0) - ns < SECOND // 2 for tick in ticks) for ns in quiet)
    assert (await verify(Session.open(ended.session))).equal


@pytest.mark.asyncio
@pytest.mark.parametrize("instant", ["", NO_LATENCY], ids=["latency", "none"])
async def test_its_decisions_are_those_of_a_replay_of_what_it_heard_and_without_latency_its_fills(tmp_path, instant):
    world = World(tmp_path, Market(30).lines(), config_text=STRATEGY + instant)
    ended = await world.run_through()

    request = Request([ended.session], config_file=world.config_file, out=tmp_path / "replayed")
    replayed = await replay(request)

    def decisions(session: Path) -> list[dict[str, Any]]:
        return records(session, "Decision")

    def fills(session: Path) -> list[tuple[Any, ...]]:
        return [(r["ns"], r["side"], r["price"], r["size"], r["fee"]) for r in records(session, "OrderFilled")]

    assert decisions(ended.session)
    assert decisions(ended.session) == decisions(replayed.session.path)
    assert fills(ended.session)
    if instant:
        assert fills(ended.session) == fills(replayed.session.path)


@pytest.mark.asyncio
async def test_a_kill_file_that_is_there_at_the_start_keeps_it_from_arming_and_taking_it_away_changes_nothing(tmp_path):
    world = World(tmp_path, Market(2).lines(), config_text=STRATEGY)
    (tmp_path / "KILL").touch()
    live = world.start()

    async def stop() -> None:
        await world.feed.over.wait()
        (tmp_path / "KILL").unlink()
        await asyncio.sleep(0.12)
        live.stop("seen enough")
        await asyncio.Event().wait()

    live.tasks.start("stopper", stop)
    ended = await live.run()
    world.held.close()

    states = [record["state"].value for record in records(ended.session, "TradingStateChanged")]
    assert states == ["disconnected", "connected", "reconciled", "stopping"]
    assert any("the kill file" in finding.what for finding in live.findings.open())


@pytest.mark.asyncio
async def test_what_halted_one_session_keeps_the_next_from_arming_until_somebody_says_so(tmp_path: Path):
    market = Market(8)
    world = World(tmp_path, list(market.lines())[:200], config_text=STRATEGY)
    first = world.start()

    async def halt() -> None:
        await world.feed.over.wait()
        first.command("halt", "anna", {"reason": "enough"})
        await asyncio.Event().wait()

    first.tasks.start("halter", halt)
    ended = await first.run()
    world.held.close()
    assert ended.exit_code == KILLED

    world.items = iter(list(market.lines(START_NS + 4 * SECOND))[:200])
    second = world.start()

    async def arm() -> None:
        await world.feed.over.wait()
        assert second.status()["state"] == "reconciled"
        assert second.status()["latched"] == "operator"
        second.command("arm", "anna", {"reason": "looked"})
        second.stop("armed")
        await asyncio.Event().wait()

    second.tasks.start("armer", arm)
    again = await second.run()
    world.held.close()

    states = [record["state"].value for record in records(again.session, "TradingStateChanged")]
    assert states == ["disconnected", "connected", "reconciled", "armed", "stopping"]
    assert "last words of" in "\n".join(world.said)
    for path in (ended.session, again.session):
        assert (await verify(Session.open(path))).equal


@pytest.mark.asyncio
async def test_a_portfolio_file_that_says_something_else_is_a_finding_and_the_journal_is_believed(tmp_path: Path):
    market = Market(35)
    world = World(tmp_path, list(market.lines())[:4_000], config_text=STRATEGY)
    first = await world.run_through()
    file = first.session / "portfolio_state.json"
    said = json.loads(file.read_text())
    said["cash"]["USDT"] = "1000000"
    file.write_text(json.dumps(said))

    second = world.start()
    world.held.close()

    assert [one for one in second.findings.open() if "portfolio_state.json" in one.what]
    assert second._restored is not None
    assert second._restored.ledger.cash["USDT"] != Decimal(1_000_000)
    second.sitting.abandon("it was only looked at")


@pytest.mark.asyncio
async def test_a_signal_that_answers_the_past_is_missed(tmp_path: Path):
    """After an outage an hour of the market comes in at once, before the present does."""
    items = list(Market(30).lines())
    world = World(tmp_path, items, config_text=STRATEGY)
    world.clock.now = START_NS + HOUR

    ended = await world.run_through()

    refused = records(ended.session, "OrderRefused")
    assert {record["rule"] for record in refused} == {"missed"}
    assert len(refused) == len(records(ended.session, "Decision")) > 0
    assert "MISSED" in (ended.session / "execution.log").read_text()
    assert (await verify(Session.open(ended.session))).equal


@pytest.mark.asyncio
async def test_a_recorder_that_cannot_write_is_an_input_of_the_core_and_a_word_in_the_manifest(tmp_path, monkeypatch):
    monkeypatch.setattr("daemon.live.recorder.shutil.disk_usage", lambda _: SimpleNamespace(free=1 << 20))
    world = World(tmp_path, Market(2).lines(), config_text=STRATEGY)

    ended = await world.run_through()

    faults = records(ended.session, "InputFaulted")
    assert [(record["part"], str(tmp_path) in record["what"]) for record in faults] == [("recorder", True)]
    assert "MiB are free" in Session.open(ended.session).manifest["recording"]


@pytest.mark.asyncio
async def test_a_strategy_on_hourly_bars_acts_at_the_top_of_the_hour_from_the_closed_candle(tmp_path: Path):
    top = START_NS + HOUR
    world = World(tmp_path, Market(20, start_ns=top - 10 * SECOND).lines(), config_text=HOURLY)

    ended = await world.run_through()

    (decision,) = records(ended.session, "Decision")
    assert top <= decision["ns"] < top + 2 * SECOND
    lines = (ended.session / "execution.log").read_text().splitlines()
    assert [line for line in lines if "SIGNAL hourly-1 ENTER_LONG binance:BTC/USDT: closed at " in line]
    assert [line for line in lines if "EXECUTION BUY" in line]
    assert not [line for line in lines if "HOLD" in line]


@pytest.mark.asyncio
async def test_a_bar_that_is_let_pass_is_a_line_with_its_reason(tmp_path: Path):
    world = World(tmp_path, Market(5).lines(), config_text=STRATEGY)

    ended = await world.run_through()

    holds = [line for line in (ended.session / "execution.log").read_text().splitlines() if " HOLD " in line]
    assert len(holds) == 4
    assert holds[0].endswith("HOLD EmaCross binance:BTC/USDT bar 2026-01-05T09:00:01.000000000Z: no signal")


@pytest.mark.asyncio
async def test_recording_alone_keeps_every_input_and_arms_nothing(tmp_path: Path):
    items = list(Market(3).lines())
    world = World(tmp_path, iter(items), config_text=STRATEGY)

    ended = await world.run_through("record")

    states = [record["state"].value for record in records(ended.session, "TradingStateChanged")]
    assert states == ["disconnected", "connected", "reconciled", "stopping"]
    assert [item.raw for item in inputs_of(ended.session) if item.kind in (None, HTTP)] == [
        item.raw for item in items if item.kind in (None, HTTP)
    ]
    assert (await verify(Session.open(ended.session))).equal
    with pytest.raises(Usage, match="belongs to record sessions"):
        world.start()


@pytest.mark.asyncio
async def test_somebody_who_reads_the_journal_across_the_end_changes_nothing_that_verify_looks_at(tmp_path: Path):
    world = World(tmp_path, Market(30).lines(), config_text=STRATEGY)
    held: list[sqlite3.Connection] = []

    def hold(live: Live) -> None:
        reader = sqlite3.connect(live.session.journal)
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM chain").fetchone()
        held.append(reader)

    ended = await world.run_through(rig=hold)
    written = Session.open(ended.session)
    before = (await verify(written), written.journal.read_bytes())
    held[0].close()
    after = (await verify(written), written.journal.read_bytes())

    assert before[1] != after[1], "the file is written once more"
    assert before[0] == after[0]
    assert after[0].equal
    assert NOT_FINAL in after[0].notes
    assert len(records(ended.session)) > 10


@pytest.mark.asyncio
async def test_a_session_in_another_currency_does_not_go_on_from_this_one(tmp_path: Path):
    world = World(tmp_path, list(Market(2).lines())[:100], config_text=STRATEGY)
    await world.run_through()

    with pytest.raises(Usage, match="was in USDT, this is to be in EUR"):
        World(tmp_path, (), "asset=EUR", "cash={EUR=1000}", config_text=STRATEGY).start()


@pytest.mark.asyncio
async def test_a_name_that_another_strategy_has_after_a_restart_is_said(tmp_path: Path):
    world = World(tmp_path, list(Market(2).lines())[:100], config_text=STRATEGY)
    ended = await world.run_through()
    world.items = iter(())
    name = Session.open(ended.session).manifest["config"]["trading"]["strategies"][0]["name"]
    world.config_file.write_text(f'[[trading.strategies]]\nuse = "rsi"\nname = "{name}"\n')

    second = world.start()
    second.stop("looked")
    await second.run()

    assert any(f"{name} was EmaCross and is RsiMomentum" in one.what for one in second.findings.open())


@pytest.mark.asyncio
async def test_a_position_that_no_book_gives_to_a_strategy_is_said(tmp_path: Path):
    world = World(tmp_path, list(Market(30).lines())[:4_000], config_text=STRATEGY)
    await world.run_through()
    world.items = iter(())
    world.settings = (*world.settings, "sizing.positions=own")

    second = world.start()
    second.stop("looked")
    await second.run()

    held = second.core.ledger.inventory("binance:BTC/USDT")
    assert held > 0
    assert any(
        f"no book says which strategy has the {held.normalize():f}" in one.what for one in second.findings.open()
    )


@pytest.mark.asyncio
async def test_a_loss_that_halted_is_counted_anew_once_somebody_armed(tmp_path: Path):
    market = Market(40)
    lossy = STRATEGY + "[trading.cash]\nUSDT = 2000\n[trading.limits]\nmax_drawdown_bps = 1\n"
    world = World(tmp_path, list(market.lines())[:4_000], config_text=lossy)
    first = await world.run_through()
    assert first.exit_code == KILLED
    assert "session_drawdown" in first.reason

    world.items = market.lines(START_NS + 30 * SECOND)
    second = world.start()

    async def arm() -> None:
        await world.feed.over.wait()
        assert second.status()["state"] == "reconciled"
        second.command("arm", "anna", {"reason": "seen"})
        assert second.status()["state"] == "armed"
        second.stop("armed")
        await asyncio.Event().wait()

    second.tasks.start("armer", arm)
    again = await second.run()
    world.held.close()

    assert again.exit_code == CLEAN
    assert (await verify(Session.open(again.session))).equal
