"""Time inside the core: the time of the input at hand, and timers that fire by it.

``now`` moves only when an input is accepted or a timer fires at its own nominal time, so a replay turns the same clock
the live run did. Wall time is read at the rim only, by ``WallClock``, which never steps backwards or jumps with NTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heappop, heappush

NEVER = 1 << 63
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Callback = Callable[[], object]


class Timer:
    """A callback due at ``when``. Cancelled ones stay in the heap and are skipped when their time comes."""

    __slots__ = ("callback", "when")

    def __init__(self, when: int, callback: Callback) -> None:
        self.when = when
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        self.callback = None


class Clock:
    """The core's clock. ``due`` is when the next timer fires (``NEVER`` without one), kept for the door to compare."""

    __slots__ = ("_heap", "_seq", "due", "now")

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.due = NEVER
        self._heap: list[tuple[int, int, Timer]] = []  # the number in the middle settles ties before Timer is compared
        self._seq = 0

    def at(self, when: int, callback: Callback) -> Timer:
        """Call ``callback`` when the clock reaches ``when`` ns; equal times fire in the order they were asked for."""
        self._seq += 1
        timer = Timer(when, callback)
        heappush(self._heap, (when, self._seq, timer))
        if when < self.due:
            self.due = when
        return timer

    def turn(self, ns: int) -> int:
        """Move to ``ns``, firing each due timer at its own time on the way; returns how many fired."""
        heap = self._heap
        fired = 0
        while heap and heap[0][0] <= ns:
            when, _, timer = heappop(heap)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                if when > self.now:
                    self.now = when
                self.due = heap[0][0] if heap else NEVER
                callback()
                fired += 1
        self.due = heap[0][0] if heap else NEVER
        if ns > self.now:
            self.now = ns
        return fired


class WallClock:
    """Wall time that never steps: the wall at start plus monotonic time since, in integer nanoseconds UTC."""

    def __init__(self) -> None:
        self._offset = time.time_ns() - time.monotonic_ns()

    def read(self) -> int:
        return self._offset + time.monotonic_ns()
