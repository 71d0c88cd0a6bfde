"""Rounding, against exact fractions."""

from __future__ import annotations

import decimal
import math
from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import money

amounts = st.decimals(min_value=0, max_value=10**12, places=12, allow_nan=False, allow_infinity=False)
signed = st.decimals(min_value=-(10**12), max_value=10**12, places=12, allow_nan=False, allow_infinity=False)
steps = st.one_of(
    st.integers(-12, 3).map(lambda exponent: D(1).scaleb(exponent)),
    st.sampled_from([D("0.25"), D("0.5"), D("0.05"), D("2.5"), D("3"), D("0.00025")]),
)


@pytest.mark.property
@given(amounts, steps)
def test_rounding_to_a_step_is_what_fractions_say(value: D, step: D) -> None:
    quotient = Fraction(value) / Fraction(step)

    assert Fraction(money.floor_to(value, step)) == math.floor(quotient) * Fraction(step)
    assert Fraction(money.ceil_to(value, step)) == math.ceil(quotient) * Fraction(step)
    assert Fraction(money.nearest_to(value, step)) == math.floor(quotient + Fraction(1, 2)) * Fraction(step)


@pytest.mark.property
@given(amounts, steps)
def test_what_is_on_the_step_already_stays(value: D, step: D) -> None:
    there = money.floor_to(value, step)

    assert money.floor_to(there, step) == money.ceil_to(there, step) == money.nearest_to(there, step) == there


@pytest.mark.parametrize("rounding", [money.floor_to, money.ceil_to, money.nearest_to])
def test_a_step_of_zero_leaves_the_value_as_it_is(rounding) -> None:
    assert rounding(D("1.2345"), D(0)) == D("1.2345")


@pytest.mark.property
@given(signed, signed.filter(bool), st.integers(-18, 0))
def test_a_quotient_is_rounded_half_even_to_its_step(numerator: D, denominator: D, exponent: int) -> None:
    step = D(1).scaleb(exponent)

    quotient = money.divide(numerator, denominator, step)

    exact = Fraction(numerator) / Fraction(denominator) / Fraction(step)
    assert Fraction(quotient) == round(exact) * Fraction(step)  # Python rounds fractions half to even
    assert quotient.as_tuple().exponent == exponent


@pytest.mark.parametrize(
    ("numerator", "quotient"), [(5, "0"), (15, "2"), (25, "2"), (-15, "-2"), (-25, "-2"), (26, "3")]
)
def test_a_quotient_half_way_goes_to_the_even_step(numerator: int, quotient: str) -> None:
    assert money.divide(D(numerator), D(10), D(1)) == D(quotient)


def test_dividing_by_zero_raises() -> None:
    with pytest.raises(decimal.DivisionByZero):
        money.divide(D(1), D(0))


@pytest.mark.property
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_becomes_the_shortest_decimal_that_means_it(value: float) -> None:
    exact = money.from_float(value)

    assert float(exact) == value
    assert len(exact.as_tuple().digits) <= 17


def test_a_price_read_as_float_is_the_price_the_venue_printed() -> None:
    assert money.from_float(float("64123.45000000")) == D("64123.45")


@pytest.mark.parametrize(
    ("what", "signal"),
    [
        (lambda: D(1) / D(3), decimal.Inexact),
        (lambda: D("1." + "1" * 40) * D("1." + "1" * 40), decimal.Inexact),
        (lambda: D("1E+60") + D("0.1"), decimal.Inexact),
        (lambda: D("0.1") + D(0.1), decimal.FloatOperation),  # noqa: RUF032  # what must not be done
        (lambda: D(1) < 1.5, decimal.FloatOperation),
        (lambda: D("NaN") < 1, decimal.InvalidOperation),
        (lambda: D("Infinity") - D("Infinity"), decimal.InvalidOperation),
    ],
)
def test_arithmetic_that_would_not_be_exact_is_a_trap(what, signal) -> None:
    with pytest.raises(signal):
        what()


def test_sixty_digits_are_exact() -> None:
    assert D("1" * 30) * D("1" * 30) == int("1" * 30) ** 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1E+3", "1000"),
        ("1.500", "1.5"),
        ("100", "100"),
        ("0E-8", "0"),
        ("1E-8", "0.00000001"),
        ("-2.50", "-2.5"),
    ],
)
def test_plain_text_has_no_exponent_and_no_trailing_zeros(value: str, text: str) -> None:
    assert money.plain(D(value)) == text


@pytest.mark.property
@given(signed)
def test_plain_text_is_the_same_number(value: D) -> None:
    assert D(money.plain(value)) == value


@pytest.mark.property
@given(st.floats())
def test_a_float_becomes_the_decimal_of_its_text_digit_for_digit(value: float) -> None:
    money.from_float.cache_clear()  # 0.0 and -0.0 are one key

    assert str(money.from_float(value)) == str(D(repr(value)))


@pytest.mark.property
@given(st.decimals(allow_nan=False))
def test_a_decimal_becomes_the_float_that_python_makes_of_it(value: D) -> None:
    assert money.to_float(value) == float(value)
