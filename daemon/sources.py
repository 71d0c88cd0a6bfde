"""What a session is fed from: recordings of sockets and tables of rows, merged into one line of inputs.

Several files are merged by (receive time clamped to the file's running maximum, position on the command line, line), so
the order does not depend on who read faster. A file is read in batches; a lone file's batches go through untouched.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, islice
from pathlib import Path
from typing import Any, Protocol

from bus.inputs import META, Input
from bus.values import Instrument
from daemon.intake import Intake, Row
from feeds import detect
from feeds.binance.protocol import BinanceProtocol
from feeds.coinbase.protocol import CoinbaseAdvancedProtocol, CoinbaseExchangeProtocol
from feeds.columns import Content
from feeds.frames import Recording
from feeds.port import Counts, KnownInstruments, VenueProtocol
from feeds.table import TableFeed, TableSpec

RECORDING_SUFFIXES = (".jsonl", ".jsonl.zst", ".jsonl.gz")
TABLE_SUFFIXES = (".parquet", ".csv", ".csv.gz")
BINANCE = ("binance", "binanceus", "binanceusdm", "binancecoinm")
VENUES = (*BINANCE, "coinbase", "coinbaseexchange")
SYNTHETIC = "SYNTHETIC"
_LOOK_AHEAD = 2_000
_MERGED_BATCH = 512


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


def protocol_of(venue: str, known: KnownInstruments) -> VenueProtocol:
    if venue in BINANCE:
        return BinanceProtocol(venue, known)
    if venue == "coinbase":
        return CoinbaseAdvancedProtocol(venue, known)
    return CoinbaseExchangeProtocol(venue, known)


def known_by(instruments: Iterable[Instrument]) -> KnownInstruments:
    """How protocols look an instrument up by what its venue calls it."""
    table = {(i.venue, i.symbol): i for i in instruments}
    return lambda venue, symbol: table.get((venue, symbol))


def merged(sources: Sequence[Source]) -> Iterator[tuple[Source, Sequence[Any]]]:
    """Batches in the order in which they must be accepted, each with the source it belongs to."""
    if len(sources) == 1:
        for batch in sources[0].batches():
            yield sources[0], batch
        return
    line = heapq.merge(
        *(_timed(source, position) for position, source in enumerate(sources)), key=lambda entry: entry[:2]
    )
    for position, entries in groupby(line, key=lambda entry: entry[1]):
        while batch := [item for _, _, item in islice(entries, _MERGED_BATCH)]:
            yield sources[position], batch


def _timed(source: Source, position: int) -> Iterator[tuple[int, int, Any]]:
    latest = 0
    for batch in source.batches():
        for item in batch:
            ns = source.time(item)
            if ns is not None and ns > latest:
                latest = ns
            yield latest, position, item
