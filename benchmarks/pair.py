"""A sandbox and a daemon as two processes, for whoever watches what they do together."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from daemon.errors import NotRunning, TimedOut
from daemon.operating.client import Client


@contextmanager
def sandbox(*words: str) -> Iterator[dict[str, Any]]:
    """A sandbox that ends with whoever wanted it; what it said of itself."""
    with subprocess.Popen(argus("sandbox", "--json", *words), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            said: dict[str, Any] = json.loads(process.stdout.readline())
            yield said
        finally:
            process.terminate()


@contextmanager
def daemon(config: Path, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """``argus run`` with what it says in a file."""
    with said.open("wb") as out, subprocess.Popen(argus("run", "--config", str(config)), stderr=out, stdout=out) as one:
        try:
            yield one
        finally:
            one.terminate()


def until_there(client: Client, within_s: float = 60.0) -> None:
    """Return when the process answers."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            client.status()
            return
        except (NotRunning, TimedOut):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def argus(*words: str) -> list[str]:
    return [sys.executable, "-m", "daemon", *words]


class FaultPort:
    """The sandbox's, by its address."""

    def __init__(self, url: str) -> None:
        self._url = url

    def post(self, **fault: Any) -> None:
        self._ask(json.dumps(fault).encode())

    def report(self) -> dict[str, Any]:
        return self._ask(None)

    def _ask(self, body: bytes | None) -> dict[str, Any]:
        with urllib.request.urlopen(self._url, body, timeout=60) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        return told
