"""Calling strategies and taking their wishes: whole or not at all, each in its own seat."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import (
    BookInvalidated,
    CancelIntent,
    CancelRequested,
    DataGap,
    Decision,
    Intent,
    OrderAccepted,
    OrderCancelled,
    OrderRefused,
    ReplaceIntent,
    ReplaceRequested,
    StrategyQuarantined,
)
from bus.values import Action
from strategies.port import Strategy, View, Wishes
from tests.strategies.world import BTC, ETH, MINUTE, T0, World, bar, filled, order, submitted, trade

BUY = Intent(BTC.name, Action.BUY, D(1))


class Says(Strategy):
    """Answers every bar with what the test says, and writes down what it was called with."""

    def __init__(self, answer: Callable[[Any, View], Wishes] = lambda event, view: None) -> None:
        self._answer = answer
        self.heard: list[Any] = []

    def on_bar(self, bar: Any, view: View) -> Wishes:
        self.heard.append(bar)
        return self._answer(bar, view)


class Listens(Strategy):
    """Hears everything, wants nothing."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def on_start(self, view: View) -> None:
        self.heard.append(("start", view.now_ns))

    def on_trade(self, trade: Any, view: View) -> None:
        self.heard.append(("trade", trade))

    def on_gap(self, gap: Any, view: View) -> None:
        self.heard.append(("gap", gap))

    def on_fill(self, fill: Any, view: View) -> None:
        self.heard.append(("fill", fill))

    def on_order(self, event: Any, view: View) -> None:
        self.heard.append(("order", event))

    def on_timer(self, name: str, view: View) -> None:
        self.heard.append(("timer", (name, view.now_ns)))

    def on_stop(self, view: View) -> None:
        self.heard.append(("stop", view.now_ns))

    def of(self, kind: str) -> list[Any]:
        return [what for said, what in self.heard if said == kind]


def one_bar(answer: Wishes, **world: Any) -> World:
    """What becomes of one answer to one bar."""
    there = World(**world)
    there.seat(Says(lambda _, __: answer))
    there.hear(bar())
    return there


# --- wishes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [BUY, [BUY], (BUY,), iter([BUY])], ids=["one", "list", "tuple", "iterator"])
def test_a_wish_is_decided_under_the_strategys_next_number(answer: Wishes) -> None:
    world = one_bar(answer)

    assert world.decided == [Decision(world.clock.now, "s-1", "s", BUY)]
    assert world.runner.intents == 1


@pytest.mark.parametrize("answer", [None, [], ()])
def test_no_wish_is_a_bar_let_pass(answer: Wishes) -> None:
    world = one_bar(answer)

    assert world.decided == []
    assert world.held == [(T0 + MINUTE, "s", BTC.name, T0 + MINUTE, "")]


def test_hold_is_a_bar_let_pass_with_its_reason_and_takes_no_number() -> None:
    world = one_bar([Intent(BTC.name, Action.HOLD, reason="flat market"), BUY])

    assert world.held == [(T0 + MINUTE, "s", BTC.name, T0 + MINUTE, "flat market")]
    assert world.ids == ["s-1"]


def test_nothing_is_noted_where_holds_are_not_asked_for() -> None:
    world = one_bar(Intent(BTC.name, Action.HOLD), holds=False)

    assert (world.held, world.decided, world.quarantined) == ([], [], [])


def test_cancels_and_changes_refer_to_intents_and_take_no_number() -> None:
    world = one_bar([CancelIntent("s-7", "old"), ReplaceIntent("s-8", 99.5, D(2), "better"), BUY])

    now = world.clock.now
    assert world.decided == [
        CancelRequested(now, "s-7", "s", "old"),
        ReplaceRequested(now, "s-8", "s", 99.5, D(2), "better"),
        Decision(now, "s-1", "s", BUY),
    ]


@pytest.mark.parametrize("odd", ["BUY", None, {"action": "BUY"}, 1.5, Action.BUY])
def test_an_answer_with_one_thing_that_is_no_wish_is_not_taken_at_all(odd: object) -> None:
    world = one_bar([BUY, odd])  # type: ignore[list-item]  # what a strategy should not return

    assert (world.decided, world.held) == ([], [])
    assert [type(error) for error in world.failures] == [TypeError]
    assert [event.strategy for event in world.quarantined] == ["s"]


def test_an_answer_that_fails_half_way_is_not_taken_at_all() -> None:
    def half(_: Any, __: View) -> Any:
        yield BUY
        raise RuntimeError("no more")

    world = World()
    world.seat(Says(half))

    world.hear(bar())

    assert world.decided == []
    assert len(world.quarantined) == 1


def test_a_strategy_knows_the_id_of_its_latest_intent() -> None:
    world, seen = World(), []

    def answer(_: Any, view: View) -> Wishes:
        seen.append(view.last_intent_id)
        return [BUY, BUY]

    world.seat(Says(answer))
    world.hear(bar(0), bar(1))

    assert seen == ["", "s-2"]
    assert world.ids == ["s-1", "s-2", "s-3", "s-4"]


# --- seats -----------------------------------------------------------------------------------------------------


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans()), max_size=15))
def test_no_other_strategy_changes_the_ids_of_the_first(bars: list[tuple[int, int, bool]]) -> None:
    wanted = {}

    def mine(bar: Any, _: View) -> Wishes:
        return [BUY] * wanted[bar.start_ns][0]

    def theirs(bar: Any, _: View) -> Wishes:
        return [Intent(ETH.name, Action.SELL, D(1))] * wanted[bar.start_ns][1]

    alone, among, first = World(), World(), World()
    alone.seat(Says(mine), "mine")
    among.seat(Says(theirs), "before")
    among.seat(Says(mine), "mine")
    among.seat(Says(theirs), "after", [ETH.name])
    first.seat(Says(mine), "mine")
    first.seat(Listens(), "idle")

    for n, (my_count, their_count, eth) in enumerate(bars):
        event = bar(n, instrument=ETH if eth else BTC)
        wanted[event.start_ns] = (my_count, their_count)
        for world in (alone, among, first):
            world.hear(event)

    expected = [event for event in alone.decided]
    assert [event for event in among.decided if event.strategy == "mine"] == expected
    assert first.decided == expected


def test_a_strategy_hears_its_own_instruments_only() -> None:
    world, btc, everything = World(), Says(), Says()
    world.seat(btc, "btc", [BTC.name])
    world.seat(everything, "all")

    world.hear(bar(0), bar(1, instrument=ETH), bar(2))

    assert [b.instrument for b in btc.heard] == [BTC.name, BTC.name]
    assert len(everything.heard) == 3


def test_a_forming_bar_is_nobodys_business() -> None:
    world, strategy = World(), Says()
    world.seat(strategy)

    world.hear(bar(closed=False))

    assert (strategy.heard, world.held) == ([], [])


def test_what_a_strategy_does_not_implement_is_not_subscribed() -> None:
    from bus.events import Quote

    world = World()
    wanted_before = world.bus.wanted(DataGap)
    world.seat(Says())

    assert not wanted_before
    assert not world.bus.wanted(DataGap)
    assert Quote not in {subscription.event_type for seat in world.runner._seats for subscription in seat.subscriptions}


@pytest.mark.parametrize(("builds_bars", "heard"), [(True, 0), (False, 1)])
def test_one_that_reads_bars_for_trades_is_deaf_to_trades_where_bars_are_built(builds_bars: bool, heard: int) -> None:
    class Either(Listens):
        bars_replace_trades = True

    world, strategy = World(builds_bars=builds_bars), Either()
    world.seat(strategy)

    world.hear(trade())

    assert len(strategy.of("trade")) == heard


def test_gaps_and_invalid_books_are_heard_as_gaps() -> None:
    world, strategy = World(), Listens()
    world.seat(strategy, instruments=[BTC.name])
    gap, invalid = DataGap(1, BTC.name, "trade", 1, 2), BookInvalidated(1, BTC.name, "gap")

    world.hear(gap, invalid, DataGap(1, ETH.name, "trade", 1, 2))

    assert strategy.of("gap") == [gap, invalid]


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
