"""Pairs and carry: when both legs are wanted, when they are left, and what is asked for again."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from bus.clock import HOUR
from bus.events import Bar, Decision, MarkPrice, OrderRefused
from strategies.funding_carry import FundingCarry
from strategies.pairs_trading import PairsTrading
from strategies.port import Strategy
from tests.strategies.test_legs import filled
from tests.strategies.world import BTC, ETH, MINUTE, T0, World, bar, submitted

SOL = msgspec.structs.replace(ETH, name="v:SOL/USDT", symbol="SOLUSDT", base="SOL")


def said(world: World) -> list[tuple[str, str, str]]:
    return [
        (d.intent.action.value, d.intent.instrument, d.intent.reason) for d in world.decided if isinstance(d, Decision)
    ]


def walk(n: int) -> float:
    return 100.0 * math.exp(0.01 * math.sin(n / 3))


def moment(world: World, n: int, apart: float) -> None:
    """Both markets a minute further: the first ``apart`` (a logarithm) away from where the second says it should be."""
    second = walk(n)
    world.hear(bar(n, second * math.exp(apart)), bar(n, second, ETH))


def paired(**params: Any) -> tuple[World, PairsTrading]:
    strategy = PairsTrading(window=20, hedge_ratio=1.0, **params)
    world = World()
    world.seat(strategy)
    for n in range(40):
        moment(world, n, 0.001 if n % 2 else -0.001)
    assert world.decided == []
    return world, strategy


def fill(world: World, *numbers: int) -> None:
    for number in numbers:
        decision = next(d for d in world.decided if d.intent_id == f"s-{number}")
        action = decision.intent.action.value
        buys = action in ("ENTER_LONG", "EXIT_SHORT")
        side = type(filled("x", "1").side).BUY if buys else type(filled("x", "1").side).SELL
        world.hear(
            submitted(decision.intent_id), filled(decision.intent_id, "2", "0", decision.intent.instrument, side)
        )


def test_the_dear_one_is_sold_and_the_cheap_one_bought_and_both_are_left_together() -> None:
    world, _ = paired()

    moment(world, 40, 0.004)
    fill(world, 1, 2)
    moment(world, 41, 0.0)
    fill(world, 3, 4)
    for n in range(42, 50):
        moment(world, n, 0.0)

    assert said(world) == [
        ("ENTER_SHORT", BTC.name, "first_is_dear"),
        ("ENTER_LONG", ETH.name, "first_is_dear"),
        ("EXIT_SHORT", BTC.name, "spread_back"),
        ("EXIT_LONG", ETH.name, "spread_back"),
    ]
    assert len({d.intent.group for d in world.decided}) == 2


def test_a_market_whose_other_half_has_no_bar_there_waits() -> None:
    world, _ = paired()

    world.hear(bar(40, 200.0))
    assert said(world) == []
    world.hear(bar(41, walk(41), ETH))

    assert said(world) == [], "the bars of two moments are no pair"


def test_an_entry_that_was_refused_leaves_the_strategy_flat_until_the_spread_is_back() -> None:
    world, strategy = paired()
    moment(world, 40, 0.004)
    for number in (1, 2):
        world.hear(OrderRefused(T0, f"s-{number}", "s", BTC.name, "translator", "spot cannot be held short", []))

    for n in range(41, 44):
        moment(world, n, 0.004)

    assert len(said(world)) == 2, "it does not ask again and again"
    assert strategy.state()["side"] == 0


def test_a_leg_that_was_not_left_is_asked_for_again() -> None:
    world, _ = paired()
    moment(world, 40, 0.004)
    fill(world, 1, 2)
    for n in range(41, 60):
        moment(world, n, 0.0)
        if len(said(world)) == 4:
            break
    fill(world, 3)  # and of the other exit nothing is heard

    moment(world, n + 1, 0.0)

    assert said(world)[4:] == [("EXIT_LONG", ETH.name, "what_is_left")]


def test_by_regression_the_hedge_is_what_the_markets_say() -> None:
    world, strategy = World(), PairsTrading(window=30)
    world.seat(strategy)
    for n in range(60):
        second = walk(n)
        first = 5.0 * second**1.5 * math.exp(0.0005 * (-1) ** n)
        world.hear(bar(n, first), bar(n, second, ETH))
    second = walk(60)
    world.hear(bar(60, 5.0 * second**1.5 * math.exp(-0.002)), bar(60, second, ETH))

    long, short = world.decided
    assert (long.intent.action.value, short.intent.action.value) == ("ENTER_LONG", "ENTER_SHORT")
    assert math.isclose(short.intent.exposure / long.intent.exposure, 1.5, rel_tol=0.1)


def test_both_are_carried_over_a_restart() -> None:
    world, strategy = paired()
    moment(world, 40, 0.004)
    fill(world, 1, 2)
    again = PairsTrading(window=20, hedge_ratio=1.0)
    again.restore(json.loads(json.dumps(strategy.state(), allow_nan=False)))
    other = World()
    other.seat(again)

    moment(other, 41, 0.0)

    assert [action for action, *_ in said(other)] == ["EXIT_SHORT", "EXIT_LONG"]


def test_after_a_restart_as_another_pair_what_is_left_of_the_old_one_is_closed_and_nothing_else_is_kept() -> None:
    world, strategy = paired(first=BTC.name, second=ETH.name)
    moment(world, 40, 0.004)
    fill(world, 1, 2)
    again = PairsTrading(first=ETH.name, second=SOL.name, window=20, hedge_ratio=1.0)
    again.restore(json.loads(json.dumps(strategy.state(), allow_nan=False)))
    other = World()
    other.seat(again)

    other.hear(bar(41, 100.0, ETH), bar(41, 100.0, SOL))

    assert said(other) == [("EXIT_LONG", ETH.name, "what_is_left"), ("EXIT_SHORT", BTC.name, "what_is_left")]
    assert again.state()["names"] == [ETH.name, SOL.name]
    assert again.state()["spread"] != strategy.state()["spread"]


# --- carry -----------------------------------------------------------------------------------------------------

EIGHT = 8 * HOUR


def mark(period: int, rate: float, name: str = BTC.name) -> MarkPrice:
    """The last word on a period's rate, a minute before it is due."""
    due = T0 + (period + 1) * EIGHT
    return MarkPrice(name, 100.0, 100.0, rate, due, due - MINUTE, due - MINUTE)


def carrying(rates: list[float], strategy: Strategy | None = None) -> World:
    world = World()
    world.seat(strategy or FundingCarry(hedge=ETH.name, periods=2))
    for period, rate in enumerate(rates):
        world.hear(mark(period, rate))
        for number in range(1, world.runner.intents + 1):
            if not any(f"s-{number}" == done for done in getattr(world, "done", ())):
                fill(world, number)
                world.done = (*getattr(world, "done", ()), f"s-{number}")  # type: ignore[attr-defined]
    return world


def test_it_is_short_and_hedged_while_funding_pays_and_leaves_when_it_does_not() -> None:
    world = carrying([0.0, 0.0005, 0.0005, 0.0004, 0.0004, -0.0004, -0.0004, -0.0004])

    assert said(world) == [
        ("ENTER_SHORT", BTC.name, "funding_pays"),
        ("ENTER_LONG", ETH.name, "funding_pays"),
        ("EXIT_SHORT", BTC.name, "funding_gone"),
        ("EXIT_LONG", ETH.name, "funding_gone"),
    ]


def test_a_rate_counts_when_it_was_due_and_not_while_it_is_an_estimate() -> None:
    world = World()
    world.seat(FundingCarry(periods=1))
    first, last = mark(0, 0.9), mark(0, 0.0)

    world.hear(first, last, mark(1, 0.9))

    assert said(world) == [], "0.9 was only ever an estimate"


def test_without_a_hedge_it_is_one_leg_and_marks_of_others_are_not_its_funding() -> None:
    world = World()
    world.seat(FundingCarry(perp=ETH.name, periods=1))

    world.hear(*(mark(p, 0.01, BTC.name) for p in range(4)))
    assert said(world) == []
    world.hear(*(mark(p, 0.01, ETH.name) for p in range(4, 6)))

    assert said(world) == [("ENTER_SHORT", ETH.name, "funding_pays")]


def test_its_rates_are_carried_over_a_restart() -> None:
    first = FundingCarry(hedge=ETH.name, periods=2)
    carrying([0.0005, 0.0005], first)
    again = FundingCarry(hedge=ETH.name, periods=2)
    again.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    world = World()
    world.seat(again)

    world.hear(mark(2, 0.0005))

    assert [action for action, *_ in said(world)] == ["ENTER_SHORT", "ENTER_LONG"]


def test_after_a_restart_with_another_contract_the_old_one_is_left() -> None:
    first = FundingCarry(perp=BTC.name, hedge=ETH.name, periods=2)
    carrying([0.0005, 0.0005, 0.0005], first)
    again = FundingCarry(perp=SOL.name, hedge=ETH.name, periods=2)
    again.restore(json.loads(json.dumps(first.state(), allow_nan=False)))
    world = World()
    world.seat(again)

    world.hear(*(mark(period, 0.0005, SOL.name) for period in range(3)))
    assert said(world) == [("EXIT_LONG", ETH.name, "what_is_left"), ("EXIT_SHORT", BTC.name, "what_is_left")]


def test_bars_are_of_one_length_before_they_are_a_pair() -> None:
    world, _ = paired()
    long = bar(40, 200.0)
    ends = Bar(long.instrument, 2 * MINUTE, *[getattr(long, f) for f in Bar.__struct_fields__[2:]])

    world.hear(ends, bar(40, walk(40), ETH))

    assert said(world) == []
