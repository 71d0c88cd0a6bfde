"""A fuse around a call to the outside: after so many failures in a row it is not made again for a while.

Each time it trips it waits longer, up to a limit; the first success makes it forget. Who asks is refused at once,
without the call, and knows when to ask again: nothing here sleeps or retries by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class Tripped(Exception):
    """The call was not made; the text says what failed before and for how long it rests."""


class Breaker:
    """``now_s`` is monotonic time. ``failures`` in a row trip it, for ``rest_s`` and then twice that, at most
    ``longest_s``.
    """

    def __init__(
        self,
        name: str,
        now_s: Callable[[], float],
        *,
        failures: int = 5,
        rest_s: float = 5.0,
        longest_s: float = 300.0,
    ) -> None:
        self.name = name
        self._now_s = now_s
        self._limit = failures
        self._first_s = self._rest_s = rest_s
        self._longest_s = longest_s
        self._until_s = float("-inf")
        self.in_a_row = 0
        self.trips = 0
        self.last = ""

    @property
    def closed(self) -> bool:
        """Whether a call would be made now."""
        return self._now_s() >= self._until_s

    def call(self, do: Callable[[], Answer]) -> Answer:
        """Raises Tripped without a call, or whatever ``do`` raises."""
        self.check()
        try:
            answer = do()
        except Exception as error:
            self.failed(f"{type(error).__name__}: {error}")
            raise
        self.worked()
        return answer

    def check(self) -> None:
        """For calls that are awaited: before one. Raises Tripped."""
        left = self._until_s - self._now_s()
        if left > 0:
            raise Tripped(f"{self.name} failed {self.in_a_row} times, last by {self.last}; resting {left:.0f} s more")

    def worked(self) -> None:
        self.in_a_row, self._rest_s = 0, self._first_s

    def failed(self, why: str) -> None:
        """One more; after a rest, the first already trips it again."""
        self.in_a_row, self.last = self.in_a_row + 1, why
        if self.in_a_row >= self._limit:
            self.trips += 1
            self._until_s = self._now_s() + self._rest_s
            self._rest_s = min(self._rest_s * 2, self._longest_s)
