"""``argus run`` beside ``argus sandbox``, each a process of its own: started, asked, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from daemon.errors import NotRunning, TimedOut
from daemon.operating.client import Client
from tests.daemon.lineage import IN_FLIGHT, RESTING
from tests.sandbox.running import ROOT

PATIENCE_S = 300.0

CONFIG = """
[trading.cash]
USDT = 100000
BTC = 1
[trading.journal]
holds = false
[trading.venue]
entry = {{ {entry} }}
cancel = {{ {cancel} }}
[trading.limits]
max_position = 1000000
max_drawdown_bps = 9000
[[trading.strategies]]
use = "{strategy}"
params = {{ {params} }}
[[trading.feeds]]
venue = "binance"
instruments = ["binance:BTC/USDT"]
streams = ["trade", "quote", "book"]
max_age_s = {{ trade = 600, quote = 600, book = 600 }}
[process]
out_dir = "{root}/sessions"
state_dir = "{root}/state"
kill_file = "{root}/KILL"
[process.endpoints.binance]
ws = ["{ws}"]
rest = "{rest}"
"""


def write_config(root: Path, address: Mapping[str, Any], strategy: Path, **words: str) -> Path:
    """A daemon's settings in ``root``, for the sandbox at ``address``."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "argus.toml"
    path.write_text(
        CONFIG.format(root=root, strategy=strategy, **{"params": "", **words}, **address["venues"]["binance"])
    )
    return path


class Daemon:
    """``argus run`` on the time of a sandbox. What it says goes to a file, for who looks why it failed."""

    def __init__(self, config: Path, clock: Mapping[str, Any]) -> None:
        root = config.parent
        self.client = Client(root / "state")
        self._said = (root / "said.log").open("ab")
        words = [f"test.{name}={clock[name]}" for name in ("rate", "since_ns")]
        command = [sys.executable, "-m", "daemon", "run", "--config", str(config)]
        self.process = subprocess.Popen(
            [*command, *(word for each in words for word in ("--set", each))],
            cwd=ROOT,
            stdout=self._said,
            stderr=self._said,
            env=os.environ,
        )

    def kill(self) -> None:
        """As ``kill -9`` does."""
        self.process.send_signal(signal.SIGKILL)
        assert self._over() == -signal.SIGKILL

    def stop(self) -> None:
        """In order."""
        self.process.terminate()
        assert self._over() == 0

    def status(self) -> dict[str, Any]:
        """Empty while nobody answers."""
        try:
            return self.client.status()
        except (NotRunning, TimedOut):
            assert self.process.poll() is None, "it died by itself"
            return {}

    def until(self, what: Callable[[dict[str, Any]], bool], patience_s: float = PATIENCE_S) -> bool:
        """Wait until its status is as ``what`` says; whether it came to be."""
        deadline = time.monotonic() + patience_s
        while not (status := self.status()) or not what(status):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005 if status else 0.05)
        return True

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        """Nobody outlives its test."""
        if self.process.poll() is None:
            self.process.kill()
            self._over()

    def _over(self) -> int:
        code = self.process.wait(PATIENCE_S)
        self._said.close()
        return code


def armed(status: Mapping[str, Any]) -> bool:
    return bool(status["state"] == "armed")


def ready(status: Mapping[str, Any]) -> bool:
    """Orders rest and are on their way, more than enough: until it is killed it goes on."""
    states = [order["state"] for order in status["orders"]]
    return states.count("open") >= RESTING + 5 and states.count("submitted") >= IN_FLIGHT + 9


def fault(address: Mapping[str, Any], **what: Any) -> dict[str, Any]:
    """Post one to the sandbox's control."""
    answer: dict[str, Any] = _json(urllib.request.Request(address["faults"], json.dumps(what).encode(), method="POST"))
    return answer


def report(address: Mapping[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = _json(address["faults"])
    return answer


def ask(address: Mapping[str, Any], path: str) -> Any:
    return _json(address["rest"] + path)


def _json(request: str | urllib.request.Request) -> Any:
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.load(answer)
