"""What the sandbox's venues list, in the words of each: symbols with their filters, products with their increments."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from bus import money
from bus.values import ONE
from config.load import known_instruments
from config.schema import InstrumentTerms
from feeds.binance.instruments import guessed_name

PERPETUAL = 4_133_404_800_000  # the delivery date of a contract that is never delivered


class Terms(NamedTuple):
    symbol: str
    base: str
    quote: str
    tick: Decimal
    lot: Decimal
    min_notional: Decimal = Decimal(5)
    max_size: Decimal = Decimal(9000)
    max_market_size: Decimal = Decimal(100)


def terms_of(venue: str, symbol: str, tick: Decimal, lot: Decimal) -> Terms:
    """What the built-in table says of ``symbol``; for one it has not heard of, its name and what its prices show."""
    for known in known_instruments():
        if known.venue == venue and known.symbol == symbol:
            return _from(known)
    pair = symbol.replace("-", "/") if "-" in symbol else guessed_name(venue, symbol).partition(":")[2]
    base, _, quote = pair.partition(":")[0].partition("/")
    return Terms(symbol, base, quote or base, tick, lot)


def exchange_info(rows: Sequence[dict[str, Any]], now_ms: int, *, futures: bool) -> dict[str, Any]:
    weight = 2_400 if futures else 6_000
    orders = {"interval": "MINUTE", "intervalNum": 1, "limit": 1_200} if futures else _SPOT_ORDERS
    limits = [
        {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": weight},
        {"rateLimitType": "ORDERS", **orders},
    ]
    info = {"timezone": "UTC", "serverTime": now_ms, "rateLimits": limits, "exchangeFilters": [], "symbols": list(rows)}
    return {**info, "futuresType": "U_MARGINED", "assets": []} if futures else info


_SPOT_ORDERS = {"interval": "SECOND", "intervalNum": 10, "limit": 100}


def spot_row(terms: Terms) -> dict[str, Any]:
    tick, lot = _eight(terms.tick), _eight(terms.lot)
    return {
        "symbol": terms.symbol,
        "status": "TRADING",
        "baseAsset": terms.base,
        "baseAssetPrecision": 8,
        "quoteAsset": terms.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"],
        "icebergAllowed": True,
        "ocoAllowed": True,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": True,
        "cancelReplaceAllowed": True,
        "amendAllowed": True,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": _eight(terms.max_size), "stepSize": lot},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": "0.00000000",
                "maxQty": _eight(terms.max_market_size),
                "stepSize": "0.00000000",
            },
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "5",
                "askMultiplierDown": "0.2",
                "avgPriceMins": 5,
            },
            {
                "filterType": "NOTIONAL",
                "minNotional": _eight(terms.min_notional),
                "applyMinToMarket": True,
                "maxNotional": "9000000.00000000",
                "applyMaxToMarket": False,
                "avgPriceMins": 5,
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": 5},
        ],
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def futures_row(terms: Terms) -> dict[str, Any]:
    tick, lot = money.plain(terms.tick), money.plain(terms.lot)
    return {
        "symbol": terms.symbol,
        "pair": terms.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": PERPETUAL,
        "onboardDate": 1_569_398_400_000,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": terms.base,
        "quoteAsset": terms.quote,
        "marginAsset": terms.quote,
        "pricePrecision": _places(terms.tick),
        "quantityPrecision": _places(terms.lot),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
            {"filterType": "LOT_SIZE", "minQty": lot, "maxQty": money.plain(terms.max_size), "stepSize": lot},
            {
                "filterType": "MARKET_LOT_SIZE",
                "minQty": lot,
                "maxQty": money.plain(terms.max_market_size),
                "stepSize": lot,
            },
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": money.plain(terms.min_notional)},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def _from(known: InstrumentTerms) -> Terms:
    sizes = known.max_size or Decimal(9000), known.max_market_size or Decimal(100)
    return Terms(known.symbol, known.base, known.quote, known.tick, known.lot, known.min_notional or ONE, *sizes)


def _eight(value: Decimal) -> str:
    return f"{value:.8f}"


def _places(step: Decimal) -> int:
    return len(money.plain(step).partition(".")[2])
