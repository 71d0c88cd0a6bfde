"""Time inside the core: the time of the input at hand, and timers that fire by it.

``now`` moves only when an input is accepted or a timer fires at its own nominal time, so a replay turns the same clock
the live run did. Wall time is read at the rim only, by ``WallClock``, which never steps backwards or jumps with NTP.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heappop, heappush

import msgspec

NEVER = 1 << 63
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

Callback = Callable[[], object]


class Timer(msgspec.Struct, eq=False):
    """A callback due at ``when``. Cancelled ones stay in the heap and are skipped when their time comes."""

    when: int
    callback: Callback | None

    def cancel(self) -> None:
        self.callback = None


class Clock:
    """The core's clock. ``due`` is when the next timer fires (``NEVER`` without one), kept for the door to compare."""

    __slots__ = ("_heap", "_seq", "due", "now", "until")

    def __init__(self, now: int = 0) -> None:
        self.now = now
        self.until = now  # what the latest turn went to: while late timers fire at their own times, the real present
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
        self.until = ns
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


def elapsed_ns() -> int:
    """Monotonic time, the machine's sleep included where the platform counts it (Linux does)."""
    return time.clock_gettime_ns(_ELAPSED) if _ELAPSED is not None else time.monotonic_ns()


_ELAPSED: int | None = getattr(time, "CLOCK_BOOTTIME", None)


class WallClock:
    """Wall time that never steps: the wall at start plus the time elapsed since, in integer nanoseconds UTC.

    With a ``rate`` other than 1 it is a test's: it leaves the wall at ``since_ns`` and runs that much faster, so that
    two processes told the same two numbers agree on the time.
    """

    def __init__(self, rate: float = 1.0, since_ns: int | None = None) -> None:
        wall = time.time_ns()
        since = wall if since_ns is None else since_ns
        self.rate = rate
        self._start = since + (wall - since if rate == 1.0 else int((wall - since) * rate))
        self._elapsed = elapsed_ns()

    def read(self) -> int:
        elapsed = elapsed_ns() - self._elapsed
        return self._start + (elapsed if self.rate == 1.0 else int(elapsed * self.rate))

    def wait_s(self, ns: int) -> float:
        """How long on the wall until the clock reads ``ns``."""
        return max(0.0, (ns - self.read()) / self.rate / SECOND)
