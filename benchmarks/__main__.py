"""``make bench``: one JSON object a line; every figure a ratio to something measured in the same run.

Without arguments everything is generated: a synthetic recording and the peers' kind of data. ``--recording FILE``
measures a Binance spot recording of yours; ``--data DIR`` is a folder of the peers' generator; ``--peers DIR`` runs
the scripts of the peers there, each by the interpreter in ``DIR/<engine>/bin/python`` style given as ``--with
nautilus=PYTHON``.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import council, memory, sockets
from benchmarks.floor import read_everything
from bus import money
from bus.bus import Bus
from bus.events import Trade
from bus.values import Side
from daemon.app import Request, Run

FOLDER = Path("var/bench")
ROUNDS = 5
PAIRS = 3
PEER_WORKLOADS = (
    ("W1", "trades"),
    ("W2", "trades"),
    ("W3", "trades"),
    ("W4", "year1m"),
    ("W4-holds", "year1m"),
    ("W5", "trades"),
    ("W5-modify", "trades"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description="the project's measurements; prints one JSON object a line")
    parser.add_argument("--recording", type=Path, help="a Binance spot recording; generated when not given")
    parser.add_argument("--data", type=Path, help="a folder of the peers' generator; generated when not given")
    parser.add_argument("--peers", type=Path, help="the folder of the peers' scripts")
    parser.add_argument("--with", dest="pythons", action="append", default=[], metavar="nautilus=PYTHON")
    arguments = parser.parse_args()
    money.install()
    FOLDER.mkdir(parents=True, exist_ok=True)
    replay(arguments.recording or _recording())
    bus()
    for line in sockets.measure(arguments.recording or _recording()):
        _say(**line)
    data = arguments.data or _data()
    for line in council.measure(data):
        _say(**line)
    for line in memory.measure(data):
        _say(**line)
    engine(data, arguments.peers, dict(pair.split("=", 1) for pair in arguments.pythons))


def replay(recording: Path) -> None:
    """A replay with the strategy trading and the journal on, first byte to last commit, against the bare floor."""
    floors, replays, ratios, frames = [], [], [], 0
    out = FOLDER / "replay"
    for _ in range(ROUNDS):
        floor = _cpu(lambda: read_everything(recording))
        shutil.rmtree(out, ignore_errors=True)
        run = Run(Request([recording], ["ema_cross"], [{"fast": 50, "slow": 200}], out=out))
        took = _cpu(partial(_play, run))
        summary = run.finish().summary
        frames = summary["frames"]
        floors.append(floor)
        replays.append(took)
        ratios.append(took / floor)
    _say(
        bench="replay",
        recording=recording.name,
        frames=frames,
        floor_us_per_frame=round(min(floors) / frames * 1e6, 3),
        replay_us_per_frame=round(min(replays) / frames * 1e6, 3),
        ratio_median=round(statistics.median(ratios), 3),
        ratio_best=round(min(replays) / min(floors), 3),
        fills=summary["fills"],
    )


def _play(run: Run) -> None:
    asyncio.run(run.play())


def bus() -> None:
    """One publish to one and to five handlers, against calling them in a loop."""
    trade = Trade("peers:BTC/USDT", 1.0, 1.0, Side.BUY, 1, 0, 0)
    count = 1_000_000
    for handlers in (1, 5):
        counters = [_Counter() for _ in range(handlers)]
        carrier = Bus(lambda handler, event, error: None)
        for counter in counters:
            carrier.subscribe(Trade, counter.hear)
        calls = [counter.hear for counter in counters]
        bare = min(_cpu(partial(_call_all, calls, trade, count)) for _ in range(3))
        took = min(_cpu(partial(_publish, carrier.publish, trade, count)) for _ in range(3))
        _say(
            bench="bus.publish",
            handlers=handlers,
            ns=round(took / count * 1e9, 1),
            bare_loop_ns=round(bare / count * 1e9, 1),
            ratio=round(took / bare, 2),
        )


def engine(data: Path, peers: Path | None, pythons: dict[str, str]) -> None:
    """The peers' workloads on ours, and on each peer where its scripts and interpreter are given: ``PAIRS`` times the
    one right after the other, because a shared machine is not as fast in one minute as in the next.
    """
    for workload, bars in PEER_WORKLOADS:
        extra = ["--data", str(data), *(["--bars", bars] if workload.startswith("W4") else [])]
        ours = partial(_line, [sys.executable, "-m", "benchmarks.engine", workload, *extra])
        _say(**ours())
        if peers is None:
            continue
        for name, python in pythons.items():
            script = str(peers / f"bench_{name}.py")
            theirs = partial(_line, [python, script, workload.removesuffix("-holds"), *extra])
            pairs = [(ours(), theirs()) for _ in range(PAIRS)]
            if all("rate" in line for pair in pairs for line in pair):
                _say(bench="ratio", workload=workload, peer=name, **_compared(pairs))


def _compared(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> dict[str, Any]:
    """Events a second of both, and how many times as many ours are in each pair: the median, and the range."""
    ratios = [ours["rate"] / theirs["rate"] for ours, theirs in pairs]
    theirs = pairs[-1][1]
    return {
        "ours": statistics.median(ours["rate"] for ours, _ in pairs),
        "theirs": statistics.median(theirs["rate"] for _, theirs in pairs),
        "ratio": round(statistics.median(ratios), 2),
        "range": [round(min(ratios), 2), round(max(ratios), 2)],
        "orders": theirs.get("orders"),
        "equity": theirs.get("equity"),
    }


class _Counter:
    def __init__(self) -> None:
        self.heard = 0

    def hear(self, _: Trade) -> None:
        self.heard += 1


def _call_all(calls: Sequence[Callable[[Trade], None]], trade: Trade, count: int) -> None:
    for _ in range(count):
        for call in calls:
            call(trade)


def _publish(publish: Callable[[object], None], trade: Trade, count: int) -> None:
    for _ in range(count):
        publish(trade)


def _cpu(call: Callable[[], object]) -> float:
    """Seconds of this process's CPU: what a busy machine does not move."""
    gc.collect()
    begun = time.process_time()
    call()
    return time.process_time() - begun


def _line(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"command": " ".join(command[-5:]), "failed": done.stderr.strip().splitlines()[-1:]}
    last: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return last


def _recording() -> Path:
    from sandbox import market

    path = FOLDER / "synthetic.jsonl.zst"
    if not path.exists():
        market.write(path, seed=7, minutes=10.0)
    return path


def _data() -> Path:
    from benchmarks import arrays

    arrays.generate(FOLDER / "data")
    return FOLDER / "data"


def _say(**line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
