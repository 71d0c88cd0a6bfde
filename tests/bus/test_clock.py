"""Timers, against a twin that keeps a list and sorts it."""

from __future__ import annotations

import time
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import NEVER, Clock, Timer, WallClock


def test_a_timer_fires_at_its_own_time_and_the_clock_ends_where_it_was_turned_to() -> None:
    clock, seen = Clock(100), []
    clock.at(110, lambda: seen.append(clock.now))

    fired = clock.turn(150)

    assert (seen, fired, clock.now, clock.due) == ([110], 1, 150, NEVER)


def test_equal_times_fire_in_the_order_they_were_asked_for() -> None:
    clock = Clock()
    seen: list[str] = []
    for name in "abc":
        clock.at(5, partial(seen.append, name))

    clock.turn(5)

    assert seen == ["a", "b", "c"]


def test_a_timer_that_is_already_late_fires_at_the_next_turn_and_time_does_not_go_back() -> None:
    clock, seen = Clock(100), []
    clock.at(40, lambda: seen.append(clock.now))

    clock.turn(101)

    assert seen == [100]


def test_a_cancelled_timer_never_fires_and_is_not_counted() -> None:
    clock, seen = Clock(), []
    timer = clock.at(5, lambda: seen.append("cancelled"))
    clock.at(5, lambda: seen.append("kept"))

    timer.cancel()

    assert clock.turn(10) == 1
    assert seen == ["kept"]


def test_a_timer_may_cancel_one_that_is_due_with_it() -> None:
    clock, seen = Clock(), []
    clock.at(5, lambda: second.cancel())  # noqa: PLW0108  # there is no second yet
    second = clock.at(5, lambda: seen.append("second"))

    clock.turn(5)

    assert seen == []


def test_cancelling_after_it_fired_is_harmless() -> None:
    clock, seen = Clock(), []
    timer = clock.at(5, lambda: seen.append(1))
    clock.turn(5)

    timer.cancel()
    clock.turn(10)

    assert seen == [1]


def test_a_timer_set_from_a_timer_fires_in_the_same_turn_when_it_is_due() -> None:
    clock, seen = Clock(), []

    def again() -> None:
        seen.append(clock.now)
        if clock.now < 50:
            clock.at(clock.now + 10, again)

    clock.at(10, again)
    clock.turn(35)

    assert (seen, clock.now, clock.due) == ([10, 20, 30], 35, 40)


def test_a_timer_for_right_now_set_from_a_timer_comes_after_those_already_there() -> None:
    clock, seen = Clock(), []

    def first() -> None:
        seen.append("first")
        clock.at(5, lambda: seen.append("set while firing"))

    clock.at(5, first)
    clock.at(5, lambda: seen.append("there before"))
    clock.turn(5)

    assert seen == ["first", "there before", "set while firing"]


def test_turning_back_changes_nothing() -> None:
    clock = Clock(100)
    clock.at(110, lambda: None)

    assert clock.turn(50) == 0
    assert (clock.now, clock.due) == (100, 110)


class NaiveClock:
    """Every timer in a plain list; the next is found by sorting all of them."""

    def __init__(self) -> None:
        self.now = 0
        self.timers: list[tuple[int, int]] = []  # (when, name) in the order of asking, which a stable sort keeps
        self.cancelled: set[int] = set()
        self.fired: list[tuple[int, int]] = []

    @property
    def due(self) -> int:
        return self.next()[0] if self.timers else NEVER

    def next(self) -> tuple[int, int]:
        return sorted(self.timers, key=lambda timer: timer[0])[0]

    def turn(self, ns: int, follow: dict[int, int]) -> None:
        while self.due <= ns:
            when, name = self.next()
            self.timers.remove((when, name))
            if name in self.cancelled:
                continue
            self.now = max(self.now, when)
            self.fired.append((name, self.now))
            if name in follow:
                self.timers.append((self.now + follow[name], name + 1_000))
        self.now = max(self.now, ns)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("at"), st.integers(0, 60), st.one_of(st.none(), st.integers(0, 15))),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.none()),
        st.tuples(st.just("turn"), st.integers(0, 20), st.none()),
    ),
    max_size=40,
)


@pytest.mark.property
@given(steps)
def test_it_fires_what_a_sorted_list_would(steps: list[tuple[str, int, int | None]]) -> None:
    clock, twin = Clock(), NaiveClock()
    timers: list[Timer] = []
    follow: dict[int, int] = {}
    fired: list[tuple[int, int]] = []

    def fire(name: int) -> None:
        fired.append((name, clock.now))
        if name in follow:
            clock.at(clock.now + follow[name], lambda: fire(name + 1_000))

    for what, number, then in steps:
        if what == "at":
            name = len(timers)
            timers.append(clock.at(number, partial(fire, name)))
            twin.timers.append((number, name))
            if then is not None:
                follow[name] = then
        elif what == "cancel" and number < len(timers):
            timers[number].cancel()
            twin.cancelled.add(number)
        elif what == "turn":
            before = len(fired)
            count = clock.turn(clock.now + number)
            twin.turn(twin.now + number, follow)
            assert count == len(fired) - before
        assert (clock.now, clock.due, fired) == (twin.now, twin.due, twin.fired)


def test_the_wall_clock_tells_the_time_and_never_steps_back() -> None:
    clock = WallClock()

    readings = [clock.read() for _ in range(1_000)]

    assert readings == sorted(readings)
    assert abs(readings[0] - time.time_ns()) < 5_000_000_000
