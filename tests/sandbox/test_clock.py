"""The sandbox's clock, and what another process must be told to have the same time."""

from __future__ import annotations

import time

import pytest

from bus.clock import SECOND
from sandbox.clock import RunningClock, TurnedClock


class Wall:
    """The machine's clocks, turned by hand."""

    def __init__(self) -> None:
        self.ns = 1_800_000_000 * SECOND

    def pass_s(self, seconds: float) -> None:
        self.ns += round(seconds * SECOND)


@pytest.fixture
def wall(monkeypatch: pytest.MonkeyPatch) -> Wall:
    wall = Wall()
    monkeypatch.setattr(time, "time_ns", lambda: wall.ns)
    monkeypatch.setattr(time, "monotonic_ns", lambda: wall.ns - 12_345)
    return wall


def test_it_runs_as_much_faster_as_it_was_told_and_stands_while_paused(wall):
    clock = RunningClock(20)
    start = clock.read()
    wall.pass_s(3)
    clock.pause()
    wall.pass_s(100)
    stood = clock.read()
    clock.resume()
    wall.pass_s(1)

    assert start == 1_800_000_000 * SECOND
    assert stood - start == 60 * SECOND
    assert clock.read() - stood == 20 * SECOND
    assert clock.wait_s(clock.read() + 40 * SECOND) == 2.0


@pytest.mark.parametrize("pause_s", [0, 7.5])
def test_two_numbers_are_enough_for_another_process_to_agree(wall, pause_s):
    clock = RunningClock(20)
    wall.pass_s(2)
    clock.pause()
    wall.pass_s(pause_s)
    clock.resume()
    shared = clock.shared()
    wall.pass_s(60)

    theirs = shared["since_ns"] + (wall.ns - shared["since_ns"]) * 20
    assert abs(theirs - clock.read()) < 100


def test_while_paused_nothing_is_ever_due(wall):
    clock = RunningClock(2)
    clock.pause()

    assert clock.wait_s(clock.read() + 1) == float("inf")


@pytest.mark.parametrize("rate", [0, -1, float("nan"), 1e9])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(ValueError, match="the rate must be above 0"):
        RunningClock(rate)


def test_a_turned_clock_moves_only_when_turned():
    clock = TurnedClock(5)
    clock.turn(1.5)
    clock.pause()
    clock.turn(10)
    clock.resume()

    assert clock.read() == 5 + 1_500_000_000
