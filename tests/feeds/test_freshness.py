"""A stream is as old as what it says, not as the socket it comes over."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import Quote, StreamFresh, StreamStale, Trade
from bus.market import Market
from bus.values import Side
from feeds.freshness import LOOK_NS, Freshness, Watched, _Least

T0 = 1_700_000_000 * SECOND
NAME = "binance:BTC/USDT"


def fail(_handler: object, _event: object, error: Exception) -> None:
    raise error


class Stage:
    """A market whose quotes and trades must not be older than 5 s."""

    def __init__(self, *streams: str, expecting: bool = True) -> None:
        self.clock, self.bus = Clock(T0), Bus(fail)
        self.market = Market([])
        self.market.attach(self.bus)
        self.said: list[Any] = []
        self.bus.subscribe(StreamStale, self.said.append)
        self.bus.subscribe(StreamFresh, self.said.append)
        self.freshness = Freshness(
            self.clock, self.bus, self.market, [Watched(NAME, stream, 5 * SECOND) for stream in streams]
        )
        self.freshness.start(expecting=expecting)

    def quote(self, at_s: float, said_s: float | None = None, id: int = 0) -> None:
        """A quote heard ``at_s`` that the venue says is of ``said_s``."""
        local_ns = T0 + round(at_s * SECOND)
        self.clock.turn(local_ns)
        venue_ns = 0 if said_s is None else T0 + round(said_s * SECOND)
        self.bus.publish(Quote(NAME, 1.0, 1.0, 2.0, 1.0, id or local_ns, venue_ns, local_ns))

    def trade(self, at_s: float) -> None:
        local_ns = T0 + round(at_s * SECOND)
        self.clock.turn(local_ns)
        self.bus.publish(Trade(NAME, 1.0, 1.0, Side.BUY, local_ns, local_ns, local_ns))

    def turn_to(self, second: float) -> None:
        self.clock.turn(T0 + round(second * SECOND))

    @property
    def is_tradeable(self) -> bool:
        return NAME not in self.market.stale


def test_an_instrument_is_tradeable_when_every_stream_was_heard_and_none_is_too_old():
    stage = Stage("quote", "trade")
    assert not stage.is_tradeable

    stage.quote(1)
    stage.turn_to(2)
    assert not stage.is_tradeable, "no trade yet"
    stage.trade(2)
    stage.turn_to(3)

    assert stage.is_tradeable
    assert stage.said == []


def test_silence_is_noticed_within_a_look_of_the_age_and_forgotten_as_soon():
    stage = Stage("quote")
    stage.quote(1)
    stage.turn_to(20)
    stage.quote(20)
    stage.turn_to(21)

    stale, fresh = stage.said
    assert isinstance(stale, StreamStale)
    assert T0 + 6 * SECOND < stale.ns <= T0 + 6 * SECOND + LOOK_NS
    assert isinstance(fresh, StreamFresh)
    assert fresh.ns <= T0 + 20 * SECOND + LOOK_NS
    assert stage.is_tradeable


def test_one_stream_that_lives_does_not_speak_for_another():
    stage = Stage("quote", "trade")
    stage.trade(0.5)
    for second in range(1, 10):
        stage.quote(second)

    assert [event.stream for event in stage.said] == ["trade"]
    assert not stage.is_tradeable


def test_what_repeats_itself_is_not_new():
    stage = Stage("quote")
    for second in range(1, 10):
        stage.quote(second, id=7)

    assert [type(event) for event in stage.said] == [StreamStale]


def test_what_comes_on_time_but_is_old_is_stale():
    stage = Stage("quote")
    for second in range(1, 20):
        stage.quote(second, said_s=second + 100.0 - (8 if 10 <= second < 15 else 0))

    stale, fresh = stage.said
    assert "old" in stale.reason
    assert T0 + 10 * SECOND <= stale.ns <= T0 + 11 * SECOND
    assert isinstance(fresh, StreamFresh)


def test_a_venue_s_clock_that_is_far_from_ours_makes_nothing_old():
    stage = Stage("quote")
    for second in range(1, 20):
        stage.quote(second, said_s=second - 3_600.0)

    assert stage.said == []
    assert stage.is_tradeable


def test_a_replay_watches_what_it_hears():
    stage = Stage("quote", "trade", expecting=False)
    stage.quote(1)
    stage.turn_to(3)
    assert stage.is_tradeable

    stage.turn_to(10)

    assert [event.stream for event in stage.said] == ["quote"]


@pytest.mark.property
@given(st.lists(st.integers(-5, 5)), st.integers(1, 6))
def test_the_least_of_the_latest_is_what_looking_at_all_of_them_says(numbers: list[int], kept: int):
    least = _Least(kept)
    for count, number in enumerate(numbers, 1):
        least.append(number)
        assert least.least(0) == min(numbers[max(0, count - kept) : count])
