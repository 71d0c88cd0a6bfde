"""How fast the rim may go: its clock, what a venue allows in a while, and how long to wait after a failure."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from bus.clock import SECOND
from feeds.port import Time

_LOOKS = 25
"""How often in a window somebody who waits for room looks whether there is some."""
MACHINE_S = 0.5
"""Of the wall's time: however fast the feeds' time runs, the least that a process is given to come round to something.
"""


class RimClock:
    """The rim's time, and waits on it. What a venue allows is counted by it; what is waited for because another process
    may be slow, or ours, is ``patience_s``: a day may pass in a minute, a loopback's answer takes what it takes.
    """

    def __init__(self, time: Time) -> None:
        self._time = time

    def now(self) -> int:
        return self._time.read()

    def patience_s(self, seconds: float, wall_s: float = MACHINE_S) -> float:
        """So long, but never less than ``wall_s`` on the wall."""
        return max(seconds, wall_s * self._time.rate)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self._time.wait_s(self._time.read() + round(seconds * SECOND)))


class Allowance:
    """At most ``most`` in any ``window_s``, as whoever hears them counts: by when they arrive.

    What was sent counts until ``window_s`` after it is *known* to have arrived, whatever the clock said when it was
    written. So nothing can bunch too many together, neither a stall at either end nor whatever held them up between:
    of those that arrive within ``window_s``, all that were sent before the last still counted when it was sent.
    """

    def __init__(self, clock: RimClock, most: int, window_s: float) -> None:
        self._clock = clock
        self._most = most
        self._window_ns = round(window_s * SECOND)
        self._under_way = 0
        self._arrived: deque[int] = deque()  # when each was known to be there

    @property
    def free(self) -> int:
        """How many may be sent right now."""
        arrived, over = self._arrived, self._clock.now() - self._window_ns
        while arrived and arrived[0] <= over:
            arrived.popleft()
        return self._most - self._under_way - len(arrived)

    def sent(self) -> None:
        """One is under way; ``free`` has said that it may be."""
        self._under_way += 1

    def arrived(self, count: int = 1) -> None:
        """So many more are known to be there."""
        self._under_way -= count
        self._arrived.extend([self._clock.now()] * count)

    async def change(self) -> None:
        """Wait until there may be more room than there is, and not long."""
        wait_ns = self._window_ns // _LOOKS
        if self._arrived:
            wait_ns = min(wait_ns, max(1, self._arrived[0] + self._window_ns - self._clock.now()))
        await self._clock.sleep(wait_ns / SECOND)

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Wait for room for one; it has arrived when the body ends, however it ends."""
        while self.free < 1:
            await self.change()
        self.sent()
        try:
            yield
        finally:
            self.arrived()


class Backoff:
    """Waits that double from ``first_s`` to ``cap_s``, each cut by chance to between half and all of it, so that many
    do not come back at once. Only something good resets them; a connect is nothing good yet.
    """

    def __init__(self, first_s: float, cap_s: float, chance: Random) -> None:
        self._first_s, self._cap_s, self._chance = first_s, cap_s, chance
        self.failures = 0

    def next_s(self, at_least_s: float = 0.0) -> float:
        """The next wait. A venue that says how long it will not have us is believed."""
        wait_s = self._first_s if at_least_s else min(self._cap_s, self._first_s * 2.0 ** min(self.failures, 30))
        self.failures += 1
        return at_least_s + wait_s * self._chance.uniform(0.5, 1.0)

    def reset(self) -> None:
        self.failures = 0
