"""What ``argus export`` tells of a session in words: events, state, the last decision, the summary."""

from __future__ import annotations

import json

import pytest

from bus import journal
from bus.clock import SECOND
from bus.events import (
    BarsPassed,
    BookInvalidated,
    BookRestored,
    DataGap,
    Decision,
    FeedLost,
    FeedOpened,
    InputFaulted,
    Intent,
    OrderRefused,
    StrategyQuarantined,
    TradingStateChanged,
)
from bus.values import Action, Check, Side, TradingState
from daemon.reading.digest import Reading, iso
from daemon.reading.export import export
from daemon.session import Session
from tests.daemon.synthetic import (
    SPOT,
    Story,
    a_round_trip,
    document,
    write_curve,
)

BUY, SELL = Side.BUY, Side.SELL


def read(session: Session) -> Reading:
    reading = Reading()
    for entry in journal.read(session.journal):
        reading.note(entry, entry.event())
    return reading


def checks() -> list[Check]:
    return [Check("max_notional", True, "10", "100"), Check("session_drawdown", False, "412.0", "400")]


def test_every_halt_is_a_line_in_the_log_of_events_and_a_bullet_in_the_summary(tmp_path):
    story = Story(tmp_path / "s")
    story.tell(TradingStateChanged(story.now, TradingState.ARMED, "paper", "no operator needed", []))
    story.tell(TradingStateChanged(story.now, TradingState.HALTED, "session_drawdown", "412.0 > 400", checks()))
    session = story.leave()

    export(session)

    *_, line = (session.path / "state.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "seq": 2,
        "time": "2026-01-01T00:00:02.000000000Z",
        "event": "TradingStateChanged",
        "state": "halted",
        "rule": "session_drawdown",
        "reason": "412.0 > 400",
        "checks": [
            {"rule": "max_notional", "passed": True, "value": "10", "limit": "100"},
            {"rule": "session_drawdown", "passed": False, "value": "412.0", "limit": "400"},
        ],
    }
    assert "- 2026-01-01T00:00:02Z HALTED by session_drawdown: 412.0 > 400" in (session.path / "session.md").read_text()
    assert document(session, "state.json")["trading_state"] == "halted"
    assert document(session, "cortex.json")["dd_band"] == "halted"


def test_gaps_refusals_and_failures_are_in_both(tmp_path):
    story = Story(tmp_path / "s")
    story.tell(FeedLost(story.now, "ws1", "reset by peer"))
    story.tell(BookInvalidated(story.now, SPOT.name, "disconnected"))
    story.tell(FeedOpened(story.now, "ws1"))
    story.tell(BookRestored(story.now, SPOT.name, 7))
    story.tell(DataGap(story.now, SPOT.name, "trade", 11, 15))
    story.tell(OrderRefused(story.now, "i1", "trend", SPOT.name, "max_notional", "200 > 100", checks()))
    story.tell(StrategyQuarantined(story.now, "mine", "on_bar", "ZeroDivisionError"))
    story.tell(InputFaulted(story.now, "clock", "stepped"))
    session = story.leave()

    export(session)

    events = [json.loads(line)["event"] for line in (session.path / "state.jsonl").read_text().splitlines()]
    assert events == [
        *("FeedLost", "BookInvalidated", "FeedOpened", "BookRestored"),
        *("DataGap", "OrderRefused", "StrategyQuarantined", "InputFaulted"),
    ]
    summary = (session.path / "session.md").read_text()
    for line in (
        "- 2026-01-01T00:00:01Z to 2026-01-01T00:00:03Z ws1: feed lost, reset by peer",
        f"- 2026-01-01T00:00:02Z to 2026-01-01T00:00:04Z {SPOT.name}: book invalid, disconnected",
        f"- 2026-01-01T00:00:05Z {SPOT.name}: ids missing, trade 11 to 15 (5)",
        "| max_notional | 1 |",
        "- 2026-01-01T00:00:07Z strategy mine was quarantined: ZeroDivisionError in on_bar",
        "- 2026-01-01T00:00:08Z clock: stepped",
    ):
        assert line in summary


def test_a_book_that_breaks_twice_before_it_is_whole_is_one_gap(tmp_path):
    story = Story(tmp_path / "s")
    story.tell(BookInvalidated(story.now, SPOT.name, "gap"))
    story.tell(BookInvalidated(story.now, SPOT.name, "crossed"))
    story.tell(BookRestored(story.now, SPOT.name, 7))
    session = story.leave()

    digest = read(session).digest

    assert (digest.gap_count, [gap.detail for gap in digest.all_gaps()]) == (1, ["gap"])


def test_a_synthetic_run_says_so_in_the_first_line_and_names_its_generator(tmp_path):
    session = a_round_trip(tmp_path / "s", synthetic=True, synthetic_by="demo generator 1")

    export(session)

    lines = (session.path / "session.md").read_text().splitlines()
    assert lines[0] == "# SYNTHETIC RUN"
    assert "demo generator 1" in lines[2]
    assert "up.jsonl" in lines[2]


def test_a_recorded_run_does_not_call_itself_synthetic(tmp_path):
    session = a_round_trip(tmp_path / "s")

    export(session)

    assert "SYNTHETIC" not in (session.path / "session.md").read_text()


def test_cortex_has_the_documented_fields_and_time_format(tmp_path):
    story = Story(tmp_path / "s")
    intent = Intent(
        SPOT.name,
        Action.ENTER_LONG,
        reason="trend_up_vol_scaled_exposure(bucket=moderate)",
        meta={"p_long": 0.72, "conf_min": 0.64},
    )
    story.tell(Decision(story.now, "mine-1", "mine", intent))
    session = story.close("100000", {"USDT": "100000"})
    write_curve(session, [100_000.0, 125_000.0])

    export(session)

    assert document(session, "cortex.json") == {
        "timestamp_utc": "2026-01-01 00:00:01",
        "mode": "replay",
        "intent_action": "ENTER_LONG",
        "intent_reason": "trend_up_vol_scaled_exposure(bucket=moderate)",
        "intent_source": "external",
        "external_strategy_module": "my.signals",
        "external_strategy_func": "generate_intent",
        "p_long": 0.72,
        "conf_min": 0.64,
        "equity_usd": 100000.0,
        "drawdown_frac": pytest.approx(-0.2),
        "dd_band": "ok",
        "dry_run": True,
        "wallet_verified": True,
        "strategy": "mine",
        "equity_asset": "USDT",
    }


def test_holding_is_a_decision_too(tmp_path):
    story = Story(tmp_path / "s")
    story.tell(Decision(story.now, "trend-1", "trend", Intent(SPOT.name, Action.BUY, reason="up")))
    now, reasons = story.now, [["flat", "no trend"]]
    story.tell(BarsPassed(now, SPOT.name, SECOND, now - SECOND, 2, ["trend"], [], reasons, None, []))
    session = story.leave()

    export(session)

    cortex = document(session, "cortex.json")
    assert (cortex["intent_action"], cortex["intent_reason"], cortex["intent_source"]) == (
        "HOLD",
        "no trend",
        "built_in",
    )
    assert document(session, "state.json")["last_bar"] == iso(now)


def test_the_history_has_each_decision_and_each_new_reason_to_hold(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(BUY, "2", "100")
    story.tell(
        Decision(story.now, "trend-1", "trend", Intent(SPOT.name, Action.BUY, reason="up", meta={"p_long": 0.7}))
    )
    now = story.now
    held = [["flat", "flat", "no trend"], ["", "", ""]]
    story.tell(BarsPassed(now, SPOT.name, SECOND, now - 2 * SECOND, 3, ["trend", "other"], ["other"], held, None, []))
    session = story.leave()

    export(session)

    lines = [json.loads(line) for line in (session.path / "cortex.jsonl").read_text().splitlines()]
    said = [(one["strategy"], one["intent_action"], one["intent_reason"]) for one in lines]
    assert said[1:] == [
        ("trend", "BUY", "up"),
        ("trend", "HOLD", "flat"),
        ("other", "HOLD", ""),
        ("trend", "HOLD", "no trend"),
    ]
    assert all(one.keys() == document(session, "cortex.json").keys() for one in lines)
    assert (lines[1]["p_long"], lines[1]["wallet_verified"]) == (0.7, None)
    assert lines[1]["equity_usd"] == float(document(session, "state.json")["equity"])


def test_portfolio_state_has_the_lots_a_later_session_goes_on_from(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(BUY, "2", "100")
    story.trade(SELL, "0.5", "110")
    session = story.leave()

    export(session)

    (position,) = document(session, "portfolio_state.json")["positions"]
    assert position["lots"] == [{"size": "1.5", "price": "100", "time": "2026-01-01T00:00:05.000000000Z"}]
    assert position["realised"] == "5"
