"""What a session that begins where another ended is told of the market: everything public, as it stood there.

After a restart the market is heard anew, because what was known of it is old. When a running process goes on in a new
session nothing is: the sockets stay, and the next frame follows on the last. So the new session's recording begins with
one ``resume`` line for each feed, from which its protocol and the market are set up without a word to anybody: to
strategies and venue nothing has happened.
"""

from __future__ import annotations

import msgspec

from bus.events import Bar, Kline, Levels, MarkPrice, Quote, Ticker, Trade
from bus.state import FormingState


class BookState(msgspec.Struct, frozen=True, array_like=True):
    instrument: str
    valid: bool
    id: int
    venue_ns: int
    local_ns: int
    bids: Levels
    asks: Levels


class StreamState(msgspec.Struct, frozen=True, array_like=True):
    """A stream whose age is watched: what was last new on it, and when; why it is too old, empty where it is not."""

    instrument: str
    stream: str
    heard: bool
    said: list[float | int | bool] | None
    new_ns: int
    offsets: list[tuple[int, int]]
    stale: str


class PaceState(msgspec.Struct, frozen=True, array_like=True):
    """An instrument's bars: offsets between the clocks, and of each interval the bar that forms, the end of the last
    closed one, and after how many trades of the forming one data was missing.
    """

    instrument: str
    offsets: list[int]
    forming: list[tuple[FormingState, int, int | None]]


class MarketState(msgspec.Struct, frozen=True):
    """The instruments of one venue. ``event_ns`` is how old the latest event was, ``look_ns`` when ages are looked at
    next.
    """

    trades: list[Trade]
    quotes: list[Quote]
    bars: list[Bar]
    marks: list[MarkPrice]
    tickers: list[Ticker]
    klines: list[Kline]
    books: list[BookState]
    streams: list[StreamState]
    paces: list[PaceState]
    event_ns: int
    look_ns: int


class Resume(msgspec.Struct, frozen=True):
    """What the ``raw`` of a ``resume`` line says, as JSON; its ``note`` is the venue."""

    protocol: msgspec.Raw
    market: MarketState


class MarketResumed(msgspec.Struct, frozen=True, gc=False):
    """Said once a feed, before its first frame. It is no record: the recording has it."""

    ns: int
    conn: str
    market: MarketState
