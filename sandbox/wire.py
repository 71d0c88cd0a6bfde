"""One WebSocket as the venue sees it: frames go out joined, and whatever can go wrong with a socket goes wrong here.

Frames are encoded once for all who hear the same, and written past the web framework: a server's frames are not masked,
so a text frame is two to ten bytes and the text.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque

from bus.clock import NEVER, SECOND

TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA
BACKLOG_MAX = 64 << 20  # bytes a client may leave unread before it is let go

_LINGER_NOT = struct.pack("ii", 1, 0)


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole WebSocket frame (RFC 6455 §5.2)."""
    size, head = len(payload), 0x80 | opcode
    if size < 126:
        return bytes((head, size)) + payload
    if size < 1 << 16:
        return bytes((head, 126)) + size.to_bytes(2) + payload
    return bytes((head, 127)) + size.to_bytes(8) + payload


class Connection:
    """``streams`` is what it subscribed to: the name it used to the stream we know. ``deaf`` is half-open: nothing
    goes out, nothing that comes in is heard, and nobody is told.
    """

    def __init__(self, number: int, venue: str, opened_ns: int, transport: asyncio.Transport) -> None:
        self.number = number
        self.venue = venue
        self.opened_ns = opened_ns
        self.transport = transport
        self.streams: dict[str, str] = {}
        self.combined = False
        self.deaf = False
        self.closed = ""  # why, once it is
        self.messages = 0
        self.frames = 0
        self.messages_ns: deque[int] = deque()
        self.busiest = 0  # most messages within one second
        self.pinged_ns = opened_ns
        self.ponged = True
        self.ends_ns = NEVER  # when the venue closes it before its time
        self.announce = False  # whether it says so first
        self.sequence = 0  # of venues that number what they send
        self.drip = 0.0  # bytes a second; 0: as fast as it goes
        self._out: list[bytes] = []
        self._dripped_ns = 0

    def send(self, whole: bytes) -> None:
        """A whole frame, written at the next flush."""
        self.frames += 1
        self._out.append(whole)

    def flush(self, now_ns: int) -> None:
        out = self._out
        if not out:
            return
        if self.deaf or self.closed or self.transport.is_closing():
            out.clear()
        elif self.drip:
            self._flush_slowly(now_ns)
        else:
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))
            out.clear()
            if self.transport.get_write_buffer_size() > BACKLOG_MAX:
                self.cut("unread")

    def slow(self, bytes_per_s: float, now_ns: int) -> None:
        """Dribble from now on; 0 lets the rest out at once."""
        self.drip, self._dripped_ns = bytes_per_s, now_ns

    def heard(self, now_ns: int, within_ns: int) -> int:
        """Count a message; how many there were within so long."""
        self.messages += 1
        recent = self.messages_ns
        recent.append(now_ns)
        while recent[0] <= now_ns - within_ns:
            recent.popleft()
        self.busiest = max(self.busiest, len(recent))
        return len(recent)

    def close(self, code: int, reason: str, why: str) -> None:
        """Say goodbye and hang up."""
        if not self.closed:
            if not self.deaf and not self.transport.is_closing():
                self.transport.write(b"".join([*self._out, frame(code.to_bytes(2) + reason.encode(), CLOSE)]))
            self.closed = why
            self._out.clear()
            self.transport.close()

    def cut(self, why: str, *, reset: bool = False) -> None:
        """The line goes dead without a goodbye: a FIN, or a reset."""
        if not self.closed:
            self.closed = why
            self._out.clear()
            if reset and not self.transport.is_closing():
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self.transport.abort()

    def _flush_slowly(self, now_ns: int) -> None:
        """As many bytes as the time since the last ones is worth; frames come apart, which TCP may do to any."""
        waiting = b"".join(self._out)
        share = int(self.drip * (now_ns - self._dripped_ns) / SECOND)
        if share:
            self.transport.write(waiting[:share])
            self._dripped_ns = now_ns
            waiting = waiting[share:]
        self._out[:] = [waiting] if waiting else []
