"""What must follow what: the numbers of a connection, and which books are whole.

Coinbase sends a book as one snapshot and then absolute sizes, over the same connection. Nothing in an update says what
it follows. On Advanced Trade every message of a connection, whatever its channel, is one more than the last, so a jump
is a loss and the lost message may have been about any book of that connection: all of them are broken until the venue
sends a new snapshot. On Exchange the book's messages carry no number, and only the connection's life vouches for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


class Numbering:
    """The next number of each connection."""

    def __init__(self, following: Sequence[tuple[str | None, int]] = ()) -> None:
        self._next: dict[str | None, int] = dict(following)

    def state(self) -> list[tuple[str | None, int]]:
        return list(self._next.items())

    def take(self, conn: str | None, number: int) -> range | None:
        """The numbers that never came before this one (none, when it is the next); None for one heard already."""
        expected = self._next.get(conn, number)
        if number < expected:
            return None
        self._next[conn] = number + 1
        return range(expected, number)

    def restart(self, conn: str | None) -> None:
        """Whatever number comes next is the first."""
        self._next.pop(conn, None)


class Books:
    """By instrument name: the connection that keeps each whole book up to date, and the books that are broken."""

    def __init__(self, keepers: Mapping[str, str | None] | None = None, broken: Iterable[str] = ()) -> None:
        self._keepers: dict[str, str | None] = dict(keepers or {})
        self.broken: set[str] = set(broken)

    @property
    def keepers(self) -> Mapping[str, str | None]:
        return self._keepers

    def begin(self, name: str, conn: str | None) -> bool:
        """A snapshot came over ``conn``, which keeps the book from here on; whether it was not whole before."""
        news = name not in self._keepers
        self._keepers[name] = conn
        self.broken.discard(name)
        return news

    def is_whole(self, name: str) -> bool:
        return name in self._keepers

    def keeps(self, name: str, conn: str | None) -> bool:
        """Whether an update over ``conn`` is about the book as we have it."""
        return name in self._keepers and self._keepers[name] == conn

    def miss(self, name: str) -> bool:
        """An update came for a book without a snapshot; whether that is the first we hear of it."""
        if name in self.broken:
            return False
        self.broken.add(name)
        return True

    def drop(self, conn: str | None) -> list[str]:
        """Break every book that ``conn`` kept, and name them."""
        names = [name for name, keeper in self._keepers.items() if keeper == conn]
        for name in names:
            del self._keepers[name]
        self.broken.update(names)
        return names
