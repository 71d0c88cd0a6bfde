"""Functions over a frame of closed bars: what they are told is true, and what they answer is checked."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal as D
from typing import Any

import pandas as pd
import pytest

from bus.events import Decision, Intent
from bus.values import Action, TimeInForce
from strategies.functional import Functional, OrderGenerator
from tests.strategies.world import BTC, ETH, MINUTE, T0, World, bar


class Function:
    """Answers as the test says and keeps what it was given."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.calls: list[tuple[pd.DataFrame, Mapping[str, Any], bool]] = []

    def __call__(self, df: pd.DataFrame, ctx: Mapping[str, Any], *, closed_only: bool = True) -> Any:
        self.calls.append((df, ctx, closed_only))
        return self._answer


def world_with(answer: Any, **params: Any) -> tuple[World, Function]:
    world, function = World(), Function(answer)
    world.seat(Functional(function, params))
    return world, function


HOLD = {"action": "HOLD"}


def test_the_frame_holds_the_closed_bars_so_far_and_nothing_else() -> None:
    world, function = world_with(HOLD)

    world.hear(bar(0, 100.0), bar(1, 101.0), bar(2, 999.0, closed=False), bar(1, 50.0, ETH), bar(2, 102.0))

    frame, _, closed_only = function.calls[-1]
    assert list(frame["close"]) == [100.0, 101.0, 102.0]
    assert list(frame.columns) == ["open", "high", "low", "close", "volume"]
    assert set(map(str, frame.dtypes)) == {"float64"}
    assert list(frame.index) == [pd.Timestamp(T0 + n * MINUTE, tz="UTC") for n in range(3)]
    assert closed_only is False, "there is no forming bar to drop"
    assert len(function.calls) == 4


def test_a_later_bar_changes_no_earlier_frame() -> None:
    world, function = world_with(HOLD)
    world.hear(bar(0), bar(1))
    before = function.calls[1][0].copy()

    world.hear(bar(2, 7.0))

    pd.testing.assert_frame_equal(function.calls[1][0], before)


def test_the_context_is_the_present() -> None:
    world, function = world_with(HOLD, window=5)

    world.hear(bar(0))

    assert function.calls[0][1] == {
        "instrument": BTC.name,
        "interval_s": 60,
        "now_ns": T0 + MINUTE,
        "position": 0.0,
        "equity": 1_000.0,
        "params": {"window": 5},
    }


def test_what_the_function_does_to_its_parameters_stays_with_it() -> None:
    world, function = world_with(HOLD, window=5)
    world.hear(bar(0))

    function.calls[0][1]["params"]["window"] = 99
    world.hear(bar(1))

    assert function.calls[1][1]["params"] == {"window": 5}


def test_the_documented_answer_becomes_an_intent_whose_flags_are_true() -> None:
    answer = {
        "action": "ENTER_LONG",
        "confidence": 0.8,
        "desired_exposure_frac": 0.25,
        "horizon_hours": 4,
        "reason": "breakout",
        "meta": {"rsi": 71.5, "closed_only": False, "dropped_last_row": True},
    }
    world, _ = world_with(answer)

    world.hear(bar(0))

    (decision,) = world.decided
    assert isinstance(decision, Decision)
    assert decision.intent == Intent(
        BTC.name,
        Action.ENTER_LONG,
        exposure=0.25,
        confidence=0.8,
        horizon_s=14_400,
        reason="breakout",
        meta={
            "rsi": 71.5,
            "closed_only": True,
            "dropped_last_row": False,
            "asof_ts": pd.Timestamp(T0, tz="UTC").isoformat(),
        },
    )
    assert answer["meta"]["closed_only"] is False, "the function's own dict is left alone"  # type: ignore[index]


def test_wanting_no_exposure_is_not_wanting_the_default() -> None:
    world, _ = world_with({"action": "ENTER_LONG", "desired_exposure_frac": 0.0})

    world.hear(bar(0))

    assert world.decided[0].intent.exposure == 0.0


def test_a_function_that_holds_lets_the_bar_pass() -> None:
    world, _ = world_with({"action": "HOLD", "reason": "nothing to do"})

    world.hear(bar(0))

    assert world.decided == []
    assert world.reasons == [("s", "nothing to do")]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "returns a dict, not NoneType"),
        ([], "returns a dict, not list"),
        ({}, "action must be one of"),
        ({"action": "BUY_IT"}, "not 'BUY_IT'"),
        ({"action": "enter_long"}, "not 'enter_long'"),
        ({"action": "BUY", "confidence": 1.5}, "fractions"),
        ({"action": "BUY", "confidence": float("nan")}, "fractions"),
        ({"action": "BUY", "desired_exposure_frac": -0.1}, "fractions"),
        ({"action": "BUY", "desired_exposure_frac": float("nan")}, "fractions"),
    ],
)
def test_a_wrong_answer_is_an_error_that_says_what_is_wrong(answer: Any, says: str) -> None:
    world, _ = world_with(answer)

    world.hear(bar(0))

    assert world.decided == []
    assert says in str(world.failures[0])
    assert len(world.quarantined) == 1


def test_at_most_its_history_is_kept() -> None:
    world, function = world_with(HOLD)

    for n in range(15):
        world.hear(bar(n, float(n)))

    assert list(function.calls[-1][0]["close"]) == [float(n) for n in range(5, 15)]


# --- raw orders ------------------------------------------------------------------------------------------------


def ordering(answer: Any) -> tuple[World, Function]:
    world, function = World(), Function(answer)
    world.seat(OrderGenerator(function, {"size": 2}))
    world.hear(bar(0))
    return world, function


def test_an_order_generator_is_told_the_same_and_its_orders_are_intents() -> None:
    limit = {"side": "sell", "size": D("0.5"), "limit": 99.5, "tif": "ioc", "post_only": True, "reason": "fade"}
    world, function = ordering([{"side": "buy", "size": 1, "instrument": ETH.name}, limit])

    assert [d.intent for d in world.decided] == [
        Intent(ETH.name, Action.BUY, size=1),
        Intent(BTC.name, Action.SELL, size=D("0.5"), limit=99.5, tif=TimeInForce.IOC, post_only=True, reason="fade"),
    ]
    assert function.calls[0][1]["params"] == {"size": 2}


@pytest.mark.parametrize("nothing", [None, [], ()])
def test_no_orders_let_the_bar_pass(nothing: Any) -> None:
    world, _ = ordering(nothing)

    assert world.decided == []
    assert (world.acts, world.reasons) == ([], [])


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ("buy", "yields mappings, not str"),
        ({"size": 1}, "side is buy or sell, not None"),
        ({"side": "buy"}, "size is a positive number of base units, not None"),
        ({"side": "buy", "size": 0}, "not 0"),
        ({"side": "buy", "size": float("nan")}, "not nan"),
        ({"side": "buy", "size": 1, "price": 3}, "no field 'price'"),
        ({"side": "buy", "size": 1, "tif": "day"}, "day"),
    ],
)
def test_a_wrong_order_is_an_error_that_says_what_is_wrong(order: Any, says: str) -> None:
    world, _ = ordering([{"side": "buy", "size": 1}, order])

    assert world.decided == [], "all of it or nothing"
    assert says in str(world.failures[0])


def test_a_function_may_name_the_size_it_gives_up() -> None:
    world, _ = world_with({"action": "EXIT_LONG", "size": 2.5, "desired_exposure_frac": 0.1})

    world.hear(bar(0))

    assert world.decided[0].intent.size == 2.5
