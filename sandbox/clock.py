"""The sandbox's time: what its venues call now. Faster than the wall's when asked, still while paused.

The daemon under test runs on the same time (``[test] rate``), so an hour of a market passes for both in three minutes.
"""

from __future__ import annotations

import math
import time
from fractions import Fraction
from typing import Any, Protocol

from bus.clock import SECOND


class Clock(Protocol):
    paused: bool

    @property
    def rate(self) -> float: ...
    def read(self) -> int: ...
    def elapsed(self) -> int:
        """How long it has run or stood still: what clients are held to, who cannot know that time stands still."""
        ...

    def wait_s(self, ns: int) -> float:
        """How long on the wall until the clock reads ``ns``; infinite where nobody can say."""
        ...

    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def rewind(self, ns: int) -> None:
        """Stand still at ``ns``, earlier than now."""
        ...

    def shared(self) -> dict[str, Any]:
        """What ``[test]`` of the daemon's configuration must say for the same time."""
        ...


class RunningClock:
    """Its start plus ``rate`` times the monotonic time since, less what it stood still."""

    def __init__(self, rate: float = 1.0, start_ns: int | None = None) -> None:
        if not 0 < rate <= 100_000:
            raise ValueError(f"the rate must be above 0 and at most 100000, not {rate:g}")
        self.rate = rate
        self.paused = False
        self._base_ns = time.time_ns() if start_ns is None else start_ns
        self._since = self._start = time.monotonic_ns()

    def read(self) -> int:
        if self.paused:
            return self._base_ns
        return self._base_ns + int((time.monotonic_ns() - self._since) * self.rate)

    def elapsed(self) -> int:
        return int((time.monotonic_ns() - self._start) * self.rate)

    def wait_s(self, ns: int) -> float:
        return math.inf if self.paused else max(0.0, (ns - self.read()) / self.rate / SECOND)

    def pause(self) -> None:
        self._base_ns = self.read()
        self.paused = True

    def resume(self) -> None:
        if self.paused:
            self._since = time.monotonic_ns()
            self.paused = False

    def rewind(self, ns: int) -> None:
        self._base_ns = ns
        self.paused = True

    def shared(self) -> dict[str, Any]:
        """Another one after each pause. At rate 1 what a pause took cannot be said: there clocks differ by it."""
        if self.rate == 1:
            return {"rate": self.rate, "since_ns": 0}
        rate = Fraction(self.rate)
        return {"rate": self.rate, "since_ns": int((time.time_ns() * rate - self.read()) / (rate - 1))}


class TurnedClock:
    """A clock that a test turns by hand."""

    rate = 1.0

    def __init__(self, start_ns: int) -> None:
        self.paused = False
        self._now = start_ns

    def read(self) -> int:
        return self._now

    def elapsed(self) -> int:
        return self._now

    def wait_s(self, ns: int) -> float:
        return 0.0 if ns <= self._now else math.inf

    def turn(self, seconds: float) -> None:
        if not self.paused:
            self._now += round(seconds * SECOND)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def rewind(self, ns: int) -> None:
        self._now = ns
        self.paused = True

    def shared(self) -> dict[str, Any]:
        """Nobody shares it."""
        return {"rate": self.rate, "since_ns": 0}
