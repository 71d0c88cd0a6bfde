"""An order as the venue keeps it, from the moment it is sent until its end has been reported. Plain state, no rules.

Everything a restart needs is a field here; ``shelf``, ``place`` and ``timer`` are where the running venue keeps it and
are rebuilt from the rest.
"""

from __future__ import annotations

import enum
from decimal import Decimal
from typing import Any

import msgspec

from bus.clock import Timer
from bus.values import ZERO, Order


class Stage(enum.Enum):
    TRAVELLING = "travelling"
    OPEN = "open"
    DONE = "done"


TRAVELLING, OPEN, DONE = Stage


class VenueOrder(msgspec.Struct, eq=False):
    """``price``, ``size`` and ``leaves`` are as of the last replacement; ``terms`` as they were submitted.

    ``held`` is what the account has locked for it. ``heard_ns`` is when we hear of the last thing that happened
    to it. The counters name the next message of their kind. Queue: ``ahead`` is the public volume before us (None:
    unknown), ``shown`` the size displayed at our price when last we looked (``shown_ns`` by the venue's clock),
    ``traded`` what traded there since. Stops: ``trigger`` is the price that sets it off, ``best`` the best price a
    trailing stop has seen.
    """

    client_id: str
    terms: Order
    price: Decimal | None
    size: Decimal
    leaves: Decimal
    stage: Stage = TRAVELLING
    arrival_ns: int = 0
    heard_ns: int = 0
    acts: int = 0
    cancels: int = 0
    replaces: int = 0
    fills: int = 0
    held: Decimal = ZERO
    ahead: Decimal | None = None
    shown: float = 0.0
    shown_ns: int = 0
    traded: Decimal = ZERO
    trigger: float = 0.0
    best: float = 0.0
    price_float: float = 0.0
    shelf: list[Any] | None = None
    place: Any = None
    timer: Timer | None = None
