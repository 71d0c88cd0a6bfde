"""From the gate's answer to the fill: approved or refused, sent, accepted, filled, or ended otherwise."""

from __future__ import annotations

from decimal import Decimal

import msgspec

from bus.events.record import Record
from bus.values import Check, Liquidity, MatchSource, Order, Side


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
