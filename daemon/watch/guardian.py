"""Stands in for systemd where there is none: starts the daemon, listens for its proof of life, ends it when that stops
coming, writes down what was open, starts it again. Run as a file by a bare interpreter; imports nothing of ours.

    python -I daemon/watch/guardian.py --config FILE [--watchdog S] [--starts N] [-- COMMAND …]

The rules are the unit's: no restart after exit codes 2, 4, 6, 7, 8 and 9, at most N starts in ten minutes, ever longer
waits between them. SIGTERM is passed on and waited for. Its own exit code is the daemon's last.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

FINAL = (0, 2, 4, 6, 7, 8, 9)
"""After these exit codes nothing is started again: it ended as it should, or a restart would not mend it."""

_WINDOW_S, _SHORTEST_S, _LONGEST_S, _STOP_S, _LOOK_S = 600.0, 1.0, 60.0, 60.0, 0.2
_HERE = Path(__file__).resolve().parent


class Guardian:
    def __init__(self, command: Sequence[str], flush: Sequence[str], watchdog_s: float, starts: int) -> None:
        self._command, self._flush = list(command), list(flush)
        self._watchdog_s, self._starts = watchdog_s, starts
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        begun: list[float] = []
        wait_s = _SHORTEST_S
        while True:
            now = time.monotonic()
            begun = [at for at in begun if now - at < _WINDOW_S] + [now]
            code = self._one()
            if code != 0:
                subprocess.run(self._flush, check=False)
            if code in FINAL or self._stopping:
                return code
            if len(begun) >= self._starts:
                print(f"guardian: {len(begun)} starts in {_WINDOW_S:.0f} s; somebody has to look", file=sys.stderr)
                return code
            wait_s = _SHORTEST_S if time.monotonic() - now > _WINDOW_S else min(wait_s * 2, _LONGEST_S)
            print(f"guardian: it ended with {code}; again in {wait_s:.0f} s", file=sys.stderr)
            until = time.monotonic() + wait_s
            while time.monotonic() < until and not self._stopping:
                time.sleep(_LOOK_S)
            if self._stopping:
                return code

    def _one(self) -> int:
        """One life of the daemon; its exit code, minus the signal where one ended it."""
        with (
            tempfile.TemporaryDirectory(prefix="argus-") as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire,
        ):
            place = os.path.join(folder, "notify")
            wire.bind(place)
            wire.settimeout(_LOOK_S)
            environ = {**os.environ, "NOTIFY_SOCKET": place, "WATCHDOG_USEC": str(round(self._watchdog_s * 1e6))}
            child = self._child = subprocess.Popen(self._command, env=environ)
            ready, fed = False, time.monotonic()
            stop_by: float | None = None
            while (code := child.poll()) is None:
                try:
                    words = wire.recv(4096)
                except TimeoutError:
                    words = b""
                now = time.monotonic()
                ready = ready or b"READY=1" in words
                if b"WATCHDOG=1" in words or not ready:
                    fed = now
                if self._stopping and stop_by is None:
                    stop_by = now + _STOP_S
                if (ready and now - fed > self._watchdog_s) or (stop_by is not None and now > stop_by):
                    print("guardian: no proof of life: it is ended", file=sys.stderr)
                    child.kill()
            return code

    def _on_signal(self, number: int, _frame: object) -> None:
        self._stopping = True
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(number)


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description="Start the daemon, watch it, start it again.")
    parser.add_argument("--config", required=True)
    parser.add_argument("--watchdog", type=float, default=20.0, metavar="S", help="silence that ends it")
    parser.add_argument("--starts", type=int, default=5, help="most starts in ten minutes")
    parser.add_argument("command", nargs="*", help="what to start; argus run with the configuration otherwise")
    asked = parser.parse_args(words)
    command = asked.command or [sys.executable, "-P", "-m", "daemon", "run", "--config", asked.config]
    flush = [sys.executable, "-I", str(_HERE.parent / "operating" / "panic.py"), "--config", asked.config]
    return Guardian(command, flush, asked.watchdog, asked.starts).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
