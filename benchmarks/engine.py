"""The peers' workloads through the real engine with everything on: gate, ledger, venue, journal to a file.

``python -m benchmarks.engine W1 --data DIR`` takes the arguments of the peers' scripts and prints the same line: W1
trades to a callback, W2 an EMA 50/200 cross, W3 one-minute bars built inside and EMA 10/30 on them, W4 (``--bars
bars1m|year1m``) bars and EMA 10/30, W5 (``W5-modify``) a passive order submitted or cancelled, or moved, by every
trade. ``-holds`` after W4 journals a decision and an equity mark for every bar. The session it leaves under
var/bench is one that
``argus verify`` accepts. As in the peers' scripts the events are in memory before the clock starts.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import shutil
import sys
import time

STARTED = time.perf_counter()
import asyncio  # noqa: E402  # what follows is what import_s measures
from collections.abc import Iterator, Sequence  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

from bus import money  # noqa: E402
from daemon.app import Request, Run  # noqa: E402
from daemon.sources import Source  # noqa: E402

IMPORT_S = time.perf_counter() - STARTED

WORKLOADS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "W1": ("benchmarks.strategies:Count", {}, []),
    "W2": ("ema_cross", {"fast": 50, "slow": 200, "size": "0.01"}, []),
    "W3": ("ema_cross", {"fast": 10, "slow": 30, "size": "0.01"}, ["1m"]),
    "W4": ("ema_cross", {"fast": 10, "slow": 30, "size": "0.01"}, []),
    "W4-holds": ("ema_cross", {"fast": 10, "slow": 30, "size": "0.01"}, []),
    "W5": ("benchmarks.strategies:Churn", {}, []),
    "W5-modify": ("benchmarks.strategies:Modify", {}, []),
}
FOLDER = Path("var/bench")


class Loaded:
    """A source whose events were all read before."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._batches = list(source.batches())
        self.rows = sum(len(batch) for batch in self._batches)

    def batches(self) -> Iterator[Sequence[Any]]:
        return iter(self._batches)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def main() -> None:
    arguments = _arguments()
    if arguments.workload not in WORKLOADS:
        print(json.dumps({"engine": "argus", "workload": arguments.workload, "unsupported": "unknown workload"}))
        return
    money.install()
    begun = time.perf_counter()
    use, params, intervals = WORKLOADS[arguments.workload]
    bars = arguments.workload.startswith("W4")
    limit = arguments.n or (200_000 if arguments.workload.startswith("W5") else 0)
    table = to_table(Path(arguments.data), arguments.bars if bars else "trades", limit)
    out = FOLDER / f"{arguments.workload}-{arguments.bars}"
    shutil.rmtree(out, ignore_errors=True)
    holds = ["journal.holds=true"] if arguments.workload.endswith("-holds") else []
    run = Run(
        Request(
            [table],
            [use],
            [params],
            intervals,
            Path(__file__).with_name("peers.toml"),
            holds,
            out=out,
            instrument="peers:BTC/USDT",
        )
    )
    loaded = Loaded(run.sources[0])
    run.sources = [loaded]
    load_s = time.perf_counter() - begun
    _settle(arguments.gc)
    cpu = time.process_time()
    if arguments.profile:
        _profiled(run)
    else:
        begun = time.perf_counter()
        asyncio.run(run.play())
    run_s = time.perf_counter() - begun
    cpu_s = time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    summary = run.finish().summary
    count = loaded.rows
    line = {
        "engine": "argus",
        "version": "0.1.0",
        "workload": arguments.workload,
        "n": count,
        "load_s": round(load_s, 3),
        "run_s": round(run_s, 4),
        "rate": round(count / run_s),
        "ns_per": round(run_s / count * 1e9),
        "peak_mb": round(peak_mb, 1),
        "python": sys.version.split()[0],
        "gc": arguments.gc,
        "cpu_s": round(cpu_s, 4),
        "cpu_rate": round(count / cpu_s),
        "import_s": round(IMPORT_S, 3),
        "bars": summary["bars"] if not bars else arguments.bars,
        "orders": summary["orders"],
        "fills": summary["fills"],
        "equity": round(float(summary["equity_end"]), 6),
        "journal_records": summary["journal_records"],
        "session": summary["session"],
    }
    print(json.dumps(line))


def to_table(data: Path, name: str, limit: int) -> Path:
    """The generator's arrays as a table that a session can name and ``verify`` can read again."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    FOLDER.mkdir(parents=True, exist_ok=True)
    source = data / f"{name}.npz"
    table = FOLDER / f"{name}-{limit or 'all'}.parquet"
    if table.exists() and table.stat().st_mtime > source.stat().st_mtime:
        return table
    with np.load(source) as arrays:
        columns = {key: arrays[key][:limit] if limit else arrays[key] for key in arrays.files if key != "price_t"}
    if "side" in columns:
        columns["side"] = np.where(columns["side"] == 1, "buy", "sell")
    parquet.write_table(pa.table(columns), table)
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="the peers' workloads on this engine; prints one JSON line")
    parser.add_argument("workload", help=", ".join(WORKLOADS))
    parser.add_argument("--data", required=True, help="the folder the generator wrote")
    parser.add_argument("--n", type=int, default=0, help="limit on events (0: all)")
    parser.add_argument("--bars", default="bars1m", choices=["bars1m", "year1m"], help="W4 data set")
    parser.add_argument("--gc", default="default", choices=["default", "freeze", "off"])
    parser.add_argument("--profile", action="store_true")
    return parser.parse_args()


def _settle(mode: str) -> None:
    gc.collect()
    if mode != "default":
        gc.freeze()
    if mode == "off":
        gc.disable()


def _profiled(run: Run) -> None:
    import cProfile
    import pstats

    profile = cProfile.Profile()
    profile.runcall(lambda: asyncio.run(run.play()))
    pstats.Stats(profile, stream=sys.stderr).sort_stats("tottime").print_stats(40)


if __name__ == "__main__":
    main()
