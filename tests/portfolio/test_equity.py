"""Equity as watched against equity worked out; drawdown against a list of every value there was."""

from __future__ import annotations

import math
from decimal import Decimal as D

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Bar, FundingPaid, Quote
from bus.resume import MarketResumed, MarketState
from bus.state import EquityState
from bus.values import Instrument, Kind
from portfolio.equity import CannotValue
from tests.portfolio.given import ALL, INVERSE, LINEAR, OTHER, SPOT, T0, Desk, fill, mark, trade


def test_a_flat_account_is_worth_its_cash_and_hears_nothing_of_the_market() -> None:
    desk = Desk({"USDT": "1000"})
    before = desk.equity.value()

    desk.hear(trade(100.0))

    assert before == desk.equity.value() == 1000
    assert not any(s.active for s in (*desk.equity._watching, *desk.equity._waiting))


def test_a_position_is_valued_by_what_is_heard_and_a_closed_one_is_not() -> None:
    desk = Desk({"USDT": "1000"})

    desk.hear(trade(100.0), fill("2", "100"), trade(110.0))
    assert desk.equity.value_float() == desk.equity.value() == 1020

    desk.hear(fill("-2", "110"), trade(50.0))
    assert desk.equity.value_float() == 1020


def test_nothing_is_heard_before_something_is_held_and_then_only_what_can_set_its_mark() -> None:
    desk = Desk({"USDT": "1000"})

    desk.hear(trade(100.0))
    assert not any(s.active for s in (*desk.equity._watching, *desk.equity._waiting))

    desk.hear(fill("1", "100"))
    assert [s.active for s in desk.equity._watching] == [True, True, False, False]


def test_a_venues_mark_price_comes_before_the_last_trade() -> None:
    desk = Desk({"USDT": "1000"})
    desk.hear(mark(100.0), trade(90.0, LINEAR), fill("10", "100", LINEAR), fill("1", "1", OTHER), trade(1.0, OTHER))

    desk.hear(trade(50.0, LINEAR))
    assert desk.equity.value_float() == 1000

    desk.hear(mark(101.0))
    assert desk.equity.value_float() == desk.equity.value() == 1001


def test_a_bar_then_a_trade_take_over_from_a_quote() -> None:
    desk = Desk({"USDT": "1000"})

    def worth_after(event: object) -> float:
        desk.hear(event)
        assert desk.equity.value() == D(repr(desk.equity.value_float()))
        return desk.equity.value_float()

    def bar(close: float) -> Bar:
        return Bar(SPOT.name, 60, 0, 60, close, close, close, close, 1.0, 1, True, False, T0)

    def quote(middle: float) -> Quote:
        return Quote(SPOT.name, middle - 1, 1.0, middle + 1, 1.0, 1, T0, T0)

    worth_after(quote(100.0))
    assert worth_after(fill("1", "100")) == 1000
    assert worth_after(quote(102.0)) == 1002
    assert worth_after(bar(103.0)) == 1003
    assert worth_after(quote(999.0)) == 1003
    assert worth_after(trade(104.0)) == 1004
    assert worth_after(bar(999.0)) == 1004


def test_a_holding_without_a_mark_is_not_worth_nothing() -> None:
    desk = Desk({"USDT": "1000", "ETH": "2"})
    for ask in (desk.equity.value, desk.equity.value_float, desk.equity.confirm, desk.equity.drawdown_from_start):
        with pytest.raises(CannotValue, match="ETH"):
            ask()

    desk.hear(trade(100.0), trade(5.0, OTHER))

    assert desk.equity.start == desk.equity.value() == desk.equity.value_float() == 1010


def test_what_a_contract_prices_in_the_wallet_is_watched_on_when_its_position_is_closed() -> None:
    desk = Desk({"USDT": "1000", "BTC": "2"})

    desk.hear(trade(100.0, LINEAR), fill("1", "100", LINEAR), fill("-1", "100", LINEAR), trade(90.0, LINEAR))

    assert desk.equity.value() == desk.equity.value_float() == 1180
    assert desk.equity.max_drawdown == pytest.approx(20 / 1200)


def test_while_something_held_has_no_price_what_else_is_held_moves_nothing() -> None:
    """A report that was under way when its instrument was last heard of: nobody may be asked to judge half a worth."""
    desk, looked = Desk({"USDT": "1000"}), list[float]()

    def look() -> float:
        looked.append(desk.equity.value_float())
        return -math.inf

    desk.hear(trade(100.0), fill("1", "100"))
    desk.equity.guard(look)
    looked.clear()

    desk.hear(fill("2", "5", OTHER), trade(110.0), trade(120.0))
    assert looked == []

    desk.hear(trade(6.0, OTHER), trade(130.0))
    assert looked == [1022, 1032]
    assert desk.equity.value() == desk.equity.value_float() == desk.equity.peak == 1032


def test_a_fill_before_the_first_mark_is_valued_when_the_mark_comes() -> None:
    desk = Desk({"USDT": "1000"})
    desk.hear(fill("1", "100"))
    with pytest.raises(CannotValue):
        desk.equity.value_float()

    desk.hear(trade(90.0))

    assert desk.equity.start == 1000
    assert desk.equity.value_float() == 990


@pytest.mark.parametrize("price", [0.0, math.nan])
def test_a_mark_of_nothing_is_no_mark(price: float) -> None:
    desk = Desk({"USDT": "1000"})
    desk.hear(trade(100.0), fill("1", "100"), trade(price))

    with pytest.raises(CannotValue):
        desk.equity.value_float()
    assert desk.equity.max_drawdown == 0.0


def test_inverse_contracts_earn_coins_and_the_coins_have_a_price() -> None:
    desk = Desk({"BTC": "1"})
    desk.hear(mark(100.0, INVERSE), fill("1", "100", INVERSE))
    assert desk.equity.start == 100

    desk.hear(mark(200.0, INVERSE))

    assert desk.equity.value() == (1 + D(1) - D("0.5")) * 200
    assert desk.equity.value_float() == 300.0


def test_the_limit_acts_once_and_only_when_exceeded() -> None:
    calls: list[float] = []
    desk = Desk({"USDT": "1000"})
    desk.equity.arm(0.1, lambda: calls.append(desk.equity.value_float()))
    desk.hear(trade(100.0), fill("10", "100"))

    desk.hear(trade(90.0))
    assert calls == []  # exactly a tenth is not more than a tenth

    desk.hear(trade(89.99), trade(50.0))
    assert calls == [pytest.approx(999.9 - 100)]


def test_the_limit_can_be_armed_again_in_the_middle_of_a_drawdown() -> None:
    calls: list[int] = []
    desk = Desk({"USDT": "1000"})
    desk.hear(trade(100.0), fill("10", "100"), trade(50.0), trade(95.0))

    desk.equity.arm(0.1, lambda: calls.append(1))
    assert calls == []
    desk.hear(trade(85.0))  # no new maximum, yet below the limit
    assert calls == [1]

    desk.equity.arm(0.1, lambda: calls.append(2))
    assert calls == [1, 2]

    desk.equity.arm(None, lambda: calls.append(3))
    desk.hear(trade(1.0))
    assert calls == [1, 2]


def test_fees_and_funding_are_losses_too() -> None:
    calls: list[int] = []
    desk = Desk({"USDT": "1000"})
    desk.equity.arm(0.1, lambda: calls.append(1))
    desk.hear(trade(100.0, LINEAR), fill("1", "100", LINEAR, fee="60"))

    desk.hear(FundingPaid(T0, LINEAR.name, D(0), D(100), D(1), D(41), "USDT"))

    assert desk.equity.confirm() == (D("0.101"), D("0.101"))
    assert calls == [1]


def test_time_with_a_position_is_counted() -> None:
    desk = Desk({"USDT": "1000"})
    desk.hear(trade(100.0), fill("1", "100"), fill("1", "100"), fill("-2", "100"), trade(100.0), after_ns=SECOND)

    assert desk.equity.exposed_ns == 2 * SECOND
    assert desk.equity.elapsed_ns == 4 * SECOND


# --- properties ---

PRICES = st.integers(50_00, 200_00).map(lambda n: n / 100)
PLACES = {Kind.SPOT: D("0.01"), Kind.LINEAR: D("0.01"), Kind.INVERSE: D(1)}


@st.composite
def events(draw: st.DrawFn) -> object:
    instrument: Instrument = draw(st.sampled_from(ALL))
    match draw(st.integers(0, 3)):
        case 0:
            size = draw(st.integers(-300, 300).filter(bool)) * PLACES[instrument.kind]
            fee = D(draw(st.integers(-5, 20))) / 100
            fee_asset = draw(st.sampled_from((instrument.base, instrument.quote)))
            return fill(size, str(draw(PRICES)), instrument, fee=fee, fee_asset=fee_asset)
        case 1 if instrument.kind is not Kind.SPOT:
            return mark(draw(PRICES), instrument)
        case _:
            return trade(draw(PRICES), instrument)


OPENINGS = st.sampled_from(({"USDT": "1000000"}, {"USDT": "500000", "BTC": "900"}, {"BTC": "9000"}))


@pytest.mark.property
@given(OPENINGS, st.lists(st.tuples(events(), st.integers(0, 3 * SECOND)), max_size=60))
def test_the_watched_figure_is_the_exact_one_after_every_event(cash, history) -> None:
    desk = Desk(cash)
    for event, after_ns in history:
        desk.hear(event, after_ns=after_ns)

        try:
            exact = desk.equity.value()
        except CannotValue:
            with pytest.raises(CannotValue):
                desk.equity.value_float()
        else:
            assert desk.equity.value_float() == pytest.approx(float(exact), rel=1e-9)


@pytest.mark.property
@given(st.floats(0.0001, 0.01), st.lists(st.tuples(events(), st.integers(0, 3 * SECOND)), max_size=60))
def test_peak_drawdown_and_breach_are_those_of_every_value_there_was(limit, history) -> None:
    desk = Desk({"USDT": "100000"})
    breaches: list[int] = []
    desk.equity.arm(limit, lambda: breaches.append(1))
    desk.hear(*(trade(100.0, i) for i in ALL))
    seen = [D(100_000)]
    for event, after_ns in history:
        desk.hear(event, after_ns=after_ns)
        seen.append(desk.equity.value())

        peaks = [max(seen[: i + 1]) for i in range(len(seen))]
        lost = [1 - float(value) / float(peak) for value, peak in zip(seen, peaks, strict=True)]
        assert desk.equity.peak == pytest.approx(float(peaks[-1]), rel=1e-9)
        assert desk.equity.max_drawdown == pytest.approx(max(lost), abs=1e-9)
        assert desk.equity.drawdown_from_peak() == pytest.approx(lost[-1], abs=1e-9)
        from_peak, from_start = desk.equity.confirm()
        assert float(from_peak) == pytest.approx(lost[-1], abs=1e-9)
        assert float(from_start) == pytest.approx(max(0.0, 1 - float(seen[-1]) / 100_000), abs=1e-9)
        assert len(breaches) == any(value < 100_000 * (1 - D(repr(limit))) for value in seen)


def test_an_alarm_set_before_there_was_a_start_is_measured_from_it() -> None:
    desk, breaches = Desk({"USDT": "1000", "ETH": "10"}), list[str]()
    desk.equity.arm(0.1, lambda: breaches.append("breach"))

    desk.hear(trade(100.0, OTHER), trade(81.0, OTHER))
    assert breaches == []
    desk.hear(trade(79.0, OTHER))
    assert breaches == ["breach"]


def test_an_alarm_is_measured_from_the_new_start_when_losses_are_counted_anew() -> None:
    desk, breaches = Desk({"USDT": "1000", "ETH": "10"}), list[str]()
    desk.hear(trade(100.0, OTHER))
    desk.equity.arm(0.1, lambda: breaches.append("breach"))
    desk.hear(trade(300.0, OTHER))
    desk.equity.rebase()

    desk.hear(trade(261.0, OTHER))
    assert breaches == []
    desk.hear(trade(259.0, OTHER))
    assert breaches == ["breach"]


def test_the_deepest_drawdown_is_kept_when_losses_are_counted_anew_and_by_the_next_session() -> None:
    desk = Desk({"USDT": "1000"})
    desk.hear(trade(100.0), fill("1", "100"), trade(50.0))
    assert desk.equity.max_drawdown == pytest.approx(0.05)

    desk.equity.rebase()
    desk.hear(trade(45.0))
    assert desk.equity.drawdown_from_peak() == pytest.approx(5 / 950)
    assert desk.equity.max_drawdown == pytest.approx(0.05)

    after = Desk({"USDT": "945"})
    after.equity.restore(desk.equity.state())
    after.hear(trade(45.0))
    assert after.equity.max_drawdown == pytest.approx(0.05)


def test_after_a_restart_an_asset_is_priced_by_what_priced_it_before() -> None:
    """Else equity jumps by a basis, and the bands that watch it take that for a gain or a loss."""
    desk = Desk({"USDT": "1000", "BTC": "1"})
    desk.hear(mark(90.0, LINEAR), trade(100.0))
    assert desk.equity.value() == 1_090
    after = Desk({"USDT": "1000", "BTC": "1"})

    after.equity.restore(msgspec.json.decode(msgspec.json.encode(desk.equity.state()), type=EquityState))
    known = MarketState([trade(100.0)], [], [], [mark(90.0, LINEAR)], [], [], [], [], [], 0, 0)
    after.hear(MarketResumed(T0, "v", known))

    assert after.equity.value() == 1_090
