"""The assumptions of one simulated venue, in one place. Every default is the cautious one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from bus.values import ONE, MatchSource
from sim.fees import Fees, InstrumentFees
from sim.latency import FixedLatency, Latency, UniformLatency
from sim.queue import CancelsBehindUs, Queue
from sim.slippage import DEFAULT, Slippage


@dataclass(frozen=True, slots=True)
class Models:
    """``acknowledgement`` is instant by default: what an order costs in time is counted once, on its way in.

    ``slippage`` names a model for each source of prices; ``slippage.LAST_PRICE`` is the table for comparisons.
    ``leverage`` divides a contract's notional into the margin it needs.
    """

    entry: Latency = field(default_factory=UniformLatency)
    acknowledgement: Latency = field(default_factory=FixedLatency)
    cancel: Latency = field(default_factory=UniformLatency)
    slippage: Mapping[MatchSource, Slippage] = field(default_factory=lambda: DEFAULT)
    queue: Queue = field(default_factory=CancelsBehindUs)
    fees: Fees = field(default_factory=InstrumentFees)
    leverage: Decimal = ONE
