"""The record of what was decided and done: lines under one running hash, in SQLite, written in groups.

A record is a line: the JSON of ``[seq, type, fields]``, where the fields are the event's own, in declared order, ``ns``
first. ``hash[n]`` is the sha256 of lines 0 to n, so each hash vouches for all that came before it. Record 0 is
``SessionOpened``: format version, resolved trading config, instruments, opening state and seed. Where one commit
ends and the next begins changes no hash, so a replay that commits by the thousand and a live run that commits every
order agree. A hash is kept for each commit: hashing every record by itself would take as long as encoding it.

Recording an event is one list append; encoding and hashing happen at the commit. The projections a person wants to read
(orders, fills, refusals, …) are SQL views over the chain: they cost nothing to keep and cannot disagree with it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from bus.bus import Bus
from bus.events import RECORDS, Bar, BarsPassed, Record, Sheet

FORMAT = 2
_NAMES = {cls: name for name, cls in RECORDS.items()}
GENESIS = sha256().digest()
PACK = 256
"""Bars in one packed record, at most."""

Hearers = Callable[[str], list[str]]
_BUSY_MS = 5_000  # sqlite3's own default

_LASTING = "PRAGMA synchronous=NORMAL; PRAGMA checkpoint_fullfsync=ON;"  # macOS calls it done before it is on the disk
_REMAKABLE = "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=32;"
# With no disk to wait for, a megabyte of log is moved to its place while it is still in the processor's cache: writing
# a journal takes half of the time it takes by SQLite's own thirty.


def _scalar(value: object) -> object:
    """A NumPy number, as strategies hand them over, is the number it holds."""
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} has no place in a record")
    return item()


_encoder = msgspec.json.Encoder(enc_hook=_scalar)
_encode_lines = _encoder.encode_lines
encode = _encoder.encode
"""How records are written; whoever lets a stranger's value into one tries it first."""


class JournalError(Exception):
    """The file is not a journal, or not one this build can read; the text says which and why."""


class RowDamaged(JournalError):
    """A row is not what was committed. ``bodies`` are its lines as they are now, for who can tell which was touched."""

    def __init__(self, first: int, count: object, bodies: list[bytes], what: str) -> None:
        last = first + count - 1 if isinstance(count, int) else first
        super().__init__(f"the chain breaks in the row of records {first} to {last}: {what}")
        self.bodies = bodies


class Entry(msgspec.Struct, frozen=True):
    """One record as read back: ``body`` is its line, without the line feed."""

    seq: int
    type: str
    body: bytes
    hash: bytes

    def event(self) -> Record:
        """The record as the event it was. Raises JournalError for a type or shape this build does not know."""
        try:
            cls = RECORDS[self.type]
            return msgspec.json.decode(self.body, type=tuple[int, str, cls])[2]  # type: ignore[valid-type]  # built per type
        except (KeyError, msgspec.DecodeError) as error:
            raise JournalError(f"record {self.seq} ({self.type}) is not readable by this build: {error}") from error


class Row:
    """Bars of one instrument and interval, one after the other, that are alike in all but their reasons and marks.
    ``next_end`` is when the next must end to continue it, ``limit`` that of the first that would be one too many. Every
    bar writes to it, which a plain object takes in half the time that a structure does.
    """

    __slots__ = (
        "acted",
        "first_end",
        "instrument",
        "interval",
        "limit",
        "marks",
        "next_end",
        "ns",
        "reasons",
        "sheet",
        "strategies",
    )

    def __init__(
        self, instrument: str, interval: int, first_end: int, strategies: list[str], sheet: Sheet | None
    ) -> None:
        self.instrument = instrument
        self.interval = interval
        self.first_end = self.next_end = first_end
        self.limit = first_end + PACK * interval
        self.ns = 0
        self.strategies = strategies
        self.acted: list[str] = []
        self.reasons: dict[str, list[str]] = {}
        self.sheet = sheet
        self.marks: list[float] = []

    @property
    def count(self) -> int:
        return (self.next_end - self.first_end) // self.interval


NO_ROW = Row("", 1, -1, [], None)


class Chain:
    """Events in, lines and their running hash out: the part that a comparing reader and a writing journal share.

    Bars on which nothing was decided, and equity at each bar, are packed where somebody tells of them (``passed``):
    they lengthen rows that end with the next other record, with a bar that does not fit, or when one is full. The open
    pack stands where its first bar came (``opened_at`` in ``pending``), before anything recorded since. ``row`` is the
    last one lengthened, as long as a bar may continue it without further question.
    """

    def __init__(self) -> None:
        self.pending: list[Record] = []
        self.seq = 0
        self._hash = sha256()
        self._rows: dict[tuple[str, int], Row] = {}
        self.opened_at = -1
        self.row = NO_ROW
        self._acted: list[str] = []
        self._said: list[tuple[str, str]] = []

    @property
    def head(self) -> bytes:
        """The hash of all that was sealed."""
        return self._hash.digest()

    def attach(self, bus: Bus) -> None:
        """Record every journaled event, before any other subscriber hears it."""
        for event_type in RECORDS.values():
            bus.subscribe(event_type, self.pending.append)

    def acted(self, strategy: str) -> None:
        """Of the closed bar that is being heard: a strategy does not let it pass."""
        self.row = NO_ROW
        self._acted.append(strategy)

    def held(self, strategy: str, reason: str) -> None:
        """Of the closed bar that is being heard: why a strategy lets it pass."""
        self.row = NO_ROW
        self._said.append((strategy, reason))

    def passed(self, bar: Bar, ns: int, hearers: Hearers, sheet: Sheet | None, marks: Sequence[float]) -> None:
        """A closed bar was heard by all. ``hearers`` says which strategies hear its instrument."""
        if self.opened_at != len(self.pending):
            self._open_pack()
        key = bar.instrument, bar.interval_ns
        row = self._rows.get(key)
        if (
            row is None
            or row.next_end != bar.end_ns
            or row.next_end == row.limit
            or row.acted
            or (row.sheet is not sheet and row.sheet != sheet)
        ):
            if row is not None:
                self._open_pack()
            row = self._rows[key] = Row(*key, bar.end_ns, hearers(bar.instrument), sheet)
        row.ns = ns
        row.next_end += row.interval
        row.marks += marks
        if self._said:
            self._note_reasons(row)
        row.acted, self._acted = self._acted, []
        self.row = NO_ROW if row.acted or sheet is None or row.next_end == row.limit else row

    def _note_reasons(self, row: Row) -> None:
        before = row.count - 1
        for strategy, reason in self._said:
            reasons = row.reasons.setdefault(strategy, [])
            reasons += [""] * (before - len(reasons))
            reasons[before:] = [reason]  # its last word counts
        self._said.clear()

    def seal(self, *, last: bool = False) -> bytes:
        """Chain what is pending; its lines. An open pack of bars waits for the record that closes it, unless this is
        the ``last``.
        """
        if self.opened_at >= 0 and (last or self.opened_at != len(self.pending)):
            self._close_pack()
        events = self.pending
        numbered = zip(count(self.seq), map(_NAMES.__getitem__, map(type, events)), events, strict=False)
        lines = _encode_lines(list(numbered))
        self._hash.update(lines)
        self.seq += len(events)
        events.clear()
        if self.opened_at >= 0:
            self.opened_at = 0
        return lines

    def _open_pack(self) -> None:
        """Close the one before, if something was recorded since, and open one here."""
        if self.opened_at >= 0:
            self._close_pack()
        self.opened_at = len(self.pending)

    def _close_pack(self) -> None:
        """Put the packed bars in their place: before whatever closed them."""
        self.pending[self.opened_at : self.opened_at] = map(_packed, self._rows.values())
        self.opened_at = -1
        self._rows.clear()
        self.row = NO_ROW


def _packed(row: Row) -> BarsPassed:
    count = row.count
    reasons = [row.reasons.get(name, []) for name in row.strategies] if row.reasons else []
    for said in reasons:
        if said:
            said += [""] * (count - len(said))
    return BarsPassed(
        row.ns,
        row.instrument,
        row.interval,
        row.first_end,
        count,
        row.strategies,
        row.acted,
        reasons,
        row.sheet,
        row.marks,
    )


class Journal(Chain):
    """The chain on disk. Raises JournalError where ``path`` already exists: a journal is never continued by another
    run. What was committed outlives the process; where the run can be made again (``remakable``) it need not outlive
    the machine. After a commit that failed nothing more is written: a chain with a hole in it is none.
    """

    def __init__(self, path: Path, *, remakable: bool = False) -> None:
        super().__init__()
        if path.exists():
            raise JournalError(f"{path} already exists; a session writes a journal of its own")
        self.path = path
        self._torn = False
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(
            "PRAGMA page_size=32768; PRAGMA journal_mode=WAL;" + (_REMAKABLE if remakable else _LASTING) + _SCHEMA
        )
        self._db.execute("INSERT INTO about VALUES ('format', ?)", (str(FORMAT),))

    def commit(self, *, last: bool = False) -> None:
        """Make what is pending durable against a crash of the process, in one row."""
        if self._torn:
            return
        self._torn, first = True, self.seq
        lines = self.seal(last=last)
        if lines:
            self._db.execute("INSERT INTO chain VALUES (?, ?, ?, ?)", (first, self.seq - first, lines, self.head))
        self._torn = False

    def alive(self) -> str:
        """Take the file's write lock and let go of it again; why that is not possible, empty where it is."""
        try:
            # Waiting for somebody else's lock would hold the loop; who asks asks again.
            self._db.execute("PRAGMA busy_timeout = 0")
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("ROLLBACK")
        except sqlite3.Error as error:
            return f"journal: {error}"
        finally:
            self._db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return ""

    def close(self) -> bool:
        """Commit the rest and leave one self-contained file behind; whether its bytes are final. Where somebody reads
        it at this moment they are not: SQLite writes the file once more when they are done, and its two files beside
        it stay until then. What it holds is the same.
        """
        self.commit(last=True)
        try:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._db.execute("PRAGMA journal_mode=DELETE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            return False
        finally:
            self._db.close()
        return True


def read(path: Path) -> Iterator[Entry]:
    """The records of a journal in order, none of a row before all of it was checked against its hash.

    Raises RowDamaged where the chain breaks, JournalError saying why where the file cannot be read at all.
    """
    if not path.is_file():
        raise JournalError(f"{path} does not exist")
    db = sqlite3.connect(path, check_same_thread=False)  # a reading given up is closed by any thread that collects it
    running, expected = sha256(), 0
    try:
        row = db.execute("SELECT value FROM about WHERE key = 'format'").fetchone()
        if row is None or row[0] != str(FORMAT):
            raise JournalError(
                f"{path} has journal format {row and row[0]}; this build reads {FORMAT}: "
                "ask the build that wrote it, and let this one begin in a state directory of its own"
            )
        for first, count, lines, digest in db.execute("SELECT first, count, lines, hash FROM chain ORDER BY first"):
            if first != expected:
                raise JournalError(f"the chain breaks at record {expected}: the next row starts at record {first}")
            before = running.copy()
            for body in _bodies(running, first, count, lines, digest):
                before.update(body + b"\n")
                yield Entry(expected, _type_of(expected, body), body, before.digest())
                expected += 1
    except (sqlite3.DatabaseError, UnicodeError) as error:
        raise JournalError(f"{path} is damaged at record {expected}: {error}") from error
    finally:
        db.close()


def _bodies(running: Any, first: int, count: object, lines: object, digest: object) -> list[bytes]:
    """A row's lines; ``running`` goes on over them. Raises RowDamaged where that does not lead to ``digest``."""
    if not isinstance(lines, bytes):
        raise RowDamaged(first, count, [], "it holds no lines")
    bodies = lines.split(b"\n")[:-1]
    running.update(lines)
    if running.digest() != digest:
        raise RowDamaged(first, count, bodies, "its hash does not fit")
    if len(bodies) != count:
        raise RowDamaged(first, count, bodies, f"it holds {len(bodies)} records")
    return bodies


def _type_of(seq: int, body: bytes) -> str:
    try:
        number, name, _ = msgspec.json.decode(body, type=tuple[int, str, msgspec.Raw])
    except msgspec.DecodeError as error:
        raise JournalError(f"record {seq} is not a record: {error}") from error
    if number != seq:
        raise JournalError(f"the chain breaks at record {seq}: it says it is record {number}")
    return name


def _view(name: str, record: type[Record]) -> str:
    """A projection: one row per record of a type, one column per field, nested values as JSON text."""
    columns = ", ".join(
        f"json_extract(r.value, '$[2][{index}]') AS \"{field}\"" for index, field in enumerate(record.__struct_fields__)
    )
    return (
        f"CREATE VIEW {name} AS SELECT json_extract(r.value, '$[0]') AS seq, {columns} "
        "FROM chain, json_each('[' || replace(rtrim(CAST(chain.lines AS TEXT), char(10)), char(10), ',') || ']') r "
        f"WHERE json_extract(r.value, '$[1]') = '{record.__name__}';"
    )


_SCHEMA = (
    "CREATE TABLE about (key TEXT PRIMARY KEY, value TEXT NOT NULL);"
    "CREATE TABLE chain (first INTEGER PRIMARY KEY, count INTEGER NOT NULL, "
    "lines BLOB NOT NULL, hash BLOB NOT NULL);"
    + "".join(
        _view(name, RECORDS[record])
        for name, record in {
            "decisions": "Decision",
            "approvals": "OrderApproved",
            "refusals": "OrderRefused",
            "submissions": "OrderSubmitted",
            "fills": "OrderFilled",
            "rejections": "OrderRejected",
            "bars": "BarsPassed",
            "funding": "FundingPaid",
            "gaps": "DataGap",
            "states": "TradingStateChanged",
        }.items()
    )
)
