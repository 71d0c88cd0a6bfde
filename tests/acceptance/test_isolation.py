"""Strategies do not meet: another one beside it, idle or trading something else, changes nothing of the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import tape
from tests.acceptance.command import journal, replay

BTC, ETH = "binance:BTC/USDT", "binance:ETH/USDT"


def seat(name: str, use: str, instrument: str, params: str = "{}") -> str:
    return (
        f'[[trading.strategies]]\nuse = "{use}"\nname = "{name}"\ninstruments = ["{instrument}"]\nparams = {params}\n'
    )


FIRST = seat("first", "ema_cross", BTC, "{fast = 5, slow = 20}")
IDLE = seat("second", "stub", BTC)
TRADING = seat("second", "ema_cross", ETH, "{fast = 5, slow = 20}")
OWN = (
    "Decision",
    "OrderApproved",
    "OrderRefused",
    "OrderSubmitted",
    "OrderAccepted",
    "OrderFilled",
    "OrderExpired",
    "OrderCancelled",
)


def own_records(session: Path, strategy: str = "first") -> list[dict[str, Any]]:
    """Every order record of one strategy, without its place in the chain."""
    records = journal(session, *OWN)
    clients = {r["client_id"] for r in records if r["type"] == "OrderSubmitted" and of(r["intent_id"]) == strategy}
    by = lambda r: r.get("strategy") or r.get("order", {}).get("strategy")  # noqa: E731
    ours = [r for r in records if by(r) == strategy or r.get("client_id") in clients]
    return [{name: value for name, value in r.items() if name not in ("seq", "hash", "checks")} for r in ours]


def of(intent_id: str) -> str:
    return intent_id.rpartition("-")[0]


def played(tmp_path: Path, name: str, config: str, *recordings: Path) -> Path:
    path = tmp_path / f"{name}.toml"
    path.write_text(config)
    replay(*recordings, "--config", path, "--out", tmp_path / name)
    return tmp_path / name


def assert_nothing_changes(tmp_path: Path, btc: Path, eth: Path, fills: int) -> None:
    alone = own_records(played(tmp_path, "alone", FIRST, btc, eth))

    beside_idle = played(tmp_path, "beside idle", FIRST + IDLE, btc, eth)
    behind_idle = played(tmp_path, "behind idle", IDLE + FIRST, btc, eth)
    beside_trading = played(tmp_path, "beside trading", FIRST + TRADING, btc, eth)
    behind_trading = played(tmp_path, "behind trading", TRADING + FIRST, eth, btc)

    assert sum(record["type"] == "OrderFilled" for record in alone) >= fills
    for session in (beside_idle, behind_idle, beside_trading, behind_trading):
        assert own_records(session) == alone, session.name
    for session in (beside_trading, behind_trading):
        second = own_records(session, "second")
        assert sum(record["type"] == "OrderFilled" for record in second) >= fills
    assert own_records(beside_trading, "second") == own_records(behind_trading, "second")


def test_a_second_strategy_changes_no_draw_and_no_id_of_the_first(tmp_path):
    btc = tape.write(tmp_path / "btc.jsonl", tape.synthetic(0.5))
    eth = tape.write(tmp_path / "eth.jsonl", tape.synthetic(0.5, symbols=("ETHUSDT",)))

    assert_nothing_changes(tmp_path, btc, eth, 10)


@pytest.mark.shared
def test_a_second_strategy_on_the_ethusdt_capture_changes_nothing_on_the_btcusdt_capture(recordings, capture, tmp_path):
    eth = recordings / "wss/binance_spot/ethusdt_20240808.jsonl.zst"
    btc = tape.write(tmp_path / "btc.jsonl", capture[:30_000])

    assert_nothing_changes(tmp_path, btc, eth, 10)
