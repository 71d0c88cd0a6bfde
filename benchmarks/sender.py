"""The far end of the socket benchmarks, a process of its own: sends frames it encoded beforehand, and nothing else.

``blast RECORDING`` sends a recording's frames as fast as the socket takes them; ``pace RATE SECONDS`` sends trades at
an even pace, each with the time it left (the wall's, in microseconds) as the venue's. It begins with the first message.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from itertools import chain
from pathlib import Path

from aiohttp import web

from bus import inputs
from feeds.frames import Recording

AT_ONCE = 50
TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"%.2f","q":"0.5","T":%d,"m":true}}'
)


def frame(text: bytes) -> bytes:
    """A text frame as a server sends it: not masked, whole."""
    size = len(text)
    if size < 126:
        return bytes((0x81, size)) + text
    if size < 1 << 16:
        return b"\x81\x7e" + struct.pack(">H", size) + text
    return b"\x81\x7f" + struct.pack(">Q", size) + text


class Sender:
    def __init__(self, recording: Path | None, rate: int, seconds: float) -> None:
        lines = list(chain.from_iterable(Recording(recording).batches())) if recording is not None else []
        frames = [frame(item.raw.encode()) for item in lines if item.kind is None]
        self._blobs = [b"".join(frames[at : at + AT_ONCE]) for at in range(0, len(frames), AT_ONCE)]
        self.frames = len(frames) if frames else round(rate * seconds)
        self._books = [item.raw for item in lines if item.kind == inputs.HTTP and "depth" in (item.url or "")]
        self._rate = rate

    async def serve(self, request: web.Request) -> web.StreamResponse:
        if request.path != "/stream":
            body = self._books[0] if "depth" in request.path and self._books else '{"symbols":[]}'
            return web.Response(text=body, content_type="application/json")
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await socket.receive()
        assert request.transport is not None
        if self._blobs:
            await self._blast(request.transport)
        else:
            await self._pace(request.transport)
        await socket.receive()
        return socket

    async def _blast(self, transport: asyncio.Transport) -> None:
        for blob in self._blobs:
            transport.write(blob)
            while transport.get_write_buffer_size() > 1 << 18:
                await asyncio.sleep(0)

    async def _pace(self, transport: asyncio.Transport) -> None:
        began = time.monotonic()
        for number in range(self.frames):
            while (wait := began + number / self._rate - time.monotonic()) > 0:
                await asyncio.sleep(wait if wait > 0.002 else 0)
            now = time.time_ns() // 1_000
            transport.write(frame((TRADE % (now, number + 1, 42_000 + number % 7, now)).encode()))


async def main(how: str, first: str, seconds: str = "0") -> None:
    sender = Sender(Path(first), 0, 0) if how == "blast" else Sender(None, int(first), float(seconds))
    app = web.Application()
    app.router.add_get("/{path:.*}", sender.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], sender.frames, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
