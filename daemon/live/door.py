"""The live door: what a socket heard is stamped, recorded, and has happened before the call returns.

``accept`` is the one way in. Its order is the whole point: the time is given, the input is recorded, the core hears it,
what follows is committed. The recorder is flushed before each commit, so that whatever the journal says, the inputs on
disk explain it. A wake-up that fires a timer while no frame came is an input too (``tick``): a replay turns the same
timers at the same times.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from bus import inputs
from bus.clock import NEVER, SECOND
from bus.events import StateRestored, Token
from bus.inputs import Command, Input
from bus.journal import Journal
from daemon.live.recorder import Recorder, RecorderFailed
from daemon.wiring import Core
from feeds.port import Counts, VenueProtocol

Accept = Callable[[Sequence[Input], VenueProtocol], None]

FLUSH_EVERY_NS = SECOND
"""How long an input that led to no record may wait in memory, on the wall."""


class Time(Protocol):
    rate: float

    def read(self) -> int: ...


class Nobody:
    """Hears inputs that belong to no venue: commands, ticks, faults."""

    venue = ""

    def __init__(self) -> None:
        self.counts = Counts()

    def receive(self, raw: str, local_ns: int, conn: str | None) -> Sequence[object]:
        return ()

    def reply(self, url: str, raw: str, local_ns: int) -> Sequence[object]:
        return ()

    def opened(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return ()

    def lost(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return ()

    def state(self) -> bytes:
        return b"null"

    def resume(self, state: bytes, local_ns: int) -> Sequence[object]:
        return ()


NOBODY = Nobody()


class Door:
    """``on_wake`` is told when the next timer is due, whenever that changes. ``broken`` says why nothing more gets in,
    empty while all is well: a journal that cannot be committed ends the session.
    """

    def __init__(
        self,
        core: Core,
        journal: Journal,
        recorder: Recorder,
        time: Time,
        on_wake: Callable[[int], None] = lambda _ns: None,
    ) -> None:
        self.core = core
        self.journal = journal
        self.recorder = recorder
        self.time = time
        self.broken = ""
        self.accepted = 0
        self._ended = False
        self._on_wake = on_wake
        self._last = 0
        self._flushed = 0
        self._flush_every_ns = round(FLUSH_EVERY_NS * time.rate)
        self._due = NEVER

    @property
    def last_ns(self) -> int:
        """The stamp of the latest input."""
        return self._last

    def begin(
        self,
        about: Mapping[str, Any],
        restored: StateRestored | None = None,
        carried: Sequence[tuple[Input, VenueProtocol]] = (),
    ) -> None:
        """Open the session, never before the one it continues had come: its first line says which it is, and has the
        first record's time. With what is ``carried`` over it begins at the very moment at which that one ended.
        """
        now = restored.at_ns if restored is not None else 0
        self._last = now = now if carried else max(self.time.read(), now)
        self._record((Input(msgspec.json.encode(about).decode(), now, kind=inputs.META),))
        self.core.begin(now, restored)
        for item, protocol in carried:
            item.ts = now
            self._record((item,))
            self.core.intake.accept_frames((item,), protocol)
        self._commit()

    def accept(self, items: Sequence[Input], protocol: VenueProtocol) -> None:
        """Let in what was just heard, in this order. Nothing awaits in here."""
        if self.broken or self._ended:
            return
        last, read = self._last, self.time.read
        for item in items:
            now = read()
            if now > last:
                last = now
            item.ts = last
        self._last = last
        self._record(items)
        core = self.core
        core.intake.accept_frames(items, protocol)
        self.accepted += len(items)
        if core.chain.pending:
            self._commit()
        elif last - self._flushed > self._flush_every_ns:
            self._flush()
        if core.clock.due != self._due:
            self._due = core.clock.due
            self._on_wake(self._due)

    def tick(self) -> bool:
        """Turn the clock to now if that fires a timer; whether it did."""
        due = self.core.clock.due <= max(self.time.read(), self._last)
        if due:
            self.accept((Input("", kind=inputs.TICK),), NOBODY)
        return due

    def command(self, name: str, who: str, payload: Mapping[str, Any] | None = None) -> None:
        """Somebody's word, allowed already: it is recorded and has been done when this returns."""
        raw = msgspec.json.encode(Command(name, who, dict(payload or {}))).decode()
        self.accept((Input(raw, kind=inputs.COMMAND),), NOBODY)

    def fault(self, part: str, what: str) -> None:
        """Something outside the core failed."""
        self.accept((Input(what, conn=part, kind=inputs.FAULT),), NOBODY)

    def end(self, then: Callable[[Core], object] = lambda _: None) -> None:
        """The session ends cleanly: its last input, and the record of what the account is worth. ``then`` is told in
        between, when all has happened and nothing was closed: this is what the next session begins with.
        """
        if self.broken or self._ended:
            return
        self.accept((Input("", kind=inputs.END),), NOBODY)
        self._ended = True
        then(self.core)
        self.core.close()
        self._commit(last=True)

    def travel(self) -> str:
        """Send a token past everybody who must be alive for an order to be sent; where it got stuck, empty where it
        came through. It is no input: the clock stands, nothing is recorded.
        """
        if self.broken or self._ended:  # a session that has ended waits for nobody's order
            return self.broken
        token = Token()
        self.core.bus.publish(token)
        if not token.seen:
            return "the gate"
        return self.journal.alive()

    def flush(self) -> None:
        """Hand what was heard to the operating system, whether it led to anything or not."""
        if not self.broken and not self._ended:
            self._flush()

    def _record(self, items: Sequence[Input]) -> None:
        recorder = self.recorder
        if recorder.failed:
            return
        try:
            for item in items:
                recorder.write(item)
        except RecorderFailed as error:
            self._lost(error)

    def _flush(self) -> None:
        self._flushed = self._last
        try:
            self.recorder.flush()
        except RecorderFailed as error:
            self._lost(error)

    def _commit(self, *, last: bool = False) -> None:
        self._flush()
        try:
            self.journal.commit(last=last)
        except (
            Exception
        ) as error:  # whatever SQLite raises: what was decided cannot be written down, so nothing more is
            self.broken = f"journal: {error}"
            self.core.switch.halt("journal", self.broken)

    def _lost(self, error: RecorderFailed) -> None:
        """Said once, to the core and so to the journal; from here on no replay can explain the session."""
        self.core.intake.accept_frames((Input(str(error), self._last, conn="recorder", kind=inputs.FAULT),), NOBODY)
