"""``argus demo``: the daemon, live and on paper, on an invented market of a sandbox exchange. No network, no data.

The exchange is a process of its own. Both run twenty times as fast as the wall, so that half a minute is ten minutes of
market. The same market is also written as a recording, to try other commands on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from daemon.errors import Usage
from daemon.live import feeding
from daemon.live.run import RunRequest
from daemon.live.run import run as run_daemon
from daemon.reading.export import export
from daemon.reading.report import write_report
from daemon.replay import run_async
from daemon.session import Session
from sandbox import market

ROOT = Path(__file__).resolve().parents[1]
FOLDER = Path("var/demo")
SEED = 7
RATE = 20
MINUTES = 20.0

CONFIG = """\
# What `argus demo` ran: `argus run --config` with it trades on while an `argus sandbox` listens where it says.

[trading]
seed = {seed}

[trading.bars]
intervals = ["1s"]

[[trading.strategies]]
use = "strategies.ema_cross:EmaCross"
name = "ema_cross"
params = {{ fast = 10, slow = 40 }}

[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
past_bars = 60

[process]
out_dir = "{folder}/sessions"
state_dir = "{folder}/state"
kill_file = "{folder}/KILL"

[process.endpoints.binance]
ws = ["{ws}"]
rest = "{rest}"

[test]
rate = {rate}
since_ns = {since_ns}
"""


def run(out: Console, err: Console, wall_s: float) -> dict[str, Any]:
    """Listen for so long, trade, report; returns the session's summary with the report's path."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    market.write(FOLDER / "synthetic.jsonl.zst", seed=SEED, minutes=MINUTES)
    config = FOLDER / "demo.toml"
    with _sandbox() as address:
        config.write_text(_config(address), "utf-8")
        err.print(f"trading an invented BTCUSDT market on paper for {wall_s:g} s, {RATE} times as fast as the wall …")
        request = RunRequest(config, out=FOLDER / "session", for_s=wall_s * RATE)
        ended = run_async(run_daemon(request, feeding.feeds, say=lambda text: err.print(text, markup=False)))
    session = Session.open(ended.session)
    session.manifest.update(synthetic=True, synthetic_by="sandbox/market.py, a small seeded market model")
    session.write()
    export(session)
    out.print("SYNTHETIC data: a sandbox exchange's, not a market's", style="bold yellow")
    for name, value in ended.summary.items():
        out.print(f"{name}: {value}", markup=False)
    page = write_report(session, session.manifest["metrics"])
    out.print(f"report: {page}", markup=False)
    return {**ended.summary, "report": str(page)}


def _config(address: dict[str, Any]) -> str:
    return CONFIG.format(seed=SEED, folder=FOLDER, **address["venues"]["binance"], **address["clock"])


@contextmanager
def _sandbox() -> Iterator[dict[str, Any]]:
    """A sandbox exchange in a process of its own; where it is."""
    command = [sys.executable, "-m", "daemon", "sandbox", "--seed", str(SEED), "--rate", str(RATE), "--json"]
    places = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))  # this Argus, and no other
    environ = {**os.environ, "PYTHONPATH": places}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline()
            if not said:
                raise Usage("the sandbox exchange did not start; `argus sandbox` says why")
            address: dict[str, Any] = orjson.loads(said)
            yield address
        finally:
            process.terminate()
