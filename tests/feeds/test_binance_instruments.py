"""Names and terms of what Binance trades, and when they are announced."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pytest

from bus.events import InstrumentListed, Quote
from bus.values import FeeAsset, Instrument, Kind
from feeds.binance.instruments import Instruments, guessed_name
from feeds.binance.protocol import BinanceProtocol
from feeds.port import Unparsed


def info(**changed: object) -> str:
    symbol = {
        "symbol": "BTCUSDT",
        "status": "TRADING",
        "baseAsset": "BTC",
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "minPrice": "0.01000000", "maxPrice": "1000000", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00010000", "maxQty": "9000.00000000", "stepSize": "0.00010000"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.0", "maxQty": "120.5000", "stepSize": "0.0"},
            {"filterType": "NOTIONAL", "minNotional": "5.0", "applyMinToMarket": True, "maxNotional": "9000000"},
            {
                "filterType": "PERCENT_PRICE_BY_SIDE",
                "bidMultiplierUp": "5",
                "bidMultiplierDown": "0.2",
                "askMultiplierUp": "4",
                "askMultiplierDown": "0.5",
            },
            {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": 200},
        ],
    }
    return json.dumps({"timezone": "UTC", "symbols": [{**symbol, **changed}]})


def listed(venue: str, raw: str, symbol: str = "BTCUSDT") -> Instrument | None:
    instruments = Instruments(venue)
    instruments.read(raw)
    return instruments.get(symbol)


def test_the_terms_of_a_spot_pair():
    assert listed("binance", info()) == Instrument(
        name="binance:BTC/USDT",
        symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        settle="USDT",
        tick=Decimal("0.01"),
        lot=Decimal("0.0001"),
        min_size=Decimal("0.0001"),
        max_size=Decimal(9000),
        max_market_size=Decimal("120.5"),
        min_notional=Decimal(5),
        maker_fee=Decimal("0.001"),
        taker_fee=Decimal("0.001"),
        fee_asset=FeeAsset.RECEIVED,
        price_up=Decimal(4),
        price_down=Decimal("0.5"),
    )


def test_the_terms_of_a_linear_perpetual():
    filters = [
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
        {"filterType": "PERCENT_PRICE", "multiplierUp": "1.1000", "multiplierDown": "0.9000", "multiplierDecimal": "4"},
    ]

    instrument = listed("binanceusdm", info(marginAsset="USDT", contractType="PERPETUAL", filters=filters))

    assert instrument is not None
    assert (instrument.name, instrument.kind) == ("binanceusdm:BTC/USDT:USDT", Kind.LINEAR)
    assert (instrument.min_notional, instrument.price_up, instrument.price_down) == (
        *(Decimal(100), Decimal("1.1"), Decimal("0.9")),
    )
    assert (instrument.maker_fee, instrument.taker_fee) == (Decimal("0.0002"), Decimal("0.0005"))
    assert instrument.fee_asset is FeeAsset.QUOTE


def test_the_terms_of_an_inverse_delivery_contract():
    raw = info(symbol="BTCUSD_270326", quoteAsset="USD", marginAsset="BTC", contractSize=100, contractStatus="TRADING")

    instrument = listed("binancecoinm", raw, "BTCUSD_270326")

    assert instrument is not None
    assert (instrument.name, instrument.kind) == ("binancecoinm:BTC/USD:BTC-270326", Kind.INVERSE)
    assert (instrument.settle, instrument.multiplier, instrument.trading) == ("BTC", Decimal(100), True)


def test_a_pair_that_is_halted_is_not_trading():
    instrument = listed("binance", info(status="BREAK"))

    assert instrument is not None
    assert not instrument.trading


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-1", "much", ""])
def test_terms_that_make_no_sense_list_nothing(value):
    assert listed("binance", info(filters=[{"filterType": "PRICE_FILTER", "tickSize": value}])) is None


@pytest.mark.parametrize(
    ("venue", "symbol", "name"),
    [
        ("binance", "BTCUSDT", "binance:BTC/USDT"),
        ("binance", "BTCFDUSD", "binance:BTC/FDUSD"),
        ("binance", "ETHBTC", "binance:ETH/BTC"),
        ("binance", "USDTTRY", "binance:USDT/TRY"),
        ("binance", "USDT", "binance:USDT"),
        ("binance", "QQQ", "binance:QQQ"),
        ("binanceus", "DOTUSD", "binanceus:DOT/USD"),
        ("binanceusdm", "BTCUSDT", "binanceusdm:BTC/USDT:USDT"),
        ("binanceusdm", "1000PEPEUSDC", "binanceusdm:1000PEPE/USDC:USDC"),
        ("binanceusdm", "ETHUSDT_270326", "binanceusdm:ETH/USDT:USDT-270326"),
        ("binancecoinm", "DOTUSD_PERP", "binancecoinm:DOT/USD:DOT"),
        ("binancecoinm", "BTCUSD_270326", "binancecoinm:BTC/USD:BTC-270326"),
    ],
)
def test_a_symbol_nobody_described_is_named_by_its_quote(venue, symbol, name):
    assert guessed_name(venue, symbol) == name


QUOTE = '{"stream":"btcusdt@bookTicker","data":{"u":9,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}'
URL = "https://api.binance.com/api/v3/exchangeInfo"


def later(id: int) -> str:
    return QUOTE.replace('"u":9', f'"u":{id}')


def kinds(events: Iterable[object]) -> list[type]:
    return [type(event) for event in events]


def test_an_instrument_is_listed_once_just_before_its_first_event():
    heard = BinanceProtocol("binance", lambda _venue, _symbol: None)
    assert heard.reply(URL, info(), 1) == ()

    assert kinds(heard.receive(QUOTE, 2, None)) == [InstrumentListed, Quote]
    assert kinds(heard.receive(later(10), 3, None)) == [Quote]


def test_terms_that_come_late_are_listed_then_and_again_when_they_change():
    heard = BinanceProtocol("binance", lambda _venue, _symbol: None)
    assert kinds(heard.receive(QUOTE, 1, None)) == [Quote]

    heard.reply(URL, info(), 2)
    assert kinds(heard.receive(later(10), 3, None)) == [InstrumentListed, Quote]
    heard.reply(URL, info(), 4)
    assert kinds(heard.receive(later(11), 5, None)) == [Quote]
    heard.reply(URL, info(status="HALT"), 6)
    assert kinds(heard.receive(later(12), 7, None)) == [InstrumentListed, Quote]


def test_what_was_heard_before_the_terms_is_not_heard_again_after_them():
    """They are asked for each hour, and may come while a second socket says once more what the first one said."""
    heard = BinanceProtocol("binance", lambda _venue, _symbol: None)
    heard.reply(URL, info(), 1)
    heard.receive(later(12), 2, "1a")
    heard.reply(URL, info(), 3)

    assert heard.receive(later(11), 4, "1b") == ()
    assert heard.receive(later(12), 5, "1b") == ()
    assert kinds(heard.receive(later(13), 6, "1b")) == [Quote]


def test_what_config_describes_is_named_by_it_and_not_listed_again():
    ours = Instrument("binance:XBT/USDT", "BTCUSDT", "XBT", "USDT", "USDT")
    heard = BinanceProtocol("binance", lambda _venue, symbol: ours if symbol == "BTCUSDT" else None)
    heard.reply(URL, info(), 1)

    quote: Any
    (quote,) = heard.receive(QUOTE, 2, None)

    assert quote.instrument == "binance:XBT/USDT"


def test_a_name_once_given_stays():
    heard = BinanceProtocol("binance", lambda _venue, _symbol: None)
    heard.receive(QUOTE, 1, None)
    heard.reply(URL, info(baseAsset="BTCU", quoteAsset="SDT"), 2)

    listing: Any
    quote: Any
    listing, quote = heard.receive(later(10), 3, None)

    assert (listing.instrument.name, quote.instrument) == ("binance:BTC/USDT", "binance:BTC/USDT")


def test_another_markets_instruments_are_not_ours():
    heard = BinanceProtocol("binance", lambda _venue, _symbol: None)
    heard.reply("https://fapi.binance.com/fapi/v1/exchangeInfo", info(marginAsset="USDT"), 1)

    assert kinds(heard.receive(QUOTE, 2, None)) == [Quote]


def test_an_exchange_info_that_cannot_be_read_is_unparsed():
    heard = BinanceProtocol("binance", lambda _venue, _symbol: None)

    with pytest.raises(Unparsed):
        heard.reply(URL, info()[:-1], 1)
    with pytest.raises(Unparsed, match="venue error -1003: slow down"):
        heard.reply(URL, '{"code":-1003,"msg":"slow down"}', 1)
