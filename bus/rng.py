"""Random numbers that belong to one purpose and one thing, and to nobody else.

A draw is a keyed hash of (seed, purpose, key): the third order's latency is the same whoever else traded, in whatever
order anyone asked. Keyed blake2b costs a microsecond; a Mersenne Twister per order would cost forty.
"""

from __future__ import annotations

import math
from hashlib import blake2b

_SCALE = 2.0**-53


class Draws:
    """``uniform("latency.entry", intent_id)`` and friends, from one session seed."""

    __slots__ = ("_key",)

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(16, "big", signed=True)

    def uniform(self, purpose: str, key: str) -> float:
        """A float in [0, 1) with 53 random bits."""
        digest = blake2b(f"{purpose}\0{key}".encode(), key=self._key, digest_size=8).digest()
        return (int.from_bytes(digest, "big") >> 11) * _SCALE

    def normal(self, purpose: str, key: str) -> float:
        """A standard normal variate (Box-Muller over two draws)."""
        radius = math.sqrt(-2.0 * math.log(1.0 - self.uniform(purpose + ".r", key)))
        return radius * math.cos(2.0 * math.pi * self.uniform(purpose + ".a", key))
