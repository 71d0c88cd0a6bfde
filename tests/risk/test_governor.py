"""The governor: bands act inside the mark that crosses them, outlive a restart, and open to nobody but the operator."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import money
from bus.events import (
    CancelRequested,
    Decision,
    Intent,
    OrderApproved,
    OrderRefused,
    RegimeState,
    Trade,
    TradingStateChanged,
)
from bus.journal import encode
from bus.values import Action, RegimeLabel, TradingState
from risk.governor import Band, Bands, Rules
from risk.oversight import Terms
from risk.sizing import Sizing
from tests.risk.world import PERP, SPOT, World

PEAK, NONE = Bands(0.1, 0.2, 0.25), Bands()
BUY, SELL = Action.BUY, Action.SELL


def state(made: World) -> TradingState:
    return made.switch.state


def world(peak: Bands = PEAK, session: Bands = NONE, **more: Any) -> World:
    """10,000 in the account, 100 of the perpetual at 100: a fall of 1 in its price is 1 % of equity."""
    rules = Rules(peak, session, panic_exit=more.pop("panic_exit", False))
    made = World(
        {"USDT": "10000"},
        oversight=Terms(sizing=Sizing(notional=D(1_000)), bands=rules),
        max_drawdown_bps=10_000.0,
        max_orders=1_000,
        max_open_orders=1_000,
        **more,
    )
    made.hold("100", PERP)
    made.heard.clear()
    return made


@pytest.mark.parametrize(
    ("price", "band", "expected"),
    [
        (90.001, Band.OK, TradingState.ARMED),
        (90.0, Band.SOFT, TradingState.ARMED),
        (80.001, Band.SOFT, TradingState.ARMED),
        (80.0, Band.HARD, TradingState.REDUCING),
        (75.001, Band.HARD, TradingState.REDUCING),
        (75.0, Band.KILL, TradingState.SHADOW),
        (20.0, Band.KILL, TradingState.SHADOW),
    ],
)
def test_a_band_begins_at_its_limit(price: float, band: Band, expected: TradingState) -> None:
    made = world()

    made.trade(price, PERP)

    assert (made.oversight.governor.band, state(made)) == (band, expected)
    changed = made.all(TradingStateChanged)
    assert len(changed) == (band is not Band.OK)
    if changed:
        assert changed[0].rule == "drawdown_band"
        assert "below the peak" in changed[0].reason
        assert [check.rule for check in changed[0].checks][:3] == ["max_notional", "max_position", "symbol_position"]


def test_the_peak_counts_not_the_start() -> None:
    made = world()
    made.trade(140.0, PERP)

    made.trade(105.5, PERP)  # 24.6 % of 14,000, and above the start
    assert state(made) is TradingState.REDUCING
    made.trade(105.0, PERP)

    assert state(made) is TradingState.SHADOW


def test_the_session_has_bands_of_its_own() -> None:
    made = world(peak=Bands(), session=Bands(0.05, 0.08, 0.12))
    made.trade(150.0, PERP)
    made.trade(96.0, PERP)
    assert made.oversight.governor.band is Band.OK

    made.trade(91.0, PERP)

    assert state(made) is TradingState.REDUCING
    assert "session's start" in made.one(TradingStateChanged).reason


def test_a_soft_band_makes_entries_smaller_and_exits_not() -> None:
    made = world()
    made.trade(90.0, PERP)

    assert made.approve(BUY, D(4), PERP).size == 2
    assert made.approve(Action.ENTER_LONG, D(10), SPOT).size == 5
    assert made.approve(SELL, D(30), PERP).size == 30
    assert made.approve(Action.EXIT_LONG, instrument=PERP).size == 70


def test_a_hard_band_lets_out_and_not_in() -> None:
    made = world()
    made.trade(80.0, PERP)

    refused = made.refuse(BUY, D(1), PERP)
    assert refused.rule == "drawdown_band"
    assert "2000.00 bps below the peak" in refused.reason
    assert made.refuse(SELL, D(101), PERP).rule == "drawdown_band", "turning a position over is not a way out"
    made.approve(SELL, D(60), PERP)
    assert made.refuse(SELL, D(41), PERP).rule == "drawdown_band", "what is being closed is not there twice"
    made.approve(SELL, D(40), PERP)


def test_a_hard_band_cancels_what_is_open_and_could_make_a_position_larger() -> None:
    made = world()
    made.approve(SELL, D(60), PERP, limit=D(104))
    entry = made.approve(BUY, D(1), PERP, limit=D(96))
    turning = made.approve(SELL, D(41), PERP, limit=D(105))
    made.approve(SELL, D(40), PERP, limit=D(103))

    made.trade(80.0, PERP)

    assert [one.intent_id for one in made.all(CancelRequested)] == [entry.intent_id, turning.intent_id]
    assert {one.who for one in made.all(CancelRequested)} == {"drawdown_band"}


def test_the_kill_band_cancels_what_is_open_and_lets_nothing_pass() -> None:
    made = world()
    resting = made.approve(BUY, D(1), PERP, limit=D(96))

    made.trade(75.0, PERP)

    assert [one.intent_id for one in made.all(CancelRequested)] == [resting.intent_id]
    assert made.refuse(SELL, D(1), PERP).reason == "trading is shadow"


def test_what_follows_from_the_crossing_mark_is_judged_by_the_band_it_led_to() -> None:
    made = world()

    def on_trade(trade: Trade) -> None:
        made.bus.publish(Decision(made.clock.now, "s-9", "s", Intent(PERP.name, BUY, D(1))))

    made.bus.subscribe(Trade, on_trade)  # a strategy, heard after equity as it is wired
    made.trade(80.0, PERP)

    first, second = made.all(TradingStateChanged, OrderApproved, OrderRefused)
    assert isinstance(first, TradingStateChanged)
    assert first.state is TradingState.REDUCING
    assert isinstance(second, OrderRefused)
    assert second.rule == "drawdown_band"


@pytest.mark.property
@given(st.lists(st.floats(60.0, 160.0), max_size=30))
def test_a_band_is_what_the_deepest_loss_since_the_peak_says(prices: list[float]) -> None:
    made = world()
    peak, worst = D(10_000), D(0)

    for price in prices:
        made.trade(price, PERP)
        value = D(10_000) + 100 * (D(repr(price)) - 100)
        peak = max(peak, value)
        worst = max(worst, money.divide(peak - value, peak))
        if all(abs(worst - D(repr(limit))) > D("1e-9") for limit in (0.1, 0.2, 0.25)):
            assert made.oversight.governor.band is PEAK.of(worst)


def test_nobody_but_the_operator_leaves_a_band() -> None:
    made = world()
    made.trade(75.0, PERP)
    made.trade(200.0, PERP)
    made.switch.arm("paper", "again")
    assert state(made) is TradingState.SHADOW
    assert made.oversight.governor.band is Band.KILL

    made.trade(80.0, PERP)
    made.switch.clear("ada", "I looked")
    assert state(made) is TradingState.SHADOW, "cleared is not armed"
    made.switch.arm("ada", "go")

    assert state(made) is TradingState.ARMED
    assert [change.rule for change in made.all(TradingStateChanged)][-2:] == ["drawdown_band", "ada"]
    made.approve(BUY, D(1), PERP)
    made.trade(73.0, PERP)  # 8.9 % below what it was when the operator looked
    assert state(made) is TradingState.ARMED
    made.trade(70.0, PERP)
    assert made.oversight.governor.state()["band"] == "soft"


def test_clearing_a_hard_band_lets_in_again_at_once() -> None:
    made = world()
    made.trade(80.0, PERP)

    made.switch.clear("ada", "")

    assert state(made) is TradingState.ARMED
    made.approve(BUY, D(1), PERP)


@pytest.mark.parametrize(
    ("price", "expected"), [(90.0, TradingState.ARMED), (80.0, TradingState.REDUCING), (75.0, TradingState.SHADOW)]
)
def test_a_band_outlives_a_restart(price: float, expected: TradingState) -> None:
    before = world()
    before.trade(price, PERP)
    kept: dict[str, Any] = msgspec.json.decode(encode(before.oversight.state()))

    after = world(armed=False)
    after.oversight.restore(kept)
    after.equity.restore(before.equity.state())
    after.trade(101.0, PERP)
    after.switch.arm("paper", "a start")

    assert after.oversight.governor.band is before.oversight.governor.band
    assert after.switch.state is expected
    assert after.equity.peak == 10_100.0
    if expected is TradingState.ARMED:
        after.trade(80.0, PERP)
        assert after.switch.state is TradingState.REDUCING, "the peak is remembered, and the next band comes"


def test_a_halt_is_not_softened_by_a_band() -> None:
    made = world()
    made.switch.kill("ada")
    made.trade(75.0, PERP)

    assert state(made) is TradingState.HALTED
    made.switch.arm("ada", "")
    assert state(made) is TradingState.HALTED


def regime(made: World, label: RegimeLabel | None, name: str = PERP.name) -> None:
    made.bus.publish(RegimeState(label, 1.0, {"atr_pct": 0.05}, {}, name, 60, made.clock.now, made.clock.now))


def test_panic_closes_what_is_held_of_the_instrument_and_lets_nothing_new_in() -> None:
    made = world(panic_exit=True)
    made.approve(BUY, D(1), PERP, limit=D(96))
    made.heard.clear()

    regime(made, RegimeLabel.PANIC)

    changed, cancel, approved = made.all(TradingStateChanged, CancelRequested, OrderApproved)
    assert (changed.rule, changed.state) == ("panic", TradingState.ARMED)
    assert cancel.who == "panic"
    assert (approved.order.strategy, approved.order.size, approved.order.reduce_only) == ("governor", 100, True)
    made.submit(approved.order)
    regime(made, RegimeLabel.PANIC)
    assert len(made.all(OrderApproved)) == 1, "the way out is under way"
    assert made.refuse(BUY, D(1), PERP).rule == "panic"
    made.approve(BUY, D(1), SPOT)

    regime(made, RegimeLabel.CHOP)
    made.approve(BUY, D(1), PERP)


def test_a_way_out_that_came_to_nothing_is_asked_for_again_at_the_next_bar() -> None:
    made = world(panic_exit=True)
    regime(made, RegimeLabel.PANIC)
    first = made.one(OrderApproved).order
    made.submit(first)
    made.reject(first)

    regime(made, RegimeLabel.PANIC)

    assert len(made.all(OrderApproved)) == 2
