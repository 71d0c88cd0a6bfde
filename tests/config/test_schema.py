"""Bounds, defaults, and the one form that the same settings always take."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import config.schema
from config.schema import canonical, parse_interval

schema: Any = config.schema  # given what a file holds, text and plain numbers, rather than the fields' own types
SECOND = 1_000_000_000


def refused(model, **values) -> bool:
    try:
        model(**values)
    except ValidationError:
        return True
    return False


OTHERS = {"symbol_position_limits", "order_rate", "verify_wallet", "budgets", "returns_interval", "stresses"}
ASKED = sorted(name for name, field in schema.Limits.model_fields.items() if field.default is None)
"""Limits that are only there where they are set."""
LIMITS = sorted(set(schema.Limits.model_fields) - OTHERS - set(ASKED))


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", [0, -1, "0", "-0.0", "nan", "inf", "-inf", "1e30", True, None, "", "5%", "5 s", []])
def test_a_limit_is_a_positive_finite_number(name, value):
    assert refused(schema.Limits, **{name: value})


@pytest.mark.parametrize("name", sorted(set(ASKED) - OTHERS))
@pytest.mark.parametrize("value", [0, -1, "nan", "inf", "1e30", True, "", "5%", []])
def test_a_limit_that_is_asked_for_is_a_positive_finite_number_too(name, value):
    assert refused(schema.Limits, **{name: value})


@pytest.mark.parametrize("value", [Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), float("nan"), float("inf")])
def test_no_limit_can_be_switched_off_by_a_number_that_is_none(value):
    assert all(refused(schema.Limits, **{name: value}) for name in LIMITS)
    assert refused(schema.Limits, symbol_position_limits={"binance:BTC/USDT": value})


def test_every_limit_has_a_finite_default():
    limits = schema.Limits()

    assert all(0 < getattr(limits, name) < 10**6 for name in LIMITS)
    assert 0 < limits.order_rate.orders / limits.order_rate.per_s < 10**6


@pytest.mark.parametrize(
    ("story", "wrong"),
    [
        ("a fraction where basis points are meant", lambda: schema.Limits(max_drawdown_bps=0.04)),
        ("more than all of the equity", lambda: schema.Limits(max_drawdown_bps=10_001)),
        ("milliseconds where seconds are meant", lambda: schema.Limits(stale_data_threshold_s=30_000_000)),
        (
            "percent where a fraction is meant",
            lambda: schema.Venue(fees={"model": "fixed", "maker": 0.1, "taker": 0.1}),
        ),
        (
            "basis points where a fraction is meant",
            lambda: schema.Venue(fees={"model": "fixed", "maker": 10, "taker": 10}),
        ),
        ("a negative latency", lambda: schema.Venue(entry={"model": "fixed", "ms": -1})),
        ("nanoseconds where milliseconds are meant", lambda: schema.Venue(entry={"model": "fixed", "ms": 50_000_000})),
        ("no samples", lambda: schema.Venue(entry={"model": "measured", "samples_ms": []})),
        ("a symbol without a venue", lambda: schema.Limits(symbol_position_limits={"BTCUSDT": 1})),
        ("a currency in lower case", lambda: schema.Trading(asset="usdt")),
        ("no cash at all", lambda: schema.Trading(cash={})),
        ("a length of time without a unit", lambda: schema.Trading(bars={"intervals": ["60"]})),
        ("the same length twice", lambda: schema.Trading(bars={"intervals": ["1m", "60s"]})),
        ("two strategies of one name", lambda: schema.Trading(strategies=[{"use": "a:B"}, {"use": "c:B"}])),
        ("a strategy's name with a space", lambda: schema.StrategyEntry(use="a:B", name="a b")),
        ("a parameter that is no number", lambda: schema.StrategyEntry(use="a:B", params={"x": {"y": [float("nan")]}})),
        ("a parameter that is a date", lambda: schema.StrategyEntry(use="a:B", params={"x": object()})),
        (
            "trades of some length",
            lambda: schema.TableFile(match="*", instrument="x:A/B", content="trades", interval="1m"),
        ),
        ("a bare name of an instrument", lambda: schema.TableFile(match="*", instrument="AB", content="trades")),
    ],
)
def test_wrong_units_and_shapes_are_refused(story, wrong):
    with pytest.raises(ValidationError):
        wrong()


@pytest.mark.parametrize("use", ["trend", "strategies.x:trend", "my/strategies/trend.py", "/abs/x/trend.py"])
def test_a_strategy_without_a_name_is_called_what_use_ends_with(use):
    assert schema.StrategyEntry(use=use).name == "trend"


def test_parameters_are_float_however_they_were_read():
    params = schema.StrategyEntry(
        use="x", params={"a": Decimal("0.5"), "b": [Decimal(2)], "c": {"d": 3, "e": True}}
    ).params

    assert params == {"a": 0.5, "b": [2.0], "c": {"d": 3, "e": True}}
    assert [type(value) for value in (params["a"], params["b"][0], params["c"]["d"])] == [float, float, int]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1s", SECOND), ("90s", 90 * SECOND), ("1m", 60 * SECOND), ("1h", 3600 * SECOND), ("1d", 86_400 * SECOND)],
)
def test_an_interval_is_read_in_nanoseconds(text, expected):
    assert parse_interval(text) == expected


@pytest.mark.parametrize("text", ["", "m", "0m", "01m", "-1m", "1.5m", "1M", "1w", "1 m", "1m\n", "60", "1ms", "١m"])
def test_what_is_no_interval_is_refused(text):
    with pytest.raises(ValueError, match="must be a whole number and one of"):
        parse_interval(text)


# --- the canonical form ----------------------------------------------------------------------------------------


def test_the_canonical_form_is_sorted_plain_text_numbers_and_json():
    trading = schema.Trading(
        cash={"USDT": "1000.00", "BTC": "0.10"},
        strategies=[{"use": "x:B", "params": {"b": 0.5, "a": [1, "x", None, True]}}],
        limits={"symbol_position_limits": {"x:B/C": "1e1", "x:A/B": "1E-8"}},
    )

    form = canonical(trading)

    assert list(form) == sorted(form)
    assert list(form["cash"].items()) == [("BTC", "0.1"), ("USDT", "1000")]
    assert form["limits"]["symbol_position_limits"] == {"x:A/B": "0.00000001", "x:B/C": "10"}
    assert form["strategies"][0]["params"] == {"a": [1, "x", None, True], "b": 0.5}
    assert json.loads(json.dumps(form, allow_nan=False)) == form


@pytest.mark.parametrize("amount", [1000, "1000", 1000.0, "1000.0", "1e3", Decimal("1000.000"), "1_000", " 1000 "])
def test_however_an_amount_is_written_its_form_is_the_same(amount):
    assert canonical(schema.Trading(sizing={"notional": amount}))["sizing"]["notional"] == "1000"


def test_zero_has_one_form():
    assert {
        canonical(schema.Trading(cash={"USDT": zero}))["cash"]["USDT"] for zero in (0, "0.00", "-0", "0e5", -0.0)
    } == {"0"}


amounts = st.decimals("1e-18", "1e15", places=18).filter(bool) | st.integers(1, 10**15).map(Decimal)


@pytest.mark.property
@given(
    st.dictionaries(st.from_regex(r"[A-Z]{3,5}", fullmatch=True), amounts, min_size=1, max_size=4),
    amounts,
    st.randoms(),
)
def test_the_form_of_a_form_is_itself_and_order_and_spelling_do_not_matter(cash, notional, shuffled):
    trading = schema.Trading(cash=cash, sizing={"notional": notional})
    items = list(cash.items())
    shuffled.shuffle(items)

    form = canonical(trading)

    assert canonical(schema.Trading(**form)) == form
    respelt = schema.Trading(
        cash={asset: f"{amount.normalize():e}" for asset, amount in items}, sizing={"notional": str(notional)}
    )
    assert json.dumps(canonical(respelt)) == json.dumps(form)
    assert {asset: Decimal(text) for asset, text in form["cash"].items()} == cash
