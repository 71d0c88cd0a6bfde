"""How fast the rim may go: its clock, what a venue allows in a while, and how long to wait after a failure."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random

from bus.clock import SECOND
from feeds.port import Time


class RimClock:
    """The rim's time, and waits on it."""

    def __init__(self, time: Time) -> None:
        self._time = time

    def now(self) -> int:
        return self._time.read()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self._time.wait_s(self._time.read() + round(seconds * SECOND)))


class Budget:
    """At most ``most`` of something in any ``window_s``: whoever takes one too many waits until it is none."""

    def __init__(self, clock: RimClock, most: int, window_s: float) -> None:
        self._clock = clock
        self._window_ns = round(window_s * SECOND)
        self._taken: deque[int] = deque(maxlen=most)

    async def take(self) -> None:
        while (wait_ns := self._wait_ns()) > 0:
            await self._clock.sleep(wait_ns / SECOND)
        self._taken.append(self._clock.now())

    def spend(self) -> None:
        """What cannot wait (the answer to a ping) still counts."""
        self._taken.append(self._clock.now())

    def _wait_ns(self) -> int:
        if len(self._taken) < (self._taken.maxlen or 0):
            return 0
        return self._taken[0] + self._window_ns - self._clock.now()


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
