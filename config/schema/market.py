"""What is traded and what is heard of it live."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from config.kinds import (
    NUMBER,
    Amount,
    AmountOrZero,
    Asset,
    FeeRate,
    InstrumentName,
    Seconds,
)
from config.schema.part import Part


class InstrumentTerms(Part):
    """An instrument as a table names it: the fields of ``bus.values.Instrument``, in that order."""

    name: InstrumentName
    symbol: str = Field(min_length=1, description="what the venue calls it")
    base: Asset
    quote: Asset
    settle: Asset
    kind: Literal["spot", "linear", "inverse"] = "spot"
    tick: Amount = Field(default=Decimal("0.01"), description="price step")
    lot: Amount = Field(default=Decimal("0.00000001"), description="size step")
    min_size: AmountOrZero = Decimal(0)
    max_size: AmountOrZero = Decimal(0)
    max_market_size: AmountOrZero = Decimal(0)
    min_notional: AmountOrZero = Decimal(0)
    multiplier: Amount = Field(default=Decimal(1), description="units in a contract: of quote if inverse, else of base")
    maker_fee: FeeRate = Field(
        default=Decimal(0), description="fraction of the notional: 0.001 is 0.1 %, negative is a rebate"
    )
    taker_fee: FeeRate = Field(default=Decimal(0), description="fraction of the notional: 0.001 is 0.1 %")
    fee_asset: Literal["quote", "received"] = "quote"
    price_up: AmountOrZero = Field(
        default=Decimal(0), description="highest price of an order as a multiple of the market; 0: none"
    )
    price_down: AmountOrZero = Field(
        default=Decimal(0), description="lowest price of an order as a multiple of the market"
    )
    trading: bool = True

    @model_validator(mode="after")
    def _by_contract(self) -> InstrumentTerms:
        if self.kind == "spot" and self.multiplier != 1:
            raise ValueError("a spot instrument trades by the unit: its multiplier is 1")
        return self

    @property
    def venue(self) -> str:
        return self.name.partition(":")[0]

    def row(self) -> list[Any]:
        """The values in order, as ``msgspec.convert(row, Instrument)`` takes them."""
        return [str(value) if isinstance(value, Decimal) else value for value in self.model_dump().values()]


class MaxAges(Part):
    """By stream, how old what we have of it may be, in seconds; then its instrument is not tradeable."""

    trade: Seconds = 60.0
    quote: Seconds = 5.0
    book: Seconds = 5.0
    kline: Seconds = 10.0
    ticker: Seconds = 10.0
    mark: Seconds = 10.0


class LiveFeed(Part):
    """What to hear of one venue, live."""

    venue: Annotated[str, Field(pattern=r"^[a-z0-9]{1,32}$")] = Field(
        description="binance, binanceusdm, coinbase, or any other by its ccxt id"
    )
    instruments: list[InstrumentName] = Field(min_length=1)
    streams: list[Literal["trade", "quote", "book", "kline", "ticker", "mark"]] = Field(
        default=["trade", "quote", "book"], min_length=1
    )
    past_bars: Annotated[int, NUMBER, Field(ge=0, le=999)] = Field(
        default=300,
        description="closed bars of each of bars.intervals to ask the venue for, at the start and after gaps",
    )
    max_age_s: MaxAges = MaxAges()

    @model_validator(mode="after")
    def _of_one_venue(self) -> LiveFeed:
        for name in self.instruments:
            if name.partition(":")[0] != self.venue:
                raise ValueError(f"{name} is not an instrument of {self.venue}")
        if len(set(self.instruments)) < len(self.instruments) or len(set(self.streams)) < len(self.streams):
            raise ValueError("must name each instrument and each stream once")
        return self
