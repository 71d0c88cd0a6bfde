"""What is looked at, how often, and what is done about it: the table of ``health.py`` for a live session."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from bus.clock import SECOND
from daemon.live import recorder
from daemon.session import identity_of
from daemon.watch.findings import Level
from daemon.watch.health import Check, Look, Problem
from daemon.watch.lag import Lag

if TYPE_CHECKING:
    from daemon.live.run import Live

SLOW_LAG_S, STUCK_LAG_S = 0.25, 2.0


def checks_of(live: Live, lag: Lag, integrity: Integrity) -> list[Check]:
    watch = live.process.watch
    return [
        Check("loop", 5.0, _loop(lag)),
        Check("memory", 10.0, _memory(watch.memory_mb << 20)),
        Check("disk", 10.0, _disk(live, 2 * live.process.recording.spare_mb << 20)),
        Check("clock", 5.0, _clock(live, watch.clock_offset_ms / 1_000)),
        Check("log", 5.0, _log(live)),
        Check("recording", 5.0, _recording(live)),
        Check("journal", 5.0, _journal(live)),
        Check("notices", 5.0, _notices(live)),
        Check("integrity", watch.integrity_every_s, integrity.look, slow=True),
    ]


class Integrity:
    """Reads the journal as SQLite sees it, by a connection of its own, read-only."""

    def __init__(self, journal: Path) -> None:
        self.journal = journal
        self.looked = 0

    def look(self) -> Problem | None:
        self.looked += 1
        try:
            db = sqlite3.connect(f"{self.journal.resolve().as_uri()}?mode=ro", uri=True)
            try:
                said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            finally:
                db.close()
        except sqlite3.Error as error:
            said = str(error)
        return None if said == "ok" else Problem("the journal is damaged", Level.CRITICAL, "halt", str(said))


def _loop(lag: Lag) -> Look:
    def look() -> Problem | None:
        worst = lag.take()
        if worst > STUCK_LAG_S:
            return Problem("the loop stood still", detail=f"{worst:.1f} s")
        return Problem("the loop is slow", detail=f"{worst * 1_000:.0f} ms") if worst > SLOW_LAG_S else None

    return look


def _memory(most: int) -> Look:
    from daemon.watch.attendant import rss_bytes

    def look() -> Problem | None:
        held = rss_bytes()
        if held <= most:
            return None
        return Problem("memory is above its limit", Level.WARNING, "collect_garbage", f"{held >> 20} MiB")

    return look


def _disk(live: Live, spare: int) -> Look:
    def look() -> Problem | None:
        free = shutil.disk_usage(live.session.path).free
        if free >= spare:
            return None
        return Problem("the disk is almost full", Level.CRITICAL, "prune_recordings", f"{free >> 20} MiB left")

    return look


def _clock(live: Live, most_s: float) -> Look:
    def look() -> Problem | None:
        offset = live.status_of_clock() / SECOND
        return Problem("the wall clock is not ours", detail=f"{offset:+.3f} s") if abs(offset) > most_s else None

    return look


def _recording(live: Live) -> Look:
    """Something was heard since the last look, so something must have been written."""
    seen = [(live.session.path, 0, 0)]

    def look() -> Problem | None:
        if live.recorder.failed:
            return Problem("nothing is recorded any more", Level.CRITICAL, detail=live.recorder.failed)
        live.door.flush()
        pieces = recorder.pieces(live.session.path)
        written = sum(piece.stat().st_size for piece in pieces)
        heard, before = live.door.accepted, seen[0]
        seen[0] = (live.session.path, heard, written)
        if before[0] == live.session.path and heard > before[1] and written == before[2]:
            return Problem("what is heard is not written", Level.CRITICAL)
        return None

    return look


def _log(live: Live) -> Look:
    def look() -> Problem | None:
        if identity_of(live.log.path) == live.log.identity:
            return None
        return Problem("the log was moved away", Level.INFO, "reopen_log")

    return look


def _journal(live: Live) -> Look:
    known = {live.session.journal: identity_of(live.session.journal)}

    def look() -> Problem | None:
        path = live.session.journal
        if path not in known:  # the process went on in another session
            known.clear()
            known[path] = identity_of(path)
        if identity_of(path) == known[path]:
            return None
        return Problem("the journal was moved or deleted under us", Level.CRITICAL, "halt")

    return look


def _notices(live: Live) -> Look:
    def look() -> Problem | None:
        why = live.unnotified
        return Problem("nobody is notified of anything", Level.WARNING, detail=why) if why else None

    return look
