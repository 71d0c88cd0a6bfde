"""A live session run again from its own recording: what ``argus verify`` compares, and where a restart begins.

The inputs are all there is: the same build makes the same records of them, up to the last one written. A session that
was killed may have heard more than its journal tells; its state is the one before the first record that is not in
there, since nothing that was not committed has happened. After a power cut the journal may tell more than was heard:
then its own word counts for what is a fact about money (``salvage``), and somebody must look.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bus import inputs
from bus.clock import SECOND
from bus.events import StateRestored
from bus.inputs import Input
from bus.journal import Chain, Entry, JournalError, read
from config.schema import Trading
from daemon import models, sources
from daemon.live import memory
from daemon.live.door import NOBODY
from daemon.live.recorder import pieces
from daemon.proof.salvage import salvage
from daemon.session import Session, SessionError
from daemon.wiring import build
from feeds.frames import NotARecording, Recording
from feeds.port import VenueProtocol

LIVE = ("paper", "record")
"""Modes whose sessions hold their own recording."""


class Refold:
    """One session's core, made again. ``inputs`` counts what it has accepted; ``ended`` says that its ``end`` was among
    them. What ``build`` takes besides may be given.
    """

    def __init__(
        self,
        session: Session,
        chain: Chain,
        on_error: Callable[[str, Exception], None] = lambda *_: None,
        trading: Trading | None = None,
        **other: Any,
    ) -> None:
        manifest = session.manifest
        trading = trading or Trading.model_validate(manifest["config"]["trading"])
        instruments = models.instruments_of(trading)
        venues = list(dict.fromkeys(feed["venue"] for feed in manifest["feeds"]))
        here = [instrument for instrument in instruments if instrument.venue in venues]
        self._session = session
        self.protocols = sources.protocols_of(manifest["feeds"], instruments)
        self._of: dict[str | None, VenueProtocol] = {}
        self.core = build(trading, here, venues, chain, on_error, step_ns=SECOND, boot=manifest["boot"], **other)
        self.restored = opening_state(session)
        self.inputs = 0
        self.begun = self.ended = False

    def run(self, after: Callable[[], bool] = lambda: True, limit: int | None = None) -> None:
        """Accept the inputs one by one while ``after`` each of them says to go on."""
        for item in self._recorded():
            if item.kind == inputs.META:
                self.begin(item.ts or 0)
            elif limit is not None and self.inputs >= limit:
                return
            else:
                self.core.intake.accept_frames((item,), self._protocol(item))
                self.inputs += 1
                self.ended = item.kind == inputs.END
            if not after() or self.ended:
                return

    def begin(self, now: int) -> None:
        self.begun = True
        self.core.begin(now, self.restored)

    def close(self) -> None:
        """What follows the end."""
        assert self.ended, "it never ended"
        self.core.close()

    def _recorded(self) -> Iterator[Input]:
        return recorded(self._session)

    def _protocol(self, item: Input) -> VenueProtocol:
        if item.kind in _OURS:
            return NOBODY
        try:
            return self._of[item.conn]
        except KeyError:
            name = next((name for name in self.protocols if sources.belongs(item.conn, name)), None)
            found = self._of[item.conn] = self.protocols[name] if name is not None else NOBODY
            return found


def recorded(session: Session) -> Iterator[Input]:
    """A live session's inputs in order. Raises SessionError where they are gone."""
    found = pieces(session.path)
    if not found:
        raise SessionError(f"{session.path} has no recording any more: {', '.join(_GONE)}")
    for piece in found:
        try:
            for batch in Recording(piece).batches():
                yield from batch
        except NotARecording:  # nothing of it reached the disk
            return


_OURS = frozenset({inputs.COMMAND, inputs.TICK, inputs.FAULT, inputs.END})
_GONE = ("it was pruned", "moved", "or never begun")


class Written(Chain):
    """A chain that only counts how far it agrees with one on disk. ``beyond`` is set by the first record that is not
    there; ``others`` are those of the first input that led to something else than is there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._entries = read(path)
        self.beyond = False
        self.others: list[Entry] = []

    def agrees(self) -> bool:
        if self.pending and not self.beyond and not self.others:
            there = []
            for body in self.seal().splitlines():
                entry = next(self._entries, None)
                if entry is None:
                    self.beyond = True
                    break
                there.append(entry)
                if entry.body != body:
                    self.others = there
                    break
        return not self.beyond and not self.others

    def rest(self) -> list[Entry]:
        """The records on disk that were not made again."""
        return [*self.others, *self._entries]


def last_record(session: Session) -> Entry:
    """The journal's last record, after its whole chain was checked. Raises JournalError."""
    last = deque(read(session.journal), maxlen=1)
    if not last:
        raise JournalError(f"{session.journal} holds no record: the session ended before it began")
    return last[0]


def opening_state(session: Session) -> StateRestored | None:
    """What the session continued, as its own journal says; None where it continued nothing."""
    for entry in read(session.journal):
        if entry.seq == 1:
            event = entry.event()
            return event if isinstance(event, StateRestored) else None
    return None


class Left(NamedTuple):
    """What a session leaves to the one that continues it. ``unexplained`` are the records at its journal's end that its
    recording does not explain, none after anything but a power cut or a loss of files. ``fold`` made the rest.
    """

    fold: Refold
    state: StateRestored
    unexplained: list[Entry]


def left_by(session: Session) -> Left:
    """Its inputs run again as far as its journal goes. Raises SessionError, JournalError."""
    last = last_record(session)
    written = Written(session.journal)
    fold = Refold(session, written)
    if pieces(session.path):
        fold.run(written.agrees)
    explained = fold.ended or written.beyond
    if written.beyond or written.others:  # what was heard last is not told of, or not as it comes out: not happened
        before, fold = fold.inputs - 1, Refold(session, Chain())
        fold.run(limit=before)
    tail = [] if explained and not written.others else written.rest()
    if not fold.begun:
        fold.begin(next(read(session.journal)).event().ns)
    if not tail:
        return Left(fold, memory.remember(fold.core, session.path.name, last.seq, last.hash), [])
    return Left(fold, salvage(fold.core, session.path.name, tail), tail)
