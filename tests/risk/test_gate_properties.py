"""Whatever strategies ask for and whatever happens: the gate answers, in order, and lets through only what it may."""

from __future__ import annotations

import math
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import money
from bus.events import (
    Decision,
    Intent,
    OrderApproved,
    OrderRefused,
    ReplaceApproved,
    ReplaceRequested,
    TradingStateChanged,
)
from bus.values import Action, TimeInForce, TradingState
from tests.risk.world import COIN, PERP, SPOT, World

wild = st.one_of(
    st.floats(),
    st.decimals(),
    st.integers(-(10**80), 10**80),
    st.sampled_from([0, 0.0, -0.0, D(0), D("-0"), D("1E-300"), D("1E+300"), D("1" * 70), 5e-324, 1.7e308, D("sNaN")]),
    st.floats(0.001, 200.0),
)
maybe = st.one_of(st.none(), wild)
actions = st.sampled_from([action for action in Action if action is not Action.HOLD])
instruments = st.sampled_from([SPOT, PERP, COIN])


@pytest.mark.property
@given(actions, instruments, maybe, st.one_of(st.none(), st.floats()), maybe, maybe, maybe, st.booleans())
def test_whatever_number_a_strategy_names_it_is_answered(
    action, instrument, size, exposure, limit, stop, trail, reduce_only
) -> None:
    world = World()
    world.hold("3", PERP)
    intent = Intent(instrument.name, action, size, exposure, limit, stop, trail, reduce_only=reduce_only)

    answer = world.decide(intent)

    assert world.switch.state is TradingState.ARMED
    if isinstance(answer, OrderRefused):
        assert answer.rule
        assert answer.reason
        return
    order = answer.order
    assert order.size > 0
    assert order.size % instrument.lot == 0
    for price in (order.price, order.stop):
        assert price is None or (price > 0 and price % instrument.tick == 0)
    assert order.trail is None or order.trail > 0


@pytest.mark.property
@given(st.lists(st.tuples(actions, st.floats(0.5, 25.0), st.floats(94.0, 106.0)), min_size=1, max_size=12))
def test_what_is_approved_never_adds_up_to_more_than_the_caps(wishes) -> None:
    world = World(max_orders=50, max_position=D(2_000))

    for action, size, limit in wishes:
        answer = world.wish(action, size, PERP, limit=limit)
        if isinstance(answer, OrderApproved) and answer.order.size % 2 < 1:
            world.submit(answer.order)
            world.fill(answer.order, money.plain(answer.order.price or D(100)))
        low, high = world.exposure.position_if_all_fill(PERP.name)
        if isinstance(answer, OrderApproved):
            assert answer.order.size * (answer.order.price or D(100)) <= 10_000
            grown = high if answer.order.side.value == "buy" else -low
            assert grown <= 0 or grown * (answer.order.price or D(100)) <= 2_000


moments = st.lists(
    st.one_of(
        st.tuples(st.just("wish"), actions, st.floats(0.01, 120.0)),
        st.tuples(st.just("price"), st.just(None), st.floats(60.0, 140.0)),
        st.tuples(st.just("wait"), st.just(None), st.floats(0.0, 40.0)),
        st.tuples(st.just("reject"), st.just(None), st.just(0.0)),
        st.tuples(st.just("fill"), st.just(None), st.just(0.0)),
        st.tuples(st.just("kill"), st.just(None), st.just(0.0)),
        st.tuples(st.just("arm"), st.just(None), st.just(0.0)),
    ),
    max_size=25,
)


@pytest.mark.property
@given(moments, st.booleans())
def test_nothing_is_approved_without_a_decision_or_while_not_armed(moments, armed: bool) -> None:
    world = World({"USDT": "10000"}, armed=armed, max_drawdown_bps=300.0, max_consecutive_rejects=1)
    open_orders = []

    for what, action, number in moments:
        match what:
            case "wish":
                answer = world.wish(action, number, PERP)
                if isinstance(answer, OrderApproved):
                    world.submit(answer.order)
                    open_orders.append(answer.order)
            case "price":
                world.trade(number, PERP)
            case "wait":
                world.wait(number)
            case "reject" | "fill" if open_orders:
                order = open_orders.pop()
                if what == "fill":
                    world.fill(order)
                else:
                    world.reject(order)
            case "kill":
                world.switch.kill("ada")
            case "arm":
                world.switch.arm("operator", "again")

    decided: set[str] = set()
    state = TradingState.ARMED if armed else TradingState.DISCONNECTED
    halted = False
    for event in world.heard:
        match event:
            case Decision():
                decided.add(event.intent_id)
            case TradingStateChanged():
                assert not halted, "a halt is for good"
                state, halted = event.state, event.state is TradingState.HALTED
            case OrderApproved():
                assert state is TradingState.ARMED
                assert event.order.intent_id in decided
                decided.remove(event.order.intent_id)
            case OrderRefused():
                assert [check.rule for check in event.checks] == ALL_RULES
                decided.remove(event.intent_id)
    assert decided == set(), "every decision is answered exactly once"


ALL_RULES = [
    "max_notional",
    "max_position",
    "symbol_position",
    "session_drawdown",
    "consecutive_rejects",
    "stale_data",
    "kill_switch",
    "price_collar",
    "order_rate",
    "open_orders",
]


@pytest.mark.property
@given(st.sampled_from(list(TimeInForce)), wild, st.booleans())
def test_whatever_a_replacement_names_it_is_answered(tif: TimeInForce, number, as_price: bool) -> None:
    world = World()
    order = world.approve(Action.BUY, D(5), limit=D(99), tif=tif)
    limit, size = (number, None) if as_price else (None, number)

    world.bus.publish(ReplaceRequested(world.clock.now, order.intent_id, "s", limit, size, ""))

    (answer,) = world.all(ReplaceApproved, OrderRefused)
    if isinstance(answer, ReplaceApproved):
        assert answer.size > 0
        assert answer.price > 0
        assert math.isfinite(float(answer.price))
