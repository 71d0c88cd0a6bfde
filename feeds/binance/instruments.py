"""What Binance trades: the three markets' differences, names in ccxt's form, and terms from a recorded exchangeInfo."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

import msgspec

from bus import money
from bus.values import ONE, ZERO, FeeAsset, Instrument, Kind


class Market(NamedTuple):
    """One of Binance's markets. ``rest`` begins the path of its REST addresses; ``quotes`` are for naming a symbol that
    nobody has described, the longest that fits wins. exchangeInfo has no fees: they are the venue's regular-user rates.
    """

    kind: Kind
    rest: str
    quotes: tuple[str, ...]
    maker_fee: Decimal
    taker_fee: Decimal
    fee_asset: FeeAsset


_SPOT_QUOTES = (
    *("USDT", "USDC", "FDUSD", "TUSD", "USDP", "BUSD", "USD1", "DAI", "EURI", "AEUR", "IDRT"),
    *("BTC", "ETH", "BNB", "TRX", "XRP", "DOGE"),
    *("EUR", "GBP", "TRY", "BRL", "JPY", "AUD", "ARS", "MXN", "PLN", "ZAR", "COP", "CZK", "RON", "UAH", "NGN", "RUB"),
)
_US_QUOTES = ("USDT", "USDC", "BUSD", "USD", "DAI", "BTC", "ETH", "BNB")
_LINEAR_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD", "BTC", "ETH")
_SPOT_FEE = Decimal("0.001")

# www.binance.com/en/fee/schedule, www.binance.com/en/fee/futureFee; regular user, no BNB discount
MARKETS: Mapping[str, Market] = {
    "binance": Market(Kind.SPOT, "/api/", _SPOT_QUOTES, _SPOT_FEE, _SPOT_FEE, FeeAsset.RECEIVED),
    "binanceus": Market(Kind.SPOT, "/api/", _US_QUOTES, _SPOT_FEE, _SPOT_FEE, FeeAsset.RECEIVED),
    "binanceusdm": Market(Kind.LINEAR, "/fapi/", _LINEAR_QUOTES, Decimal("0.0002"), Decimal("0.0005"), FeeAsset.QUOTE),
    "binancecoinm": Market(Kind.INVERSE, "/dapi/", ("USD",), Decimal("0.0001"), Decimal("0.0005"), FeeAsset.QUOTE),
}

_CONTRACT = re.compile(r"_(PERP|(?P<delivery>\d{6}))$")


def unified_name(venue: str, symbol: str, base: str, quote: str, settle: str) -> str:
    """``binance:BTC/USDT``, ``binanceusdm:BTC/USDT:USDT``, ``binancecoinm:BTC/USD:BTC-240927``."""
    if MARKETS[venue].kind is Kind.SPOT:
        return f"{venue}:{base}/{quote}"
    contract = _CONTRACT.search(symbol)
    delivery = contract["delivery"] if contract else None
    return f"{venue}:{base}/{quote}:{settle}" + (f"-{delivery}" if delivery else "")


def guessed_name(venue: str, symbol: str) -> str:
    """A name for a symbol that neither config nor the venue has described, by the longest known quote it ends in."""
    market = MARKETS[venue]
    pair = _CONTRACT.sub("", symbol)
    fitting = [quote for quote in market.quotes if pair.endswith(quote) and pair != quote]
    if not fitting:
        return f"{venue}:{symbol}"
    quote = max(fitting, key=len)
    base = pair.removesuffix(quote)
    return unified_name(venue, symbol, base, quote, base if market.kind is Kind.INVERSE else quote)


class _Filter(msgspec.Struct, gc=False):
    """One rule of a symbol; the keys of all kinds of rule side by side."""

    filterType: str  # the venue's names, here and below
    tickSize: str = "0"
    stepSize: str = "0"
    minQty: str = "0"
    maxQty: str = "0"
    minNotional: str = "0"
    notional: str = "0"
    multiplierUp: str = "0"
    multiplierDown: str = "0"
    bidMultiplierUp: str = "0"
    bidMultiplierDown: str = "0"
    askMultiplierUp: str = "0"
    askMultiplierDown: str = "0"


# {"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":[{"filterType":"LOT_SIZE",
#  "minQty":"0.001","maxQty":"900","stepSize":"0.001"}]}; futures add marginAsset, COIN-M contractSize too
# developers.binance.com/docs/binance-spot-api-docs/rest-api/general-endpoints#exchange-information
class Symbol(msgspec.Struct, gc=False):
    symbol: str
    baseAsset: str
    quoteAsset: str
    filters: list[_Filter]
    marginAsset: str = ""
    status: str = ""
    contractStatus: str = ""
    contractSize: Decimal = ONE


class _ExchangeInfo(msgspec.Struct, gc=False):
    symbols: list[Symbol]


_read = msgspec.json.Decoder(_ExchangeInfo).decode


class Instruments:
    """The symbols of every exchangeInfo read so far; an instrument is made when it is asked for."""

    def __init__(self, venue: str, symbols: Sequence[Symbol] = ()) -> None:
        self._venue = venue
        self._symbols = {symbol.symbol: symbol for symbol in symbols}

    @property
    def symbols(self) -> list[Symbol]:
        return list(self._symbols.values())

    def read(self, raw: str) -> None:
        """Take in a reply of exchangeInfo; what it says replaces what an earlier one said of the same symbol."""
        self._symbols.update((symbol.symbol, symbol) for symbol in _read(raw).symbols)

    def get(self, symbol: str) -> Instrument | None:
        """None for a symbol that was not listed, or on terms that make no sense."""
        listed = self._symbols.get(symbol)
        if listed is None:
            return None
        try:
            return _instrument(self._venue, listed)
        except (ArithmeticError, ValueError):
            return None


def _instrument(venue: str, listed: Symbol) -> Instrument:
    market = MARKETS[venue]
    settle = listed.marginAsset or listed.quoteAsset
    rules = {rule.filterType: rule for rule in listed.filters}
    none = _Filter("")
    lot = rules.get("LOT_SIZE", none)
    notional = rules.get("NOTIONAL") or rules.get("MIN_NOTIONAL") or none
    percent = rules.get("PERCENT_PRICE_BY_SIDE") or rules.get("PERCENT_PRICE") or none
    return Instrument(
        name=unified_name(venue, listed.symbol, listed.baseAsset, listed.quoteAsset, settle),
        symbol=listed.symbol,
        base=listed.baseAsset,
        quote=listed.quoteAsset,
        settle=settle,
        kind=market.kind,
        tick=_amount(rules.get("PRICE_FILTER", none).tickSize),
        lot=_amount(lot.stepSize),
        min_size=_amount(lot.minQty),
        max_size=_amount(lot.maxQty),
        max_market_size=_amount(rules.get("MARKET_LOT_SIZE", none).maxQty),
        min_notional=max(_amount(notional.minNotional), _amount(notional.notional)),
        multiplier=listed.contractSize,
        maker_fee=market.maker_fee,
        taker_fee=market.taker_fee,
        fee_asset=market.fee_asset,
        # By side the bounds differ; a price inside the tighter of the two is right on both.
        price_up=min(_stated(percent.multiplierUp, percent.bidMultiplierUp, percent.askMultiplierUp), default=ZERO),
        price_down=max(
            _stated(percent.multiplierDown, percent.bidMultiplierDown, percent.askMultiplierDown), default=ZERO
        ),
        trading="TRADING" in (listed.status, listed.contractStatus),
    )


def _amount(text: str) -> Decimal:
    """A venue's number without its trailing zeros."""
    value = Decimal(text)
    if not value.is_finite() or value < 0:
        raise ValueError(text)
    return Decimal(money.plain(value))


def _stated(*texts: str) -> list[Decimal]:
    return [value for value in map(_amount, texts) if value]
