"""Streams without an unbroken count of their own (quotes, klines, tickers, marks): what was heard before is not heard
again.

While a connection is rolled over two sockets say the same. Each of these streams has something that only rises; what is
not above the floor was heard already.
"""

from __future__ import annotations

from weakref import WeakSet

_GROUND = (-1, -1, False)


class Floor:
    """What was heard last, by what only rises in the stream: ``id`` where it is numbered, else ``last``."""

    __slots__ = ("__weakref__", "id", "last")

    def __init__(self) -> None:
        self.id = -1
        self.last: tuple[int, int, bool] = _GROUND


class Floors:
    """All of one protocol's; a stream that is forgotten takes its floor along."""

    def __init__(self) -> None:
        self._floors: WeakSet[Floor] = WeakSet()

    def new(self) -> Floor:
        floor = Floor()
        self._floors.add(floor)
        return floor

    def fall(self) -> None:
        """No socket is left: a venue may start to count anew."""
        for floor in self._floors:
            floor.id, floor.last = -1, _GROUND
