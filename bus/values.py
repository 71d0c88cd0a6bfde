"""The nouns: what is traded, which way, on what terms. No behaviour beyond what a value can say of itself.

Market data is binary float (a float parsed from a venue's decimal text compares exactly with another parsed from
the same text); everything that is money or an order is ``Decimal``.
"""

from __future__ import annotations

import enum
from decimal import Decimal

import msgspec

ZERO = Decimal(0)
ONE = Decimal(1)


class Choice(enum.Enum):
    """An enum whose members hash by identity: they are keys of tables on the hot path, and Enum's own hash is
    Python.
    """

    __hash__ = object.__hash__


class Side(Choice):
    BUY = "buy"
    SELL = "sell"


class Liquidity(Choice):
    MAKER = "maker"
    TAKER = "taker"


class Kind(Choice):
    """How a contract pays. Inverse contracts are sized in contracts and settle in the base asset."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"


class FeeAsset(Choice):
    """What a fee is taken in: the quote (or settle) asset, or whatever the fill brought in."""

    QUOTE = "quote"
    RECEIVED = "received"


class Action(Choice):
    """What a strategy wants. The first four size themselves from the position; BUY and SELL name a size."""

    ENTER_LONG = "ENTER_LONG"
    EXIT_LONG = "EXIT_LONG"
    ENTER_SHORT = "ENTER_SHORT"
    EXIT_SHORT = "EXIT_SHORT"
    FLAT = "FLAT"
    HOLD = "HOLD"
    BUY = "BUY"
    SELL = "SELL"


class RegimeLabel(enum.StrEnum):
    """What the market is like, in the order in which it is asked. Text as well, because strategies written against the
    documented interface compare with the words.
    """

    PANIC = "PANIC"
    VOL_EXPANSION = "VOL_EXPANSION"
    VOL_COMPRESSION = "VOL_COMPRESSION"
    TREND_UP = "TREND_UP"
    TREND_DOWN = "TREND_DOWN"
    CHOP = "CHOP"


class OrderType(Choice):
    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(Choice):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    GTD = "gtd"


class OrderState(Choice):
    """The life of an order as we know it; the moves between them are the table in ``brokers/order_state.py``."""

    SUBMITTED = "submitted"
    OPEN = "open"
    PARTLY_FILLED = "partly_filled"
    CANCELLING = "cancelling"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"


class TradingState(Choice):
    DISCONNECTED = "disconnected"
    CONNECTED = "connected"
    RECONCILED = "reconciled"
    ARMED = "armed"
    SHADOW = "shadow"
    REDUCING = "reducing"
    HALTED = "halted"
    STOPPING = "stopping"


class MatchSource(Choice):
    """What a simulated fill was matched against."""

    BOOK = "book"
    QUOTE = "quote"
    TRADE = "trade"
    BAR = "bar"


class Instrument(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One tradeable thing at one venue, with the venue's rules.

    ``name`` is ``venue:SYMBOL`` in ccxt's unified form (``binance:BTC/USDT``, ``binancecoinm:BTC/USD:BTC``);
    ``symbol`` is what the venue calls it. ``tick`` is the price step, ``lot`` the size step; a zero limit means the
    venue states none. Sizes are in base units, for inverse contracts in contracts of ``multiplier`` quote units.
    Fees are fractions of the notional. ``price_up`` and ``price_down`` bound an order's price as multiples of the
    market (Binance PERCENT_PRICE filters).
    """

    name: str
    symbol: str
    base: str
    quote: str
    settle: str
    kind: Kind = Kind.SPOT
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal("0.00000001")
    min_size: Decimal = ZERO
    max_size: Decimal = ZERO
    max_market_size: Decimal = ZERO
    min_notional: Decimal = ZERO
    multiplier: Decimal = ONE
    maker_fee: Decimal = ZERO
    taker_fee: Decimal = ZERO
    fee_asset: FeeAsset = FeeAsset.QUOTE
    price_up: Decimal = ZERO
    price_down: Decimal = ZERO
    trading: bool = True

    @property
    def venue(self) -> str:
        return self.name.partition(":")[0]


class Order(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """The terms of an order after sizing and rounding: what the gate approves and the venue is asked to do.

    ``size`` is always positive. ``price`` is the limit (None for market and stop-market), ``stop`` the trigger,
    ``trail`` the distance a trailing stop keeps from the best price since it arrived, in quote units.
    """

    intent_id: str
    strategy: str
    instrument: str
    side: Side
    type: OrderType
    size: Decimal
    price: Decimal | None = None
    stop: Decimal | None = None
    trail: Decimal | None = None
    tif: TimeInForce = TimeInForce.GTC
    expires_ns: int = 0
    post_only: bool = False
    reduce_only: bool = False


class Ballot(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """How one voter of the council stands on a bar.

    ``answer`` is what it said on this very bar (None: nothing); ``stance`` what counts: 1 long, 0 flat, -1 short, None
    an abstention; ``weight`` what its voice weighs in the bar's regime.
    """

    voter: str
    answer: Action | None
    stance: int | None
    confidence: float
    weight: float


class Check(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One rule's answer: what it measured, what it allows, whether that passes."""

    rule: str
    passed: bool
    value: str
    limit: str


class Provenance(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an intent came from, each the first 128 bits of a sha256 in hex, or empty: the strategy's parameters, the
    source it was loaded from, its model, and the closed bars its decision rests on.
    """

    config: str = ""
    code: str = ""
    model: str = ""
    window: str = ""
