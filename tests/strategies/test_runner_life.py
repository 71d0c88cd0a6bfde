"""A strategy's own orders, its timers, and what becomes of one that raises."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest

from bus.clock import SECOND
from bus.events import (
    CancelRequested,
    Decision,
    Intent,
    OrderAccepted,
    OrderCancelled,
    OrderRefused,
    StrategyQuarantined,
)
from bus.values import Action
from strategies.port import Strategy, View, Wishes
from tests.strategies.world import BTC, ETH, MINUTE, T0, Listens, Says, World, bar, filled, order, submitted, trade

BUY = Intent(BTC.name, Action.BUY, D(1))


# --- its own orders --------------------------------------------------------------------------------------------


def test_a_strategy_hears_of_its_own_orders_only() -> None:
    world, mine, theirs = World(), Listens(), Listens()
    world.seat(mine, "mine")
    world.seat(theirs, "mine-2")  # a name that begins with another's

    own = [
        submitted("mine-1"),
        OrderAccepted(T0, "c-mine-1", "1", T0),
        OrderCancelled(T0, "c-mine-1", "requested"),
        OrderRefused(T0, "mine-2", "mine", BTC.name, "max_notional", "", []),
    ]
    other = [submitted("mine-2-1"), OrderAccepted(T0, "c-mine-2-1", "2", T0)]
    world.hear(own[0], other[0], own[1], other[1], own[2], own[3])

    assert mine.of("order") == own
    assert theirs.of("order") == other


def test_a_fill_is_heard_by_its_strategy_with_the_position_it_made() -> None:
    world, positions = World(), []

    class Watches(Strategy):
        def on_fill(self, fill: Any, view: View) -> None:
            positions.append((fill.intent_id, view.position(BTC.name)))

    world.seat(Watches(), "s")
    world.seat(Watches(), "t")
    world.open(order("s-1"))
    world.hear(trade(), filled("s-1"))

    assert positions == [("s-1", D(2))]


def test_orders_that_are_over_are_forgotten() -> None:
    world = World()
    world.seat(Listens())
    for n in range(1, 4):
        world.open(order(f"s-{n}"))

    world.hear(trade(), filled("s-1", size="1", leaves="1"), filled("s-1", size="1"), OrderCancelled(T0, "c-s-2", ""))

    assert list(world.runner._clients) == ["c-s-3"]


def test_open_orders_in_a_view_are_the_strategys_own() -> None:
    world = World()
    view = world.seat(Listens())
    world.open(order("s-1"), order("t-1", "t"))

    assert [order.intent_id for order in view.open_orders()] == ["s-1"]
    assert view.open_orders(ETH.name) == []


# --- quarantine ------------------------------------------------------------------------------------------------


def test_a_strategy_that_raises_is_not_called_again_and_its_orders_are_pulled() -> None:
    world, other = World(), Says(lambda _, __: BUY)
    fails = Says(lambda _, __: 1 / 0)  # type: ignore[arg-type,return-value]  # what a strategy should not do
    world.seat(fails, "bad")
    world.seat(other, "good")
    world.open(order("bad-1", "bad"), order("good-9", "good"))

    world.hear(bar(0), bar(1))

    assert world.quarantined == [StrategyQuarantined(T0 + MINUTE, "bad", "Bar", "ZeroDivisionError")]
    assert [(c.intent_id, c.who) for c in world.decided if isinstance(c, CancelRequested)] == [("bad-1", "quarantine")]
    assert (len(fails.heard), len(other.heard)) == (1, 2)
    assert world.ids == ["good-1", "good-2"]


@pytest.mark.parametrize("callback", ["on_start", "on_timer", "on_stop"])
def test_one_that_raises_where_no_event_called_it_is_quarantined_too(callback: str) -> None:
    class Fails(Listens):
        pass

    def fail(*_: Any) -> None:
        raise RuntimeError(callback)

    setattr(Fails, callback, fail)
    world, other = World(), Listens()
    view = world.seat(Fails(), "bad")
    world.seat(other, "good")

    world.runner.start()
    view.call_at(T0 + SECOND, "soon")
    world.clock.turn(T0 + 2 * SECOND)
    world.runner.stop()

    assert [(event.strategy, event.callback) for event in world.quarantined] == [("bad", callback)]
    assert [said for said, _ in other.heard] == ["start", "stop"]


def test_a_quarantined_strategy_is_not_called_by_its_timers_nor_at_the_end() -> None:
    world, strategy = World(), Listens()
    view = world.seat(strategy)
    view.call_at(T0 + SECOND, "soon")

    world.runner.quarantine(world.runner._seats[0], "Bar", RuntimeError())
    world.clock.turn(T0 + 2 * SECOND)
    world.runner.stop()

    assert strategy.heard == []


def test_quarantine_happens_once() -> None:
    world = World()
    world.seat(Listens())
    for _ in range(2):
        world.runner.quarantine(world.runner._seats[0], "Bar", RuntimeError())

    assert len(world.quarantined) == 1


# --- timers ----------------------------------------------------------------------------------------------------


def test_a_timer_calls_its_strategy_at_its_own_time_and_its_wishes_are_taken() -> None:
    class Waits(Listens):
        def on_start(self, view: View) -> None:
            view.call_at(view.now_ns + SECOND, "open")

        def on_timer(self, name: str, view: View) -> Wishes:  # type: ignore[override]  # this one wants something
            super().on_timer(name, view)
            return BUY

    world, strategy = World(), Waits()
    world.seat(strategy)
    world.runner.start()

    world.clock.turn(T0 + 5 * SECOND)

    assert strategy.of("timer") == [("open", T0 + SECOND)]
    assert world.decided == [Decision(T0 + SECOND, "s-1", "s", BUY)]
