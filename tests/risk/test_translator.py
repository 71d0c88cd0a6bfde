"""The translator's pure functions, against the obvious arithmetic in fractions."""

from __future__ import annotations

import math
from decimal import Decimal as D
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.values import Action, Instrument, Kind, OrderType, Side
from risk import translator
from risk.translator import Unsizable

amounts = st.decimals(min_value=D("0.000001"), max_value=10**9, places=6)
signed = st.decimals(min_value=-(10**6), max_value=10**6, places=4)
steps = st.sampled_from([D(0), D("0.001"), D("0.01"), D("0.25"), D(1), D(10)])
multipliers = st.sampled_from([D(1), D(10), D(100), D("0.1")])
kinds = st.sampled_from(list(Kind))


def instrument(kind: Kind = Kind.SPOT, **terms: Any) -> Instrument:
    return Instrument("v:A/B", "AB", "A", "B", "B", kind, **terms)


@pytest.mark.property
@given(amounts, steps, st.sampled_from([D(0), D("0.5"), D(20)]))
def test_a_size_is_the_most_whole_lots_in_it_or_refused(size: D, lot: D, smallest: D) -> None:
    lots = math.floor(Fraction(size) / Fraction(lot)) * Fraction(lot) if lot else Fraction(size)
    terms = instrument(lot=lot, min_size=smallest)

    if lots <= 0 or lots < smallest:
        with pytest.raises(Unsizable):
            translator.quantise_size(size, terms)
    else:
        assert Fraction(translator.quantise_size(size, terms)) == lots


@pytest.mark.property
@given(amounts, steps, st.sampled_from(list(Side)))
def test_a_price_is_rounded_in_our_favour(price: D, tick: D, side: Side) -> None:
    ticks = Fraction(price) / Fraction(tick) if tick else Fraction(price)
    whole = (math.floor(ticks) if side is Side.BUY else math.ceil(ticks)) * Fraction(tick) if tick else ticks

    if whole == 0:
        with pytest.raises(Unsizable, match="less than one tick"):
            translator.quantise_price(price, side, instrument(tick=tick))
    else:
        assert Fraction(translator.quantise_price(price, side, instrument(tick=tick))) == whole


@pytest.mark.property
@given(amounts, amounts, multipliers, kinds)
def test_a_notional_and_its_size_belong_together(size: D, price: D, multiplier: D, kind: Kind) -> None:
    terms = instrument(kind, multiplier=multiplier)

    notional = translator.notional_of(size, price, terms)
    back = translator.size_of_notional(notional, price, terms)

    unit = Fraction(multiplier) if kind is Kind.INVERSE else Fraction(multiplier) * Fraction(price)
    assert Fraction(notional) == Fraction(size) * unit
    assert back == size


@pytest.mark.property
@given(amounts, st.sampled_from([Action.ENTER_LONG, Action.ENTER_SHORT]), signed, st.tuples(amounts, amounts))
def test_an_entry_brings_the_position_to_what_is_wanted(
    wanted: D, action: Action, held: D, working: tuple[D, D]
) -> None:
    lowest, highest = held - working[0], held + working[1]
    expected = held - working[0] + working[1]
    missing = wanted - expected if action is Action.ENTER_LONG else wanted + expected

    if missing <= 0:
        with pytest.raises(Unsizable, match="already"):
            translator.entry_size(wanted, action, held, lowest, highest)
    else:
        assert translator.entry_size(wanted, action, held, lowest, highest) == missing


@pytest.mark.property
@given(
    st.sampled_from([Action.EXIT_LONG, Action.EXIT_SHORT, Action.FLAT]),
    signed,
    st.tuples(st.one_of(st.just(D(0)), amounts), st.one_of(st.just(D(0)), amounts)),
    st.one_of(st.none(), amounts),
)
def test_an_exit_never_carries_the_position_through_zero(action: Action, held: D, working, wallet: D | None) -> None:
    lowest, highest = held - working[0], held + working[1]
    side = translator.direction(action, held)

    try:
        size = translator.exit_size(action, lowest, highest, wallet)
    except Unsizable:
        wanted = {Action.EXIT_LONG: lowest > 0, Action.EXIT_SHORT: highest < 0, Action.FLAT: lowest > 0 or highest < 0}
        assert not wanted[action]
        return

    after = lowest - size if side is Side.SELL else highest + size
    assert size > 0
    assert (after >= 0) if side is Side.SELL else (after <= 0)
    if wallet is not None:
        assert size <= wallet
    if wallet is None or wallet > size:
        assert after == 0


@pytest.mark.parametrize(
    ("action", "position", "side"),
    [
        (Action.ENTER_LONG, 0, Side.BUY),
        (Action.EXIT_LONG, 1, Side.SELL),
        (Action.ENTER_SHORT, 0, Side.SELL),
        (Action.EXIT_SHORT, -1, Side.BUY),
        (Action.BUY, 0, Side.BUY),
        (Action.SELL, 0, Side.SELL),
        (Action.FLAT, 1, Side.SELL),
        (Action.FLAT, -1, Side.BUY),
    ],
)
def test_an_action_takes_a_side(action: Action, position: int, side: Side) -> None:
    assert translator.direction(action, D(position)) is side


@pytest.mark.property
@given(st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**30), 10**30)))
def test_a_number_means_the_decimal_it_prints_as(value: float) -> None:
    assert translator.exact(value) == D(repr(value))


def test_a_numpy_number_is_a_number() -> None:
    np = pytest.importorskip("numpy")

    assert translator.exact(np.float64(0.1)) == D("0.1")
    assert translator.exact(np.int64(3)) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), D("NaN"), D("sNaN"), D("-Infinity")])
def test_what_is_not_a_number_is_refused(value) -> None:
    with pytest.raises(Unsizable, match="not a number"):
        translator.exact(value)


@pytest.mark.parametrize(
    ("limit", "stop", "trail", "type"),
    [
        (False, False, False, OrderType.MARKET),
        (True, False, False, OrderType.LIMIT),
        (False, True, False, OrderType.STOP),
        (True, True, False, OrderType.STOP_LIMIT),
        (False, False, True, OrderType.TRAILING_STOP),
    ],
)
def test_the_prices_say_what_type_it_is(limit: bool, stop: bool, trail: bool, type: OrderType) -> None:
    price = D(1)
    given = (price if limit else None, price if stop else None, price if trail else None)
    assert translator.order_type(*given) is type
