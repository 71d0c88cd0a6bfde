"""What a replay of a table takes in memory, and how little more ten times as long takes; what importing the core does.

Peaks are the kernel's, of a process that ran nothing but the command.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.engine import FOLDER, to_table

TIMES = 10
# By a process of its own: a child's peak begins with what its parent held when it forked.
WATCHED = """
import json, os, subprocess, sys, time
begun = time.perf_counter()
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
_, status, used = os.wait4(child.pid, 0)
wall, cpu = time.perf_counter() - begun, used.ru_utime + used.ru_stime
print(json.dumps({"status": status, "peak_kb": used.ru_maxrss, "cpu_s": round(cpu, 3), "wall_s": round(wall, 3)}))
"""
# Opening cash that its losses do not halt: a halted session keeps less.
RICH = ("--set", "trading.cash.USDT=1000000000")


def measure(data: Path) -> Iterator[dict[str, Any]]:
    for code in ("pass", "import daemon.app"):
        yield {"bench": "memory.import", "code": code, **_watched("-c", code)}
    table = to_table(data, "trades", 0)
    peaks = []
    for name, path in (("trades", table), (f"trades x {TIMES}", _longer(table))):
        line = {"bench": "memory.replay", "table": name, **_replay(path)}
        peaks.append(line["peak_kb"])
        yield line
    yield {"bench": "memory.growth", "times": TIMES, "more_kb": peaks[1] - peaks[0]}


def _replay(table: Path) -> dict[str, Any]:
    out = FOLDER / "memory"
    shutil.rmtree(out, ignore_errors=True)
    return _watched("-m", "daemon", "replay", str(table), "--strategy", "ema_cross", *RICH, "--out", str(out), "--json")


def _watched(*words: str) -> dict[str, Any]:
    command = [sys.executable, "-c", WATCHED, sys.executable, *words]
    told: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return told


def _longer(table: Path) -> Path:
    """The same trades again and again, each time after the last."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    path = table.with_stem(f"{table.stem}-x{TIMES}")
    if path.exists() and path.stat().st_mtime > table.stat().st_mtime:
        return path
    trades = pq.read_table(table)
    ts = trades["ts"]
    span = ts[-1].as_py() - ts[0].as_py() + 1_000_000
    with pq.ParquetWriter(path, trades.schema) as file:
        for turn in range(TIMES):
            file.write_table(trades.set_column(0, "ts", pc.add(ts, turn * span)))
    return path
