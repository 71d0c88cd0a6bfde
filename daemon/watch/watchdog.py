"""Proof of life, told to whoever started us: systemd, or the supervisor that stands in for it elsewhere.

What feeds the watchdog is a token that has travelled the way of an order: in by the door, over the bus, past the gate,
into the journal's file. It is no input and leaves no record. Where any of them is stuck, or the loop is, the token does
not come back, nobody is fed, and the process is killed and started again.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Mapping

from daemon.live.door import Door

_US = 1_000_000


class Notifier:
    """sd_notify(3): one datagram a word. Without ``NOTIFY_SOCKET`` nobody listens, and nothing is said."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._place = environ.get("NOTIFY_SOCKET", "")
        usec, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        ours = usec.isdecimal() and (not pid or pid == str(os.getpid()))
        self.watchdog_s = int(usec) / _US if ours and self._place else 0.0
        self.failed = ""

    def say(self, **words: str) -> None:
        """``READY="1"``, ``STATUS="armed"``, ``WATCHDOG="1"``, ``STOPPING="1"``."""
        if not self._place:
            return
        place = "\0" + self._place[1:] if self._place.startswith("@") else self._place
        text = "\n".join(f"{name}={value}" for name, value in words.items()).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wire:
                wire.setblocking(False)
                wire.connect(place)
                wire.send(text)
        except OSError as error:
            self.failed = f"{self._place}: {error}"


class Watchdog:
    """``every_s`` a token is sent; ``on_stuck`` is told where one got stuck, once until one comes through again."""

    def __init__(
        self, door: Door, notifier: Notifier, status: Callable[[], str], on_stuck: Callable[[str], object]
    ) -> None:
        self.door = door
        self._notifier = notifier
        self._status = status
        self._on_stuck = on_stuck
        self._stuck = ""
        self.every_s = notifier.watchdog_s / 4 if notifier.watchdog_s else 5.0
        self.fed = 0

    async def run(self) -> None:
        self._notifier.say(READY="1", STATUS=self._status())
        while True:
            self.look()
            await asyncio.sleep(self.every_s)

    def look(self) -> bool:
        """Send one token; feed whoever waits where it comes back."""
        where = self.door.travel()
        if where and where != self._stuck:
            self._on_stuck(where)
        self._stuck = where
        if where:
            self._notifier.say(STATUS=f"stuck: {where}")
            return False
        self.fed += 1
        self._notifier.say(WATCHDOG="1", STATUS=self._status())
        return True
