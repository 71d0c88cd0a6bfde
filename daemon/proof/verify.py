"""Run a session's inputs again and hold every record it makes against the one that was written.

Same build, same config, same inputs, same bytes; the first record that differs is named, with both sides. A session
that was cut short verifies when what it wrote is a beginning of what its inputs make.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from bus.events import StateRestored
from bus.inputs import RESUME
from bus.journal import Chain, Entry, JournalError, RowDamaged, encode, read
from daemon import session
from daemon.live import recorder, rolling
from daemon.proof import refold
from daemon.proof.again import of_build, reopen
from daemon.replay import Watch, play
from daemon.session import Session

OTHER_BYTES = "every record agrees, but journal.db has other bytes than at the end"
NOT_FINAL = "somebody read journal.db as the session ended, so its bytes were not final: only its records are compared"


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
        self._written = _bodies(written)
        self.same = 0
        self.ran_out = False

    def check(self, *, last: bool = False) -> None:
        """Compare what is pending. Raises _Differs at the first record that is not the same."""
        for body in self.seal(last=last).splitlines():
            if self.ran_out:
                return
            try:
                written = next(self._written, None)
            except JournalError as error:
                raise _Differs(f"record {self.same}: {error}\n  made again: {body.decode()}") from error
            if written is None:
                self.ran_out = True
                return
            if written != body:
                raise _Differs(
                    f"record {self.same} differs\n"
                    f"  written:    {written.decode(errors='backslashreplace')}\n"
                    f"  made again: {body.decode()}"
                )
            self.same += 1

    def surplus(self) -> bytes | None:
        """A written record that nothing made again, if there is one."""
        return next(self._written, None)


def _bodies(written: Iterator[Entry]) -> Iterator[bytes]:
    """Those of a damaged row, too: what is made again shows which of them was touched."""
    try:
        for entry in written:
            yield entry.body
    except RowDamaged as damaged:
        yield from damaged.bodies
        raise


async def verify(written: Session, data: Sequence[Path] = (), watch: Watch | None = None) -> Verdict:
    """Raises Usage where a recording is missing, SessionError or ConfigError where the manifest cannot be followed."""
    if written.manifest["mode"] in refold.LIVE:
        return _verify_live(written)
    manifest, again = written.manifest, reopen(written, data)
    notes = again.notes
    comparing = Comparing(read(written.journal))
    failures: list[str] = []
    core = again.core(comparing, lambda where, error: failures.append(where))
    try:
        await play(core, again.sources(), comparing.check, watch=watch, limit=again.limit)
        if manifest["ended"] is not None:
            core.close()
            comparing.check(last=True)
            if comparing.ran_out:
                raise _Differs(f"record {comparing.same} was made again but never written")
        else:
            comparing.check()
        if (surplus := comparing.surplus()) is not None:
            raise _Differs(
                f"record {comparing.same} was written but not made again: {surplus.decode(errors='backslashreplace')}"
            )
    except _Differs as difference:
        return Verdict(False, comparing.same, str(difference), notes)
    except JournalError as error:
        return Verdict(False, comparing.same, str(error), notes)
    if not _sealed(written, notes):
        return Verdict(False, comparing.same, OTHER_BYTES, notes)
    if any(note.startswith("refused") for note in notes):
        return Verdict(False, comparing.same, "no record differs, but the data is not what the session read", notes)
    return Verdict(True, comparing.same, "", notes)


def _verify_live(written: Session) -> Verdict:
    """The session's own recording, run through the same door: commands, ticks and all."""
    manifest, notes = written.manifest, of_build(written.manifest)
    comparing = Comparing(read(written.journal))
    fold = refold.Refold(written, comparing)

    def check() -> bool:
        comparing.check()
        return not comparing.ran_out

    try:
        fold.run(check)
        if fold.ended:
            fold.close()
        comparing.check(last=fold.ended)
        if manifest["ended"] is not None and comparing.ran_out:
            raise _Differs(f"record {comparing.same} was made again but never written")
        if (surplus := comparing.surplus()) is not None:
            raise _Differs(
                f"record {comparing.same} was written but not made again: {surplus.decode(errors='backslashreplace')}"
            )
        notes += _opening(written, fold.restored)
    except _Differs as difference:
        return Verdict(False, comparing.same, str(difference), notes)
    except JournalError as error:
        return Verdict(False, comparing.same, str(error), notes)
    if not _sealed(written, notes):
        return Verdict(False, comparing.same, OTHER_BYTES, notes)
    return Verdict(True, comparing.same, "", notes)


def _sealed(written: Session, notes: list[str]) -> bool:
    """Whether the journal has the bytes with which it was left, as far as that can be asked."""
    manifest = written.manifest
    if manifest["ended"] is None:
        notes.append("the session never ended: what it wrote is a beginning of what its inputs make")
        return True
    if manifest["journal_sha256"] is None:
        notes.append(NOT_FINAL)
        return True
    return bool(session.file_hash(written.journal) == manifest["journal_sha256"])


def _opening(written: Session, restored: StateRestored | None) -> list[str]:
    """The state the session began in must be the one its parent left. Raises _Differs."""
    parent = written.manifest["parent"]
    if restored is None or parent is None:
        return []
    before = Path(parent) if Path(parent).is_dir() else written.path.parent / Path(parent).name
    if not recorder.pieces(before):
        return [f"the session it continues, {parent}, is not there: its opening state was taken on trust"]
    fold, left, _ = refold.left_by(Session.open(before))
    for name in StateRestored.__struct_fields__[1:]:
        said, made = encode(getattr(restored, name)), encode(getattr(left, name))
        if said != made:
            raise _Differs(
                f"record 1: it began with another {name} than {before.name} ended with\n"
                f"  began: {said.decode()}\n  ended: {made.decode()}"
            )
    for item in islice(refold.recorded(written), 1, None):
        if item.kind != RESUME:
            break
        conn, venue = item.conn or "", item.note or ""
        if item.raw != rolling.resume(fold.core, conn, venue, fold.protocols[conn]).raw:
            raise _Differs(f"it went on from another market of {venue} than {before.name} ended with")
    return []
