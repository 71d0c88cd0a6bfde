"""The samples of a session's report: what was known at each step, as it was then."""

from __future__ import annotations

from typing import Any

import pytest

from bus.clock import SECOND
from bus.events import Bar, Quote
from daemon.sampler import MOST, Sampler
from tests.portfolio.given import OTHER, SPOT, T0, Desk, fill, trade


def sampled(desk: Desk) -> Sampler:
    sampler = Sampler(desk.clock, desk.market, desk.equity, desk.ledger)
    sampler.start()
    return sampler


def quote(bid: float, ask: float) -> Quote:
    return Quote(SPOT.name, bid, 1.0, ask, 1.0, 1, T0, T0)


def bar(close: float) -> Bar:
    return Bar(SPOT.name, SECOND, T0 - SECOND, T0, 1.0, 1e6, 1.0, close, 1.0, 1, True, False, T0)


def test_a_sample_shows_what_was_known_at_its_time_and_not_what_came_later() -> None:
    desk = Desk({"USDT": "1000"})
    sampler = sampled(desk)

    desk.hear(trade(100.0), fill("1", "100"))
    desk.clock.turn(T0 + SECOND)
    desk.hear(trade(90.0), trade(5.0, OTHER))
    curve = sampler.curve()

    assert curve["t_ns"] == [T0 + SECOND, T0 + SECOND]
    assert curve["equity"] == [1000.0, 990.0]
    assert curve["gross"] == [100.0, 90.0]
    assert curve["prices"] == {SPOT.name: [100.0, 90.0], OTHER.name: [None, 5.0]}


@pytest.mark.parametrize(
    ("heard", "price"), [(bar(7.0), 7.0), (quote(4.0, 6.0), 5.0), (quote(0.0, 6.0), 0.0)], ids=["bar", "quote", "half"]
)
def test_where_there_are_no_trades_the_price_is_what_there_is(heard: Any, price: float) -> None:
    desk = Desk({"USDT": "1000"})
    desk.hear(heard)

    assert sampled(desk).curve()["prices"] == {SPOT.name: [price]}


def test_a_full_grid_doubles_its_step_and_keeps_every_second_sample() -> None:
    desk = Desk({"USDT": "1000"})
    sampler = sampled(desk)
    desk.hear(trade(100.0))

    desk.clock.turn(T0 + MOST * SECOND)
    times = sampler.curve()["t_ns"]

    assert sampler.step_ns == 2 * SECOND
    assert times[:-1] == [T0 + 2 * n * SECOND for n in range(1, MOST // 2 + 1)]
