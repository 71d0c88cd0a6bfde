"""What a venue's protocol is to the rest of the house: a conversation without a telephone.

Frames and replies go in, events come out. No sockets, no clock, no trading; a recorded frame means exactly what a
live one means. A protocol keeps the state a conversation needs (sequence numbers, the diffs that wait for a
snapshot) and counts what it heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bus.values import Instrument


class Unparsed(Exception):  # not an error of ours: a fact about a frame
    """A frame that could not be read, or that nobody knows; the text says why. Nothing of it was applied."""


class Counts:
    """What a protocol heard, for the summary. ``ignored`` are frames that carry nothing: acks, heartbeats, lists."""

    __slots__ = (
        "depth_updates",
        "duplicates",
        "gaps",
        "ignored",
        "klines",
        "late",
        "marks",
        "quotes",
        "tickers",
        "trades",
    )

    def __init__(self) -> None:
        self.trades = 0
        self.quotes = 0
        self.depth_updates = 0
        self.klines = 0
        self.tickers = 0
        self.marks = 0
        self.ignored = 0
        self.duplicates = 0
        self.gaps = 0
        self.late = 0


class VenueProtocol(Protocol):
    """One venue's market data. Returned events are published in order; ``()`` for a frame that carries nothing.

    All methods raise Unparsed for text that is malformed or unknown, before any state has changed.
    """

    venue: str
    counts: Counts

    def receive(self, raw: str, local_ns: int, conn: str | None) -> Sequence[object]:
        """One frame as it came from the socket named ``conn``."""
        ...

    def reply(self, url: str, raw: str, local_ns: int) -> Sequence[object]:
        """The body of a REST answer (book snapshot, instruments) to a GET of ``url``; unneeded ones yield nothing."""
        ...

    def opened(self, conn: str | None, local_ns: int) -> Sequence[object]:
        """A socket (re)opened: sequence numbers start afresh."""
        ...

    def lost(self, conn: str | None, local_ns: int) -> Sequence[object]:
        """A socket was lost: what it kept up to date is no longer valid."""
        ...


class KnownInstruments(Protocol):
    """How a protocol names what it hears about: the venue's symbol to the instrument, where config or the venue told
    us.
    """

    def __call__(self, venue: str, symbol: str) -> Instrument | None: ...
