"""What the market says: float, not journaled, with both clocks, the venue's and ours."""

from __future__ import annotations

from typing import Any

import msgspec

from bus.values import RegimeLabel, Side

Levels = list[tuple[float, float]]


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One public trade. ``size`` in base units (contracts for inverse); ``taker`` is the aggressor's side."""

    instrument: str
    price: float
    size: float
    taker: Side
    id: int
    venue_ns: int
    local_ns: int


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask. ``id`` is the venue's update id, 0 where there is none."""

    instrument: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    id: int
    venue_ns: int
    local_ns: int


class BookSnapshot(msgspec.Struct, frozen=True, gc=False):
    """The whole book as far as the venue shows it; replaces whatever was known."""

    instrument: str
    bids: Levels
    asks: Levels
    id: int
    venue_ns: int
    local_ns: int


class BookUpdate(msgspec.Struct, frozen=True, gc=False):
    """Absolute sizes of changed levels, in sequence (the protocol has checked); size 0 removes the level."""

    instrument: str
    bids: Levels
    asks: Levels
    id: int
    venue_ns: int
    local_ns: int


class Bar(msgspec.Struct, frozen=True, gc=False):
    """Trades of ``[start_ns, end_ns)`` by the venue's clock. A closed bar never changes.

    ``gap`` says that data known to be missing falls inside it. ``trades`` is 0 when the source does not say.
    ``backfilled`` says that we did not hear its trades: the venue told us the bar when we asked.
    """

    instrument: str
    interval_ns: int
    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    closed: bool
    gap: bool
    local_ns: int
    backfilled: bool = False


class PastBar(msgspec.Struct, frozen=True, gc=False):
    """A closed bar as the venue tells it when asked. It becomes a ``Bar`` where we have none for its time."""

    instrument: str
    interval_ns: int
    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    local_ns: int


class Kline(msgspec.Struct, frozen=True, gc=False):
    """A bar as the venue computes it; forming until ``closed``."""

    instrument: str
    interval_ns: int
    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    closed: bool
    venue_ns: int
    local_ns: int


class Ticker(msgspec.Struct, frozen=True, gc=False):
    """A 24-hour summary; ``bid`` and ``ask`` are 0 where the venue leaves them out."""

    instrument: str
    last: float
    volume: float
    bid: float
    ask: float
    venue_ns: int
    local_ns: int


class MarkPrice(msgspec.Struct, frozen=True, gc=False):
    """A perpetual's mark, index and current funding rate (fraction per interval, due at ``funding_ns``)."""

    instrument: str
    mark: float
    index: float
    rate: float
    funding_ns: int
    venue_ns: int
    local_ns: int


MARKET_EVENTS: tuple[type, ...] = (Trade, Quote, BookSnapshot, BookUpdate, Bar, PastBar, Kline, Ticker, MarkPrice)


class RegimeState(msgspec.Struct, frozen=True, gc=False):
    """What the market is like as of one closed bar: worked out from bars, so not journaled.

    ``label`` is None until there is history enough to tell; then ``confidence`` is 0. ``features`` are the numbers it
    was told by, ``meta`` how they were taken (``strategies/regime.py``). The last four name the bar; where a table was
    classified, which has no instrument, they are empty.
    """

    label: RegimeLabel | None
    confidence: float
    features: dict[str, float]
    meta: dict[str, Any]
    instrument: str = ""
    interval_ns: int = 0
    end_ns: int = 0
    local_ns: int = 0
