"""Busy polling: after a frame, look for the next one without going to sleep.

Who sleeps has to be woken, and finds its caches cold: at some thousand frames a second that takes twice as long as all
that is done with a frame. Whoever would rather pay with a core stays awake (``process.busy_poll_ms``), as long as
frames come.
"""

from __future__ import annotations

import asyncio
from time import monotonic_ns


class BusyPoll:
    """Keeps the loop looking for ``within_ms`` of the wall's time after each frame; 0: never."""

    def __init__(self, within_ms: float) -> None:
        self._within_ns = round(within_ms * 1_000_000)
        self._until = 0
        self._looking = False

    def heard(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._within_ns:
            self._until = monotonic_ns() + self._within_ns
            if not self._looking:
                self._looking = True
                loop.call_soon(self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """A loop that has something to do asks its sockets and does not wait for them."""
        if monotonic_ns() < self._until:
            loop.call_soon(self._look, loop)
        else:
            self._looking = False
