"""The simulated venue: each of its models, named for its assumption."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.kinds import (
    NUMBER,
    BasisPoints,
    FeeRate,
    Milliseconds,
)
from config.schema.part import Part


class FixedLatency(Part):
    model: Literal["fixed"] = "fixed"
    ms: Milliseconds = 0.0


class UniformLatency(Part):
    model: Literal["uniform"] = "uniform"
    low_ms: Milliseconds = 50.0
    high_ms: Milliseconds = 200.0

    @model_validator(mode="after")
    def _ordered(self) -> UniformLatency:
        if self.low_ms > self.high_ms:
            raise ValueError(f"low_ms {self.low_ms:g} must not be above high_ms {self.high_ms:g}")
        return self


class LogNormalLatency(Part):
    model: Literal["lognormal"] = "lognormal"
    median_ms: Annotated[float, NUMBER, Field(gt=0, le=60_000)]
    sigma: Annotated[float, NUMBER, Field(gt=0, le=5)] = Field(description="standard deviation of the logarithm")


class MeasuredLatency(Part):
    model: Literal["measured"] = "measured"
    samples_ms: list[Milliseconds] = Field(min_length=1, description="measured latencies, drawn with equal chance")


Latency = Annotated[FixedLatency | UniformLatency | LogNormalLatency | MeasuredLatency, Field(discriminator="model")]


class WalkTheBook(Part):
    model: Literal["walk_the_book"] = "walk_the_book"


class SpreadPlusImpact(Part):
    model: Literal["spread_plus_impact"] = "spread_plus_impact"
    half_spread_bps: BasisPoints
    impact_bps: BasisPoints


class NextOpen(Part):
    model: Literal["next_open"] = "next_open"


class LastPrice(Part):
    model: Literal["last_price"] = "last_price"


Slippage = Annotated[WalkTheBook | SpreadPlusImpact | NextOpen | LastPrice, Field(discriminator="model")]


class InstrumentFees(Part):
    """Each instrument's own."""

    model: Literal["instrument"] = "instrument"


class FixedFees(Part):
    model: Literal["fixed"] = "fixed"
    maker: FeeRate = Field(description="fraction of the notional: 0.001 is 0.1 %, negative is a rebate")
    taker: FeeRate = Field(description="fraction of the notional: 0.001 is 0.1 %")


class Venue(Part):
    """The assumptions of the simulated venue, each a table whose ``model`` names it."""

    entry: Latency = Field(default=UniformLatency(), description="latency of a new or changed order")
    ack: Latency = Field(default=FixedLatency(), description="latency of the venue's answers")
    cancel: Latency = Field(default=UniformLatency(), description="latency of a cancel")
    slippage: Slippage = WalkTheBook()
    queue: Literal["cancels_behind_us", "cancels_pro_rata"] = "cancels_behind_us"
    fees: Annotated[InstrumentFees | FixedFees, Field(discriminator="model")] = InstrumentFees()
