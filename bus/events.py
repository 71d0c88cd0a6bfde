"""The vocabulary of the bus.

Facts are nouns or past tense, requests imperative. Market events (first section) are float, are not journaled, and
carry both clocks: ``venue_ns`` is the venue's (0 where the venue sends none), ``local_ns`` ours when the frame was
accepted. Every other event is a record of the journal: its first field is ``ns``, our clock when it happened, and it
encodes as the array of its fields in the order declared here. Changing that order is a new journal format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from bus.money import from_float
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
from bus.values import (
    Action,
    Ballot,
    Check,
    Instrument,
    Liquidity,
    MatchSource,
    Order,
    Provenance,
    RegimeLabel,
    Side,
    TimeInForce,
    TradingState,
)

Levels = list[tuple[float, float]]

# --- the market ------------------------------------------------------------------------------------------------


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


# --- the session and its data ----------------------------------------------------------------------------------


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What every journaled event shares."""

    ns: int


class SessionOpened(Record, frozen=True):
    """The root of the chain: everything the rest follows from, besides the inputs."""

    format: int
    trading: dict[str, Any]
    instruments: list[Instrument]
    opening: dict[str, Decimal]
    seed: int


class SessionClosed(Record, frozen=True):
    """The last record of a session that saw the end of its inputs.

    ``marks`` are the prices by which ``equity`` values what was held, in ``asset``.
    """

    equity: Decimal
    asset: str
    cash: dict[str, Decimal]
    marks: dict[str, Decimal]


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


# --- from intent to fill ---------------------------------------------------------------------------------------


class Intent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What a strategy wants; it names no quantity it cannot know and no order id.

    Size, in order of preference: ``size`` (base units), ``exposure`` (fraction of equity), else the configured
    default. ``limit``, ``stop`` and ``trail`` are prices in quote units; without any of them the order is a market
    order. ``expires_ns`` is when the wish is stale; ``good_till_ns`` when a resting order is pulled (GTD). The last two
    are the runner's to fill in: the intent id of a pair's first leg, and what the intent came from.
    """

    instrument: str
    action: Action
    size: Decimal | float | None = None
    exposure: float | None = None
    limit: Decimal | float | None = None
    stop: Decimal | float | None = None
    trail: Decimal | float | None = None
    tif: TimeInForce = TimeInForce.GTC
    good_till_ns: int = 0
    post_only: bool = False
    reduce_only: bool = False
    confidence: float = 1.0
    horizon_s: int = 0
    expires_ns: int = 0
    reason: str = ""
    meta: dict[str, Any] | None = None
    group: str = ""
    provenance: Provenance | None = None


class PairIntent(msgspec.Struct, frozen=True, gc=False):
    """Two intents that are one wish: both legs or neither.

    Each leg is a decision of its own, under one ``group``. Where a leg is refused, rejected or ends unfilled, the other
    is pulled, and what of either has filled is traded back (``strategies/legs.py``).
    """

    first: Intent
    second: Intent


class CancelIntent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    intent_id: str
    reason: str = ""


class ReplaceIntent(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """New limit price and/or new total size for the order of ``intent_id``; None leaves a term as it is."""

    intent_id: str
    limit: Decimal | float | None = None
    size: Decimal | float | None = None
    reason: str = ""


class Adaptation(msgspec.Struct, frozen=True, gc=False):
    """A strategy's word that it goes on with other parameters, to be written down as ParametersAdapted."""

    before: dict[str, Any]
    after: dict[str, Any]
    reason: str


class Decision(Record, frozen=True):
    """An intent that stands (solo: the strategy's own; with a council: its vote), under its id."""

    intent_id: str
    strategy: str
    intent: Intent


class CouncilVoted(Record, frozen=True):
    """The votes on one closed bar and what they came to: written where a voter spoke or the council acts, before the
    Decision that follows from it. ``support`` is what stands behind long, flat and short, as fractions of all weight,
    the absent included; ``action`` HOLD: no consensus, or none that changes anything.
    """

    instrument: str
    interval_ns: int
    bar_end_ns: int
    regime: str
    ballots: list[Ballot]
    support: tuple[float, float, float]
    needed: float
    action: Action


class WeightChanged(Record, frozen=True):
    """Feedback moved a voter's weight, by the rule named; ``factor`` multiplies the configured weight."""

    voter: str
    rule: str
    before: float
    factor: float
    reason: str


class ParametersAdapted(Record, frozen=True):
    """A strategy goes on with other parameters, and why."""

    strategy: str
    before: dict[str, Any]
    after: dict[str, Any]
    reason: str


class ModelAnswered(Record, frozen=True):
    """What a model outside the core computed: ``name`` of ``instrument`` (p_long: the probability that it rises)."""

    model: str
    name: str
    instrument: str
    value: float


class IntentLogged(Record, frozen=True):
    """An intent that goes nowhere, and why: routing is off, or it is no vote on a bar."""

    strategy: str
    intent: Intent
    why: str


class OrderApproved(Record, frozen=True):
    """The gate let it through. ``mid`` is the market when it did: what slippage is measured against."""

    order: Order
    mid: float


class OrderRefused(Record, frozen=True):
    """The gate, or the translator before it, said no. ``checks`` are all rules' answers in the documented order."""

    intent_id: str
    strategy: str
    instrument: str
    rule: str
    reason: str
    checks: list[Check]


class PairBroken(Record, frozen=True):
    """One leg of a pair came to nothing (``leg`` is its intent id); the rest of the pair is being taken back."""

    group: str
    strategy: str
    leg: str
    reason: str


class CancelRequested(Record, frozen=True):
    """``who`` is a strategy, a rule of the gate, or the operator."""

    intent_id: str
    who: str
    reason: str


class ReplaceRequested(msgspec.Struct, frozen=True, gc=False):
    """A strategy's wish on its way to the gate; the journal records the gate's answer, which holds all of it."""

    ns: int
    intent_id: str
    strategy: str
    limit: Decimal | float | None
    size: Decimal | float | None
    reason: str


class ReplaceApproved(Record, frozen=True):
    intent_id: str
    strategy: str
    price: Decimal
    size: Decimal
    reason: str


class OrderSubmitted(Record, frozen=True):
    """Handed to the outbox under ``client_id``; the venue may or may not have it yet."""

    client_id: str
    intent_id: str


class OrderAccepted(Record, frozen=True):
    """The venue has it. ``arrival_ns`` is when it got there: the moment it may first act on the market."""

    client_id: str
    venue_id: str
    arrival_ns: int


class OrderTriggered(Record, frozen=True):
    """A stop's trigger was reached; from here it is a market or limit order."""

    client_id: str
    price: Decimal


class OrderFilled(Record, frozen=True):
    """One execution.

    ``size`` in base units (contracts for inverse), ``fee`` in ``fee_asset`` (negative: a rebate), ``leaves`` is what
    of the order is still open. ``arrival_ns`` is when the order (or its latest replacement) reached the venue;
    ``source`` what it was matched against and ``model`` the slippage or queue model that priced it.
    """

    client_id: str
    intent_id: str
    strategy: str
    instrument: str
    fill_id: str
    side: Side
    price: Decimal
    size: Decimal
    fee: Decimal
    fee_asset: str
    liquidity: Liquidity
    arrival_ns: int
    leaves: Decimal
    source: MatchSource
    model: str


class OrderCancelled(Record, frozen=True):
    client_id: str
    reason: str


class OrderExpired(Record, frozen=True):
    """The venue ended it by its own terms: an IOC or FOK remainder, a GTD date, self-trade prevention."""

    client_id: str
    reason: str


class OrderRejected(Record, frozen=True):
    """The venue refused it; ``code`` is the venue's own."""

    client_id: str
    code: str
    reason: str


class OrderReplaced(Record, frozen=True):
    client_id: str
    price: Decimal
    size: Decimal
    arrival_ns: int


class CancelRejected(Record, frozen=True):
    client_id: str
    code: str
    reason: str


class ReplaceRejected(Record, frozen=True):
    client_id: str
    code: str
    reason: str


# --- the account -----------------------------------------------------------------------------------------------


class FundingPaid(Record, frozen=True):
    """A perpetual's funding: ``amount`` of ``asset`` left the account (negative: came in)."""

    instrument: str
    rate: Decimal
    mark: Decimal
    position: Decimal
    amount: Decimal
    asset: str


class Sheet(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an account consists of between two records: ``fixed`` in its own asset, and the amounts of what is held,
    each worth the mark of an instrument. No mark changes it; only fills and funding do.
    """

    fixed: Decimal
    held: tuple[tuple[str, Decimal], ...] = ()

    def worth(self, marks: Sequence[float]) -> Decimal:
        """Equity when the instruments held stand at ``marks``, exactly."""
        value = self.fixed
        for (_, amount), mark in zip(self.held, marks, strict=True):
            value += amount * from_float(mark)
        return value


class BarsPassed(Record, frozen=True):
    """Closed bars of one instrument and what was made of them, packed: ``count`` bars, one after the other, the first
    ending at ``first_end_ns``; ``ns`` is when the last was heard.

    ``strategies`` heard them and did nothing, except that those in ``acted`` did something at the last. ``reasons`` has
    a list for each strategy: what it said of each bar, empty where it never said anything. Equity at a bar is the
    ``sheet`` (None: something held had no price) at that bar's ``marks``, which are in the order of ``sheet.held``.
    """

    instrument: str
    interval_ns: int
    first_end_ns: int
    count: int
    strategies: list[str]
    acted: list[str]
    reasons: list[list[str]]
    sheet: Sheet | None
    marks: list[float]

    @property
    def last_end_ns(self) -> int:
        return self.first_end_ns + (self.count - 1) * self.interval_ns

    def equity(self) -> Iterator[tuple[int, Decimal]]:
        """(end of the bar, equity in the account's asset) where there is one to tell."""
        if self.sheet is not None:
            width = len(self.sheet.held)
            for index in range(self.count):
                marks = self.marks[index * width : index * width + width]
                yield self.first_end_ns + index * self.interval_ns, self.sheet.worth(marks)


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


RECORDS: dict[str, type[Record]] = {
    cls.__name__: cls
    for cls in (
        SessionOpened,
        SessionClosed,
        StateRestored,
        CommandGiven,
        LimitsChanged,
        InstrumentListed,
        FeedOpened,
        FeedLost,
        FeedRetired,
        SourceSwitched,
        StreamStale,
        StreamFresh,
        DataGap,
        BookInvalidated,
        BookRestored,
        Decision,
        CouncilVoted,
        WeightChanged,
        ParametersAdapted,
        ModelAnswered,
        IntentLogged,
        OrderApproved,
        OrderRefused,
        PairBroken,
        CancelRequested,
        ReplaceApproved,
        OrderSubmitted,
        OrderAccepted,
        OrderTriggered,
        OrderFilled,
        OrderCancelled,
        OrderExpired,
        OrderRejected,
        OrderReplaced,
        CancelRejected,
        ReplaceRejected,
        FundingPaid,
        BarsPassed,
        TradingStateChanged,
        StrategyQuarantined,
        PartFailed,
        InputFaulted,
    )
}
