"""A replacement at the gate: held to the rules as the order it would become."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from bus.events import OrderRefused, OrderReplaced, ReplaceApproved, ReplaceRequested
from bus.values import Action
from tests.risk import test_extra as extra
from tests.risk.world import PERP, World

BUY = Action.BUY


def replace(world: World, intent_id: str, limit: object = None, size: object = None) -> None:
    world.bus.publish(ReplaceRequested(world.clock.now, intent_id, "s", limit, size, "why"))  # type: ignore[arg-type]


def test_a_replacement_is_quantised_and_keeps_what_it_does_not_name() -> None:
    world = World()
    order = world.approve(BUY, D(5), limit=D(99))

    replace(world, order.intent_id, limit=98.999)
    replace(world, order.intent_id, size=4.0009)

    assert [(r.price, r.size, r.reason) for r in world.all(ReplaceApproved)] == [
        (D("98.99"), D(5), "why"),
        (D("99"), D(4), "why"),
    ]


def replaced(world: World, intent_id: str, price: str, size: str) -> None:
    """The venue has done it."""
    now = world.clock.now
    world.bus.publish(OrderReplaced(now, f"c-{intent_id}", D(price), D(size), now))


@pytest.mark.parametrize(
    ("limit", "size", "approved"),
    [(97, None, (D(97), D(2))), (None, 3, (D(98), D(3)))],
)
def test_what_a_second_replacement_does_not_name_is_as_the_first_left_it(
    limit: object, size: object, approved: tuple[D, D]
) -> None:
    world = World()
    order = world.approve(BUY, D(5), limit=D(99))
    replace(world, order.intent_id, limit=98, size=2)
    replaced(world, order.intent_id, "98", "2")

    replace(world, order.intent_id, limit, size)

    assert [(one.price, one.size) for one in world.all(ReplaceApproved)][1:] == [approved]


@pytest.mark.parametrize(
    ("story", "limit", "size", "rule"),
    [
        ("too big", None, D(300), "max_notional"),
        ("too far", D(106), None, "price_collar"),
        ("no size", None, D(0), "translator"),
        ("less than a lot", None, 0.0001, "translator"),
        ("no price", float("nan"), None, "translator"),
        ("below zero", D(-1), None, "translator"),
    ],
)
def test_a_replacement_is_held_to_the_same_rules(story: str, limit: object, size: object, rule: str) -> None:
    world = World()
    order = world.approve(BUY, D(5), limit=D(99))

    replace(world, order.intent_id, limit, size)

    refused = world.one(OrderRefused)
    assert (refused.rule, refused.intent_id) == (rule, order.intent_id)
    assert world.all(ReplaceApproved) == []
    assert world.exposure.find(order.intent_id) is not None, "the order itself still stands"


def test_a_replacement_does_not_count_the_order_it_replaces() -> None:
    world = World(max_position=D(1_000))
    order = world.approve(BUY, D(9), PERP, limit=D(100))

    replace(world, order.intent_id, size=D(10))

    assert world.one(ReplaceApproved).size == 10
    replace(world, order.intent_id, size=D("10.001"))
    assert world.one(OrderRefused).rule == "max_position"


def test_a_replacement_of_what_is_done_has_lost_its_race() -> None:
    world = World()
    order = world.approve(BUY, D(5), limit=D(99))
    world.fill(order, "99")

    replace(world, order.intent_id, limit=D(98))

    assert world.all(ReplaceApproved, OrderRefused) == []


def test_a_halted_gate_replaces_nothing() -> None:
    world = World()
    order = world.approve(BUY, D(5), limit=D(99))
    world.switch.kill("ada")

    replace(world, order.intent_id, limit=D(98))

    assert world.all(ReplaceApproved) == []
    assert world.one(OrderRefused).rule == "kill_switch"


def test_what_of_it_has_filled_is_not_counted_twice() -> None:
    world = World(max_position=D(1_000))
    order = world.approve(BUY, D(10), PERP, limit=D(100))
    world.fill(order, size=D(4))

    replace(world, order.intent_id, limit=D("99.5"))

    assert world.one(ReplaceApproved).size == 10


def test_a_way_out_that_has_partly_filled_is_still_one_and_may_be_moved() -> None:
    world = World(max_notional=D(500))
    world.hold("-10", PERP)
    order = world.approve(BUY, D(10), PERP, limit=D(99))
    world.fill(order, "99", size=D(4))

    replace(world, order.intent_id, limit=D(101))

    assert world.one(ReplaceApproved).price == 101


def test_at_the_limit_of_open_orders_one_of_them_may_be_moved() -> None:
    world = World(max_open_orders=1)
    order = world.approve(BUY, D(5), limit=D(99))

    replace(world, order.intent_id, limit=D(98))

    assert world.all(OrderRefused) == []
    assert world.one(ReplaceApproved).price == 98
    assert world.refuse(BUY, D(5), limit=D(99)).rule == "open_orders"


def test_a_replacement_at_that_limit_is_refused_for_what_is_wrong_with_it() -> None:
    world = World(max_open_orders=1, max_notional=D(1_000))
    order = world.approve(BUY, D(5), limit=D(99))

    replace(world, order.intent_id, size=D(50))

    refused = world.one(OrderRefused)
    assert refused.rule == "max_notional"
    assert {check.rule for check in refused.checks if not check.passed} == {"max_notional"}


@pytest.mark.parametrize(
    ("rule", "limits", "most"),
    [
        ("budget", {"budgets": {"s": D(1_000)}}, D(10)),
        ("money_at_risk", {"max_money_at_risk": D(100), "stress": D("0.1")}, D(10)),
    ],
)
def test_what_has_filled_of_an_order_counts_once_in_every_rule(rule: str, limits: Any, most: D) -> None:
    """Ten were allowed, four of them have filled: ten they may be again, at another price, and no more."""
    world = extra.world(**limits)
    order = world.approve(BUY, D(10), PERP, limit=D(100))
    world.fill(order, size=D(4))

    replace(world, order.intent_id, limit=D("99.5"))
    assert world.all(OrderRefused) == []

    replace(world, order.intent_id, size=most + 1)
    assert world.one(OrderRefused).rule == rule


def test_a_total_below_what_has_filled_leaves_nothing_to_fill() -> None:
    world = extra.world(budgets={"s": D(1_000)})
    order = world.approve(BUY, D(10), PERP, limit=D(100))
    world.fill(order, size=D(4))

    replace(world, order.intent_id, size=D(3))

    assert world.all(OrderRefused) == []
