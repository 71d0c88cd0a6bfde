"""The one door. Whatever changes the core comes in through here, is given its time here, and nowhere else.

``accept`` stamps an input, fires the timers that are due before it (each at its own time), lets the venue's protocol
turn it into events and drains the bus, in one synchronous call: when it returns, everything that follows from the
input has happened. ``accept_frames`` and ``accept_rows`` are the same door held open for a batch; a test holds
them to ``accept``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

import msgspec

from bus import inputs
from bus.bus import Bus
from bus.clock import Clock
from bus.events import (
    Bar,
    CommandGiven,
    FeedLost,
    FeedOpened,
    FeedRetired,
    InputFaulted,
    MarkPrice,
    ModelAnswered,
    Quote,
    SourceSwitched,
    Trade,
)
from bus.inputs import Answer, Command, Input
from bus.resume import MarketResumed, Resume
from feeds.port import Unparsed, VenueProtocol

Row = Trade | Quote | Bar | MarkPrice
_command = msgspec.json.Decoder(Command)
_answer = msgspec.json.Decoder(Answer)
_resume = msgspec.json.Decoder(Resume)
OnUnparsed = Callable[[Input, str], None]


class Intake:
    """Counts are of what came in: ``frames`` from sockets, ``rows`` from tables, ``unparsed`` frames nobody could
    read. ``obeys`` says that commands are for us: in a replay of somebody's session they are not.
    """

    def __init__(self, clock: Clock, bus: Bus, on_unparsed: OnUnparsed) -> None:
        self._clock = clock
        self._bus = bus
        self._on_unparsed = on_unparsed
        self.obeys = False
        self.frames = 0
        self.rows = 0
        self.unparsed = 0

    def accept(self, item: Input, feed: VenueProtocol) -> None:
        """One input, heard by ``feed``."""
        self.accept_frames((item,), feed)

    def accept_frames(self, items: Sequence[Input], feed: VenueProtocol) -> None:
        clock, publish, receive = self._clock, self._bus.publish, feed.receive
        others, now = 0, clock.now
        for item in items:
            ns = item.ts
            if ns is None or ns < now:
                ns = now
            if clock.due <= ns:
                clock.turn(ns)
            clock.now = now = ns
            try:
                if item.kind is None:
                    events = receive(item.raw, ns, item.conn)
                else:
                    others += 1
                    events = self._hear(item, ns, feed)
            except Unparsed as reason:
                events = self._second_look(item, ns, feed, reason)
            for event in events:
                publish(event)
        self.frames += len(items) - others
        self._settle()

    def accept_rows(self, rows: Sequence[Row]) -> None:
        """Rows of a table: already events, stamped with the time their feed gave them."""
        self._bus.publish_stamped(rows, self._clock)
        self.rows += len(rows)
        self._settle()

    def _settle(self) -> None:
        """Fire what the last event set for this very moment. Between two inputs the next one's turn does the same."""
        if self._clock.due <= self._clock.now:
            self._clock.turn(self._clock.now)

    def _hear(self, item: Input, ns: int, feed: VenueProtocol) -> Sequence[object]:
        """An input that is not a frame."""
        match item.kind:
            case inputs.HTTP:
                return feed.reply(item.url or "", item.raw, ns)
            case inputs.CONNECT:
                return [FeedOpened(ns, item.conn or ""), *feed.opened(item.conn, ns)]
            case inputs.DISCONNECT:
                return [FeedLost(ns, item.conn or "", item.note or item.raw), *feed.lost(item.conn, ns)]
            case inputs.RETIRE:
                return [FeedRetired(ns, item.conn or "", item.note or item.raw), *feed.lost(item.conn, ns)]
            case inputs.SWITCH:
                return [SourceSwitched(ns, item.conn or "", item.url or "", item.note or item.raw)]
            case inputs.FAULT:
                return [InputFaulted(ns, item.conn or "", item.note or item.raw)]
            case inputs.EXTERNAL:
                return [_answered(item, ns)]
            case inputs.RESUME:
                return _resumed(item, ns, feed)
            case inputs.COMMAND if self.obeys:
                return [_given(item, ns)]
            case kind if kind in inputs.KINDS:
                return ()  # ticks turned the clock above; commands and broker replies are not for a replay
        raise Unparsed(f"unknown kind {item.kind!r}")

    def _second_look(self, item: Input, ns: int, feed: VenueProtocol, reason: Unparsed) -> Sequence[object]:
        """A frame that failed as text: it may be binary, which recordings carry as base64. Otherwise count and
        report it.
        """
        if item.kind is None and item.enc == "b64":
            try:
                return feed.receive(base64.b64decode(item.raw, validate=True).decode(), ns, item.conn)
            except (Unparsed, ValueError) as again:  # not base64, or not text
                reason = Unparsed(str(again))
        self.unparsed += 1
        self._on_unparsed(item, str(reason))
        return ()


def _answered(item: Input, ns: int) -> ModelAnswered:
    try:
        answer = _answer.decode(item.raw)
    except msgspec.DecodeError as error:
        raise Unparsed(f"not a model's answer: {error}") from error
    return ModelAnswered(ns, item.conn or "", answer.name, answer.instrument, answer.value)


def _resumed(item: Input, ns: int, feed: VenueProtocol) -> Sequence[object]:
    """The instruments first: what is known of a market is known of something."""
    try:
        was = _resume.decode(item.raw)
    except msgspec.DecodeError as error:
        raise Unparsed(f"not a market to go on from: {error}") from error
    return [*feed.resume(bytes(was.protocol), ns), MarketResumed(ns, item.conn or "", was.market)]


def _given(item: Input, ns: int) -> CommandGiven:
    try:
        command = _command.decode(item.raw)
    except msgspec.DecodeError as error:
        raise Unparsed(f"not a command: {error}") from error
    return CommandGiven(ns, command.name, command.who, command.payload)
