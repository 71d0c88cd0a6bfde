"""What strategies want, and what was decided: intents, votes, and what moved either."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from bus.events.record import Record
from bus.values import Action, Ballot, Provenance, TimeInForce


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
