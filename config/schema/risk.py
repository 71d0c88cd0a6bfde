"""What the gate asks and how much an entry is: limits, sizing, the governor's bands, a second opinion."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, model_validator

from config.kinds import (
    NUMBER,
    Amount,
    Count,
    InstrumentName,
    Multiple,
    Seconds,
    Share,
    SomeBasisPoints,
    StrategyName,
    StressShare,
    WholeBasisPoints,
)
from config.schema.part import Interval, Part


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
    stress: StressShare = Field(
        default=Decimal("0.2"), description="how far every position gaps against us, as a fraction of its price"
    )
    stresses: dict[InstrumentName, StressShare] = Field(default={}, description="the same by instrument")

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
