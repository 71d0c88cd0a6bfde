"""Pairs: both legs or neither, whichever fails, however far the other had come."""

from __future__ import annotations

import json
from decimal import Decimal as D
from typing import Any

import pytest
from msgspec.structs import replace

from bus.clock import DAY, SECOND
from bus.events import (
    CancelRequested,
    Decision,
    Intent,
    IntentLogged,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    PairBroken,
    PairIntent,
)
from bus.values import Action, Liquidity, MatchSource, Side
from strategies.council import logged
from strategies.legs import Holdings
from strategies.port import Strategy, View, Wishes
from tests.strategies.world import BTC, ETH, T0, Says, World, bar, submitted

ENTRY = PairIntent(
    Intent(BTC.name, Action.ENTER_LONG, exposure=0.1), Intent(ETH.name, Action.ENTER_SHORT, exposure=0.1)
)
EXIT = PairIntent(Intent(BTC.name, Action.EXIT_LONG), Intent(ETH.name, Action.EXIT_SHORT))


def refused(intent_id: str) -> OrderRefused:
    return OrderRefused(T0, intent_id, "s", ETH.name, "max_notional", "20000 > 10000", [])


def filled(intent_id: str, size: str, leaves: str = "0", name: str = BTC.name, side: Side = Side.BUY) -> OrderFilled:
    taker = Liquidity.TAKER
    client = f"c-{intent_id}"
    terms = (name, f"f-{intent_id}-{size}", side, D(100), D(size), D(0), "USDT", taker, T0, D(leaves))
    return OrderFilled(T0, client, intent_id, "s", *terms, MatchSource.TRADE, "m")


def asked(pair: PairIntent = ENTRY) -> World:
    """A strategy that wished for the pair on its first bar; what follows is up to the test."""
    world = World()
    left = [pair]
    world.seat(Says(lambda _bar, _view: left.pop() if left else None))
    world.bus.subscribe(PairBroken, world.decided.append)
    world.hear(bar(0))
    return world


def gone_on_from(before: World, columns: int = 9) -> World:
    """Another session, in the state that one was in, of which an earlier build wrote fewer ``columns``."""
    after = World()
    after.clock.now = before.clock.now
    after.seat(Says())
    after.runner.restore(before.runner.state())
    after.runner.restore_pairs(json.loads(json.dumps([pair[:columns] for pair in before.runner.pairs()])))
    return after


def answers(world: World) -> list[Any]:
    """What was decided beyond the two legs; None for what another session has decided."""
    return [
        None
        if e is None
        else (e.intent.action.value, e.intent.instrument, e.intent.size)
        if isinstance(e, Decision)
        else ("cancel", e.intent_id, e.who)
        if isinstance(e, CancelRequested)
        else ("broken", e.leg, e.reason)
        for e in world.decided[2:]
    ]


def test_a_pair_is_two_decisions_under_one_group() -> None:
    world = asked()

    assert [(d.intent_id, d.intent.instrument, d.intent.group) for d in world.decided] == [
        ("s-1", BTC.name, "s-1"),
        ("s-2", ETH.name, "s-1"),
    ]
    assert world.runner.intents == 2


def test_while_both_legs_fill_nothing_is_taken_back() -> None:
    world = asked()

    world.hear(submitted("s-1"), submitted("s-2"), filled("s-1", "1", "1"), filled("s-1", "1"), filled("s-2", "3"))

    assert answers(world) == []


ENDS: dict[str, tuple[list[Any], str]] = {
    "refused": ([refused("s-2")], "refused by max_notional: 20000 > 10000"),
    "rejected": ([submitted("s-2"), OrderRejected(T0, "c-s-2", "-2010", "no margin")], "OrderRejected: no margin"),
    "expired": ([submitted("s-2"), OrderExpired(T0, "c-s-2", "IOC")], "OrderExpired: IOC"),
    "cancelled": ([submitted("s-2"), OrderCancelled(T0, "c-s-2", "by hand")], "OrderCancelled: by hand"),
}


@pytest.mark.parametrize("end", ENDS)
def test_a_leg_that_comes_to_nothing_pulls_the_other_and_takes_its_fills_back(end: str) -> None:
    events, reason = ENDS[end]
    world = asked()

    world.hear(submitted("s-1"), filled("s-1", "2", "1"), *events)

    assert answers(world) == [
        ("broken", "s-2", reason),
        ("cancel", "s-1", "pair"),
        ("EXIT_LONG", BTC.name, D(2)),
    ]
    assert world.decided[-1].intent.group == "s-1"


def test_what_fills_after_the_pair_was_broken_is_taken_back_as_it_comes() -> None:
    world = asked()

    world.hear(submitted("s-1"), refused("s-2"), filled("s-1", "1", "2"), filled("s-1", "2"))

    assert answers(world)[2:] == [("EXIT_LONG", BTC.name, D(1)), ("EXIT_LONG", BTC.name, D(2))]


def test_a_leg_that_filled_in_part_before_it_ended_is_taken_back_too() -> None:
    world = asked()

    world.hear(submitted("s-1"), submitted("s-2"), filled("s-2", "1", "4", ETH.name, Side.SELL), filled("s-1", "2"))
    world.hear(OrderExpired(T0, "c-s-2", "GTD"))

    assert answers(world) == [
        ("broken", "s-2", "OrderExpired: GTD"),
        ("EXIT_LONG", BTC.name, D(2)),
        ("EXIT_SHORT", ETH.name, D(1)),
    ]


@pytest.mark.parametrize("broken", [False, True])
def test_a_pair_under_way_is_watched_on_after_a_restart(broken: bool) -> None:
    before = asked()
    before.hear(submitted("s-1"), submitted("s-2"), filled("s-1", "2", "1"))
    if broken:
        before.hear(OrderRejected(T0, "c-s-2", "-2010", "no margin"))
    after = gone_on_from(before)

    if not broken:
        after.hear(OrderRejected(T0, "c-s-2", "-2010", "no margin"))
    after.hear(filled("s-1", "1"))

    closing = [d for d in after.decided if isinstance(d, Decision)]
    closed = [(d.intent.action.value, d.intent.size) for d in closing]
    assert closed == ([] if broken else [("EXIT_LONG", D(2))]) + [("EXIT_LONG", D(1))]
    for intent_id, size in [("s-3", "2"), ("s-4", "1")]:
        after.hear(submitted(intent_id), filled(intent_id, size, side=Side.SELL))
    assert after.runner.pairs() == []


FAILS: dict[str, list[Any]] = {
    "refused": [replace(refused("s-3"), rule="order_rate")],
    "rejected": [submitted("s-3"), OrderRejected(T0, "c-s-3", "-1001", "overloaded")],
    "expired": [submitted("s-3"), OrderExpired(T0, "c-s-3", "IOC")],
    "cancelled": [submitted("s-3"), OrderCancelled(T0, "c-s-3", "by hand")],
}


@pytest.mark.parametrize("fails", FAILS)
@pytest.mark.parametrize("restarted", [0, 9, 7])
def test_a_lone_leg_is_asked_to_close_until_it_has(fails: str, restarted: int) -> None:
    world = asked()
    world.hear(submitted("s-1"), filled("s-1", "2"), refused("s-2"), *FAILS[fails])
    now = world.clock.now
    if restarted:
        world = gone_on_from(world, restarted)
        world.decided[:] = [None] * 4

    world.clock.turn(now + SECOND - 1)
    assert len(answers(world)) == 2
    world.clock.turn(now + SECOND)
    assert answers(world)[2:] == [("EXIT_LONG", BTC.name, D(2))]

    again = world.decided[-1].intent_id
    world.hear(submitted(again), filled(again, "1.5", "0.5", side=Side.SELL), OrderExpired(T0, f"c-{again}", "IOC"))
    world.clock.turn(now + 60 * SECOND)
    assert answers(world)[3:] == [("EXIT_LONG", BTC.name, D("0.5"))]

    last = world.decided[-1].intent_id
    world.hear(submitted(last), filled(last, "0.5", side=Side.SELL))
    assert world.runner.pairs() == []


def test_a_lone_leg_of_which_nothing_is_left_to_close_is_let_be() -> None:
    """Somebody closed it by hand, or less than a lot is left: the translator says so."""
    world = asked()
    world.hear(submitted("s-1"), filled("s-1", "2"), refused("s-2"))

    world.hear(replace(refused("s-3"), rule="translator", reason="nothing to close"))
    world.clock.turn(world.clock.now + DAY)

    assert len(answers(world)) == 2
    assert world.runner.pairs() == []


def never(world: World) -> None:
    """Refuse whatever is decided from here on."""
    world.bus.subscribe(Decision, lambda one: world.bus.publish(replace(refused(one.intent_id), rule="kill_switch")))


def test_who_is_refused_for_long_is_asked_seldom() -> None:
    world = asked()
    never(world)
    world.hear(submitted("s-1"), filled("s-1", "2"), refused("s-2"))

    world.clock.turn(world.clock.now + DAY)

    assert 20 < len(answers(world)) < 40, "a second later, then two, at last once an hour"


def test_a_restart_neither_forgets_nor_hurries_the_next_question() -> None:
    whole = asked()
    never(whole)
    whole.hear(submitted("s-1"), filled("s-1", "2"), refused("s-2"))
    before, began = len(whole.decided), whole.clock.now
    whole.clock.turn(began + 100 * SECOND)
    after = gone_on_from(whole)
    never(after)
    asked_by_then = len(whole.decided) - before

    whole.clock.turn(began + DAY)
    after.clock.turn(began + DAY)

    assert [one.ns for one in after.decided] == [one.ns for one in whole.decided[before + asked_by_then :]] != []


def test_both_legs_refused_is_one_broken_pair_and_nothing_to_take_back() -> None:
    world = asked()

    world.hear(refused("s-1"), refused("s-2"))

    assert answers(world)[0][:2] == ("broken", "s-1")
    assert [kind for kind, *_ in answers(world)] == ["broken", "cancel"]


def test_a_first_leg_refused_at_once_leaves_no_second_in_the_market() -> None:
    """A timer finds the bus idle: the first leg is answered before the second is wished for."""
    world = World()

    class Timely(Strategy):
        def on_timer(self, name: str, view: View) -> Wishes:
            return ENTRY

    view = world.seat(Timely())
    view.call_at(T0 + 1, "pair")
    sent: list[str] = []

    def gate(decision: Decision) -> None:
        if decision.intent.instrument == BTC.name:
            world.bus.publish(refused(decision.intent_id))
        else:
            sent.append(decision.intent_id)
            world.bus.publish(submitted(decision.intent_id))

    def cancel(request: CancelRequested) -> None:
        if request.intent_id in sent:
            sent.remove(request.intent_id)

    world.bus.subscribe(Decision, gate)
    world.bus.subscribe(CancelRequested, cancel)

    world.clock.turn(T0 + 1)

    assert sent == []


def test_an_exit_that_fails_does_not_bring_the_other_back() -> None:
    world = asked(EXIT)

    world.hear(submitted("s-1"), filled("s-1", "2", side=Side.SELL), refused("s-2"))

    assert answers(world) == []


def test_the_orders_of_others_are_nobodys_leg() -> None:
    world = asked()

    world.hear(submitted("t-1"), filled("t-1", "1"), OrderCancelled(T0, "c-t-1", "x"), refused("t-2"))

    assert answers(world) == []


def test_half_a_pair_is_no_vote() -> None:
    world = World()
    world.seat(Says(lambda _bar, _view: ENTRY))
    written: list[IntentLogged] = []
    world.bus.subscribe(IntentLogged, written.append)
    world.runner.divert = logged(world.bus, world.clock)

    world.hear(bar(0))

    assert [w.intent.instrument for w in written] == [BTC.name, ETH.name]
    assert world.decided == []


@pytest.mark.parametrize("leg", [Intent(ETH.name, Action.HOLD), "BUY", Intent(ETH.name, Action.BUY, confidence=2.0)])
def test_a_pair_with_something_else_for_a_leg_is_no_wish_at_all(leg: Any) -> None:
    world = World()
    world.seat(Says(lambda _bar, _view: PairIntent(ENTRY.first, leg)))

    world.hear(bar(0))

    assert world.decided == []
    assert len(world.quarantined) == 1


def test_nobody_watches_while_nobody_asks_for_a_pair() -> None:
    world = World()
    world.seat(Says(lambda _bar, _view: ENTRY.first))

    world.hear(bar(0))

    assert world.runner._legs is None


def test_holdings_are_the_strategys_own_less_what_fees_took_and_less_than_a_lot_is_nothing() -> None:
    world, holdings = World(), Holdings()

    class Quiet(Strategy):
        def on_bar(self, bar: Any, view: View) -> Wishes:
            return None

    view = world.seat(Quiet())

    holdings.note(filled("s-1", "1"), view)
    assert (holdings.of(BTC.name), bool(holdings)) == (D(1), True)
    holdings.note(filled("s-2", "0.999999999", side=Side.SELL), view)

    assert (holdings.of(BTC.name), bool(holdings)) == (D(0), False)
    assert holdings.of(ETH.name) == D(0)
