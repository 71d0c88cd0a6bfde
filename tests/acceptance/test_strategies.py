"""Every strategy trades on recorded markets, its sessions verify, and a table says what a recording says."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from bus import journal
from bus.events import Decision, FundingPaid, OrderRefused, PairBroken
from daemon import app
from daemon.proof import verify
from daemon.replay import run_async
from daemon.session import Session
from research.harness.market import write_funding

BAR_STRATEGIES = (
    "regime_trend_v1", "core_exposure_v1", "trend_probe_v1", "vol_probe_v1", "rsi", "macd", "bollinger", "keltner",
    "multivariate", "momentum", "mean_reversion",
)  # fmt: skip
SPOT, PERP = "binance:BTC/USDT", "binanceusdm:BTC/USDT:USDT"
PAIR = """
[[process.tables]]
match = "btc.csv"
instrument = "{first}"
content = "bars"
[[process.tables]]
match = "eth.csv"
instrument = "{second}"
content = "bars"
[[trading.instruments]]
name = "binanceusdm:ETH/USDT:USDT"
symbol = "ETHUSDT"
base = "ETH"
quote = "USDT"
settle = "USDT"
kind = "linear"
tick = 0.01
lot = 0.001
taker_fee = 0.0005
"""


@pytest.fixture(scope="module")
def hours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Five months of two markets; the whole three years would say the same and take longer."""
    import pandas as pd

    data = Path(__file__).resolve().parents[3] / "shared" / "data" / "bars"
    if not data.is_dir():
        pytest.skip("needs the real recordings")
    folder = tmp_path_factory.mktemp("hours")
    cut = {}
    for coin in ("btc", "eth"):
        cut[coin] = folder / f"{coin}.csv"
        pd.read_parquet(data / f"binance_{coin}usdt_1h_2021_2023.parquet").iloc[-3_500:].to_csv(cut[coin], index=False)
    return cut


def replay(out: Path, files: list[Path], *strategies: str, **request: Any) -> tuple[Session, list[Any]]:
    """Run, verify, and read what was written down."""
    result = run_async(app.replay(app.Request(files, strategies, out=out, **request)))
    verdict = run_async(verify.verify(result.session, (), None))
    assert verdict.equal, verdict.difference
    return result.session, [entry.event() for entry in journal.read(result.session.journal)]


def all_of(kind: Any, events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.mark.shared
@pytest.mark.parametrize("name", [*BAR_STRATEGIES, "perp_momentum"])
def test_it_goes_round_at_least_once_and_verifies(name: str, hours: dict[str, Path], tmp_path: Path) -> None:
    instrument = PERP if name == "perp_momentum" else SPOT

    session, events = replay(tmp_path / "s", [hours["btc"]], name, instrument=instrument)

    assert session.manifest["metrics"]["round_trips"] >= 1
    assert session.manifest["summary"]["refused"] == 0
    of_its_own = [d for d in all_of(Decision, events) if "~horizon" not in d.intent_id]
    for decision in of_its_own:
        came_from = decision.intent.provenance
        assert came_from.config
        assert came_from.code
        assert came_from.window


@pytest.mark.shared
def test_pairs_go_round_with_both_legs(hours: dict[str, Path], tmp_path: Path) -> None:
    config = tmp_path / "pairs.toml"
    config.write_text(PAIR.format(first=PERP, second="binanceusdm:ETH/USDT:USDT"))

    session, events = replay(tmp_path / "s", [hours["btc"], hours["eth"]], "pairs_trading", config_file=config)

    assert session.manifest["metrics"]["round_trips"] >= 2
    decisions = all_of(Decision, events)
    groups = defaultdict(set)
    for decision in decisions:
        groups[decision.intent.group].add(decision.intent.instrument)
    assert all(len(instruments) == 2 for instruments in groups.values())
    assert not all_of(PairBroken, events)


@pytest.mark.shared
def test_on_spot_no_leg_of_a_pair_is_left_alone(hours: dict[str, Path], tmp_path: Path) -> None:
    config = tmp_path / "pairs.toml"
    config.write_text(PAIR.format(first=SPOT, second="binance:ETH/USDT"))

    session, events = replay(tmp_path / "s", [hours["btc"], hours["eth"]], "pairs_trading", config_file=config)

    broken, refused = all_of(PairBroken, events), all_of(OrderRefused, events)
    assert broken
    assert {refusal.reason for refusal in refused} == {"spot cannot be held short"}
    assert len(broken) == len(refused)
    assert session.manifest["summary"]["fills"] == 0, "the other leg was pulled before the next open"


def test_carry_is_paid_on_a_market_that_says_it_is_synthetic(tmp_path: Path) -> None:
    spot, perp = tmp_path / "spot.jsonl", tmp_path / "perp.jsonl"
    write_funding(spot, perp, days=3)

    session, events = replay(
        tmp_path / "s", [spot, perp], "funding_carry", params=[{"perp": PERP, "hedge": SPOT, "periods": 2}]
    )

    assert session.manifest["synthetic"] is True
    assert session.manifest["metrics"]["round_trips"] == 2, "one of each leg"
    assert sum(paid.amount for paid in all_of(FundingPaid, events)) < 0, "it came in"
    assert not all_of(PairBroken, events)


@pytest.mark.shared
def test_a_table_of_the_trades_and_the_recording_of_them_say_the_same(recordings: Path, tmp_path: Path) -> None:
    terms = [
        "regime.vol_lo=0.00001", "regime.vol_hi=0.0005", "regime.panic_hi=0.001",  # seconds are not hours
        "venue.entry.low_ms=0", "venue.entry.high_ms=0", "venue.slippage.model=last_price",
    ]  # fmt: skip
    sources = {
        "recording": recordings / "wss/binance_spot/btcusdt_20240808_20240809.jsonl.zst",
        "table": recordings / "trades/binance_spot_btcusdt_20240808_20240809.csv.gz",
    }
    said, filled = {}, {}
    for kind, file in sources.items():
        request = app.Request(
            [file], BAR_STRATEGIES, intervals=["1s"], overrides=terms, instrument=SPOT, out=tmp_path / kind
        )
        result = run_async(app.replay(request))
        events = [entry.event() for entry in journal.read(result.session.journal)]
        said[kind] = [
            (d.strategy, d.ns, d.intent.action, d.intent.exposure, d.intent.reason, d.intent.provenance.window)
            for d in all_of(Decision, events)
        ]
        filled[kind] = result.summary["fills"]

    assert said["recording"] == said["table"]
    assert len({strategy for strategy, *_ in said["table"]}) >= 9
    assert filled["recording"] == filled["table"] > 50
