"""Streams without an unbroken count of their own (quotes, klines, tickers, marks): what was heard before is not heard
again.

While a connection is rolled over two sockets say the same. Each of these streams has something that only rises; what is
not above the floor was heard already.
"""

from __future__ import annotations

import msgspec

_GROUND = (-1, -1, False)


class Floor(msgspec.Struct, gc=False):
    """What was heard last, by what only rises in the stream: ``id`` where it is numbered, else ``last``."""

    id: int = -1
    last: tuple[int, int, bool] = _GROUND


class Floors:
    """All of one protocol's, by what its streams are called."""

    def __init__(self, named: dict[str, Floor] | None = None) -> None:
        self.named = named if named is not None else {}

    def new(self, stream: str) -> Floor:
        """The stream's: where it was left, if it was heard before."""
        return self.named.setdefault(stream, Floor())

    def fall(self) -> None:
        """No socket is left: a venue may start to count anew."""
        for floor in self.named.values():
            floor.id, floor.last = -1, _GROUND
