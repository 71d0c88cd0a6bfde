"""The venue's refusals: the checks an order must pass on arrival, and the codes and words each venue family uses.

Codes after the venues' own documentation: Binance spot ("Error codes", "Filters"), Binance USD-M and COIN-M futures
("Error codes"), Coinbase Advanced Trade ("Create order" and "Edit order" failure reasons). A venue without a table of
its own gets the name of the check as its code.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from decimal import Decimal

from bus import money
from bus.values import ZERO, Instrument, Order, OrderType
from sim.fees import notional
from sim.members import INVERSE, LIMIT, MARKET, STOP, STOP_LIMIT, TRAILING_STOP
from sim.orders import VenueOrder


class Refusal(enum.Enum):
    UNKNOWN_SYMBOL = "unknown symbol"
    CLOSED = "market is closed"
    MALFORMED = "a term of the order is missing"
    LOT_SIZE = "size is off the lot or outside the limits"
    MARKET_LOT_SIZE = "size is too large for a market order"
    PRICE_FILTER = "price is off the tick"
    NOTIONAL = "notional is too small"
    PERCENT_PRICE = "price is too far from the market"
    BALANCE = "insufficient balance"
    WOULD_TAKE = "post-only order would take"
    WOULD_TRIGGER = "stop would trigger immediately"
    REDUCE_ONLY = "reduce-only order would not reduce"
    DUPLICATE = "client id is in use"
    UNKNOWN_ORDER = "unknown order"
    AMEND = "order cannot be changed like this"


Words = Mapping[Refusal, tuple[str, str]]

_BINANCE: Words = {
    Refusal.UNKNOWN_SYMBOL: ("-1121", "Invalid symbol."),
    Refusal.CLOSED: ("-1013", "Market is closed."),
    Refusal.MALFORMED: ("-1102", "A mandatory parameter was not sent, was empty/null, or malformed."),
    Refusal.LOT_SIZE: ("-1013", "Filter failure: LOT_SIZE"),
    Refusal.MARKET_LOT_SIZE: ("-1013", "Filter failure: MARKET_LOT_SIZE"),
    Refusal.PRICE_FILTER: ("-1013", "Filter failure: PRICE_FILTER"),
    Refusal.NOTIONAL: ("-1013", "Filter failure: NOTIONAL"),
    Refusal.PERCENT_PRICE: ("-1013", "Filter failure: PERCENT_PRICE_BY_SIDE"),
    Refusal.BALANCE: ("-2010", "Account has insufficient balance for requested action."),
    Refusal.WOULD_TAKE: ("-2010", "Order would immediately match and take."),
    Refusal.WOULD_TRIGGER: ("-2010", "Stop price would trigger immediately."),
    Refusal.REDUCE_ONLY: ("-2022", "ReduceOnly Order is rejected."),
    Refusal.DUPLICATE: ("-2010", "Duplicate order sent."),
    Refusal.UNKNOWN_ORDER: ("-2011", "Unknown order sent."),
    Refusal.AMEND: ("-2038", "Order amend rejected."),
}
_BINANCE_FUTURES: Words = {
    **_BINANCE,
    Refusal.LOT_SIZE: ("-4023", "Qty not increased by step size."),
    Refusal.MARKET_LOT_SIZE: ("-4005", "Quantity greater than max quantity."),
    Refusal.PRICE_FILTER: ("-4014", "Price not increased by tick size."),
    Refusal.NOTIONAL: ("-4164", "Order's notional is too small."),
    Refusal.PERCENT_PRICE: ("-4016", "Limit price is too far from the mark price."),
    Refusal.BALANCE: ("-2019", "Margin is insufficient."),
    Refusal.WOULD_TAKE: ("-5022", "Post Only order could not be executed as maker."),
    Refusal.WOULD_TRIGGER: ("-2021", "Order would immediately trigger."),
    Refusal.DUPLICATE: ("-4116", "ClientOrderId is duplicated."),
}
_COINBASE: Words = {
    Refusal.UNKNOWN_SYMBOL: ("INVALID_PRODUCT_ID", "invalid product_id"),
    Refusal.CLOSED: ("ORDER_ENTRY_DISABLED", "order entry is disabled for this product"),
    Refusal.MALFORMED: ("UNSUPPORTED_ORDER_CONFIGURATION", "a term of the order configuration is missing"),
    Refusal.LOT_SIZE: ("INVALID_SIZE_PRECISION", "size is too precise or outside the product's limits"),
    Refusal.MARKET_LOT_SIZE: ("INVALID_SIZE_PRECISION", "size is outside the product's limits"),
    Refusal.PRICE_FILTER: ("INVALID_PRICE_PRECISION", "price is too precise"),
    Refusal.NOTIONAL: ("PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL", "order is smaller than the product's minimum"),
    Refusal.PERCENT_PRICE: ("INVALID_LIMIT_PRICE", "limit price is too far from the market"),
    Refusal.BALANCE: ("INSUFFICIENT_FUND", "insufficient balance in source account"),
    Refusal.WOULD_TAKE: ("INVALID_LIMIT_PRICE_POST_ONLY", "post only order would cross the book"),
    Refusal.WOULD_TRIGGER: ("PREVIEW_INVALID_STOP_PRICE", "stop price is on the wrong side of the market"),
    Refusal.REDUCE_ONLY: ("REDUCE_ONLY", "reduce only order would not reduce"),
    Refusal.DUPLICATE: ("DUPLICATE_CLIENT_ORDER_ID", "client_order_id is in use"),
    Refusal.UNKNOWN_ORDER: ("UNKNOWN_CANCEL_ORDER", "order not found"),
    Refusal.AMEND: ("CANNOT_EDIT_TO_BELOW_FILLED_SIZE", "order cannot be edited like this"),
}
_PLAIN: Words = {refusal: (refusal.name, refusal.value) for refusal in Refusal}
_FAMILIES: Mapping[str, Words] = {
    "binance": _BINANCE,
    "binanceus": _BINANCE,
    "binanceusdm": _BINANCE_FUTURES,
    "binancecoinm": _BINANCE_FUTURES,
    "coinbase": _COINBASE,
}


def words(instrument: str, refusal: Refusal) -> tuple[str, str]:
    """Code and reason as the instrument's venue would put them."""
    return _FAMILIES.get(instrument.partition(":")[0], _PLAIN)[refusal]


_MANDATORY: Mapping[OrderType, tuple[str, ...]] = {
    STOP: ("stop",),
    STOP_LIMIT: ("price", "stop"),
    TRAILING_STOP: ("trail",),
}

Reference = Callable[[], float]
"""The market as it stands, 0.0 where nothing is known."""


def check(instrument: Instrument, order: VenueOrder, reference: Reference) -> Refusal | None:
    """The first of the venue's filters that the order's present terms fail."""
    if not instrument.trading:
        return Refusal.CLOSED
    size, price, terms = order.size, order.price, order.terms
    if terms.type is not MARKET and _incomplete(terms):
        return Refusal.MALFORMED
    if (
        size < instrument.min_size
        or size <= ZERO
        or (instrument.max_size and size > instrument.max_size)
        or (instrument.lot and size % instrument.lot)
    ):
        return Refusal.LOT_SIZE
    if terms.type is MARKET and instrument.max_market_size and size > instrument.max_market_size:
        return Refusal.MARKET_LOT_SIZE
    if (price is not None and _off_tick(price, instrument.tick)) or (
        terms.stop is not None and _off_tick(terms.stop, instrument.tick)
    ):
        return Refusal.PRICE_FILTER
    if instrument.min_notional and not terms.reduce_only and _too_small(instrument, order, reference):
        return Refusal.NOTIONAL
    if price is not None and (instrument.price_up or instrument.price_down) and _far(instrument, price, reference):
        return Refusal.PERCENT_PRICE
    return None


def _incomplete(terms: Order) -> bool:
    if terms.type is LIMIT:
        return terms.price is None
    return any(getattr(terms, term) is None for term in _MANDATORY[terms.type])


def _off_tick(price: Decimal, tick: Decimal) -> bool:
    return price <= 0 or bool(tick and price % tick)


def _too_small(instrument: Instrument, order: VenueOrder, reference: Reference) -> bool:
    """By the order's worth in quote units: at its limit, its stop, or the market where one is known."""
    if instrument.kind is INVERSE:
        return order.size * instrument.multiplier < instrument.min_notional
    price = order.price or order.terms.stop or money.from_float(reference())
    return bool(price) and notional(instrument, price, order.size) < instrument.min_notional


def _far(instrument: Instrument, price: Decimal, reference: Reference) -> bool:
    """Whether the price leaves the band around the market; the venue states one per side, ``Instrument`` keeps one."""
    market = money.from_float(reference())
    if not market:
        return False
    too_high = bool(instrument.price_up) and price > market * instrument.price_up
    return too_high or (bool(instrument.price_down) and price < market * instrument.price_down)
