"""Flatten: cancel, close what is held, never turn it over, and say what is left."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import CancelRequested, InstrumentListed, OrderApproved, OrderRefused, TradingStateChanged
from bus.values import Action, Order, Side, TradingState
from risk.flatten import NAME, Flatten
from risk.rules import Limits, looser_than
from tests.risk.world import LIMITS, PERP, SPOT, World


def a_world(held: str = "", **limits: Any) -> tuple[World, Flatten]:
    world = World(**limits)
    if held:
        world.hold(held)
    world.heard.clear()
    return world, Flatten(world.clock, world.gate, world.ledger, world.exposure)


def begin(world: World, flatten: Flatten, within_s: float = 10.0, who: str = "alice") -> None:
    flatten.begin(who, round(within_s * SECOND))
    world.wait(0)


def closing(world: World) -> list[Order]:
    return [one.order for one in world.all(OrderApproved) if one.order.strategy == NAME]


def halt(world: World) -> TradingStateChanged:
    (one,) = [e for e in world.all(TradingStateChanged) if e.state is TradingState.HALTED]
    assert isinstance(one, TradingStateChanged)
    return one


def test_nothing_is_closed_while_an_order_may_still_fill():
    world, flatten = a_world("2")
    rung = world.approve(Action.BUY, 1, limit=99.0)

    begin(world, flatten)
    world.wait(0.6)
    before = closing(world)
    world.cancelled(rung)
    world.wait(0.3)

    assert [one.intent_id for one in world.all(CancelRequested)] == [rung.intent_id]
    assert before == []
    (order,) = closing(world)
    assert (order.side, order.size, order.reduce_only, order.price) == (Side.SELL, D(2), True, None)


def test_a_cancel_that_came_to_nothing_is_asked_for_again_and_a_late_fill_is_closed_too():
    world, flatten = a_world("2")
    rung = world.approve(Action.BUY, 1, limit=99.0)

    begin(world, flatten)
    world.wait(1.3)
    world.fill(rung, "99")
    world.wait(0.3)

    assert len(world.all(CancelRequested)) == 2
    assert [one.size for one in closing(world)] == [D(3)]


def test_it_ends_flat_and_shut_and_a_second_word_joins_the_first():
    world, flatten = a_world("2")

    begin(world, flatten)
    begin(world, flatten, who="bob")
    (order,) = closing(world)
    world.submit(order)
    world.fill(order)
    world.wait(0.3)

    assert world.ledger.inventory(SPOT.name) == 0
    assert (halt(world).rule, halt(world).reason) == (NAME, "alice: flat")
    assert world.switch.latched == NAME


def test_what_a_closing_order_left_is_closed_by_the_next_one():
    world, flatten = a_world("-2", symbol_position_limits={})
    begin(world, flatten)
    (first,) = closing(world)
    world.submit(first)
    world.fill(first, size=D("1.5"))
    world.cancelled(first)
    world.wait(0.3)

    assert [(one.side, one.size) for one in closing(world)] == [(Side.BUY, D(2)), (Side.BUY, D("0.5"))]
    assert len({one.intent_id for one in closing(world)}) == 2


def test_nothing_that_stops_strategies_stops_it():
    """The session's loss, a run of rejects, the kill switch's other half: what only reduces gets out."""
    world, flatten = a_world("2", max_notional=D(1), max_open_orders=1)
    world.gate.routing = False

    begin(world, flatten)

    assert [one.size for one in closing(world)] == [D(2)]
    assert world.refuse(Action.BUY, 1).rule == "trading_state"


def test_without_a_market_it_waits_and_names_what_is_left_when_the_time_is_up():
    world, flatten = a_world("2")
    world.book(99.0, 101.0)
    world.lose_book()

    begin(world, flatten, within_s=2)
    world.wait(1)
    waiting = world.switch.state
    world.wait(1.1)

    assert waiting is TradingState.REDUCING
    assert closing(world) == []
    assert halt(world).reason == f"alice: NOT flat when the time was up: 2 {SPOT.name}"


def test_dust_is_named_and_does_not_hold_it_up():
    world, flatten = a_world("0.0004")

    begin(world, flatten)

    assert halt(world).reason == f"alice: flat, but for dust: 0.0004 {SPOT.name}"


def test_a_halt_that_comes_first_ends_it():
    world, flatten = a_world("2")
    world.approve(Action.BUY, 1, limit=99.0)

    begin(world, flatten)
    world.switch.halt("operator", "bob: wait")
    world.wait(5)

    assert closing(world) == []
    assert halt(world).rule == "operator"


@pytest.mark.property
@given(
    held=st.integers(-5_000, 5_000),
    steps=st.lists(st.tuples(st.sampled_from(["wait", "fill", "part", "cancel"]), st.integers(1, 999)), max_size=25),
)
def test_whatever_the_venue_does_the_position_only_shrinks_and_never_turns(held: int, steps: list[tuple[str, int]]):
    world, flatten = a_world()
    if held:
        world.hold(str(D(held) / 1000), PERP)
    begin(world, flatten, within_s=60)
    size = abs(world.ledger.inventory(PERP.name))
    sign = 1 if held > 0 else -1
    submitted: set[str] = set()

    for what, share in steps:
        for order in closing(world):
            if order.intent_id not in submitted:
                submitted.add(order.intent_id)
                world.submit(order)
        open_ = world.exposure.open_orders()
        assert len(open_) <= 1
        if what == "wait" or not open_:
            world.wait(0.25)
        elif what == "cancel":
            world.cancelled(open_[0].order)
        else:
            lots = int(open_[0].leaves * 1000)
            filled = D(lots if what == "fill" else lots * share // 1000) / 1000
            if filled:
                world.fill(msgspec.structs.replace(open_[0].order, size=open_[0].leaves), size=filled)
        now = world.ledger.inventory(PERP.name)
        assert now * sign >= 0
        assert abs(now) <= size
        size = abs(now)

    if world.switch.state is TradingState.HALTED:
        assert size == 0
        assert not world.all(OrderRefused)


# --- other limits while it runs --------------------------------------------------------------------------------

TIGHTER = {
    "max_notional": D(9),
    "max_orders_window_s": 2.0,
    "symbol_position_limits": {SPOT.name: D(1), PERP.name: D(9)},
    "stale_data_threshold_s": 1.0,
    "max_orders": 2,
}
LOOSER = {
    "max_notional": D(10_001),
    "max_orders_window_s": 0.5,
    "max_open_orders": 21,
    "max_drawdown_bps": 1_001.0,
    "symbol_position_limits": {SPOT.name: D(3)},
}
BEFORE = msgspec.structs.replace(LIMITS, symbol_position_limits={SPOT.name: D(2)})


@pytest.mark.parametrize("name", TIGHTER)
def test_tighter_limits_are_taken_while_armed(name: str):
    limits = msgspec.structs.replace(BEFORE, **{name: TIGHTER[name]})
    world = World(symbol_position_limits=BEFORE.symbol_position_limits)

    assert looser_than(BEFORE, limits) == []
    assert world.gate.limit(limits) == []
    assert world.gate.limits is limits


@pytest.mark.parametrize("name", LOOSER)
def test_looser_ones_are_not_until_it_is_disarmed(name: str):
    limits: Limits = msgspec.structs.replace(BEFORE, **{name: LOOSER[name]})
    world = World(symbol_position_limits=BEFORE.symbol_position_limits)

    (why,) = world.gate.limit(limits)
    armed = world.gate.limits
    world.switch.enter(TradingState.RECONCILED, "alice", "")

    assert why.startswith(name)
    assert armed == BEFORE
    assert world.gate.limit(limits) == []
    assert world.gate.limits is limits


def test_a_cap_that_goes_away_is_a_looser_one():
    assert looser_than(BEFORE, LIMITS) == [f"symbol_position_limits.{SPOT.name}: 2 → none"]


def test_with_routing_off_every_wish_is_refused_and_what_is_open_stays():
    world = World()
    order = world.approve(Action.BUY, 1, limit=99.0)

    world.gate.routing = False
    refusal = world.refuse(Action.BUY, 1)
    world.gate.routing = True

    assert refusal.rule == "routing"
    assert not world.all(CancelRequested)
    assert world.exposure.find(order.intent_id) is not None
    assert world.approve(Action.BUY, 1)


def test_a_loss_that_crosses_the_limit_while_it_closes_does_not_keep_the_position():
    world, flatten = a_world("20", cash={"USDT": "10000"}, max_drawdown_bps=1_000.0)
    begin(world, flatten)
    (first,) = closing(world)
    world.submit(first)
    world.fill(first, size=D(5))

    world.trade(10.0)
    world.cancelled(first)
    world.wait(0.3)

    assert [one.size for one in closing(world)] == [D(20), D(15)]
    world.submit(closing(world)[1])
    world.fill(closing(world)[1], "10")
    world.wait(0.3)
    assert halt(world).reason == "alice: flat"


def test_a_run_of_rejects_does_not_end_it_before_its_time_is_up():
    world, flatten = a_world("2", max_consecutive_rejects=2)
    begin(world, flatten, within_s=10)

    for _ in range(5):
        world.submit(closing(world)[-1])
        world.reject(closing(world)[-1])
        world.wait(0.3)

    assert len(closing(world)) == 6
    assert world.switch.state is TradingState.REDUCING


def test_what_the_venue_takes_only_in_parts_is_closed_in_parts():
    world, flatten = a_world()
    world.market.on_listed(InstrumentListed(world.clock.now, msgspec.structs.replace(SPOT, max_market_size=D("1.5"))))
    world.hold("2")

    begin(world, flatten)
    for _ in range(2):
        world.submit(closing(world)[-1])
        world.fill(closing(world)[-1])
        world.wait(0.3)

    assert [one.size for one in closing(world)] == [D("1.5"), D("0.5")]
    assert halt(world).reason == "alice: flat"
