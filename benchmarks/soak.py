"""Run the daemon against the sandbox for a long time and look at what grows: ``python -m benchmarks.soak``.

With ``--days N`` time runs 2,880 times as fast as the wall's for both: a day of a quiet market in half a minute, with
the roll-over of its connection that each day asks for. Not one may be missing, and nothing may be lost in any.

A sandbox and ``argus run`` are processes of their own. Once a second the daemon is asked for its figures by the control
socket. After a warm-up (60 s, or a quarter of a short run) it must hear at least 1,000 messages a second, be late by
less than 20 ms at the 99th percentile of every minute, grow by less than 32 MiB, and have as many tasks, open files and
threads as it had. Afterwards ``argus verify`` makes its session again, and of what it heard no trade is missing or
there twice. Some thirty lines are said on the way; whoever does not want to hear them any more ends it. The last line
of stdout is one JSON object: ``exceeded`` is what went wrong on any machine, ``slow`` what a quiet one would have done
better; the exit code is 1 where there is either.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.pair import FaultPort, argus, daemon, sandbox, until_there
from bus import money
from bus.clock import DAY, SECOND
from bus.events import FeedLost, FeedRetired, Trade
from bus.journal import Chain
from daemon.errors import NotRunning, TimedOut
from daemon.live import state
from daemon.operating.client import Client
from daemon.proof.refold import Refold
from daemon.session import Session

LAG_S, GROWTH_MIB, RATE = 0.020, 32.0, 1_000.0
CONSTANT = ("tasks", "asyncio_tasks", "files", "threads")
FLOOD = 1_200
DAYS_RATE, ACTIVITY = 2_880.0, 0.0015
LINES = 30

CONFIG = """
[trading.bars]
intervals = [{bars}]
[[trading.strategies]]
use = "strategies.ema_cross:EmaCross"
params = {{ fast = 4, slow = 12 }}
[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
streams = ["trade", "quote", "book"]
{ages}
[process]
out_dir = "{root}/sessions"
state_dir = "{root}/state"
kill_file = "{root}/KILL"
[process.session]
roll_at = ""
[process.endpoints.binance]
ws = ["{ws}"]
rest = "{rest}"
[test]
rate = {rate}
since_ns = {since_ns}
"""
# Where a second is a moment of half an hour, what is younger is not old.
PATIENT = """max_age_s = { trade = 7200, quote = 7200, book = 7200 }
[trading.limits]
stale_data_threshold_s = 7200
missed_after_s = 7200"""


def soak(root: Path, seconds: float, days: float = 0.0) -> dict[str, Any]:
    """The figures of a run of ``seconds`` after its warm-up, or of ``days``, and what of them was too much."""
    words = ["--rate", f"{DAYS_RATE:g}", "--activity", f"{ACTIVITY:g}"] if days else ["--flood", str(FLOOD)]
    with sandbox(*words) as said:
        config = root / "argus.toml"
        how = {"bars": '"15m"', "ages": PATIENT} if days else {"bars": '"1s", "1m"', "ages": ""}
        config.write_text(CONFIG.format(root=root, **how, **said["venues"]["binance"], **said["clock"]), "utf-8")
        seconds = days * DAY / SECOND / DAYS_RATE if days else seconds
        with daemon(config, root / "run.out") as process:
            samples = _samples(Client(root / "state"), seconds, min(60.0, seconds / 4))
            report = FaultPort(said["faults"]).report()
            process.terminate()
            code = process.wait(60)
    again, figures = _again(root), _judged(samples)
    exceeded = [f"exit code {code}"] if code else []
    if days:
        exceeded += _days_missed(days, again, report)
        figures["slow"] = []  # two days a minute is as fast as it goes
    exceeded += figures["exceeded"] + again["exceeded"]
    return {**figures, **again, "exit_code": code, "exceeded": exceeded}


def _days_missed(days: float, again: dict[str, Any], report: dict[str, Any]) -> list[str]:
    """What a market that went on for ``days`` would not have let pass."""
    missed = []
    if again["days"] < days or again["roll_overs"] < int(days):
        missed.append(f"{again['roll_overs']} roll-overs in {again['days']} days")
    if again["lost"]:
        missed.append(f"connections lost: {again['lost']}")
    if report["fired"] or report["broken"]:
        missed.append(f"the venue had to act: {report['fired']} {report['broken']}")
    if (behind := report["venues"]["binance"]["behind_s"]) > 0.01 * DAY / SECOND:
        missed.append(f"the market was {behind:.0f} s behind its clock")
    return missed


def _samples(client: Client, seconds: float, warm_up_s: float) -> list[dict[str, float]]:
    """What the daemon said of itself each second once it was warm."""
    until_there(client)
    begun, samples = time.monotonic() + warm_up_s, []
    every = next_line = max(1.0, seconds / LINES)
    while (passed := time.monotonic() - begun) < seconds:
        with suppress(TimedOut):  # as late as that; it says so itself the next time
            latest = {"at_s": passed, **client.get("metrics")}
            if passed >= 0:
                samples.append(latest)
            if passed >= next_line - every - warm_up_s:
                next_line += every
                _tell(latest)
        time.sleep(max(0.0, 1.0 - (time.monotonic() - begun - passed)))
    return samples


def _tell(latest: dict[str, float]) -> None:
    print(
        f"{latest['at_s']:7.0f} s {latest['frames_total']:>10.0f} frames,"
        f" p99 {latest['loop_lag_p99_seconds'] * 1e3:.1f} ms late,"
        f" {latest['memory_bytes'] / (1 << 20):.1f} MiB, {latest['fills_total']:.0f} fills,"
        f" {latest['asyncio_tasks']:.0f} tasks, {latest['files']:.0f} files, {latest['threads']:.0f} threads",
        flush=True,
    )


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
    exceeded, slow = [], []
    if figures["frames_per_s"] < RATE:
        slow.append(f"{figures['frames_per_s']} frames a second are less than {RATE:g}")
    if figures["lag_p99_ms"] >= LAG_S * 1e3:
        slow.append(f"late by {figures['lag_p99_ms']} ms at p99")
    if figures["growth_mib"] >= GROWTH_MIB:
        exceeded.append(f"grew by {figures['growth_mib']} MiB")
    for name in CONSTANT:
        seen = sorted({int(one[name]) for one in samples})
        figures[name] = seen if len(seen) > 1 else seen[0]
        # One more for a moment is a connection or a check under way; what stays is a leak.
        begun, ended = (statistics.median(one[name] for one in part) for part in (samples[:few], samples[-few:]))
        if ended > begun:
            exceeded.append(f"{name} went from {begun:g} to {ended:g}")
    return {**figures, "exceeded": exceeded, "slow": slow}


def _again(root: Path) -> dict[str, Any]:
    """What the session says when it is run again, and of the trades it heard: how many, and how many are not the next
    one. A market counts its trades, so a number that is left out was lost, and one that is said twice was heard twice.
    """
    kept = state.read(root / "state")
    assert kept is not None
    verified = subprocess.run(argus("verify", kept.session), capture_output=True, check=False, text=True)
    trades = odd = last = first_ns = 0
    retired, lost = list[FeedRetired](), list[FeedLost]()

    def note(trade: Trade) -> None:
        nonlocal trades, odd, last, first_ns
        odd += bool(last) and trade.id != last + 1
        trades, last, first_ns = trades + 1, trade.id, first_ns or trade.local_ns

    def forget() -> bool:
        chain.seal()
        return True

    chain = Chain()
    fold = Refold(Session.open(Path(kept.session)), chain)
    fold.core.bus.subscribe(Trade, note)
    fold.core.bus.subscribe(FeedRetired, retired.append)
    fold.core.bus.subscribe(FeedLost, lost.append)
    fold.run(forget)
    exceeded = []
    if verified.returncode:
        exceeded.append(f"does not verify: {verified.stdout}{verified.stderr}")
    if odd or not trades:
        exceeded.append(f"{trades} trades heard, {odd} of them not the next one")
    return {
        "verified": not verified.returncode,
        "inputs": fold.inputs,
        "days": round((fold.core.clock.now - first_ns) / DAY, 3),
        "trades": trades,
        "odd": odd,
        "roll_overs": len(retired),
        "lost": [f"{one.conn}: {one.reason}" for one in lost],
        "exceeded": exceeded,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="a long run; the last line of stdout is one JSON object")
    parser.add_argument("--seconds", type=float, default=1_800.0, help="after the warm-up (1800)")
    parser.add_argument("--days", type=float, default=0.0, help="days of the market's time instead, half a minute each")
    arguments = parser.parse_args()
    money.install()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that sandbox and daemon end with it
    with tempfile.TemporaryDirectory(prefix="argus-soak-", dir=os.environ.get("TMPDIR")) as root:
        try:
            figures = soak(Path(root), arguments.seconds, arguments.days)
        except NotRunning:
            print(Path(root, "run.out").read_text("utf-8"), file=sys.stderr)
            raise
    print(json.dumps(figures))
    return 1 if figures["exceeded"] or figures["slow"] else 0


if __name__ == "__main__":
    sys.exit(main())
