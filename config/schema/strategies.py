"""What decides: bars, regimes, the strategies and the council they sit in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from config.kinds import (
    NUMBER,
    Count,
    InstrumentName,
    Share,
    ShareOrZero,
    StrategyName,
    Weight,
)
from config.schema.part import Interval, Part, parse_interval


class Bars(Part):
    intervals: list[Interval] = Field(default=[], description='lengths of the bars built from trades: ["1s", "5m"]')
    empty: Literal["none", "flat"] = Field(
        default="none", description="what a stretch without trades yields: no bar, or a flat one"
    )

    @field_validator("intervals")
    @classmethod
    def _once(cls, intervals: list[str]) -> list[str]:
        if len({parse_interval(text) for text in intervals}) < len(intervals):
            raise ValueError("must name each length once (60s and 1m are the same)")
        return intervals


class Regime(Part):
    """By what numbers the market is told to be trending, wild or dead; REGIME_* in the environment set them too."""

    ema_fast: Annotated[int, NUMBER, Field(ge=2, le=10_000)] = Field(default=20, description="length in bars")
    ema_slow: Annotated[int, NUMBER, Field(ge=3, le=10_000)] = Field(default=50, description="length in bars")
    atr_len: Annotated[int, NUMBER, Field(ge=2, le=10_000)] = Field(default=14, description="length in bars")
    trend_thresh: Annotated[float, NUMBER, Field(gt=0)] = Field(
        default=0.25, description="a trend's distance between the averages, in average true ranges"
    )
    vol_lo: Annotated[float, NUMBER, Field(ge=0, lt=1)] = Field(
        default=0.003, description="average true range of a dead market, as a fraction of the price"
    )
    vol_hi: Annotated[float, NUMBER, Field(gt=0, lt=1)] = Field(
        default=0.025, description="average true range of a wild market, as a fraction of the price"
    )
    panic_hi: Annotated[float, NUMBER, Field(gt=0, lt=1)] = Field(
        default=0.04, description="average true range of a panic, as a fraction of the price"
    )
    panic_vol: Annotated[float, NUMBER, Field(gt=0)] = Field(
        default=2.0, description="volume of a panic, in multiples of its mean over 20 bars"
    )

    @model_validator(mode="after")
    def _ordered(self) -> Regime:
        if self.ema_fast >= self.ema_slow:
            raise ValueError(f"ema_fast {self.ema_fast} must be below ema_slow {self.ema_slow}")
        if not self.vol_lo < self.vol_hi <= self.panic_hi:
            low, high, panic = self.vol_lo, self.vol_hi, self.panic_hi
            raise ValueError(f"vol_lo {low:g} must be below vol_hi {high:g}, and that not above panic_hi {panic:g}")
        return self


class StrategyEntry(Part):
    """One strategy. ``name`` keys its intent ids and random draws; without one it is what ``use`` ends with."""

    use: str = Field(min_length=1, description='"module:Name" or the path of a file')
    name: StrategyName
    params: dict[str, Any] = Field(default={})
    instruments: list[InstrumentName] = Field(
        default=[], description="instruments it hears; none means all of the session"
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: object) -> object:
        if isinstance(values, Mapping) and isinstance(use := values.get("use"), str) and "name" not in values:
            return {**values, "name": Path(use.rpartition(":")[2]).stem}
        return values

    @field_validator("params")
    @classmethod
    def _params(cls, params: dict[str, Any]) -> dict[str, Any]:
        return {name: _param(value) for name, value in params.items()}


def _param(value: object) -> object:
    """Parameters are numbers of a model, not money: what was read exactly becomes float here."""
    match value:
        case Decimal() | float():
            if not math.isfinite(number := float(value)):
                raise ValueError(f"a parameter must be finite, not {value}")
            return number
        case None | str() | int():
            return value
        case list():
            return [_param(item) for item in value]
        case dict():
            return {str(key): _param(item) for key, item in value.items()}
    raise ValueError(f"a parameter must be a number, text, true, false, a list or a table, not {value!r}")


class Feedback(Part):
    """What outcomes may do to the council's weights; each step is a record."""

    rule: Literal["none", "hedge", "realised"] = Field(
        default="none", description="none; hedge: by the votes' Brier scores; realised: by round trips won and lost"
    )
    rate: Share = Field(default=0.1, description="size of a step: a factor of exp(rate) for a loss of one, or a trip")
    floor: Share = Field(default=0.5, description="least that feedback may multiply a weight by")
    ceiling: Annotated[float, NUMBER, Field(ge=1, le=10)] = Field(
        default=2.0, description="most that feedback may multiply a weight by"
    )
    every_bars: Count = Field(default=100, description="hedge: scored bars between steps")
    min_votes: Count = Field(default=30, description="hedge: scored votes a voter needs before its weight moves")


class Council(Part):
    """How the intents of several strategies become one decision; docs/council.md says it at length."""

    mode: Literal["solo", "council", "off"] = Field(
        default="solo",
        description="solo: each for itself; council: they vote; off: they are heard, nothing is routed",
    )
    rule: Literal["weighted", "headcount"] = Field(
        default="weighted", description="what a vote counts: weight times confidence, or one each"
    )
    threshold: Share = Field(default=0.6, description="support that decides, as a fraction of the weight of all voters")
    exit_threshold: ShareOrZero = Field(
        default=0.25, description="support below which what was entered is left, consensus or not"
    )
    stands_bars: Annotated[int, NUMBER, Field(ge=0, le=1_000_000)] = Field(
        default=1_000, description="bars for which a vote stands while its voter holds; 0: only its own bar"
    )
    voters: dict[StrategyName, Weight] = Field(
        default={}, description="weights by name, 1 for a strategy not named; one that is not there counts as absent"
    )
    regimes: dict[str, dict[StrategyName, Weight]] = Field(
        default={}, description="what multiplies the weights in a regime: {PANIC = {momentum = 0.5}}"
    )
    horizon_bars: Count = Field(default=1, description="how many bars ahead a vote is held to")
    feedback: Feedback = Feedback()

    @model_validator(mode="after")
    def _hysteresis(self) -> Council:
        if self.exit_threshold > self.threshold:
            raise ValueError(f"exit_threshold {self.exit_threshold:g} must not be above threshold {self.threshold:g}")
        return self


class Journal(Part):
    holds: bool = Field(
        default=False, description="also journal decisions to do nothing and equity at each bar, packed"
    )
