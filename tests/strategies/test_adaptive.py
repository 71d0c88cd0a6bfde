"""Parameters that explore on shadow positions first, within their bounds, and say when they change."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import Bar, Decision, Intent, ParametersAdapted
from bus.values import Action
from strategies.adaptive import Adaptive
from strategies.load import load
from strategies.port import BadParameter, Strategy, View, Wishes
from tests.strategies.world import BTC, World, bar


class Level(Strategy):
    """Long while the close is at or above ``level``; ``level`` below 1 makes no sense."""

    def __init__(self, level: int = 100) -> None:
        if level < 1:
            raise BadParameter("level must be at least 1")
        self.level = level
        self.long = False

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        if (bar.close >= self.level) is self.long:
            return None
        self.long = not self.long
        return Intent(bar.instrument, Action.ENTER_LONG if self.long else Action.EXIT_LONG)

    def state(self) -> dict[str, Any]:
        return {"long": self.long}

    def restore(self, state: dict[str, Any]) -> None:
        self.long = state["long"]


class Quiet(Strategy):
    """Has nothing to do with bars."""

    def on_fill(self, fill: Any, view: View) -> Wishes:
        return None


LEVEL = f"{__name__}:Level"
RISING = [100.0 + n for n in range(12)]


class Room(World):
    def __init__(self, strategy: Strategy) -> None:
        super().__init__()
        self.adapted: list[ParametersAdapted] = []
        self.bus.subscribe(ParametersAdapted, self.adapted.append)
        self.seat(strategy)

    def closes(self, *closes: float, start: int = 0) -> Room:
        self.hear(*(bar(start + n, close) for n, close in enumerate(closes)))
        return self

    @property
    def actions(self) -> list[Action]:
        return [d.intent.action for d in self.decided if isinstance(d, Decision)]


def adaptive(**changes: Any) -> Adaptive:
    plain = {"use": LEVEL, "params": {"level": 1_000}, "explore": {"level": [1, 1_000]}, "trial_bars": 6}
    return Adaptive(**{**plain, "cost_bps": 0.0, **changes})


def test_a_shadow_that_earned_more_takes_over_and_says_so():
    room = Room(adaptive()).closes(*RISING)

    (adapted, *_) = room.adapted
    assert adapted.before == {"level": 1_000}
    assert 1 <= adapted.after["level"] <= 100
    assert "in 6 bars its shadow earned" in adapted.reason
    assert adapted.ns == bar(5).end_ns


def test_the_account_is_brought_to_where_the_new_parameters_stand():
    room = Room(adaptive()).closes(*RISING[:6])

    (decision,) = room.decided
    assert (decision.ns, decision.intent.action) == (bar(5).end_ns, Action.ENTER_LONG)
    assert decision.intent.reason == "as the new parameters stand"


def test_what_the_old_parameters_wanted_of_the_bar_that_ended_them_is_not_sent():
    strategy = adaptive(params={"level": 100}, margin=0.0, trial_bars=3, candidates=1)
    strategy._rivals = [strategy._tried({"level": 250})]

    room = Room(strategy).closes(300.0, 90.0, 120.0, 120.0)

    assert [one.after for one in room.adapted] == [{"level": 250}]
    assert room.actions == [Action.ENTER_LONG, Action.EXIT_LONG], "at 120 only the old ones would be long"


def test_what_shadows_want_goes_nowhere():
    room = Room(adaptive()).closes(*RISING[:5])

    assert room.decided == []


def test_after_a_restart_decisions_name_the_parameters_that_took_over():
    params = {"use": LEVEL, "params": {"level": 1_000}, "explore": {"level": [1, 1_000]}, "trial_bars": 6}
    whole, untouched, resumed = (load("adaptive", {**params, "cost_bps": 0.0}) for _ in range(3))
    assert Room(whole).closes(*RISING).adapted != []

    resumed.restore(json.loads(json.dumps(whole.state())))

    assert resumed.provenance == whole.provenance != untouched.provenance
    untouched.restore(json.loads(json.dumps(untouched.state())))
    assert untouched.provenance == load("adaptive", {**params, "cost_bps": 0.0}).provenance


def test_what_another_strategy_learned_is_nothing_to_this_one():
    other = adaptive(use="ema_cross", params={}, explore={"fast": [2, 9]})
    fresh = adaptive()

    fresh.restore(json.loads(json.dumps(other.state())))

    assert fresh.state() == adaptive().state()


@pytest.mark.parametrize("changes", [{"margin": 10.0}, {"cost_bps": 9_000.0}])
def test_who_did_not_earn_enough_after_costs_does_not_take_over(changes):
    assert Room(adaptive(**changes)).closes(*RISING).adapted == []


def test_the_strategy_at_work_goes_on_as_it_would_alone():
    alone, within = Room(Level(103)), Room(adaptive(params={"level": 103}, margin=10.0))
    closes = [100.0 + 6 * math.sin(n) for n in range(30)]

    assert within.closes(*closes).actions == alone.closes(*closes).actions


def test_the_same_seed_explores_the_same_and_another_does_not():
    def explored(seed: int) -> list[dict[str, Any]]:
        room = Room(adaptive(seed=seed, explore={"level": [1, 90]}, params={"level": 90}, margin=0.0))
        return [one.after for one in room.closes(*(RISING + RISING[::-1]) * 3).adapted]

    assert explored(1) == explored(1) != explored(2)


def test_it_goes_on_from_its_state_as_if_it_had_never_stopped():
    closes = [100.0 * (1.0 + 0.3 * math.sin(n / 3)) for n in range(40)]
    params = {"params": {"level": 100}, "explore": {"level": [80, 130]}, "margin": 0.0}
    whole = Room(adaptive(**params)).closes(*closes)
    stopped = adaptive(**params)
    first = Room(stopped).closes(*closes[:17])
    resumed = adaptive(**params)
    resumed.restore(json.loads(json.dumps(stopped.state())))

    second = Room(resumed).closes(*closes[17:], start=17)

    assert [a.after for a in first.adapted + second.adapted] == [a.after for a in whole.adapted] != []
    assert first.actions + second.actions == whole.actions


@pytest.mark.property
@given(st.integers(1, 50), st.integers(1, 400), st.integers(0, 2**40), st.floats(0.5, 9.0))
def test_no_parameter_ever_leaves_its_bounds(low, width, seed, swing):
    high = low + width
    bounds = {"explore": {"level": [low, high]}, "params": {"level": low}}
    room = Room(adaptive(**bounds, seed=seed, margin=0.0, trial_bars=3, candidates=1))

    room.closes(*(high * (1.0 + 0.1 * swing * math.sin(n)) for n in range(13)))

    assert all(low <= one.after["level"] <= high for one in room.adapted)
    assert not room.quarantined


def test_whole_bounds_draw_whole_values_and_others_do_not():
    whole, fine = adaptive(explore={"level": [5, 9]}, params={}), adaptive()

    assert all(isinstance(rival.params["level"], int) for rival in whole._rivals + fine._rivals)


def test_combinations_that_make_no_sense_are_drawn_again():
    strategy = Adaptive("ema_cross", {"fast": [2, 50], "slow": [2, 60]}, {"fast": 5, "slow": 20}, candidates=8)

    assert len(strategy._rivals) == 8
    assert all(rival.params["fast"] < rival.params["slow"] for rival in strategy._rivals)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"explore": {}}, "names no parameter"),
        ({"explore": None}, "names no parameter"),
        ({"explore": {"level": [5]}}, "explore.level"),
        ({"explore": {"level": [9, 5]}}, "explore.level"),
        ({"explore": {"level": [1, 50]}}, "begins at 1000"),
        ({"explore": {"depth": [1, 5]}}, "no parameter 'depth'"),
        ({"trial_bars": 0}, "at least 1"),
        ({"use": f"{__name__}:Quiet", "params": {}}, "bars alone, and has on_fill"),
    ],
)
def test_what_makes_no_sense_is_refused(changes, words):
    with pytest.raises(BadParameter, match=words):
        adaptive(**changes)


def test_short_of_spot_is_flat_in_the_shadow_too():
    class Shorts(Level):
        def on_bar(self, bar: Bar, view: View) -> Wishes:
            return Intent(bar.instrument, Action.ENTER_SHORT)

    strategy = adaptive()
    strategy._live.strategy = Shorts()
    Room(strategy).closes(100.0, 99.0)

    assert strategy._live.shadow.positions.get(BTC.name, 0.0) == 0.0
