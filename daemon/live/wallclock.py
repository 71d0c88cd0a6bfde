"""Watches the clock that stamps the inputs, and the loop that reads it: did the machine sleep, did the wall move?

The stamping clock never steps, so that no timer fires twice or too early; a wall that was set is reported, and the
stamps go on as they were until the next start. After a sleep, or a stop of the process, everything known is old.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from bus.clock import SECOND, elapsed_ns

EVERY_S = 1.0
STEP_NS = SECOND
"""A wall that moved further than this against the time elapsed has been set, not disciplined."""
STALL_S = 5.0


class ClockWatch:
    """``on_fault`` is told, in words, of what happened to time. ``offset_ns`` is how far the wall is from our clock."""

    def __init__(
        self,
        on_fault: Callable[[str], object],
        wall: Callable[[], int] = time.time_ns,
        elapsed: Callable[[], int] = elapsed_ns,
        awake: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_fault = on_fault
        self._wall, self._elapsed, self._awake = wall, elapsed, awake
        self._origin = wall() - elapsed()
        self._known = self._origin
        self._slept = elapsed() - awake()
        self._looked = elapsed()
        self.offset_ns = 0

    async def run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            self.look()

    def look(self) -> None:
        """Compare the three; a fault is said once."""
        elapsed = self._elapsed()
        slept = elapsed - self._awake()
        origin = self._wall() - elapsed
        self.offset_ns = origin - self._origin
        asleep = slept - self._slept
        stood = elapsed - self._looked - asleep
        if asleep > SECOND:
            self._on_fault(f"the machine slept for {asleep / SECOND:.1f} s")
        if stood > (EVERY_S + STALL_S) * SECOND:
            self._on_fault(f"the process stood still for {stood / SECOND - EVERY_S:.1f} s")
        if abs(moved := origin - self._known) > STEP_NS:
            self._on_fault(f"the wall clock was moved by {moved / SECOND:+.3f} s; our time goes on as it was")
            self._known = origin
        self._slept, self._looked = slept, elapsed
