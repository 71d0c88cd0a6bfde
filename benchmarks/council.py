"""Ten strategies and a council over minute bars, everything on, against the same strategies called in a bare loop.

The bare loop keeps for the strategies what they read (bars, regimes) and calls ``on_bar``; what they answer goes
nowhere. The session has the bus, the council, the gate, the venue, the account and the journal besides. A functional
strategy, which is handed a DataFrame at each bar, is measured apart: most of its time is the DataFrame's.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.engine import FOLDER, Loaded, to_table
from bus.events import Bar
from daemon.app import Request, Run
from strategies.history import History
from strategies.load import load
from strategies.port import Strategy, View
from strategies.regime import RegimeEngine, Thresholds

VOTERS = (
    "regime_trend_v1",
    "core_exposure_v1",
    "trend_probe_v1",
    "rsi",
    "macd",
    "bollinger",
    "keltner",
    "multivariate",
    "momentum",
    "mean_reversion",
)
FUNCTION = "benchmarks.strategies:generate_intent"
BARS = 20_000
FUNCTIONAL_BARS = 1_000
ROUNDS = 5
COUNCIL = ["council.mode=council", "council.threshold=0.2", "council.exit_threshold=0.1"]


def measure(data: Path) -> list[dict[str, Any]]:
    """Two lines: the event-style strategies, and the functional one."""
    return [_ratio("council", data, VOTERS, BARS), _ratio("functional", data, [FUNCTION], FUNCTIONAL_BARS)]


def _ratio(name: str, data: Path, uses: Any, count: int) -> dict[str, Any]:
    table = to_table(data, "year1m", count)
    bare, whole, ratios, summary = [], [], [], {}
    for _ in range(ROUNDS):
        loop = _bare(table, uses)
        run = _session(table, uses)
        bare.append(_cpu(loop))
        whole.append(_cpu(lambda run=run: asyncio.run(run.play())))  # type: ignore[misc]  # mypy reads defaults narrowly
        ratios.append(whole[-1] / bare[-1])
        summary = run.finish().summary
    return {
        "bench": name,
        "strategies": len(uses),
        "bars": count,
        "bare_us_per_bar": round(min(bare) / count * 1e6, 1),
        "session_us_per_bar": round(min(whole) / count * 1e6, 1),
        "ratio_median": round(statistics.median(ratios), 2),
        "intents": summary["intents"],
        "orders": summary["orders"],
        "journal_records": summary["journal_records"],
    }


def _session(table: Path, uses: Any) -> Run:
    out = FOLDER / "council"
    shutil.rmtree(out, ignore_errors=True)
    peers = Path(__file__).with_name("peers.toml")
    run = Run(Request([table], list(uses), [], (), peers, COUNCIL, out=out, instrument="peers:BTC/USDT"))
    run.sources = [Loaded(run.sources[0])]
    return run


def _bare(table: Path, uses: Any) -> Callable[[], None]:
    """The same strategies, each given the view that a session would give it, in a loop of their own."""
    shutil.rmtree(FOLDER / "bare", ignore_errors=True)
    peers = Path(__file__).with_name("peers.toml")
    run = Run(Request([table], list(uses), [], (), peers, (), out=FOLDER / "bare", instrument="peers:BTC/USDT"))
    core, thresholds = run.core, Thresholds()
    bars = [row for batch in run.sources[0].batches() for row in batch if isinstance(row, Bar)]
    strategies: list[Strategy] = [load(use, {}) for use in uses]
    history = History(max(strategy.history for strategy in strategies), thresholds)
    regimes = RegimeEngine(core.bus, thresholds)
    seats = [
        (
            strategy.on_bar,
            View(
                f"s{n}", core.clock, core.market, core.ledger, core.exposure, core.equity, history, _no_timer, regimes
            ),
        )
        for n, strategy in enumerate(strategies)
    ]

    def loop() -> None:
        clock, remember, tell = core.clock, history.on_bar, regimes.on_bar
        for bar in bars:
            clock.now = bar.local_ns
            tell(bar)
            remember(bar)
            for on_bar, view in seats:
                on_bar(bar, view)

    return loop


def _no_timer(_strategy: str, _when_ns: int, _name: str) -> None: ...


def _cpu(call: Callable[[], object]) -> float:
    gc.collect()
    begun = time.process_time()
    call()
    return time.process_time() - begun
