"""Coinbase's product lists become instruments, one by one, or are left out."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import orjson
import pytest

from bus.values import FeeAsset, Instrument
from feeds.coinbase.instruments import read_advanced, read_exchange, unified

ADVANCED = {
    "product_id": "AAA-EUR",
    "base_currency_id": "AAA",
    "quote_currency_id": "EUR",
    "base_increment": "0.001",
    "quote_increment": "0.1",
    "price_increment": "0.01",
    "base_min_size": "0.002",
    "base_max_size": "1234567.123456789012345678",
    "quote_min_size": "1",
    "product_type": "SPOT",
    "status": "online",
    "is_disabled": False,
    "trading_disabled": False,
    "cancel_only": False,
    "view_only": False,
}
EXCHANGE = {
    "id": "AAA-EUR",
    "base_currency": "AAA",
    "quote_currency": "EUR",
    "base_increment": "0.001",
    "quote_increment": "0.01",
    "base_min_size": "0.002",
    "base_max_size": "900",
    "min_market_funds": "5.0",
    "status": "online",
    "trading_disabled": False,
    "cancel_only": False,
}


def advanced(**changes: Any) -> dict[str, Instrument]:
    return read_advanced("coinbase", orjson.dumps({"products": [ADVANCED | changes]}).decode())


def exchange(**changes: Any) -> dict[str, Instrument]:
    return read_exchange("coinbaseexchange", orjson.dumps([EXCHANGE | changes]).decode())


def test_an_advanced_product_is_an_instrument_at_the_entry_tier():
    assert advanced()["AAA-EUR"] == Instrument(
        name="coinbase:AAA/EUR",
        symbol="AAA-EUR",
        base="AAA",
        quote="EUR",
        settle="EUR",
        tick=Decimal("0.01"),
        lot=Decimal("0.001"),
        min_size=Decimal("0.002"),
        max_size=Decimal("1234567.123456789012345678"),
        min_notional=Decimal(1),
        maker_fee=Decimal("0.006"),
        taker_fee=Decimal("0.012"),
        fee_asset=FeeAsset.QUOTE,
    )


def test_an_exchange_product_is_an_instrument_at_the_entry_tier():
    assert exchange()["AAA-EUR"] == Instrument(
        name="coinbaseexchange:AAA/EUR",
        symbol="AAA-EUR",
        base="AAA",
        quote="EUR",
        settle="EUR",
        tick=Decimal("0.01"),
        lot=Decimal("0.001"),
        min_size=Decimal("0.002"),
        max_size=Decimal(900),
        min_notional=Decimal(5),
        maker_fee=Decimal("0.004"),
        taker_fee=Decimal("0.006"),
        fee_asset=FeeAsset.QUOTE,
    )


@pytest.mark.parametrize("flag", ["status", "is_disabled", "trading_disabled", "cancel_only", "view_only"])
def test_an_advanced_product_that_takes_no_orders_is_not_trading(flag):
    product = advanced(**{flag: "delisted" if flag == "status" else True})["AAA-EUR"]

    assert not product.trading


@pytest.mark.parametrize("flag", ["status", "trading_disabled", "cancel_only"])
def test_an_exchange_product_that_takes_no_orders_is_not_trading(flag):
    product = exchange(**{flag: "delisted" if flag == "status" else True})["AAA-EUR"]

    assert not product.trading


def test_a_future_is_not_listed():
    assert advanced(product_type="FUTURE") == {}


@pytest.mark.parametrize("bad", ["", "NaN", "sNaN", "Infinity", "-1", "0", "1e-999", "1e999", None, []])
def test_a_product_whose_steps_cannot_be_read_is_left_out_and_the_rest_is_not(bad):
    raw = orjson.dumps(
        {"products": [ADVANCED | {"price_increment": bad}, 7, ADVANCED | {"product_id": "B-C"}]}
    ).decode()

    assert list(read_advanced("coinbase", raw)) == ["B-C"]
    assert exchange(base_increment=bad) == {}


@pytest.mark.parametrize(
    ("symbol", "name"), [("AAA-USD", "v:AAA/USD"), ("AAA", "v:AAA"), ("AAA-20DEC-CDE", "v:AAA/20DEC-CDE")]
)
def test_a_symbol_nobody_knows_is_split_at_its_first_dash(symbol, name):
    assert unified("v", symbol) == name
