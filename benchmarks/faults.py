"""An hour in which everything goes wrong, in three minutes: ``python -m benchmarks.faults --seed 1``.

A sandbox with its invented markets and ``argus run`` are two processes on one clock, which runs twenty times as fast as
the wall. Each kind of fault comes twice, in an order and with a strength that the seed draws; each has its turn, and is
posted until the fault port says that it hit something. What needs an occasion is given one: a request is refused after
the line was cut, since then there is one; what a client says is ignored after that as well. All the while two observers
stand still: one of the control socket's stream, and whoever should read what the daemon prints. No signal counts as
missed, as none does in a replay, so that the fills can be compared as well; and data may be 20 s old, which at this
speed a machine may stand still for a second.

Afterwards every record must be made again by ``argus verify``, the decisions and fills be those of ``argus replay`` of
what was recorded, and the sandbox have counted nothing beyond the venues' limits. The last line of stdout is one JSON
object; ``wrong`` says what was, and the exit code is 1 where anything was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.pair import FaultPort, argus, sandbox, until_there
from bus import inputs, journal
from bus.clock import SECOND
from bus.events import Decision, OrderFilled
from daemon.live import recorder, state
from daemon.operating.client import ADDRESS, Client
from feeds.frames import Recording

WARM_UP_S = 30.0
LEAVE_S = 60.0
TRIES = 5

CONFIG = """
[test]
rate = {rate}
since_ns = {since_ns}
[trading]
asset = "{asset}"
cash = {{ {asset} = 10000 }}
[trading.limits]
missed_after_s = 3600
[trading.bars]
intervals = ["{interval}"]
[trading.venue.entry]
model = "fixed"
[[trading.strategies]]
use = "strategies.ema_cross:EmaCross"
params = {{ fast = {fast}, slow = {slow} }}
[[trading.feeds]]
venue = "{venue}"
instruments = ["{instrument}"]
streams = ["trade", "quote", "book"]
max_age_s = {{ trade = 60, quote = 20, book = 20 }}
[process]
out_dir = "{root}/sessions"
state_dir = "{root}/state"
kill_file = "{root}/KILL"
[process.session]
roll_at = ""  # one session, whatever time of the day it is
[process.endpoints.{venue}]
ws = ["{ws}"]
rest = "{rest}"
"""


class Market(NamedTuple):
    """What is traded at a venue, and by which bars: such as it can be asked for after a loss, else nobody asks."""

    instrument: str
    asset: str
    interval: str
    fast: int
    slow: int


MARKETS = {
    "binance": Market("binance:BTC/USDT", "USDT", "1s", 8, 30),
    "binanceusdm": Market("binanceusdm:BTC/USDT:USDT", "USDT", "1m", 1, 3),
    "coinbase": Market("coinbase:BTC/USD", "USD", "1m", 1, 3),
}

Draw = Callable[[random.Random, str], Sequence[Mapping[str, Any]]]


KINDS: Mapping[str, Draw] = {
    "drop": (lambda r, v: [{"kind": "drop", "venue": v, "share": r.uniform(0.3, 1), "seed": 1, "for_s": 8}]),
    "freeze": (lambda r, v: [{"kind": "freeze", "venue": v, "for_s": r.uniform(3, 15)}]),
    "gap": (lambda r, v: [{"kind": "gap", "venue": v, "count": r.randint(1, 9)}]),
    "delay": (lambda r, v: [{"kind": "delay", "venue": v, "delay_s": r.uniform(1, 8), "for_s": 6}]),
    "duplicate": (lambda r, v: [{"kind": "duplicate", "venue": v, "times": r.randint(2, 4), "for_s": 10}]),
    "reorder": (lambda r, v: [{"kind": "reorder", "venue": v, "span": r.randint(2, 5), "for_s": 6}]),
    "malformed": (
        lambda r, v: [
            {
                "kind": "malformed",
                "venue": v,
                "how": r.choice(["cut", "garbage", "utf8", "huge"]),
                "count": r.randint(1, 4),
            }
        ]
    ),
    "cut": (
        lambda r, v: [{"kind": "cut", "venue": v, "how": r.choice(["fin", "reset", "close"]), "for_s": r.uniform(1, 8)}]
    ),
    "half_open": (lambda r, v: [{"kind": "half_open", "venue": v, "for_s": 5}]),
    "slow_drip": (lambda r, v: [{"kind": "slow_drip", "venue": v, "bytes_per_s": r.uniform(40, 400), "for_s": 20}]),
    "ignore": (lambda _, v: [{"kind": "ignore", "venue": v, "count": 1}, {"kind": "cut", "venue": v, "how": "fin"}]),
    "rollover": (lambda r, v: [{"kind": "rollover", "venue": v, "announce_s": r.choice([0, 2])}]),
    "ban": (lambda r, v: [{"kind": "ban", "venue": v, "status": 418, "for_s": r.uniform(5, 30)}]),
    "rest": (
        lambda r, v: [
            {"kind": "rest", "venue": v, "status": r.choice([500, 503]), "delay_s": 1, "count": 2},
            {"kind": "cut", "venue": v, "how": "fin"},
        ]
    ),
    "pause": (lambda _, __: [{"kind": "pause"}, {"kind": "resume"}]),
    "resume": (lambda _, __: [{"kind": "pause"}, {"kind": "resume"}]),
}
"""Every kind that a venue may have (a test holds this to the fault port's)."""


def plan(seed: int, venue: str, times: int) -> list[tuple[str, Sequence[Mapping[str, Any]]]]:
    """Each kind so many times, and what to post for it."""
    chance = random.Random(seed)
    turns = [kind for kind in KINDS for _ in range(times)]
    chance.shuffle(turns)
    return [(kind, KINDS[kind](chance, venue)) for kind in turns]


def run(seed: int, venue: str, seconds: float, rate: float, times: int, root: Path) -> dict[str, Any]:
    """The figures of so many seconds of the feeds' time, and what was wrong with them."""
    with sandbox("--rate", f"{rate:g}", "--seed", str(seed)) as said:
        config = root / "argus.toml"
        market = MARKETS[venue]._asdict()
        config.write_text(
            CONFIG.format(root=root, venue=venue, **market, **said["venues"][venue], **said["clock"]), "utf-8"
        )
        port = FaultPort(said["faults"])
        process = subprocess.Popen(
            argus("run", "--config", str(config)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        try:
            until_there(Client(root / "state"))
            with _standing_still(root / "state"):
                missed = _faults(port, plan(seed, venue, times), seconds, rate)
                status = Client(root / "state").status()
                report = port.report()
                process.terminate()
                code = process.wait(60)
        finally:
            process.kill()
            printed = process.stdout.read().decode(errors="replace")
    if code:
        print(printed, file=sys.stderr)
    kept = state.read(root / "state")
    assert kept is not None, "it ran"
    session = Path(kept.session)
    return _judged(venue, session, config, root, code, status, report, missed, times)


def _faults(
    port: FaultPort, turns: Sequence[tuple[str, Sequence[Mapping[str, Any]]]], seconds: float, rate: float
) -> list[str]:
    """Have everything go wrong in turn; which faults hit nothing, however often they were posted."""
    began = time.monotonic()

    def until(feed_s: float) -> None:
        time.sleep(max(0.0, began + feed_s / rate - time.monotonic()))

    missed = []
    slot_s = (seconds - WARM_UP_S - LEAVE_S) / len(turns)
    for number, (kind, posts) in enumerate(turns):
        start_s = WARM_UP_S + number * slot_s
        until(start_s)
        before = port.report()["fired"].get(kind, 0)
        for attempt in range(TRIES):
            for post in posts:
                port.post(**post)
                if post["kind"] == "pause":
                    time.sleep(1.0 / rate)
            until(start_s + slot_s * (attempt + 1) / (TRIES + 1))
            if port.report()["fired"].get(kind, 0) > before:
                break
        else:
            missed.append(f"{kind}: {json.dumps(posts)}")
        print(f"{start_s:6.0f} s  {', '.join(json.dumps(post) for post in posts)}", flush=True)
    until(seconds)
    return missed


@contextmanager
def _standing_still(state_dir: Path) -> Iterator[None]:
    """Somebody who asked for everything and reads none of it."""
    address = json.loads((state_dir / ADDRESS).read_text("utf-8"))
    with socket.socket(socket.AF_UNIX) as observer:
        observer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        observer.connect(address["socket"])
        observer.sendall(
            b"GET /v1/stream?types=Trade,Quote,BookUpdate HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        yield


def _judged(
    venue: str,
    session: Path,
    config: Path,
    root: Path,
    code: int,
    status: Mapping[str, Any],
    report: Mapping[str, Any],
    missed: Sequence[str],
    times: int,
) -> dict[str, Any]:
    verified = _argus("verify", str(session))
    replayed = _argus("replay", str(session), "--config", str(config), "--out", str(root / "again"))
    (decisions, fills), again = _told(session), _told(root / "again")
    heard = [item for piece in recorder.pieces(session) for batch in Recording(piece).batches() for item in batch]
    kinds = Counter(item.kind or "frame" for item in heard)
    figures: dict[str, Any] = {
        "feed_seconds": round(((heard[-1].ts or 0) - (heard[0].ts or 0)) / SECOND),
        "fired": report["fired"],
        "posted": report["posted"],
        "connects": report["connects"],
        "behind_s": report["venues"][venue]["behind_s"],
        "broken": report["broken"],
        "busiest_second": max(each["busiest_second"] for each in report["connections"]),
        "inputs": len(heard),
        "ticks": kinds[inputs.TICK],
        "records": status["records"],
        "decisions": len(decisions),
        "fills": len(fills),
        "untradeable_at_the_end": status["untradeable"],
        "errors": json.loads((session / "manifest.json").read_text())["errors"],
    }
    rare = [kind for kind in KINDS if report["posted"].get(kind, 0) < times or not report["fired"].get(kind)]
    wrong = {
        f"exit code {code}": code != 0,
        f"verify: {verified.stdout[-500:]}{verified.stderr[-500:]}": verified.returncode != 0,
        f"replay: {replayed.stderr[-500:]}": replayed.returncode != 0,
        "decisions differ from the replay's": decisions != again[0],
        "fills differ from the replay's": fills != again[1],
        "nothing was decided": not decisions,
        "no timer fired without a frame": not kinds[inputs.TICK],
        f"hit nothing: {missed}": bool(missed),
        f"seldom: {rare}": bool(rare),
        f"beyond the venues' limits: {report['broken']}": bool(report["broken"]),
        f"not healed: {status['untradeable']}": bool(status["untradeable"]),
        f"failed inside: {figures['errors']}": bool(figures["errors"]),
    }
    return {**figures, "wrong": [what for what, is_so in wrong.items() if is_so]}


def _told(session: Path) -> tuple[list[Decision], list[tuple[object, ...]]]:
    """Its decisions, and its fills without the names that a start gives its orders."""
    decisions: list[Decision] = []
    fills: list[tuple[object, ...]] = []
    if (session / "journal.db").is_file():  # else it never began, and said why
        for entry in journal.read(session / "journal.db"):
            match entry.event():
                case Decision() as decision:
                    decisions.append(decision)
                case OrderFilled() as fill:
                    fills.append((fill.ns, fill.intent_id, fill.side, fill.price, fill.size, fill.fee))
    return decisions, fills


def _argus(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argus(*words), capture_output=True, text=True, check=False)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--venue", choices=MARKETS, help="else the seed says which")
    parser.add_argument("--seconds", type=float, default=3_600.0, help="of the feeds' time")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--times", type=int, default=2, help="how often each kind of fault comes")
    said = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that sandbox and daemon end with it
    venue = said.venue or list(MARKETS)[said.seed % len(MARKETS)]
    with tempfile.TemporaryDirectory(prefix="argus-faults-", dir=os.environ.get("TMPDIR")) as root:
        figures = run(said.seed, venue, said.seconds, said.rate, said.times, Path(root))
    print(json.dumps({"seed": said.seed, "venue": venue, "rate": said.rate, **figures}))
    return 1 if figures["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
