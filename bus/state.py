"""What a session hands to the one that continues it: plain values, and all of them.

A restart is a child session. Its second record, ``StateRestored``, holds the state its parent had when it ended; every
part of the core says its own piece with ``state()`` and takes it back with ``restore()``. What is public and will be
heard again (prices, books, sequence numbers) is not here: a market of yesterday is no market.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from bus.values import ZERO, Instrument, Order, OrderState


class State(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What every piece shares."""


class LotState(State, frozen=True):
    size: Decimal
    price: Decimal
    ns: int
    cost: Decimal


class PositionState(State, frozen=True):
    """``trips`` are count, wins and losses; ``instrument`` the terms the position was opened under."""

    instrument: Instrument
    filled: Decimal
    realised: Decimal
    turnover: Decimal
    trip: Decimal
    trips: tuple[int, int, int]
    profit: Decimal
    loss: Decimal
    lots: list[LotState]


class LedgerState(State, frozen=True):
    cash: dict[str, Decimal] = {}
    fees: dict[str, Decimal] = {}
    funding: dict[str, Decimal] = {}
    positions: list[PositionState] = []


class OpenOrderState(State, frozen=True):
    """An order that may still fill, as exposure and router know it. ``sent`` is None where it is not submitted yet;
    ``asked`` counts the cancels and replacements that have no answer.
    """

    order: Order
    client_id: str
    mid: float
    size: Decimal
    price: Decimal | None
    filled: Decimal
    leaves: Decimal
    wanted: list[Decimal]


class SentState(State, frozen=True):
    client_id: str
    intent_id: str
    instrument: str
    state: OrderState
    asked: int
    accepted: bool = True
    unwanted: bool = False


class VenueOrderState(State, frozen=True):
    """``sim.orders.VenueOrder``; ``shelf`` is where it rests, ``number`` its arrival there."""

    client_id: str
    terms: Order
    price: Decimal | None
    size: Decimal
    leaves: Decimal
    stage: str
    arrival_ns: int
    heard_ns: int
    acts: int
    cancels: int
    replaces: int
    fills: int
    held: Decimal
    ahead: Decimal | None
    shown: float
    shown_ns: int
    traded: Decimal
    trigger: float
    best: float
    shelf: str
    number: int


class MessageState(State, frozen=True):
    """On its way at ``due_ns``: ``what`` is arrive, cancel, replace or report. A report's ``events`` are records by
    their type's name.
    """

    due_ns: int
    what: str
    client_id: str
    price: Decimal = ZERO
    size: Decimal = ZERO
    events: list[tuple[str, Any]] = []


class MarginState(State, frozen=True):
    instrument: str
    size: Decimal
    cost: Decimal
    margin: Decimal


class TakenState(State, frozen=True):
    """What we took of a displayed level that the feed has not spoken of since: price, size displayed, size taken."""

    instrument: str
    buys: list[tuple[float, float, Decimal]]
    sells: list[tuple[float, float, Decimal]]


class FundingState(State, frozen=True):
    """A payment that a position waits for, at the rate and mark by which it would be paid now."""

    instrument: str
    due_ns: int
    rate: float
    mark: float


class VenueState(State, frozen=True):
    """The simulated venue: its account, its orders where they stand, and what is on the wire."""

    free: dict[str, Decimal] = {}
    locked: dict[str, Decimal] = {}
    margins: list[MarginState] = []
    orders: list[VenueOrderState] = []
    messages: list[MessageState] = []
    arrivals: int = 0
    taken: list[TakenState] = []
    books: list[str] = []  # instruments that have a book: nothing else may take its place
    funding: list[FundingState] = []


class SeatState(State, frozen=True):
    """``failed`` says that it is quarantined; ``timers`` are (when, name) of those it still waits for; ``state`` is its
    own, and of a strategy of that ``kind`` (empty in what earlier builds wrote).
    """

    id: str
    emitted: int
    last_intent_id: str
    failed: bool
    timers: list[tuple[int, str]]
    state: dict[str, Any]
    kind: str = ""


class GateState(State, frozen=True):
    """``latched`` is the rule that halted trading, empty where none did: it stays halted until somebody arms it."""

    rejects: int = 0
    latched: str = ""
    reason: str = ""
    approved_ns: list[int] = []


class EquityState(State, frozen=True):
    """``start`` is None where the account could not be valued yet; ``sources`` names what prices each asset."""

    start: Decimal | None = None
    peak: float | None = None
    max_drawdown: float = 0.0
    sources: dict[str, str] = {}


class FormingState(State, frozen=True):
    """A bar that was still forming. What was traded while nobody listened is missing from it."""

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
