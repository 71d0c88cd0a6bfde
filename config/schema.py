"""Everything that can be set, its bounds and its defaults, and nothing that acts on it.

Two parts. ``Trading`` is what a session's results follow from: resolved, brought to one canonical form and hashed into
the root of the journal. ``Process`` is where and how the process runs: paths, logging, how to read table files. Unknown
keys are refused, every limit has a finite default, and there is no value that means "unlimited".

Amounts of money and size are ``Decimal`` and never pass through binary float; parameters of models and strategies are
float.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from config.kinds import (
    NUMBER,
    Amount,
    AmountOrZero,
    Asset,
    BasisPoints,
    Count,
    FeeRate,
    InstrumentName,
    Milliseconds,
    Multiple,
    Seconds,
    Share,
    ShareOrZero,
    SomeBasisPoints,
    StrategyName,
    Weight,
    WholeBasisPoints,
)

_UNITS_NS = {"s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}


def parse_interval(text: str) -> int:
    """The length in nanoseconds of ``"1s"``, ``"5m"``, ``"1h"``, ``"1d"``."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text)
    if match is None:
        raise ValueError(f"must be a whole number and one of s, m, h, d, as in 1s, 5m, 1h, 1d, not {text!r}")
    return int(match[1]) * _UNITS_NS[match[2]]


def _interval(text: str) -> str:
    parse_interval(text)
    return text


Interval = Annotated[str, AfterValidator(_interval)]


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


class Part(BaseModel):
    """What every table of the configuration shares."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


# --- the simulated venue ---------------------------------------------------------------------------------------


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


# --- what decides ----------------------------------------------------------------------------------------------


class OrderRate(Part):
    orders: Count = Field(default=50, description="most orders within per_s seconds")
    per_s: Seconds = 1.0


class Limits(Part):
    max_notional: Amount = Field(default=Decimal(10_000), description="largest notional of one order, in quote units")
    max_position: Amount = Field(
        default=Decimal(25_000), description="largest notional held in one instrument, in quote units"
    )
    symbol_position_limits: dict[InstrumentName, Amount] = Field(
        default={}, description='largest position by instrument, in base units: {"binance:BTC/USDT" = 0.5}'
    )
    max_drawdown_bps: WholeBasisPoints = Field(
        default=1_000,
        description="loss since the session's start that halts trading, in basis points of equity: 400 is 4 %",
    )
    max_consecutive_rejects: Count = Field(default=5, description="rejects in a row that halt trading")
    stale_data_threshold_s: Seconds = Field(
        default=30.0, description="oldest market data an order may rest on, in seconds"
    )
    missed_after_s: Seconds = Field(
        default=10.0, description="live: a signal that answers an event older than this is missed, not acted on"
    )
    price_collar_bps: WholeBasisPoints = Field(
        default=500, description="how far from the market a limit price may be, in basis points"
    )
    order_rate: OrderRate = OrderRate()
    max_open_orders: Count = Field(default=200, description="most orders open at once")

    # From here on: asked only where it is set (docs/risk.md).
    verify_wallet: bool = Field(default=False, description="the wallet must be what the venue says")
    min_notional: Amount | None = Field(default=None, description="smallest notional of an entry, in quote units")
    cooldown_s: Seconds | None = Field(
        default=None, description="seconds after a strategy made its position smaller before it may enter again"
    )
    max_spread_bps: SomeBasisPoints | None = Field(default=None, description="widest spread to enter at, of the middle")
    max_impact_bps: SomeBasisPoints | None = Field(
        default=None, description="how far from the middle the depth may fill an entry on average"
    )
    min_atr: Share | None = Field(default=None, description="smallest average true range, as a fraction of the price")
    max_atr: Share | None = Field(default=None, description="largest average true range, as a fraction of the price")
    min_equity: Amount | None = Field(default=None, description="least the account must be worth to enter")
    max_daily_loss_bps: WholeBasisPoints | None = Field(
        default=None, description="loss since midnight UTC that lets nothing enter until the next"
    )
    budgets: dict[StrategyName, Amount] = Field(
        default={}, description="most a strategy may have in the market, by name, in account currency"
    )
    max_correlation: Share | None = Field(default=None, description="highest correlation with what is held")
    max_gross: Multiple | None = Field(default=None, description="all positions either way, as a multiple of equity")
    max_net: Multiple | None = Field(default=None, description="long less short, as a multiple of equity")
    max_leverage: Multiple | None = Field(default=None, description="positions on margin, as a multiple of equity")
    min_liquidation_distance: Share | None = Field(
        default=None, description="least that positions on margin must be able to move against us"
    )
    maintenance: Share = Field(default=0.005, description="maintenance margin, as a fraction of the notional")
    max_var: Share | None = Field(default=None, description="largest value at risk, as a fraction of equity")
    max_es: Share | None = Field(default=None, description="largest expected shortfall, as a fraction of equity")
    confidence: Annotated[float, NUMBER, Field(ge=0.5, lt=1)] = Field(default=0.99, description="of VaR and ES")
    horizon_s: Seconds = Field(default=86_400.0, description="of VaR and ES")
    returns: Annotated[int, NUMBER, Field(ge=2, le=100_000)] = Field(
        default=500, description="bars that statistics look back on"
    )
    min_returns: Annotated[int, NUMBER, Field(ge=2, le=100_000)] = Field(
        default=30, description="bars without which VaR, ES and correlation let nothing pass"
    )
    returns_interval: Interval | None = Field(
        default=None, description="length of the bars that statistics are made of; none: the first that is heard"
    )
    max_money_at_risk: Amount | None = Field(
        default=None, description="most that gaps of `stress` may cost from here, in account currency"
    )
    stress: Annotated[Decimal, NUMBER, Field(gt=0, lt=1)] = Field(
        default=Decimal("0.2"), description="how far every position gaps against us, as a fraction of its price"
    )
    stresses: dict[InstrumentName, Annotated[Decimal, NUMBER, Field(gt=0, lt=1)]] = Field(
        default={}, description="the same by instrument"
    )

    @model_validator(mode="after")
    def _statistics(self) -> Limits:
        if self.min_returns > self.returns:
            raise ValueError(f"min_returns {self.min_returns} must not be above returns {self.returns}")
        if self.min_atr is not None and self.max_atr is not None and self.min_atr > self.max_atr:
            raise ValueError(f"min_atr {self.min_atr:g} must not be above max_atr {self.max_atr:g}")
        return self


class Sizing(Part):
    """How much an entry is that names no size; docs/risk.md has the formulas."""

    method: Literal[
        "intent", "fixed_notional", "dollar_per_trade", "equity_fraction", "vol_target", "kelly", "exposure_confidence"
    ] = Field(default="intent", description="intent: its exposure where it names one, else notional")
    notional: Amount = Field(
        default=Decimal(1_000), description="size of an order whose intent names none, in account currency"
    )
    fraction: Share = Field(default=0.1, description="equity_fraction: of equity; exposure_confidence without exposure")
    vol_target: Annotated[float, NUMBER, Field(gt=0, le=10)] = Field(
        default=0.2, description="vol_target: standard deviation that the position gives the account, per year"
    )
    max_fraction: Multiple = Field(default=1.0, description="vol_target: most, as a multiple of equity")
    kelly_share: Share = Field(default=0.25, description="kelly: how much of full Kelly is staked")
    kelly_cap: Share = Field(default=0.2, description="kelly: most, as a fraction of equity")
    kelly_min_trades: Count = Field(
        default=30, description="kelly: round trips of the strategy below which notional is staked"
    )
    positions: Literal["net", "own"] = Field(
        default="net", description="what a strategy enters and leaves: the whole position, or its own part of it"
    )


class Bands(Part):
    """Fractions lost at which each band begins; 1 is a band that is never reached."""

    soft: Share = Field(default=1.0, description="entries are made smaller")
    hard: Share = Field(default=1.0, description="only what makes a position smaller passes")
    kill: Share = Field(default=1.0, description="shadow: open orders are cancelled, nothing passes")

    @model_validator(mode="after")
    def _ordered(self) -> Bands:
        if not self.soft <= self.hard <= self.kill:
            raise ValueError(f"soft {self.soft:g}, hard {self.hard:g}, kill {self.kill:g} must not fall")
        return self


class Governor(Part):
    """What watches the account as a whole; what it closed, only the operator opens (argus clear)."""

    peak: Bands = Field(default=Bands(soft=0.1, hard=0.2, kill=0.25), description="lost since the peak of equity")
    session: Bands = Field(default=Bands(), description="lost since the session's start")
    soft_scale: Share = Field(default=0.5, description="what entries are multiplied by in a soft band")
    panic_exit: bool = Field(default=False, description="close, reduce-only, what is held of an instrument in PANIC")


class Confirmation(Part):
    """A model's second opinion on entries: p_long, the probability that the price rises."""

    conf_min: Share | None = Field(
        default=None, description="least probability, for its side, that an entry needs; 0.64 is usual; none: not asked"
    )
    model: Literal["none", "external"] = Field(
        default="none", description="external: answers come in as inputs; none: paper says so and trades, live does not"
    )
    max_age_s: Seconds = Field(default=7_200.0, description="how long an answer is good for")


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
    params: dict[str, Any] = {}
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
    multiplier: Amount = Field(default=Decimal(1), description="quote units in one inverse contract")
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

    @property
    def venue(self) -> str:
        return self.name.partition(":")[0]

    def row(self) -> list[Any]:
        """The values in order, as ``msgspec.convert(row, Instrument)`` takes them."""
        return [str(value) if isinstance(value, Decimal) else value for value in self.model_dump().values()]


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
    strategies: list[StrategyEntry] = []
    feeds: list[LiveFeed] = []
    council: Council = Council()
    journal: Journal = Journal()
    instruments: list[InstrumentTerms] = Field(
        default=[], description="instruments to add to the built-in table, or to replace there"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Trading:
        for what, names in (
            ("strategies", [entry.name for entry in self.strategies]),
            ("instruments", [entry.name for entry in self.instruments]),
            ("feeds", [entry.venue for entry in self.feeds]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {what} are named {twice[0]!r}; give each a name of its own")
        if self.council.mode == "council" and any(entry.name == "council" for entry in self.strategies):
            raise ValueError("the council trades under the name 'council'; give the strategy another")
        return self


# --- where it runs ---------------------------------------------------------------------------------------------


class Logging(Part):
    level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"


class TableFile(Part):
    """How to read the table files whose name fits ``match``."""

    match: str = Field(min_length=1, description="pattern of the file's name: *_1h_*.parquet")
    instrument: InstrumentName
    content: Literal["trades", "quotes", "bars"]
    columns: dict[str, str | int] = Field(default={}, description="our name of a column to the file's, or its index")
    interval: Interval | None = Field(default=None, description="length of the bars")
    stamp: Literal["start", "end"] = Field(default="start", description="which end of a bar its time is")

    @model_validator(mode="after")
    def _only_bars_have_a_length(self) -> TableFile:
        if self.interval is not None and self.content != "bars":
            raise ValueError(f"interval is for bars; {self.content} have none")
        return self


class Recording(Part):
    """What a live session keeps of what it heard."""

    piece_mb: Count = Field(default=256, description="most text in one piece, in MiB; a new hour begins a new one too")
    keep_days: Annotated[float, NUMBER, Field(gt=0, le=36_500)] = Field(
        default=30.0, description="recordings of finished sessions are deleted after so many days; journals stay"
    )
    budget_gb: Annotated[float, NUMBER, Field(gt=0, le=1e6)] = Field(
        default=50.0, description="most that recordings of finished sessions take, in GiB; the oldest go first"
    )
    spare_mb: Count = Field(default=256, description="with less free than this, in MiB, nothing more is recorded")


def _address(*schemes: str) -> AfterValidator:
    """An address of one of two schemes, secured, or not where it does not leave this machine."""
    secure, plain = schemes

    def check(address: str) -> str:
        parts = urlsplit(address)
        here = parts.hostname in ("127.0.0.1", "::1", "localhost")
        if not parts.hostname or not (parts.scheme == secure or (parts.scheme == plain and here)):
            raise ValueError(f"must be {secure}://…, or {plain}:// to this machine, not {address!r}")
        return address.rstrip("/")

    return AfterValidator(check)


class Endpoint(Part):
    """Where a venue is found, in place of its own address."""

    ws: list[Annotated[str, _address("wss", "ws")]] = Field(
        default=[], description="addresses of its sockets, tried in this order; none means the venue's own"
    )
    rest: Annotated[str, _address("https", "http")] | None = Field(default=None, description="address of its REST side")
    proxy: str = Field(default="", pattern=r"^(https?://\S+)?$", description="an HTTP proxy for both")
    ca_file: str = Field(default="", description="certificates to trust besides the system's")


Port = Annotated[int, NUMBER, Field(ge=0, le=65_535)]


class ControlSocket(Part):
    """The unix socket beside the lock is always there; this is the other way in."""

    loopback: bool = Field(default=False, description="listen on 127.0.0.1 too, for who has the token beside the lock")
    port: Port = Field(default=0, description="of the loopback; 0: the system chooses")


class Watch(Part):
    """How a live process looks after itself."""

    metrics_port: Port = Field(default=0, description="for Prometheus, on 127.0.0.1: /metrics and /healthz; 0: none")
    memory_mb: Count = Field(default=2_048, description="above this, in MiB, garbage is collected and somebody told")
    clock_offset_ms: Milliseconds = Field(default=500.0, description="how far the wall may be from our clock, in ms")
    integrity_every_s: Seconds = Field(default=3_600.0, description="how often the journal's file is checked, in s")


class Notify(Part):
    """What people are told of; the addresses are a secret, ARGUS_NOTIFY_URLS."""

    level: Literal["info", "warning", "critical"] = Field(default="warning", description="what is below is not said")
    mute: list[
        Literal[
            "state", "fill", "refusal", "rejection", "strategy", "failure", "fault", "feed", "data", "finding",
            "heartbeat",
        ]
    ] = Field(default=[], description="kinds that are not said at all")  # fmt: skip
    same_within_s: Seconds = Field(default=600.0, description="the same is said once in so many seconds")
    per_minute: Count = Field(default=10, description="most messages in a minute; the others wait")
    kept: Count = Field(
        default=500, description="most messages that wait; of more the oldest are lost, never critical ones"
    )
    missed_heartbeat_s: Seconds = Field(default=60.0, description="silence of the daemon that is said, in seconds")


class Process(Part):
    out_dir: Path = Field(default=Path("var/sessions"), description="folder that session directories are made in")
    state_dir: Path = Field(
        default=Path("var/state"), description="what outlives a session: the lock, the count of starts, the latest one"
    )
    kill_file: Path = Field(
        default=Path("var/KILL"), description="while this file is there nothing trades; made while running, it halts"
    )
    stop_within_s: Seconds = Field(default=10.0, description="how long a stop waits for open orders to be gone")
    recording: Recording = Recording()
    control: ControlSocket = ControlSocket()
    watch: Watch = Watch()
    notify: Notify = Notify()
    logging: Logging = Logging()
    tables: list[TableFile] = []
    endpoints: dict[str, Endpoint] = Field(default={}, description="other addresses of venues, by venue")


class Rehearsal(Part):
    """A clock shared with a sandbox exchange: since_ns + rate times what has passed on the wall since then."""

    rate: Annotated[float, NUMBER, Field(gt=0, le=100_000)] = Field(
        default=1.0, description="how much faster than the wall time runs; for paper trading on a sandbox exchange only"
    )
    since_ns: Annotated[int, NUMBER, Field(ge=0, lt=2**63)] = Field(
        default=0, description="when the clock left the wall, in ns, as the sandbox says it; 0 is the process's start"
    )


class Config(Part):
    trading: Trading = Trading()
    process: Process = Process()
    test: Rehearsal = Rehearsal()


# --- the canonical form ----------------------------------------------------------------------------------------


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
            text = format(value, "f")
            return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"
        case float():
            return value + 0.0  # -0.0 is 0.0
    return value
