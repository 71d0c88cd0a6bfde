"""Everything that can be set, its bounds and its defaults, and nothing that acts on it.

Two parts. ``Trading`` is what a session's results follow from: resolved, brought to one canonical form and hashed into
the root of the journal. ``Process`` is where and how the process runs: paths, logging, how to read table files. Unknown
keys are refused, every limit has a finite default, and there is no value that means "unlimited". The tables of
both stand in the files beside this one, each named for what it is about, and are imported from here.

Amounts of money and size are ``Decimal`` and never pass through binary float; parameters of models and strategies are
float.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field, model_validator

from config.kinds import NUMBER, AmountOrZero, Asset, plain
from config.schema.market import InstrumentTerms, LiveFeed, MaxAges
from config.schema.part import Interval, Part, parse_interval
from config.schema.process import (
    ControlSocket,
    Endpoint,
    Logging,
    Notify,
    Port,
    Process,
    Recording,
    Rehearsal,
    TableFile,
    Watch,
)
from config.schema.risk import Bands, Confirmation, Governor, Limits, OrderRate, Sizing
from config.schema.strategies import Bars, Council, Feedback, Journal, Regime, StrategyEntry
from config.schema.venue import (
    FixedFees,
    FixedLatency,
    InstrumentFees,
    LastPrice,
    Latency,
    LogNormalLatency,
    MeasuredLatency,
    NextOpen,
    Slippage,
    SpreadPlusImpact,
    UniformLatency,
    Venue,
    WalkTheBook,
)


class Trading(Part):
    asset: Asset = Field(default="USDT", description="the account's currency")
    cash: dict[Asset, AmountOrZero] = Field(
        default={"USDT": Decimal(100_000)},
        min_length=1,
        description="what the account opens with; naming any replaces the default",
    )
    seed: Annotated[int, NUMBER, Field(ge=0, lt=2**63)] = 7
    sizing: Sizing = Sizing()
    limits: Limits = Limits()
    governor: Governor = Governor()
    confirmation: Confirmation = Confirmation()
    venue: Venue = Venue()
    bars: Bars = Bars()
    regime: Regime = Regime()
    strategies: list[StrategyEntry] = Field(default=[])
    feeds: list[LiveFeed] = Field(default=[])
    council: Council = Council()
    journal: Journal = Journal()
    instruments: list[InstrumentTerms] = Field(
        default=[], description="instruments to add to the built-in table, or to replace there"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Trading:
        for what, names, instead in (
            ("strategies are named", [entry.name for entry in self.strategies], "give each a name of its own"),
            ("instruments are named", [entry.name for entry in self.instruments], "leave one of them out"),
            ("feeds are of", [entry.venue for entry in self.feeds], "let one name all that is to be heard there"),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {what} {twice[0]!r}; {instead}")
        if self.council.mode == "council" and any(entry.name == "council" for entry in self.strategies):
            raise ValueError("the council trades under the name 'council'; give the strategy another")
        return self


class Config(Part):
    trading: Trading = Trading()
    process: Process = Process()
    test: Rehearsal = Rehearsal()


# --- the canonical form ---------------------------------------------------------------------------------------


def canonical(trading: Trading) -> dict[str, Any]:
    """JSON-ready, keys sorted, decimals as plain text: the same settings, however written, give the same bytes."""
    form: dict[str, Any] = _canonical(trading.model_dump())
    return form


def _canonical(value: object) -> Any:
    match value:
        case dict():
            return {key: _canonical(value[key]) for key in sorted(value)}
        case list():
            return [_canonical(item) for item in value]
        case Decimal():
            return plain(value)
        case float():
            return value + 0.0  # -0.0 is 0.0
    return value
