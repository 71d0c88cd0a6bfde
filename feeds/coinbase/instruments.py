"""Which instruments there are, from Coinbase's product lists, and how each is named.

Spot only: a future or perpetual is not listed, though its data flows. A product whose numbers cannot be read is not
listed either, so it cannot be traded, and the rest of the list is none the worse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from decimal import Decimal

import msgspec

from bus.events import InstrumentListed
from bus.money import SMALLEST
from bus.values import ZERO, FeeAsset, Instrument
from feeds.coinbase.wire import decode
from feeds.port import KnownInstruments

_LARGEST = Decimal("1E+30")

# The venues' published rates for an account without volume; an account's own come with its configuration.
ADVANCED_MAKER = Decimal("0.006")
ADVANCED_TAKER = Decimal("0.012")
EXCHANGE_MAKER = Decimal("0.004")
EXCHANGE_TAKER = Decimal("0.006")

ReadProducts = Callable[[str, str], dict[str, Instrument]]


class Known(msgspec.Struct):
    """Names by symbol, of what was heard of, and what the venue listed."""

    names: dict[str, str]
    products: dict[str, Instrument]


class Instruments:
    """Names for the venue's symbols, and the listing of each instrument just before its first event.

    Configuration comes first, the venue's list second. A product that neither knows is named by its symbol and listed
    nowhere. A later list that reads differently lists again what was already heard of.
    """

    def __init__(self, venue: str, known: KnownInstruments) -> None:
        self._venue = venue
        self._known = known
        self._names: dict[str, str] = {}
        self._products: dict[str, Instrument] = {}

    def state(self) -> Known:
        return Known(self._names, self._products)

    def restore(self, state: Known, local_ns: int) -> list[InstrumentListed]:
        """What was listed to us is said again."""
        self._names, self._products = state.names, state.products
        return [
            InstrumentListed(local_ns, instrument)
            for symbol in state.names
            if self._known(self._venue, symbol) is None
            and (instrument := state.products.get(symbol)) is not None
            and instrument.name == state.names[symbol]
        ]

    def name(self, symbol: str, local_ns: int, out: list[object]) -> str:
        """The instrument's name; its listing goes to ``out`` when this is the first event about it."""
        name = self._names.get(symbol)
        return name if name is not None else self._meet(symbol, local_ns, out)

    def symbols_of(self, names: Collection[str]) -> list[str]:
        """The venue's symbols of instruments heard of."""
        return [symbol for symbol, name in self._names.items() if name in names] if names else []

    def learn(self, products: dict[str, Instrument], local_ns: int) -> list[InstrumentListed]:
        news = [
            InstrumentListed(local_ns, instrument)
            for symbol, instrument in products.items()
            if symbol in self._names
            and self._products.get(symbol) != instrument
            and self._known(self._venue, symbol) is None
        ]
        self._products.update(products)
        return news

    def _meet(self, symbol: str, local_ns: int, out: list[object]) -> str:
        instrument = self._known(self._venue, symbol)
        if instrument is None:
            instrument = self._products.get(symbol)
            if instrument is not None:
                out.append(InstrumentListed(local_ns, instrument))
        name = instrument.name if instrument is not None else unified(self._venue, symbol)
        self._names[symbol] = name
        return name


def unified(venue: str, symbol: str) -> str:
    """``AAA-USD`` at ``venue`` is ``venue:AAA/USD``."""
    return f"{venue}:{symbol.replace('-', '/', 1)}"


# --- product lists ---------------------------------------------------------------------------------------------


class AdvancedProduct(msgspec.Struct, gc=False):
    """One of ``GET /api/v3/brokerage/market/products``."""

    product_id: str
    base_currency_id: str
    quote_currency_id: str
    base_increment: Decimal
    price_increment: Decimal
    status: str
    product_type: str
    base_min_size: Decimal = ZERO
    base_max_size: Decimal = ZERO
    quote_min_size: Decimal = ZERO
    is_disabled: bool = False
    trading_disabled: bool = False
    cancel_only: bool = False
    view_only: bool = False


class AdvancedProducts(msgspec.Struct, gc=False):
    products: list[msgspec.Raw]


class ExchangeProduct(msgspec.Struct, gc=False):
    """One of ``GET /products``; since 2022 without base sizes."""

    id: str
    base_currency: str
    quote_currency: str
    base_increment: Decimal
    quote_increment: Decimal
    status: str
    base_min_size: Decimal = ZERO
    base_max_size: Decimal = ZERO
    min_market_funds: Decimal = ZERO
    trading_disabled: bool = False
    cancel_only: bool = False


_ADVANCED_LIST = msgspec.json.Decoder(AdvancedProducts)
_ADVANCED = msgspec.json.Decoder(AdvancedProduct)
_EXCHANGE_LIST = msgspec.json.Decoder(list[msgspec.Raw])
_EXCHANGE = msgspec.json.Decoder(ExchangeProduct)


def read_advanced(venue: str, raw: str) -> dict[str, Instrument]:
    """Advanced Trade's spot products, by symbol."""
    return _by_symbol(_advanced(venue, item) for item in decode(_ADVANCED_LIST, raw).products)


def read_exchange(venue: str, raw: str) -> dict[str, Instrument]:
    """Exchange's products, by symbol."""
    return _by_symbol(_exchange(venue, item) for item in decode(_EXCHANGE_LIST, raw))


def _advanced(venue: str, item: msgspec.Raw) -> Instrument | None:
    try:
        product = _ADVANCED.decode(item)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if product.product_type != "SPOT":
        return None
    return _sound(
        Instrument(
            name=unified(venue, product.product_id),
            symbol=product.product_id,
            base=product.base_currency_id,
            quote=product.quote_currency_id,
            settle=product.quote_currency_id,
            tick=product.price_increment,
            lot=product.base_increment,
            min_size=product.base_min_size,
            max_size=product.base_max_size,
            min_notional=product.quote_min_size,
            maker_fee=ADVANCED_MAKER,
            taker_fee=ADVANCED_TAKER,
            fee_asset=FeeAsset.QUOTE,
            trading=product.status == "online"
            and not (product.is_disabled or product.trading_disabled or product.cancel_only or product.view_only),
        )
    )


def _exchange(venue: str, item: msgspec.Raw) -> Instrument | None:
    try:
        product = _EXCHANGE.decode(item)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return _sound(
        Instrument(
            name=unified(venue, product.id),
            symbol=product.id,
            base=product.base_currency,
            quote=product.quote_currency,
            settle=product.quote_currency,
            tick=product.quote_increment,
            lot=product.base_increment,
            min_size=product.base_min_size,
            max_size=product.base_max_size,
            min_notional=product.min_market_funds,
            maker_fee=EXCHANGE_MAKER,
            taker_fee=EXCHANGE_TAKER,
            fee_asset=FeeAsset.QUOTE,
            trading=product.status == "online" and not (product.trading_disabled or product.cancel_only),
        )
    )


def _sound(instrument: Instrument) -> Instrument | None:
    """None where a step is not a positive amount, or a limit not an amount at all (NaN is a Decimal too)."""
    steps = (instrument.tick, instrument.lot)
    limits = (instrument.min_size, instrument.max_size, instrument.min_notional)
    if not all(amount.is_finite() for amount in (*steps, *limits)):
        return None
    if not all(SMALLEST <= step < _LARGEST for step in steps):
        return None
    return instrument if all(0 <= limit < _LARGEST for limit in limits) else None


def _by_symbol(instruments: Iterable[Instrument | None]) -> dict[str, Instrument]:
    return {instrument.symbol: instrument for instrument in instruments if instrument is not None}
