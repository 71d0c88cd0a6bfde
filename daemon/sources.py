"""What a session is fed from: recordings of sockets and tables of rows, merged into one line of inputs.

Several files are merged by (receive time clamped to the file's running maximum, position on the command line, line), so
the order does not depend on who read faster. A file is read in batches; a lone file's batches go through untouched.
"""

from __future__ import annotations

import importlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

from bus.inputs import META, Input
from bus.values import Instrument
from daemon.intake import Intake, Row
from feeds import detect
from feeds.columns import Content
from feeds.frames import Recording
from feeds.port import Counts, KnownInstruments, LiveProtocol, VenueProtocol
from feeds.table import TableFeed, TableSpec

RECORDING_SUFFIXES = (".jsonl", ".jsonl.zst", ".jsonl.gz")
TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz")
BINANCE = ("binance", "binanceus", "binanceusdm", "binancecoinm")
PROTOCOLS: Mapping[str, str] = {
    **dict.fromkeys(BINANCE, "feeds.binance.protocol:BinanceProtocol"),
    "coinbase": "feeds.coinbase.protocol:CoinbaseAdvancedProtocol",
    "coinbaseexchange": "feeds.coinbase.protocol:CoinbaseExchangeProtocol",
}
"""Who reads a venue's frames, by name: imported for the venue that is there, and not for a table."""
OTHERS = "feeds.ccxt_protocol:CcxtProtocol"
VENUES = tuple(PROTOCOLS)
SYNTHETIC = "SYNTHETIC"
_LOOK_AHEAD = 2_000


class BadSource(ValueError):  # the user's file, in the user's words
    """A file that cannot feed a session; the text says why and what to do."""


class Bad:
    """One thing in a file that could not be used: where, what, why."""

    __slots__ = ("line", "path", "reason", "text")

    def __init__(self, path: Path, line: int, text: str, reason: str) -> None:
        self.path = path
        self.line = line
        self.text = text
        self.reason = reason


class Source(Protocol):
    """A file being fed. ``bars_only`` says that it can tell a strategy nothing finer than bars."""

    path: Path
    counts: Counts
    bad: list[Bad]
    bad_lines: int
    bars_only: bool
    venue: str
    synthetic: str

    def batches(self) -> Iterator[Sequence[Any]]: ...

    def accept(self, intake: Intake, batch: Sequence[Any]) -> None: ...

    def time(self, item: Any) -> int | None: ...

    def reject(self, item: Input, reason: str) -> None: ...

    def line_of(self, item: Any) -> int: ...

    def progress(self) -> float: ...


KEPT = 1_000
"""How many bad lines of a file are kept whole; the rest are counted."""


class FrameSource:
    """A recording and the protocol that understands it."""

    bars_only = False

    def __init__(self, path: Path, venue: str, protocol: VenueProtocol, synthetic: str) -> None:
        self.path = path
        self.synthetic = synthetic
        self.venue = venue
        self.protocol = protocol
        self.counts = protocol.counts
        self.bad: list[Bad] = []
        self.bad_lines = 0
        self._recording = Recording(path, self._keep)

    def batches(self) -> Iterator[Sequence[Input]]:
        return self._recording.batches()

    def accept(self, intake: Intake, batch: Sequence[Input]) -> None:
        intake.accept_frames(batch, self.protocol)

    def time(self, item: Input) -> int | None:
        return item.ts

    def reject(self, item: Input, reason: str) -> None:
        self._keep(self._recording.locate(item), item.raw, reason)

    def line_of(self, item: Input) -> int:
        return self._recording.locate(item)

    def progress(self) -> float:
        return self._recording.progress()

    def _keep(self, line: int, text: str, reason: str) -> None:
        self.bad_lines += 1
        if len(self.bad) < KEPT:
            self.bad.append(Bad(self.path, line, text, reason))


class RowSource:
    """A table; its rows are events already."""

    synthetic = ""

    def __init__(self, path: Path, spec: TableSpec) -> None:
        self.path = path
        self.venue = spec.instrument.partition(":")[0]
        self.bad: list[Bad] = []
        self.bad_lines = 0
        self._feed = TableFeed(path, spec, self._keep)
        self.counts = self._feed.counts
        self.bars_only = self._feed.content is Content.BARS

    def batches(self) -> Iterator[Sequence[Row]]:
        return self._feed.batches()

    def accept(self, intake: Intake, batch: Sequence[Row]) -> None:
        intake.accept_rows(batch)

    def time(self, item: Row) -> int | None:
        return item.local_ns

    def reject(self, item: Input, reason: str) -> None:
        raise AssertionError("a row is an event already; there is nothing left in it to reject")

    def line_of(self, item: Row) -> int:
        return 0  # rows are read by the column; which one an event was is not kept

    def progress(self) -> float:
        return self._feed.progress()

    def _keep(self, row: int, reason: str) -> None:
        self.bad_lines += 1
        if len(self.bad) < KEPT:
            self.bad.append(Bad(self.path, row, "", reason))


def is_table(path: Path) -> bool:
    return path.name.endswith(TABLE_SUFFIXES)


def look_at(path: Path, given: str | None) -> tuple[str, str]:
    """The venue a recording was made at (by its own lines, else as ``given``; never by its name), and the note by
    which a generated one says so. Raises BadSource, NotARecording.
    """
    head = list(islice(chain.from_iterable(Recording(path).batches()), _LOOK_AHEAD))
    try:
        venue = detect.venue_of(head) or given
    except detect.SeveralVenues as several:
        raise BadSource(f"{path}: {several}") from several
    if venue is None:
        known = ", ".join(VENUES)
        raise BadSource(f"{path}: nothing in it says which venue it was recorded at; name it with --venue ({known})")
    if venue not in VENUES:
        raise BadSource(f"{path}: {venue!r} is not a venue we can read; those are {', '.join(VENUES)}")
    notes = (item.note or "" for item in head if item.kind == META)
    return venue, next((note for note in notes if note.startswith(SYNTHETIC)), "")


def protocol_of(venue: str, known: KnownInstruments) -> LiveProtocol:
    module, _, name = PROTOCOLS.get(venue, OTHERS).partition(":")
    made: LiveProtocol = getattr(importlib.import_module(module), name)(venue, known)
    return made


def known_by(instruments: Iterable[Instrument]) -> KnownInstruments:
    """How protocols look an instrument up by what its venue calls it."""
    table = {(i.venue, i.symbol): i for i in instruments}
    return lambda venue, symbol: table.get((venue, symbol))


def protocols_of(feeds: Iterable[Mapping[str, str]], instruments: Iterable[Instrument]) -> dict[str, VenueProtocol]:
    """A live session's protocols by the name its connections begin with, as its manifest lists them."""
    known = known_by(instruments)
    return {feed["conn"]: protocol_of(feed["venue"], known) for feed in feeds}


def belongs(conn: str | None, name: str) -> bool:
    """Whether ``conn`` is a connection of the feed called ``name``: that name, or one that goes on from it."""
    return conn is not None and (conn == name or conn.startswith(name + "/"))


def merged(sources: Sequence[Source]) -> Iterator[tuple[Source, Sequence[Any]]]:
    """Batches in the order in which they must be accepted, each with the source it belongs to.

    A batch is a piece of the one its source has just read, never of two: the source can still say which line an item
    came from.
    """
    if len(sources) == 1:
        for batch in sources[0].batches():
            yield sources[0], batch
        return
    lines = [line for position, source in enumerate(sources) if (line := _Line(source, position)).refill()]
    while lines:
        first = min(lines, key=_Line.head)
        yield first.source, first.take(min((line.head() for line in lines if line is not first), default=_LAST))
        if not first.refill():
            lines.remove(first)


_LAST = (1 << 64, 0)


class _Line:
    """What a source has still to give: its batch under way, with times that never go back within the file."""

    def __init__(self, source: Source, position: int) -> None:
        self.source = source
        self._position = position
        self._batches = source.batches()
        self._batch: Sequence[Any] = ()
        self._times: list[int] = []
        self._at = 0
        self._latest: int | None = None

    def head(self) -> tuple[int, int]:
        return self._times[self._at], self._position

    def take(self, before: tuple[int, int]) -> Sequence[Any]:
        """The items that come before another line's head."""
        ns, position = before
        cut = bisect_right if self._position < position else bisect_left
        start, self._at = self._at, cut(self._times, ns, self._at)
        return self._batch[start : self._at]

    def refill(self) -> bool:
        """Have something to give; False at the end of the file."""
        while self._at == len(self._batch):
            batch = next(self._batches, None)
            if batch is None:
                return False
            self._batch, self._at, time = batch, 0, self.source.time
            if self._latest is None:  # lines before the first time, as a recording's heading, go with it
                self._latest = next((ns for item in batch if (ns := time(item)) is not None), None)
            self._times = [self._advance(time(item)) for item in batch]
        return True

    def _advance(self, ns: int | None) -> int:
        latest = self._latest or 0
        if ns is not None and ns > latest:
            latest = self._latest = ns
        return latest
