"""Whose mark prices an asset."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from portfolio.valuation import CannotValue, Valuation
from tests.portfolio.given import INVERSE, LINEAR, SPOT, Desk, fill, mark, trade


def priced_by(desk: Desk) -> Valuation:
    return Valuation(desk.ledger, desk.market, "USDT")


def test_spot_comes_before_contracts() -> None:
    desk = Desk({})
    desk.hear(mark(90.0, INVERSE), mark(95.0, LINEAR), trade(100.0))

    assert priced_by(desk).source("BTC") == SPOT.name


def test_what_we_trade_comes_before_what_we_only_see() -> None:
    desk = Desk({})
    desk.hear(mark(90.0, INVERSE), trade(100.0), fill("1", "90", INVERSE))

    assert priced_by(desk).source("BTC") == INVERSE.name


def test_a_choice_stands_until_we_trade_something_new() -> None:
    desk = Desk({"BTC": "1"})
    valuation = priced_by(desk)
    desk.hear(mark(90.0, INVERSE))
    assert valuation.price("BTC") == 90

    desk.hear(trade(100.0))
    assert valuation.price("BTC") == 90

    desk.hear(fill("1", "100"))
    assert valuation.price("BTC") == 100


def test_a_choice_outlives_a_restart_until_we_trade_something_new() -> None:
    desk = Desk({"BTC": "1"})
    before = priced_by(desk)
    desk.hear(mark(90.0, INVERSE))
    assert before.price("BTC") == 90
    desk.hear(trade(100.0))
    after = priced_by(desk)
    after.restore(before.sources())

    assert after.price("BTC") == 90
    desk.hear(fill("1", "100"))
    assert after.price("BTC") == 100


def test_there_are_no_chains_and_no_reciprocals() -> None:
    desk = Desk({})
    desk.hear(trade(100.0))

    assert priced_by(desk).price("USDT") == 1
    with pytest.raises(CannotValue, match="USDT"):
        Valuation(desk.ledger, desk.market, "BTC").price("USDT")


def test_a_contract_amounts_to_its_coins_at_the_mark_or_to_its_quote_units() -> None:
    desk = Desk({})
    desk.hear(mark(200.0))

    assert priced_by(desk).notional(LINEAR.name, D(-3)) == 60
    assert priced_by(desk).notional(INVERSE.name, D(-3)) == 300
