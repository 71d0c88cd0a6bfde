"""Run the daemon against the sandbox for a long time and look at what grows: ``python -m benchmarks.soak [SECONDS]``.

A sandbox and ``argus run`` are processes of their own. Once a second the daemon is asked for its figures by the control
socket. After a warm-up (60 s, or a quarter of a short run) it must hear at least 1,000 messages a second, be late by
less than 20 ms at the 99th percentile of every minute, grow by less than 32 MiB, and have as many tasks, open files and
threads as it had. The last line of stdout is one JSON object; the exit code is 1 where something was exceeded.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from daemon.errors import NotRunning, TimedOut
from daemon.operating.client import Client

LAG_S, GROWTH_MIB, RATE = 0.020, 32.0, 1_000.0
CONSTANT = ("tasks", "asyncio_tasks", "files", "threads")
FLOOD = 1_200

CONFIG = """
[trading.bars]
intervals = ["1s", "1m"]
[[trading.strategies]]
use = "strategies.ema_cross:EmaCross"
params = {{ fast = 4, slow = 12 }}
[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
streams = ["trade", "quote", "book"]
[process]
out_dir = "{root}/sessions"
state_dir = "{root}/state"
kill_file = "{root}/KILL"
[process.endpoints.binance]
ws = ["{ws}"]
rest = "{rest}"
"""


def soak(seconds: float, root: Path) -> dict[str, Any]:
    """The figures of a run of ``seconds`` after its warm-up, and what of them was too much."""
    with subprocess.Popen(_argus("sandbox", "--json", "--flood", str(FLOOD)), stdout=subprocess.PIPE) as sandbox:
        assert sandbox.stdout is not None
        try:
            venue = json.loads(sandbox.stdout.readline())["venues"]["binance"]
            config = root / "argus.toml"
            config.write_text(CONFIG.format(root=root, **venue))
            with (root / "run.out").open("wb") as out:
                daemon = subprocess.Popen(_argus("run", "--config", str(config)), stderr=out, stdout=out)
            try:
                samples = _samples(Client(root / "state"), seconds, min(60.0, seconds / 4))
            finally:
                daemon.terminate()
                code = daemon.wait(60)
        finally:
            sandbox.terminate()
    return {**_judged(samples), "exit_code": code}


def _samples(client: Client, seconds: float, warm_up_s: float) -> list[dict[str, float]]:
    deadline = time.monotonic() + 20
    while True:
        try:
            client.status()
            break
        except (NotRunning, TimedOut):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    time.sleep(warm_up_s)
    begun, samples = time.monotonic(), []
    while (passed := time.monotonic() - begun) < seconds:
        samples.append({"at_s": passed, **client.get("metrics")})
        if len(samples) % 60 == 1:
            latest = samples[-1]
            print(
                f"{passed:7.0f} s {latest['frames_total']:>10.0f} frames,"
                f" p99 {latest['loop_lag_p99_seconds'] * 1e3:.1f} ms late,"
                f" {latest['memory_bytes'] / (1 << 20):.1f} MiB, {latest['fills_total']:.0f} fills,"
                f" {latest['asyncio_tasks']:.0f} tasks, {latest['files']:.0f} files, {latest['threads']:.0f} threads",
                flush=True,
            )
        time.sleep(max(0.0, 1.0 - (time.monotonic() - begun - passed)))
    return samples


def _judged(samples: list[dict[str, float]]) -> dict[str, Any]:
    first, last = samples[0], samples[-1]
    few = max(1, len(samples) // 10)
    memory = [one["memory_bytes"] / (1 << 20) for one in samples]
    figures: dict[str, Any] = {
        "seconds": round(last["at_s"], 1),
        "frames_per_s": round((last["frames_total"] - first["frames_total"]) / max(last["at_s"], 1e-9), 1),
        "lag_p99_ms": round(max(one["loop_lag_p99_seconds"] for one in samples) * 1e3, 2),
        "lag_max_ms": round(max(one["loop_lag_max_seconds"] for one in samples) * 1e3, 2),
        "memory_mib": round(memory[-1], 1),
        "growth_mib": round(statistics.median(memory[-few:]) - statistics.median(memory[:few]), 2),
        "fills": last["fills_total"] - first["fills_total"],
    }
    exceeded = []
    if figures["frames_per_s"] < RATE:
        exceeded.append(f"{figures['frames_per_s']} frames a second are less than {RATE:g}")
    if figures["lag_p99_ms"] >= LAG_S * 1e3:
        exceeded.append(f"late by {figures['lag_p99_ms']} ms at p99")
    if figures["growth_mib"] >= GROWTH_MIB:
        exceeded.append(f"grew by {figures['growth_mib']} MiB")
    for name in CONSTANT:
        seen = sorted({int(one[name]) for one in samples})
        figures[name] = seen if len(seen) > 1 else seen[0]
        # One more for a moment is a connection or a check under way; what stays is a leak.
        begun, ended = (statistics.median(one[name] for one in part) for part in (samples[:few], samples[-few:]))
        if ended > begun:
            exceeded.append(f"{name} went from {begun:g} to {ended:g}")
    return {**figures, "exceeded": exceeded}


def _argus(*words: str) -> list[str]:
    return [sys.executable, "-m", "daemon", *words]


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 1_800.0
    with tempfile.TemporaryDirectory(prefix="argus-soak-", dir=os.environ.get("TMPDIR")) as root:
        figures = soak(seconds, Path(root))
        if figures["exit_code"]:
            print(Path(root, "run.out").read_text("utf-8"), file=sys.stderr)
    print(json.dumps(figures))
    return 1 if figures["exceeded"] or figures["exit_code"] else 0


if __name__ == "__main__":
    sys.exit(main())
