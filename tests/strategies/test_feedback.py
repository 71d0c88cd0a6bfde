"""What outcomes may do to a weight: by the rule's name, within its bounds, and nothing by default."""

from __future__ import annotations

import json
import math
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bus.events import WeightChanged
from bus.values import Side
from portfolio.lots import RoundTrips
from strategies.calibration import Outcome
from strategies.feedback import HEDGE, REALISED, Change, Feedback, Terms
from strategies.votes import LONG, SHORT
from tests.strategies.test_council import ENTER, EXIT, Room, Script
from tests.strategies.world import BTC, bar, filled, order

NAME = BTC.name


def terms(rule: str, **changes: float) -> Terms:
    plain = {"rate": 0.5, "floor": 0.5, "ceiling": 2.0, "every_bars": 1, "min_votes": 1}
    return Terms(rule=rule, **{**plain, **changes})  # type: ignore[arg-type]  # the counts are whole


def outcome(*votes: float, went: int = 1) -> Outcome:
    return Outcome("", votes, [1.0] * len(votes), went)


def hedge(**changes: float) -> Feedback:
    return Feedback(terms(HEDGE, **changes), ["right", "wrong"], lambda _: None)


def test_who_was_right_gains_what_who_was_wrong_loses():
    feedback = hedge()

    changes = list(feedback.score(outcome(1.0, -1.0)))

    assert [c.voter for c in changes] == ["right", "wrong"]
    assert [c.factor for c in changes] == pytest.approx([math.exp(0.25), math.exp(-0.25)])


def test_an_abstention_is_what_knowing_nothing_costs():
    (change,) = hedge().score(outcome(1.0, math.nan))

    assert change.voter == "right"
    assert change.factor == pytest.approx(math.exp(0.5 * (0.125 - 0.0)))


def test_a_bar_that_went_nowhere_teaches_nothing():
    assert list(hedge().score(outcome(1.0, -1.0, went=0))) == []


def test_nothing_moves_before_there_are_votes_enough():
    feedback = hedge(min_votes=3)

    moved = [len(list(feedback.score(outcome(1.0, -1.0)))) for _ in range(3)]

    assert moved == [0, 0, 2]


def test_steps_come_every_so_many_bars():
    feedback = hedge(every_bars=2)

    assert [len(list(feedback.score(outcome(1.0, -1.0)))) for _ in range(4)] == [0, 2, 0, 2]


_votes = st.sampled_from([1.0, 0.2, 0.0, -0.7, -1.0, math.nan])


@pytest.mark.property
@given(
    st.lists(st.tuples(_votes, _votes, st.sampled_from([1, 0, -1])), max_size=60),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
    st.floats(1.0, 10.0),
)
def test_a_factor_never_leaves_its_bounds_and_every_step_is_told(rows, rate, floor, ceiling):
    feedback = hedge(rate=rate, floor=floor, ceiling=ceiling)
    told = {"right": 1.0, "wrong": 1.0}

    for one, other, went in rows:
        for change in feedback.score(outcome(one, other, went=went)):
            assert change.before == told[change.voter]
            told[change.voter] = change.factor
            assert floor <= change.factor <= ceiling

    assert told == feedback.factors


class Trips:
    """A ledger's count of round trips, to be moved by the test."""

    def __init__(self) -> None:
        self.trips = RoundTrips()
        self.feedback = Feedback(terms(REALISED), ["a", "b"], lambda _: self.trips)

    def end(self, result: int) -> list[Change]:
        self.trips.add(D(result))
        return list(self.feedback.filled(NAME))


def test_a_won_trip_is_credited_to_those_behind_its_entry():
    world = Trips()
    world.feedback.entered(NAME, LONG, ["a"], held=False)
    world.feedback.entered(NAME, LONG, ["a", "b"], held=True)  # asked again while it was on: b came late

    (change,) = world.end(5)

    assert change.voter == "a"
    assert change.factor == pytest.approx(math.exp(0.5))


def test_a_position_turned_through_zero_is_two_trips():
    world = Trips()
    world.feedback.entered(NAME, LONG, ["a"], held=False)
    world.feedback.entered(NAME, SHORT, ["b"], held=True)

    first, second = world.end(-5), world.end(7)

    assert [(c.voter, c.factor < 1.0) for c in (*first, *second)] == [("a", True), ("b", False)]


def test_a_trip_that_came_out_even_teaches_nothing_and_one_of_others_neither():
    world = Trips()
    world.feedback.entered(NAME, LONG, ["a"], held=False)

    assert world.end(0) == []
    assert world.end(9) == []


def test_trips_that_ended_before_it_looked_are_nobody_s():
    """The account may have traded alone, or under another rule, before the council did."""
    world = Trips()
    for result in (-1, -1, 5, -2):
        world.trips.add(D(result))
    world.feedback.entered(NAME, LONG, ["a"], held=False)

    (change,) = world.end(-3)

    assert change.factor == pytest.approx(math.exp(-0.5))


def test_a_voter_who_is_gone_after_a_restart_is_credited_with_nothing():
    world, after = Trips(), Trips()
    world.feedback.entered(NAME, LONG, ["a", "b"], held=False)
    after.feedback = Feedback(terms(REALISED), ["b", "c"], lambda _: after.trips)

    after.feedback.restore(json.loads(json.dumps(world.feedback.state())))

    assert [change.voter for change in after.end(5)] == ["b"]


def learns(room: Room) -> list[WeightChanged]:
    changed: list[WeightChanged] = []
    room.bus.subscribe(WeightChanged, changed.append)
    return changed


def test_a_council_that_learns_writes_down_each_step_and_weighs_by_it_from_the_next_bar():
    room = Room(Script(*[ENTER] * 3), Script(), feedback=terms(HEDGE), weights={"v0": 2.0})
    changed = learns(room)

    room.hear(bar(0, 100.0), bar(1, 101.0), bar(2, 102.0))

    assert [(c.voter, c.rule, c.before) for c in changed] == [("v0", HEDGE, 1.0), ("v0", HEDGE, changed[0].factor)]
    weights = [voted.ballots[0].weight for voted in room.votes]
    assert weights == [2.0, 2.0, 2.0 * changed[0].factor]


@pytest.mark.parametrize("closes", ["council", "governor"])
def test_a_council_learns_from_the_fill_that_ends_a_trip_whoever_s_it_is(closes: str):
    room = Room(Script(ENTER, EXIT), feedback=terms(REALISED))
    changed = learns(room)
    room.hear(bar(0))
    room.open(order("council-1", "council"))
    room.hear(filled("council-1", "council"), bar(1, 150.0))
    room.open(order(f"{closes}-2", closes))

    room.hear(structs.replace(filled(f"{closes}-2", closes), side=Side.SELL, price=D(150)))

    assert [(c.voter, c.rule, c.factor > 1.0) for c in changed] == [("v0", REALISED, True)]


def test_without_a_rule_nothing_that_happens_reaches_a_weight():
    room = Room(Script(ENTER), Script(EXIT))
    changed = learns(room)

    room.minutes(50)

    assert changed == []
