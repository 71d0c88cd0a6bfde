"""How long a message travels. One object per assumption; each draw belongs to one message of one order.

A draw is keyed by the order's intent id (and a number from its second message on), so what other orders do shifts
nobody's delays. ``Models`` holds three: entry (new orders and replacements), cancel, and acknowledgement (reports
back).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from bus.rng import Draws

MILLISECOND = 1_000_000


class Latency(Protocol):
    def draw(self, draws: Draws, purpose: str, name: str, earlier: int) -> int:
        """Nanoseconds until a message of this ``purpose`` about the intent ``name`` arrives, of which there were
        ``earlier`` ones.
        """
        ...


class FixedLatency:
    """Always the same."""

    __slots__ = ("ns",)

    def __init__(self, ns: int = 0) -> None:
        if ns < 0:
            raise ValueError(f"a latency cannot be negative: {ns}")
        self.ns = ns

    def draw(self, draws: Draws, purpose: str, name: str, earlier: int) -> int:
        return self.ns


class UniformLatency:
    """Anything between two bounds, equally likely; the default, 50 to 200 ms."""

    __slots__ = ("high_ns", "low_ns")

    def __init__(self, low_ns: int = 50 * MILLISECOND, high_ns: int = 200 * MILLISECOND) -> None:
        if not 0 <= low_ns <= high_ns:
            raise ValueError(f"latency bounds out of order: {low_ns}..{high_ns}")
        self.low_ns = low_ns
        self.high_ns = high_ns

    def draw(self, draws: Draws, purpose: str, name: str, earlier: int) -> int:
        return self.low_ns + int(draws.uniform(purpose, _key(name, earlier)) * (self.high_ns - self.low_ns + 1))


class LogNormalLatency:
    """Mostly near the median, now and then much longer: what a public network does."""

    __slots__ = ("median_ns", "sigma")

    def __init__(self, median_ns: int, sigma: float) -> None:
        if median_ns < 0 or sigma < 0:
            raise ValueError(f"a latency cannot be negative: median {median_ns}, sigma {sigma}")
        self.median_ns = median_ns
        self.sigma = sigma

    def draw(self, draws: Draws, purpose: str, name: str, earlier: int) -> int:
        return int(self.median_ns * math.exp(self.sigma * draws.normal(purpose, _key(name, earlier))))


class MeasuredLatency:
    """One of the delays somebody measured, each equally likely."""

    __slots__ = ("samples",)

    def __init__(self, samples: Sequence[int]) -> None:
        if not samples or min(samples) < 0:
            raise ValueError("measured latencies must be some, and none negative")
        self.samples = tuple(samples)

    def draw(self, draws: Draws, purpose: str, name: str, earlier: int) -> int:
        return self.samples[int(draws.uniform(purpose, _key(name, earlier)) * len(self.samples))]


def _key(name: str, earlier: int) -> str:
    return f"{name}.{earlier}" if earlier else name
