"""One instrument's book from Binance: which diffs may be applied to which snapshot, and when nothing may be believed.

Spot diffs cover the update ids ``U`` to ``u`` without a hole, so each must start right after the last. Futures share
one sequence among all instruments; there a diff names the ``u`` of the one before it (``pu``). Diffs that come before
their snapshot wait, linked to one another; a snapshot is good when it falls on that chain. Sizes are absolute, so a
diff that overlaps the snapshot may be applied as it is.

developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#how-to-manage-a-local-order-book-correctly
developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/How-to-manage-a-local-order-book-correctly
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from bus.events import BookInvalidated, BookRestored, BookSnapshot, BookUpdate, DataGap, Levels
from feeds.port import Counts

WAITING_MAX = 5_000

NO_SNAPSHOT = "no snapshot yet"
OLD_SNAPSHOT = "the snapshot is older than the updates that wait for it"
GAP = "updates are missing"
LOST = "connection lost"
REOPENED = "connection reopened"


class _Diff(NamedTuple):
    first: int
    last: int
    previous: int
    bids: Levels
    asks: Levels
    venue_ns: int


class DepthState(msgspec.Struct, array_like=True):
    """``Depth``'s own, field for field."""

    valid: bool
    conn: str | None
    streaming: bool
    away: bool
    heard: int
    shown: int
    id: int
    linked: bool
    waiting: list[_Diff]
    reason: str
    carriers: list[str | None]


class Depth:
    """``valid`` is whether what we published is the venue's book; ``conn`` the socket that brings the next update.

    While a connection is rolled over, two sockets carry the same book; it lives as long as one of them does.
    """

    __slots__ = (
        "_away",
        "_carriers",
        "_counts",
        "_futures",
        "_heard",
        "_id",
        "_linked",
        "_reason",
        "_shown",
        "_streaming",
        "_waiting",
        "conn",
        "name",
        "valid",
    )

    def __init__(self, name: str, counts: Counts, *, futures: bool) -> None:
        self.name = name
        self.valid = False
        self.conn: str | None = None
        self._counts = counts
        self._futures = futures
        self._streaming = False  # whether a socket has brought us anything since it opened
        self._away = False  # it was lost since: a snapshot alone would be a picture of the past
        self._heard = -1  # the last diff's id since the socket opened
        self._shown = -1  # the last partial book's
        self._id = -1  # where the book, or the chain of waiting diffs, ends; -1 where no diff may follow
        self._linked = False  # whether ``_id`` is a diff's (the next must name it) or a snapshot's
        self._waiting: deque[_Diff] = deque(maxlen=WAITING_MAX)
        self._reason = ""  # why the book is invalid, once that has been said
        self._carriers: set[str | None] = set()  # whose updates make up the book

    def diff(
        self, first: int, last: int, previous: int, bids: Levels, asks: Levels, venue_ns: int, ns: int
    ) -> Sequence[object]:
        """An update of ids ``first`` to ``last``; ``previous`` is the ``pu`` of futures."""
        self._streaming, self._away = True, False
        self._carriers.add(self.conn)
        self._counts.depth_updates += 1
        events: Sequence[object] = ()
        if self._id >= 0:
            if last < self._id or (last == self._id and (self._linked or not self._futures)):
                if last <= self._heard:
                    self._counts.duplicates += 1
                else:
                    self._heard = last  # new, but the snapshot is newer
                return ()
            if not self._follows(first, previous):
                events = self._gap(first, previous, ns)
        else:
            events = self._invalidate(NO_SNAPSHOT, ns)
        self._id = self._heard = last
        self._linked = True
        if self.valid:
            return (BookUpdate(self.name, bids, asks, last, venue_ns, ns),)
        self._waiting.append(_Diff(first, last, previous, bids, asks, venue_ns))
        return events

    def snapshot(self, id: int, bids: Levels, asks: Levels, venue_ns: int, ns: int) -> Sequence[object]:
        """A REST snapshot: starts the book, or renews it when it is newer than what we have."""
        if self._away or (self.valid and id <= self._id):
            return ()
        kept = [diff for diff in self._waiting if diff.last > id or (self._futures and diff.last == id)]
        if kept and not (kept[0].previous <= id if self._futures else kept[0].first <= id + 1):
            return self._invalidate(OLD_SNAPSHOT, ns)
        self._waiting.clear()
        self._id = kept[-1].last if kept else id
        self._linked = bool(kept)
        return (
            BookSnapshot(self.name, bids, asks, id, venue_ns, ns),
            *(BookUpdate(self.name, diff.bids, diff.asks, diff.last, diff.venue_ns, ns) for diff in kept),
            *self._restore(self._id, ns),
        )

    def partial(self, id: int, bids: Levels, asks: Levels, venue_ns: int, ns: int) -> Sequence[object]:
        """The best few levels, whole each time. Where diffs are heard as well, they know more and this is ignored."""
        if self._heard >= 0:
            self._counts.ignored += 1
            return ()
        self._streaming, self._away = True, False
        self._carriers.add(self.conn)
        if self.valid and id <= self._shown:
            self._counts.duplicates += 1
            return ()
        self._id, self._shown = -1, id
        self._counts.depth_updates += 1
        return (BookSnapshot(self.name, bids, asks, id, venue_ns, ns), *self._restore(id, ns))

    def state(self) -> DepthState:
        return DepthState(
            self.valid,
            self.conn,
            self._streaming,
            self._away,
            self._heard,
            self._shown,
            self._id,
            self._linked,
            list(self._waiting),
            self._reason,
            sorted(self._carriers, key=str),
        )

    def restore(self, state: DepthState) -> None:
        self.valid, self.conn = state.valid, state.conn
        self._streaming, self._away = state.streaming, state.away
        self._heard, self._shown = state.heard, state.shown
        self._id, self._linked = state.id, state.linked
        self._waiting.extend(state.waiting)
        self._reason = state.reason
        self._carriers.update(state.carriers)

    @property
    def unbuilt(self) -> bool:
        """Whether updates come that need a snapshot to stand on."""
        return self._heard >= 0 and not self.valid

    def lost(self, conn: str | None, ns: int) -> Sequence[object]:
        """``conn`` is gone (None: whatever there was). Where no socket has a name, it may have been ours."""
        if not self._streaming or not self._leaves(conn):
            return ()
        self._away = True
        return self._restart(LOST, ns)

    def opened(self, conn: str | None, ns: int) -> Sequence[object]:
        """``conn`` (re)opened: if it is ours and we never heard that it was lost, now we know."""
        if self._away:
            self._away = False
            return ()
        return self._restart(REOPENED, ns) if self._streaming and conn in self._carriers and self._leaves(conn) else ()

    def _leaves(self, conn: str | None) -> bool:
        """Take ``conn`` from the carriers; whether nobody is left because of that."""
        if conn is None:
            self._carriers.clear()
        elif conn in self._carriers:
            self._carriers.discard(conn)
        elif None not in self._carriers:
            return False
        self._carriers.discard(None)
        return not self._carriers

    def _follows(self, first: int, previous: int) -> bool:
        if not self._futures:
            return first <= self._id + 1
        # After a snapshot it is enough that the snapshot is not older than the diff before this one.
        return previous == self._id if self._linked else previous <= self._id

    def _gap(self, first: int, previous: int, ns: int) -> Sequence[object]:
        self._counts.gaps += 1
        self._carriers = {self.conn}
        missing = (self._id + 1, first - 1) if first > self._id + 1 else (previous, previous)
        self._waiting.clear()
        return (DataGap(ns, self.name, "depth", *missing), *self._invalidate(GAP, ns))

    def _restart(self, reason: str, ns: int) -> Sequence[object]:
        self._id = self._heard = -1
        self._linked = self._streaming = False
        self._waiting.clear()
        self._carriers.clear()
        return self._invalidate(reason, ns)

    def _invalidate(self, reason: str, ns: int) -> Sequence[object]:
        if not self.valid and reason == self._reason:
            return ()
        self.valid = False
        self._reason = reason
        return (BookInvalidated(ns, self.name, reason),)

    def _restore(self, id: int, ns: int) -> Sequence[object]:
        if self.valid:
            return ()
        self.valid = True
        self._reason = ""
        return (BookRestored(ns, self.name, id),)
