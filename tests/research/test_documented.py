"""What the older documents name still works as typed: modules, smoke tests, variables, one decision an hour."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from config.load import load as load_config
from daemon import app
from research.harness import regime_smoke, strategy_smoke
from research.harness.market import hours
from strategies.history import to_frame

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {"action", "confidence", "desired_exposure_frac", "horizon_hours", "reason", "meta"}


def run(code: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_regime_has_its_documented_address() -> None:
    from research.regime import RegimeLabel, RegimeState, classify_regime

    state = classify_regime(to_frame(list(hours(200))), closed_only=True)

    assert isinstance(state, RegimeState)
    assert state.label in set(RegimeLabel)
    assert state.label == str(state.label.value if state.label else ""), "comparing with the word works"


@pytest.mark.parametrize(
    "name", ["regime_trend_v1", "core_exposure_v1", "trend_probe_v1", "vol_probe_v1", "stub_strategy"]
)
def test_each_strategy_has_its_documented_address_and_answers_in_the_documented_form(name: str) -> None:
    generate_intent = importlib.import_module(f"research.strategies.sg_{name}").generate_intent

    answer = generate_intent(to_frame(list(hours(400))), None, closed_only=True)

    assert set(answer) == FIELDS
    assert answer["action"] in {"ENTER_LONG", "EXIT_LONG", "HOLD", "FLAT"}
    assert isinstance(answer["desired_exposure_frac"], float)
    assert isinstance(answer["horizon_hours"], int)
    assert answer["meta"]["closed_only"] is True
    assert answer["meta"]["dropped_last_row"] is True
    json.dumps(answer, allow_nan=False)


def test_the_smoke_tests_run_in_one_session_and_say_ok(capsys: Any) -> None:
    regime_smoke.main()
    strategy_smoke.main()

    said = capsys.readouterr().out
    assert "regime_smoke: OK" in said
    assert "strategy_smoke: OK" in said


def test_the_smoke_test_names_a_strategy_that_looks_at_the_forming_row() -> None:
    def cheats(df: Any, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
        up = df["close"].iloc[-1] > df["close"].iloc[-2]
        said: dict[str, Any] = {"action": "ENTER_LONG" if up else "HOLD", "confidence": 0.5, "reason": "", "meta": {}}
        return {**said, "desired_exposure_frac": 0.1, "horizon_hours": 0}

    with pytest.raises(SystemExit, match="FAILED: cheat looks at the forming row after 2024"):
        strategy_smoke.check(cheats, "cheat")


def test_one_decision_as_typed(tmp_path: Path) -> None:
    frame = to_frame(list(hours(300)))
    frame.index.name = "Timestamp"
    frame.rename(columns=str.title).to_csv(tmp_path / "flight_recorder.csv")
    said = run(
        "from apex_core.signal_generator import generate_signals; print(generate_signals())",
        tmp_path,
        PRIME_DRY_RUN="1",
        ARGUS_MODE="prime",
        ARGUS_STRATEGY_MODULE="research.strategies.sg_core_exposure_v1",
        ARGUS_STRATEGY_FUNC="generate_intent",
    )

    assert said.returncode == 0, said.stderr
    cortex = json.loads((tmp_path / "cortex.json").read_text())
    assert cortex["external_strategy_module"] == "research.strategies.sg_core_exposure_v1"
    assert cortex["external_strategy_func"] == "generate_intent"
    assert cortex["dry_run"] is True
    assert cortex["timestamp_utc"] == f"{frame.index[-1]:%Y-%m-%d %H:%M:%S}", "the last closed bar ended then"
    assert (tmp_path / "paper_prime_state.json").is_file()


def test_without_bars_it_says_where_to_put_them(tmp_path: Path) -> None:
    said = run("from apex_core.signal_generator import generate_signals; generate_signals()", tmp_path)

    assert said.returncode == 1
    assert "no bars: put open, high, low, close and volume by time into flight_recorder.csv" in said.stderr


# --- variables -------------------------------------------------------------------------------------------------


def resolved(
    tmp_path: Path, *strategies: str, params: Any = (), **environ: str
) -> list[tuple[str, str, dict[str, Any]]]:
    file = tmp_path / "bars.csv"
    to_frame(list(hours(30))).to_csv(file)
    request = app.Request([file], strategies, params, instrument="binance:BTC/USDT", environ=environ)
    return [(s.name, s.use, s.params) for s in app.resolve(request).trading.strategies]


def test_the_strategy_that_the_environment_names_is_run_where_none_else_is_named(tmp_path: Path) -> None:
    module = "research.strategies.sg_trend_probe_v1"

    assert resolved(tmp_path) == [("stub", "stub", {})]
    assert resolved(tmp_path, ARGUS_STRATEGY_MODULE=module) == [("sg_trend_probe_v1", f"{module}:generate_intent", {})]
    assert resolved(tmp_path, "rsi", ARGUS_STRATEGY_MODULE=module) == [("rsi", "rsi", {})]


def test_a_strategys_variables_become_its_parameters_and_what_was_typed_goes_before_them(tmp_path: Path) -> None:
    environ = {"SG_RSI_LENGTH": "9", "SG_RSI_ENTER": "70", "SG_MACD_FAST": "5"}

    assert resolved(tmp_path, "rsi", params=[{"enter": "65"}], **environ) == [
        ("rsi", "rsi", {"length": "9", "enter": "65"})
    ]
    module = "research.strategies.sg_trend_probe_v1"
    assert resolved(tmp_path, ARGUS_STRATEGY_MODULE=module, SG_TREND_PROBE_V1_CONFIRM="5")[0][2] == {"confirm": "5"}


def test_what_the_environment_said_is_part_of_what_the_session_follows_from(tmp_path: Path) -> None:
    assert load_config(None, [], {"REGIME_ATR_LEN": "7"}).trading.regime.atr_len == 7
