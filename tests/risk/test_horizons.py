"""An entry that is meant to last so long is closed when that is over, by nobody but the gate."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest

from bus.clock import HOUR
from bus.events import Bar, Decision, Intent, OrderApproved, OrderRefused
from bus.journal import encode
from bus.values import Action, Side
from risk.oversight import Terms
from risk.sizing import Sizing
from tests.risk.world import PERP, SPOT, World

BUY, SELL = Action.BUY, Action.SELL


def entered(action: Action = BUY, horizon_s: int = 100) -> World:
    world = World(stale_data_threshold_s=10_000.0, max_orders=1_000)
    world.fill(world.approve(action, D(3), PERP, horizon_s=horizon_s))
    world.heard.clear()
    return world


def test_when_its_time_is_up_the_position_is_closed_reduce_only() -> None:
    world = entered()
    world.wait(99.999)
    assert world.all(Decision) == []

    world.wait(0.001)

    decided, approved = world.one(Decision), world.one(OrderApproved)
    assert (decided.intent_id, decided.strategy) == ("s~horizon-1", "s")
    assert decided.intent.reason == "its horizon is over"
    assert [approved.order.side, approved.order.size, approved.order.reduce_only] == [Side.SELL, 3, True]
    world.submit(approved.order)
    world.fill(approved.order)
    world.wait(1_000.0)
    assert len(world.all(Decision)) == 1


def test_a_short_is_bought_back() -> None:
    world = entered(SELL)

    world.wait(100.0)

    assert world.one(OrderApproved).order.side is Side.BUY


def test_a_strategy_that_went_out_itself_is_left_alone() -> None:
    world = entered()
    world.fill(world.approve(SELL, D(3), PERP))
    world.heard.clear()

    world.wait(1_000.0)

    assert world.all(Decision) == []


def test_a_later_entry_begins_the_time_anew() -> None:
    world = entered()
    world.wait(60.0)
    world.fill(world.approve(BUY, D(1), PERP, horizon_s=100))
    world.heard.clear()
    world.wait(99.0)
    assert world.all(Decision) == []

    world.wait(1.0)

    assert world.one(OrderApproved).order.size == 4


def test_an_exit_that_came_to_nothing_is_asked_for_again_a_minute_later() -> None:
    world = entered()
    world.wait(100.0)
    first = world.one(OrderApproved).order
    world.submit(first)
    world.wait(60.0)
    assert len(world.all(Decision)) == 1, "it is under way"
    world.cancelled(first)

    world.wait(60.0)

    assert [one.intent_id for one in world.all(Decision)] == ["s~horizon-1", "s~horizon-2"]


def test_where_only_bars_are_known_the_exit_waits_for_the_next_and_asks_nothing_of_a_stale_market() -> None:
    world = World(stale_data_threshold_s=30.0)
    world.fill(world.approve(BUY, D(3), PERP, horizon_s=3_600))
    world.heard.clear()
    world.wait(5_400.0)
    assert world.heard == []

    end = world.clock.now
    world.bus.publish(Bar(PERP.name, HOUR, end - HOUR, end, 100.0, 101.0, 99.0, 100.0, 1.0, 1, True, False, end))

    assert world.one(OrderApproved).order.size == 3


def test_dust_that_no_order_can_sell_ends_the_matter() -> None:
    world = entered()
    world.wait(100.0)
    closing = world.one(OrderApproved).order
    world.submit(closing)
    world.fill(closing, size=D("2.9995"))
    world.cancelled(closing)
    world.heard.clear()

    world.wait(1_000.0)

    assert world.all(Decision) == []


def test_a_horizon_outlives_a_restart() -> None:
    before = entered()
    kept = msgspec.json.decode(encode(before.oversight.state()))
    after = World(stale_data_threshold_s=10_000.0)
    after.hold("3", PERP)
    after.oversight.restore(kept)
    after.heard.clear()

    after.wait(100.0)

    assert after.one(OrderApproved).order.size == 3
    assert after.all(OrderRefused) == []


def test_horizons_fall_due_in_their_order_after_a_restart_too() -> None:
    before = World(stale_data_threshold_s=10_000.0, max_orders=1_000)
    for instrument, horizon_s in ((SPOT, 200), (PERP, 100), (SPOT, 100)):  # set anew last, and so the last to fall due
        before.fill(before.approve(BUY, D(3), instrument, horizon_s=horizon_s))
    before.heard.clear()
    after = World(stale_data_threshold_s=10_000.0, max_orders=1_000)
    after.hold("6", SPOT)
    after.hold("3", PERP)
    after.oversight.restore(msgspec.json.decode(encode(before.oversight.state())))
    after.heard.clear()

    for world in (before, after):
        world.wait(100.0)

    assert [one.intent.instrument for one in before.all(Decision)] == [PERP.name, SPOT.name]
    assert [one.intent.instrument for one in after.all(Decision)] == [PERP.name, SPOT.name]


def test_what_is_overdue_at_a_restart_is_asked_for_at_the_next_bar() -> None:
    before = World(stale_data_threshold_s=30.0)
    before.fill(before.approve(BUY, D(3), PERP, horizon_s=3_600))
    before.wait(3_630.0)  # nothing is asked of a stale market; the next minute is half over
    kept = msgspec.json.decode(encode(before.oversight.state()))
    after = World(stale_data_threshold_s=30.0)
    after.wait(3_630.0)
    after.hold("3", PERP)
    after.oversight.restore(kept)
    after.heard.clear()

    end = after.clock.now
    after.bus.publish(Bar(PERP.name, HOUR, end - HOUR, end, 100.0, 101.0, 99.0, 100.0, 1.0, 1, True, False, end))

    assert after.one(OrderApproved).order.size == 3


def test_an_exit_that_fills_in_the_same_breath_leaves_a_later_entry_alone() -> None:
    world = entered()

    def fill_at_once(event: OrderApproved) -> None:
        world.submit(event.order)
        world.fill(event.order)

    closing = world.bus.subscribe(OrderApproved, fill_at_once)
    world.wait(100.0)
    closing.close()
    assert world.ledger.inventory(PERP.name) == 0
    world.fill(world.approve(BUY, D(1), PERP))
    world.heard.clear()

    world.wait(1_000.0)

    assert world.all(Decision) == []


@pytest.mark.parametrize("other", ["-2", "-5"])
def test_a_part_that_stands_against_a_larger_one_is_closed_by_an_order_the_venue_takes(other: str) -> None:
    """What only makes a strategy's own part smaller need not make the whole smaller: a venue knows the whole."""
    world = World(
        stale_data_threshold_s=10_000.0, oversight=Terms(sizing=Sizing(notional=D(1_000)), own_positions=True)
    )
    world.fill(world.approve(BUY, D(3), PERP, horizon_s=100))
    against = world.decide(Intent(PERP.name, SELL, -D(other)), "t")
    assert isinstance(against, OrderApproved)
    world.submit(against.order)
    world.fill(against.order)
    world.heard.clear()

    world.wait(100.0)

    order = world.one(OrderApproved).order
    assert [order.side, order.size, order.reduce_only] == [Side.SELL, 3, False]
