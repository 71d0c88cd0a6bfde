"""Names for orders on the wire: never reused, valid at every venue we know, and nobody's but their strategy's to shift.

A client id is prefix, boot epoch, six hex digits of the strategy's id, and that strategy's own counter: 22
characters or so, well inside the tightest rule we meet (36 of ``[A-Za-z0-9-_.:/]`` at Binance). The epoch is a
number the state directory counts up at every start, 0 in a replay, so that ids stay unique across restarts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

PREFIX = "ag"


class Outbox:
    """Hands out client ids; the counters are part of a session's state."""

    def __init__(self, epoch: int = 0) -> None:
        self._epoch = epoch
        self._stems: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._earlier: frozenset[str] = frozenset()

    def next_id(self, strategy: str) -> str:
        stem = self._stems.get(strategy)
        if stem is None:
            tag = blake2b(strategy.encode(), digest_size=3).hexdigest()
            stem = self._stems[strategy] = f"{PREFIX}{self._epoch}-{tag}-"
        number = self._counts[strategy] = self._counts.get(strategy, 0) + 1
        return f"{stem}{number}"

    def state(self) -> dict[str, int]:
        return dict(self._counts)

    def restore(self, counts: Mapping[str, int], earlier: Iterable[str]) -> None:
        """Count on from ``counts``; ``earlier`` are ids of the sessions before that something may still be said of."""
        self._counts = dict(counts)
        self._earlier = frozenset(earlier)

    def issued(self, client_id: str) -> bool:
        """Whether the id is one of ours."""
        if client_id in self._earlier:
            return True
        stem, dash, number = client_id.rpartition("-")
        strategy = next((name for name, ours in self._stems.items() if ours == stem + dash), None)
        return strategy is not None and number.isdecimal() and 0 < int(number) <= self._counts[strategy]
