"""What a venue's protocol is to the rest of the house: a conversation without a telephone. And who holds the telephone.

Frames and replies go in, events come out. No sockets, no clock, no trading; a recorded frame means exactly what a
live one means. A protocol keeps the state a conversation needs (sequence numbers, the diffs that wait for a
snapshot) and counts what it heard.

A live feed is the other half: it owns the sockets, hands each frame to ``accept`` the moment it was read, and reads
off the protocol's state what to ask for next. It stamps nothing and decides nothing that a replay would have to know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from bus.clock import SECOND
from bus.inputs import Input
from bus.values import Instrument

PAST_AFTER_NS = 5 * SECOND
"""A bar that a venue tells when asked counts as closed so long after its end: by then even a clock that runs ahead of
the venue's agrees, and one we build ourselves has closed.
"""


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

    def state(self) -> bytes:
        """The conversation as it stands, as JSON: what another one needs to go on with the very next frame."""
        ...

    def resume(self, state: bytes, local_ns: int) -> Sequence[object]:
        """Forget everything and go on from ``state``; says again which instruments were listed, and nothing else."""
        ...


class LiveProtocol(VenueProtocol, Protocol):
    """What a live feed reads off a protocol between two inputs. Neither is recorded: both follow from the inputs."""

    def unbuilt(self) -> Collection[str]:
        """The venue's symbols whose book is heard of and cannot be used: each needs a snapshot."""
        ...

    @property
    def closing(self) -> Collection[str | None]:
        """Connections that the venue has announced it will close."""
        ...


Accept = Callable[[Sequence[Input], VenueProtocol], None]
"""The door, as a feed knows it: inputs without a time, in the order they were heard, and who reads them. When it
returns, everything that follows from them has happened; nothing waits in between.
"""


class Time(Protocol):
    """The rim's time, in ns UTC. It may run ``rate`` times as fast as the wall where a sandbox's does."""

    @property
    def rate(self) -> float: ...

    def read(self) -> int: ...

    def wait_s(self, ns: int) -> float:
        """How long on the wall until it reads ``ns``."""
        ...


class CannotHear(ValueError):  # a fact about a venue
    """A venue cannot be heard live, or not what is wanted of it; the text says which."""


class LiveFeed(Protocol):
    """What brings a venue's market in. The names of its connections begin with ``conn`` and a slash: ``binance/1a``,
    ``binance/rest``; a feed with nothing to tell apart uses ``conn`` itself.
    """

    conn: str
    venue: str
    unfit: Callable[[], Collection[tuple[str, str]]]
    """Which (instrument, stream) the core holds to be too old or wrong; the daemon plugs it in."""

    @property
    def protocol(self) -> VenueProtocol: ...

    async def run(self) -> None:
        """Bring the market in, through every loss and refusal, until cancelled; closes its sockets on the way out."""
        ...


class KnownInstruments(Protocol):
    """How a protocol names what it hears about: the venue's symbol to the instrument, where config or the venue told
    us.
    """

    def __call__(self, venue: str, symbol: str) -> Instrument | None: ...
