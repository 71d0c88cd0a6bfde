"""A sandbox for a test, in this process or in one of its own. Both listen on ports that the system chose.

async with running(seeded(), start_ns=START_NS) as sandbox:  # time stands still until sandbox.turn(seconds)
async with running(seeded(), rate=20) as sandbox:            # time runs by itself
with spawned("--rate", "20") as address:                     # address["ws"], ["rest"], ["faults"], ["pid"]
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from sandbox.clock import RunningClock, TurnedClock
from sandbox.command import seeded
from sandbox.server import Sandbox, Speakers
from sandbox.wire import frame

ROOT = Path(__file__).resolve().parents[2]

__all__ = ["Client", "Running", "running", "seeded", "spawned"]


class Running(Sandbox):
    """A sandbox whose clock a test may turn."""

    fences = 0

    async def turn(self, seconds: float) -> None:
        """Let so much of the sandbox's time pass, and everything in it happen. Only for clocks that stand still."""
        assert isinstance(self.clock, TurnedClock)
        self.clock.turn(seconds)
        self.pump()
        await asyncio.sleep(0)

    def fence(self) -> tuple[str, bool]:
        """Write a frame of its own behind all that was sent so far; whether every connection got it."""
        self.fences += 1
        text = f'{{"fence":{self.fences}}}'
        whole = True
        for connection in self.connections.values():
            connection.flush(self.clock.read())
            if connection.deaf or connection.drip:
                whole = False
            elif not connection.closed:
                connection.transport.write(frame(text.encode()))
        return text, whole

    @property
    def ws(self) -> str:
        return str(self.address()["ws"])

    @property
    def rest(self) -> str:
        return str(self.address()["rest"])

    @property
    def fault_port_url(self) -> str:
        return str(self.address()["faults"])


@asynccontextmanager
async def running(speakers: Speakers, *, rate: float = 0.0, start_ns: int = 0) -> AsyncIterator[Running]:
    """Listening, on a clock that runs at ``rate`` or, without one, waits at ``start_ns`` to be turned."""
    sandbox = Running(RunningClock(rate, start_ns or None) if rate else TurnedClock(start_ns), speakers)
    await sandbox.start()
    try:
        yield sandbox
    finally:
        await sandbox.stop()
    if sandbox.failed is not None and sandbox.failed.done():
        sandbox.failed.result()  # what the pump died of


@contextmanager
def spawned(*args: str) -> Iterator[dict[str, Any]]:
    """``argus sandbox --json`` with ``args`` as a process; yields what it printed."""
    command = [sys.executable, "-m", "daemon", "sandbox", "--json", *args]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=os.environ, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(timeout=10)


class Client:
    """A raw client: what it hears is kept as text, and nothing is answered that a test does not answer."""

    def __init__(self, sandbox: Running) -> None:
        self.sandbox = sandbox
        self.session = aiohttp.ClientSession()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def connect(self, path: str, *, polite: bool = False) -> aiohttp.ClientWebSocketResponse:
        """A socket on which pings are heard like anything else; a ``polite`` one answers them instead."""
        return await self.session.ws_connect(self.sandbox.ws + path, autoping=polite, max_msg_size=0)

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.session.get(self.sandbox.rest + path) as answer:
            return answer.status, await answer.json(content_type=None)

    async def ask(self, socket: aiohttp.ClientWebSocketResponse, **request: Any) -> Any:
        """Send a request on a socket and hear the next frame."""
        await socket.send_str(json.dumps(request))
        return json.loads((await socket.receive(5)).data)

    async def fault(self, **fault: Any) -> Any:
        async with self.session.post(self.sandbox.fault_port_url, data=json.dumps(fault)) as answer:
            return await answer.json()

    async def report(self) -> Any:
        async with self.session.get(self.sandbox.fault_port_url) as answer:
            return await answer.json()

    async def hear(self, socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
        """Every text frame that has been sent so far, read as JSON."""
        return [json.loads(raw) for raw in await self.raws(socket)]

    async def raws(self, socket: aiohttp.ClientWebSocketResponse) -> list[str]:
        """Every text frame that has been sent so far. Only of a socket that is not well it cannot be known: there what
        comes within a moment.
        """
        fence, whole = self.sandbox.fence()
        heard: list[str] = []
        while True:
            try:
                message = await socket.receive(20 if whole else 0.1)
            except TimeoutError:
                return heard
            if message.type is aiohttp.WSMsgType.TEXT:
                if message.data == fence:
                    return heard
                if not message.data.startswith('{"fence":'):
                    heard.append(message.data)
            elif message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                return heard
