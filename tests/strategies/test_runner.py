"""Calling strategies and taking their wishes: whole or not at all, each in its own seat."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import (
    BookInvalidated,
    CancelIntent,
    CancelRequested,
    DataGap,
    Decision,
    Intent,
    Quote,
    ReplaceIntent,
    ReplaceRequested,
)
from bus.values import Action
from strategies.port import View, Wishes
from tests.strategies.world import BTC, ETH, Listens, Says, World, bar, trade

BUY = Intent(BTC.name, Action.BUY, D(1))


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
    assert world.acts == ["s"]
    assert world.runner.intents == 1


@pytest.mark.parametrize("answer", [None, [], ()])
def test_no_wish_is_a_bar_let_pass(answer: Wishes) -> None:
    world = one_bar(answer)

    assert world.decided == []
    assert (world.acts, world.reasons) == ([], [])


def test_hold_is_a_bar_let_pass_with_its_reason_and_takes_no_number() -> None:
    world = one_bar([Intent(BTC.name, Action.HOLD, reason="flat market"), BUY])

    assert world.reasons == [("s", "flat market")]
    assert world.ids == ["s-1"]


def test_nothing_is_noted_where_holds_are_not_asked_for() -> None:
    world = one_bar(Intent(BTC.name, Action.HOLD), holds=False)

    assert (world.reasons, world.decided, world.quarantined) == ([], [], [])


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

    assert (world.decided, world.acts) == ([], ["s"])
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
    wanted: dict[int, tuple[int, int]] = {}

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

    expected = list(alone.decided)
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

    assert strategy.heard == []


def test_what_a_strategy_does_not_implement_is_not_subscribed() -> None:
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
