"""The session's memory: every input as it came, in pieces, written before anything that follows from it is.

``inputs-0001.jsonl.zst``, ``-0002`` … A new piece begins with a new hour of the inputs' own time and when a piece is
large, so that old ones can be moved away while the session goes on. ``flush`` hands everything to the operating system
at a point from which it decodes: the journal is committed after it, so that after a crash of the process the inputs
explain every record.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from bus.clock import DAY, HOUR
from bus.inputs import Input
from feeds.frames import RecordingWriter

PATTERN = "inputs-*.jsonl.zst"


class RecorderFailed(Exception):
    """Nothing more can be recorded; the text says why."""


class Keeping(NamedTuple):
    """``piece_bytes`` of text in one piece at most; finished sessions lose their recordings after ``days``, the oldest
    first while all together are larger than ``budget_bytes``; nothing is recorded with less than ``spare_bytes`` free.
    """

    piece_bytes: int = 256 << 20
    days: float = 30.0
    budget_bytes: int = 50 << 30
    spare_bytes: int = 256 << 20


class Recorder:
    """Raises RecorderFailed where the disk does not take what it is given, and from then on."""

    def __init__(self, session: Path, keeping: Keeping) -> None:
        self._session = session
        self.keeping = keeping
        self.piece = 0
        self._hour = -1
        self._size = 0
        self._writer: RecordingWriter | None = None
        self.failed = ""
        self.inputs = 0

    def write(self, item: Input) -> None:
        hour = (item.ts or 0) // HOUR
        writer = self._writer
        if writer is None or hour > self._hour or self._size > self.keeping.piece_bytes:
            writer = self._turn(hour)
        try:
            writer.write(item)
        except OSError as error:
            raise self._fail(error) from error
        self.inputs += 1
        self._size += len(item.raw)

    def flush(self) -> None:
        if self._writer is not None and not self.failed:
            try:
                self._writer.flush()
            except OSError as error:
                raise self._fail(error) from error

    def close(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None and not self.failed:
            try:
                writer.close()
            except OSError as error:
                raise self._fail(error) from error

    def _turn(self, hour: int) -> RecordingWriter:
        if self.failed:
            raise RecorderFailed(self.failed)
        self.close()
        self.piece += 1
        self._hour, self._size = hour, 0
        try:
            if (free := shutil.disk_usage(self._session).free) < self.keeping.spare_bytes:
                raise OSError(0, f"only {free >> 20} MiB are free", str(self._session))
            self._writer = RecordingWriter(self._session / f"inputs-{self.piece:04}.jsonl.zst")
        except OSError as error:
            raise self._fail(error) from error
        return self._writer

    def _fail(self, error: OSError) -> RecorderFailed:
        self.failed = f"{error.filename or self._session}: {error.strerror or error}"
        return RecorderFailed(self.failed)


def pieces(session: Path) -> list[Path]:
    """A session's recording in the order in which it was made."""
    return sorted(session.glob(PATTERN), key=lambda path: (len(path.name), path.name))


def recording_of(path: Path) -> list[Path]:
    """The files of a recording: a live session's own, where ``path`` is its directory, else the one file it is."""
    return pieces(path) or [path]


def prune(
    root: Path,
    keeping: Keeping,
    now_ns: int,
    keep: frozenset[Path],
    needed: Callable[[Path], bool] = lambda _session: False,
) -> list[Path]:
    """Delete the recordings of sessions under ``root`` that are too old, or too many; returns what went.

    Journals stay. Sessions in ``keep`` (the present one and the one it continues) are not touched, nor any that is
    ``needed``: others may keep theirs in the same place, and delete them too. What cannot be deleted is passed over.
    """
    found = sorted(_recorded(root, keep, needed), key=lambda one: one.ended_ns)
    total = sum(one.size for one in found)
    gone = []
    for one in found:
        if one.ended_ns + keeping.days * DAY >= now_ns and total <= keeping.budget_bytes:
            break
        for piece in one.pieces:
            with suppress(OSError):
                piece.unlink()
                gone.append(piece)
        total -= one.size
    return gone


class _Recorded(NamedTuple):
    ended_ns: int
    size: int
    pieces: list[Path]


def _recorded(root: Path, keep: frozenset[Path], needed: Callable[[Path], bool]) -> Iterator[_Recorded]:
    for session in root.iterdir() if root.is_dir() else ():
        found = pieces(session) if session.resolve() not in keep else []
        if found and not needed(session):
            try:
                stats = [piece.stat() for piece in found]
            except OSError:
                continue
            yield _Recorded(max(stat.st_mtime_ns for stat in stats), sum(stat.st_size for stat in stats), found)
