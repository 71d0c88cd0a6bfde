"""The session, from its opening to its end: who said what, whether its data can be trusted, what stopped trading."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bus.events.market import Bar
from bus.events.record import Record
from bus.state import (
    EquityState,
    FormingState,
    GateState,
    LedgerState,
    OpenOrderState,
    SeatState,
    SentState,
    VenueState,
)
from bus.values import Check, Instrument, TradingState

ENDED, HANDED_OVER = "ended", "handed over"


class SessionOpened(Record, frozen=True):
    """The root of the chain: everything the rest follows from, besides the inputs."""

    format: int
    trading: dict[str, Any]
    instruments: list[Instrument]
    opening: dict[str, Decimal]
    seed: int


class SessionClosed(Record, frozen=True):
    """The last record of a session that saw the end of its inputs.

    ``marks`` are the prices by which ``equity`` values what was held, in ``asset``. ``outcome`` is ``ended``, or
    ``handed over`` where the process went on in another session, with the open orders and without a pause.
    """

    equity: Decimal
    asset: str
    cash: dict[str, Decimal]
    marks: dict[str, Decimal]
    outcome: str = ENDED


class StateRestored(Record, frozen=True):
    """The second record of a session that continues another: the state ``parent`` had at its record ``parent_seq``,
    whose hash is ``parent_head``. ``at_ns`` is how far its clock had come; ``counters`` number client ids by strategy;
    ``instruments`` are the terms of what is held or ordered; ``more`` is what further parts keep, by name.
    """

    parent: str
    parent_seq: int
    parent_head: str
    at_ns: int
    instruments: list[Instrument]
    ledger: LedgerState
    orders: list[OpenOrderState]
    sent: list[SentState]
    counters: dict[str, int]
    issued: list[str]
    venue: VenueState
    seats: list[SeatState]
    gate: GateState
    equity: EquityState
    forming: list[FormingState]
    bars: list[Bar]
    more: dict[str, Any]


class CommandGiven(Record, frozen=True):
    """Somebody's word from outside the core: ``who`` is the operator's name, a signal, the kill file, the daemon."""

    name: str
    who: str
    payload: dict[str, Any]


class LimitsChanged(Record, frozen=True):
    """Other limits are in force: by ``who``, and of each that changed what it was and what it is."""

    who: str
    changes: dict[str, tuple[str, str]]


class InstrumentListed(Record, frozen=True):
    instrument: Instrument


class FeedOpened(Record, frozen=True):
    conn: str


class FeedLost(Record, frozen=True):
    conn: str
    reason: str


class FeedRetired(Record, frozen=True):
    """A socket was let go after another had taken over what it carried: nothing is missing."""

    conn: str
    reason: str


class SourceSwitched(Record, frozen=True):
    """A connection now listens at ``url``, because the source before it failed."""

    conn: str
    url: str
    reason: str


class StreamStale(Record, frozen=True):
    """Nothing we have of ``stream`` is young enough to trade on; the instrument is untradeable until it is fresh."""

    instrument: str
    stream: str
    reason: str


class StreamFresh(Record, frozen=True):
    instrument: str
    stream: str


class DataGap(Record, frozen=True):
    """Ids ``first_missing`` to ``last_missing`` of a stream never came (0, 0 where the venue does not number them)."""

    instrument: str
    stream: str
    first_missing: int
    last_missing: int


class BookInvalidated(Record, frozen=True):
    """The book may no longer be used: nothing is matched, and no other source takes its place by itself."""

    instrument: str
    reason: str


class BookRestored(Record, frozen=True):
    instrument: str
    id: int


class TradingStateChanged(Record, frozen=True):
    state: TradingState
    rule: str
    reason: str
    checks: list[Check]


class StrategyQuarantined(Record, frozen=True):
    """The strategy raised; its orders are cancelled and it is not called again. The text of the error is in the log."""

    strategy: str
    callback: str
    error: str


class PartFailed(Record, frozen=True):
    """A part of the core raised: trading halts."""

    part: str
    error: str


class InputFaulted(Record, frozen=True):
    """Something outside the core failed and said so."""

    part: str
    what: str


class Token:
    """Proof of life on its way through the bus; no record, no input. Whoever it must pass says so in ``seen``."""

    __slots__ = ("seen",)

    def __init__(self) -> None:
        self.seen = False
