"""One socket of a line, and what we said on it: how much of that is the other side known to have heard?

Everything said counts against what the venue allows until a ping that was sent after it is answered, and for a while
from then on (``feeds.pace.Allowance``). The last free place is a ping's, so that the rest can always be proved.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from aiohttp import ClientWebSocketResponse, WSMessage, WSMsgType

from bus.inputs import Input
from feeds.pace import Allowance


class Link:
    """One socket of a line. ``held`` is what it brought while another one is heard, None once it is heard itself;
    ``begun`` says that the core was told of it, ``is_good`` that it brought data, ``gone`` that it is over. ``asked``
    is the number of the ping that was not answered yet, 0 while there is none.
    """

    def __init__(
        self, conn: str, url: str, socket: ClientWebSocketResponse, opened_ns: int, allowed: Allowance
    ) -> None:
        self.conn = conn
        self.url = url
        self.socket = socket
        self.opened_ns = opened_ns
        self.allowed = allowed
        self.held: deque[Input] | None = None
        self.begun = self.is_good = self.gone = False
        self.messages = 0
        self.reason = ""
        self.successor: Link | None = None
        self.pong: bytes | None = None
        self.unsaid: deque[str] = deque()
        self.asked = 0
        self._pings = 0
        self._unproved = self._to_be_proved = 0  # said since the last ping; said before it, itself included
        self._in_doubt = False
        self.speaking = asyncio.Event()
        self.stirred = asyncio.Event()  # it brought data, or is gone
        self.due = asyncio.Event()  # it should be rolled over
        self.over = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []

    @property
    def is_usable(self) -> bool:
        return self.is_good and not self.gone

    def say(self, messages: Sequence[str]) -> None:
        self.unsaid.extend(messages)
        self.speaking.set()

    def answer(self, ping: bytes) -> None:
        """The latest of the venue's pings is the one to answer (RFC 6455 §5.5.3)."""
        self.pong = ping
        self.speaking.set()

    def doubt(self) -> None:
        """Is anybody there?"""
        self._in_doubt = True
        self.speaking.set()

    @property
    def may_ask(self) -> bool:
        """Whether a ping would prove anything that is not about to be proved."""
        return not self.asked and (self._unproved > 0 or self._in_doubt)

    @property
    def asking(self) -> int:
        """The number of the ping that was not answered yet, or is about to be sent; 0 while there is neither."""
        return self.asked or (self._pings + 1 if self._in_doubt else 0)

    @property
    def has_to_speak(self) -> bool:
        return bool(self.unsaid) or self.pong is not None or self.may_ask

    def said(self) -> None:
        self.allowed.sent()
        self._unproved += 1

    def ask(self) -> bytes:
        """What the next ping says."""
        self.said()
        self._pings += 1
        self.asked, self._to_be_proved, self._unproved, self._in_doubt = self._pings, self._unproved, 0, False
        return str(self.asked).encode()

    def proved(self, pong: bytes) -> None:
        """Somebody has heard everything up to that ping."""
        if self.asked and pong == str(self.asked).encode() and not self.gone:
            self.allowed.arrived(self._to_be_proved)
            self.asked = self._to_be_proved = 0
            self.speaking.set()

    def forget(self) -> int:
        """Nobody will prove anything any more: of how much that was said it stays open whether it arrived."""
        open = self._to_be_proved + self._unproved
        self._to_be_proved = self._unproved = 0
        return open

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()


async def hang_up(socket: ClientWebSocketResponse) -> None:
    with suppress(ConnectionError, RuntimeError):
        await socket.close()


def farewell(socket: ClientWebSocketResponse, message: WSMessage) -> str:
    """Why a socket ended, as far as anybody said."""
    if message.type is WSMsgType.ERROR:
        return f"broken: {message.data}"
    code = socket.close_code
    said = f" {message.extra}" if message.type is WSMsgType.CLOSE and message.extra else ""
    return f"closed by the venue ({code}{said})" if code and code != 1006 else "cut off"
