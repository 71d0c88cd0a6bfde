"""The same market three ways, through real processes and sockets: live on paper, its recording, a table of its bars.

``argus sandbox`` → sockets → ``argus run`` → its recording → ``argus replay``; and what ``argus events`` makes of that
recording, as a table of bars → ``argus replay`` again. What may differ, and why, is said in
docs/why_live_and_paper_differ.md under "The same market three ways".
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command import Said, journal, outcome, start
from tests.sandbox.running import spawned
from tests.strategies.restless import STRATEGIES as RESTLESS

campaign = pytest.mark.skipif(not os.environ.get("ARGUS_CAMPAIGN"), reason="two minutes of a market: make ordeals")
RATE, SECONDS = 20, 900
SPOT = "binance:BTC/USDT"
STRATEGIES = {"ema_cross": "fast = 5, slow = 12", **RESTLESS}
TABLES = (
    ("bars", "Bar", ("start_ns", "open", "high", "low", "close", "volume", "trades", "interval_ns")),
    ("trades", "Trade", ("venue_ns", "local_ns", "price", "size", "taker", "id")),
)
VOTERS = ("ema_cross", "rsi", "momentum", "macd")
CONFIG = """
[test]
rate = {rate}
since_ns = {since_ns}
[process.endpoints.binance]
ws = ["{ws}"]
rest = "{rest}"
[[process.tables]]
match = "bars.csv"
instrument = "binance:BTC/USDT"
content = "bars"
[[process.tables]]
match = "trades.csv"
instrument = "binance:BTC/USDT"
content = "trades"
[trading.bars]
intervals = ["1s"]
[trading.limits]
order_rate = {{ orders = 1000, per_s = 1 }}
missed_after_s = 3600
stale_data_threshold_s = 3600
[trading.regime]
ema_fast = 3
ema_slow = 8
atr_len = 3
vol_lo = 0.000001
vol_hi = 0.02
[trading.venue]
entry = {{ model = "fixed" }}
cancel = {{ model = "fixed" }}
slippage = {{ model = "last_price" }}
[trading.council]
mode = "{mode}"
threshold = 0.3
[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
streams = ["trade"]
past_bars = {past}
max_age_s = {{ trade = 3600 }}
"""


def config(address: dict[str, Any], mode: str, past: int) -> str:
    clock, venue = address["clock"], address["venues"]["binance"]
    text = CONFIG.format(mode=mode, past=past, rate=clock["rate"], since_ns=clock["since_ns"], **venue)
    for name in STRATEGIES if mode == "solo" else VOTERS:
        text += f'[[trading.strategies]]\nuse = "{name}"\nparams = {{ {STRATEGIES[name]} }}\n'
    return text


def run(*words: object, cwd: Path) -> Said:
    said = outcome(start(*words, cwd=cwd), timeout=600)
    assert said.code == 0, said.err
    return said


def three_ways(folder: Path, mode: str, seconds: float, rate: float, past: int = 0) -> None:
    """Leaves the sessions ``live``, ``recording``, ``bars`` and ``trades`` in ``folder``."""
    with spawned("--rate", str(rate)) as address:
        (folder / "argus.toml").write_text(config(address, mode, past))
        run("run", "--config", "argus.toml", "--for", seconds, "--out", "live", cwd=folder)
    run("verify", "live", cwd=folder)
    pieces = sorted((folder / "live").rglob("inputs*.jsonl.zst"))
    run("replay", *pieces, "--config", "argus.toml", "--out", "recording", cwd=folder)
    for name, kind, columns in TABLES:
        said = run("events", *pieces, "--type", kind, "--interval", "1s", "--json", cwd=folder)
        with (folder / f"{name}.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(columns)
            table.writerows([one[column] for column in columns] for one in said.lines if one.get("closed", True))
        run("replay", f"{name}.csv", "--config", "argus.toml", "--out", name, cwd=folder)


def decided(session: Path) -> list[tuple[Any, ...]]:
    """What each strategy said, by the bars it rests on: their hash names the bar, and all before it that count."""
    found: list[tuple[Any, ...]] = []
    for record in journal(session, "Decision", "CouncilVoted"):
        if record["type"] == "CouncilVoted":
            found.append(
                (record["bar_end_ns"], record["regime"], record["ballots"], record["support"], record["action"])
            )
            continue
        intent, came_from = record["intent"], record["intent"]["provenance"] or {"window": None}
        found.append((record["strategy"], came_from["window"], intent["action"], intent["exposure"], intent["reason"]))
    return found


def filled(session: Path) -> list[tuple[Any, ...]]:
    return [(r["intent_id"], r["side"], r["price"], r["size"]) for r in journal(session, "OrderFilled")]


WAYS = ("live", "recording", "bars", "trades")


@campaign
@pytest.mark.ordeal
@pytest.mark.parametrize("mode", ["solo", "council"])
def test_live_its_recording_and_a_table_of_its_bars_decide_the_same(mode: str, tmp_path: Path) -> None:
    three_ways(tmp_path, mode, SECONDS, RATE)

    said = {way: decided(tmp_path / way) for way in WAYS}
    assert said["live"] == said["recording"] == said["bars"] == said["trades"]
    assert {one[0] for one in said["live"]} >= (set(STRATEGIES) if mode == "solo" else {"council"})
    fills = {way: filled(tmp_path / way) for way in WAYS}
    assert fills["live"] == fills["recording"] == fills["trades"] != []
    assert [one[:2] for one in fills["bars"]] == [one[:2] for one in fills["live"]], "the same orders, at other prices"
    report = run("report", "live", "--against", "bars", "--json", cwd=tmp_path).summary["against"]
    assert list(report["fills"]) == ["matched against trade by LastPrice here, bar by LastPrice there"]
    for way in ("recording", "trades"):
        assert run("report", "live", "--against", way, "--json", cwd=tmp_path).summary["against"]["same"]
