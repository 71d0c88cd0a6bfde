"""Run a session's inputs again and hold every record it makes against the one that was written.

Same build, same config, same inputs, same bytes; the first record that differs is named, with both sides. A session
that was cut short verifies when what it wrote is a beginning of what its inputs make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bus.journal import Chain, Entry, JournalError, read
from daemon import session
from daemon.again import reopen
from daemon.replay import Watch, play
from daemon.session import Session


class Verdict(msgspec.Struct, frozen=True):
    """``same`` records agreed; where ``equal`` is false, ``difference`` says which did not and both sides of it."""

    equal: bool
    same: int
    difference: str
    notes: list[str]


class _Differs(Exception):  # a finding, not an error
    pass


class Comparing(Chain):
    """A chain that is not written but compared, record by record, with one that was."""

    def __init__(self, written: Iterator[Entry]) -> None:
        super().__init__()
        self._written = written
        self.same = 0
        self.ran_out = False

    def check(self, *, last: bool = False) -> None:
        """Compare what is pending. Raises _Differs at the first record that is not the same."""
        for body, digest in zip(*self.seal(last=last), strict=True):
            if self.ran_out:
                return
            try:
                entry = next(self._written, None)
            except JournalError as error:
                raise _Differs(f"record {self.same}: {error}\n  made again: {body.decode()}") from error
            if entry is None:
                self.ran_out = True
                return
            if entry.body != body or entry.hash != digest:
                raise _Differs(
                    f"record {self.same} differs\n  written:    {entry.body.decode()}\n  made again: {body.decode()}"
                )
            self.same += 1

    def surplus(self) -> Entry | None:
        """A written record that nothing made again, if there is one."""
        return next(self._written, None)


async def verify(written: Session, data: Sequence[Path] = (), watch: Watch | None = None) -> Verdict:
    """Raises Usage where a recording is missing, SessionError or ConfigError where the manifest cannot be followed."""
    manifest, again = written.manifest, reopen(written, data)
    notes = again.notes
    comparing = Comparing(read(written.journal))
    failures: list[str] = []
    core = again.core(comparing, lambda where, error: failures.append(where))
    try:
        await play(core, again.sources, comparing.check, watch=watch, limit=again.limit)
        if manifest["ended"] is not None:
            core.close()
            comparing.check(last=True)
            if comparing.ran_out:
                raise _Differs(f"record {comparing.same} was made again but never written")
        else:
            comparing.check()
        if (surplus := comparing.surplus()) is not None:
            raise _Differs(f"record {comparing.same} was written but not made again: {surplus.body.decode()}")
    except _Differs as difference:
        return Verdict(False, comparing.same, str(difference), notes)
    except JournalError as error:
        return Verdict(False, comparing.same, str(error), notes)
    if expected := manifest.get("journal_sha256"):
        if session.file_hash(written.journal) != expected:
            return Verdict(
                False, comparing.same, "every record agrees, but journal.db has other bytes than at the end", notes
            )
    else:
        notes.append("the session never ended: what it wrote is a beginning of what its inputs make")
    if any(note.startswith("refused") for note in notes):
        return Verdict(False, comparing.same, "no record differs, but the data is not what the session read", notes)
    return Verdict(True, comparing.same, "", notes)
