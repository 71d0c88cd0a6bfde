"""What a connection remembers: how long to wait, what it may send, and who has gone silent."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from bus.clock import DAY, SECOND
from bus.events import FeedLost, FeedOpened, FeedRetired
from feeds.binance.live import BinanceDialect
from feeds.crew import Crew
from feeds.pace import Allowance, Backoff, RimClock
from sandbox.clock import TurnedClock
from tests.feeds.live_bench import TurnedRim, world

pytestmark = pytest.mark.asyncio


async def test_waits_double_to_a_cap_and_only_something_good_resets_them():
    backoff = Backoff(1.0, 8.0, Random(1))

    waits = [backoff.next_s() for _ in range(6)]

    for wait, whole in zip(waits, [1, 2, 4, 8, 8, 8], strict=True):
        assert whole / 2 <= wait <= whole
    assert len(set(waits)) == 6, "and are never twice the same"
    assert 30.5 <= backoff.next_s(at_least_s=30) <= 31
    backoff.reset()
    assert backoff.next_s() <= 1


async def test_an_allowance_counts_from_when_something_is_known_to_have_arrived():
    clock = TurnedClock(0)
    rim = TurnedRim(clock)
    allowance = Allowance(rim, 2, 1.0)
    allowance.sent()
    clock.turn(0.5)
    allowance.sent()
    clock.turn(100)
    assert allowance.free == 0, "however long ago it was sent, it may yet arrive"
    allowance.arrived()

    async def one() -> None:
        async with allowance.one():
            pass

    async with Crew() as crew:
        third = crew.start(one())
        await asyncio.sleep(0)
        for turned, done in ((0.99, False), (0.01, True)):
            clock.turn(turned)
            for _ in range(3):
                rim.wake()
                await asyncio.sleep(0)
            assert third.done() is done


async def test_a_connect_is_no_good_message():
    """A minute of a venue that takes every socket and says nothing: the waits grow all the same."""
    async with world(streams=("trade",)) as there:
        await there.until_tradeable()
        there.fault(kind="half_open", for_s=60)
        await there.pass_time(60, step=0.5)
        connects = there.sandbox.report()["connects"]
        await there.until_tradeable()
        report = there.sandbox.report()

    assert 6 <= connects <= 12, "18 if each began with the shortest wait"
    assert report["broken"] == {}


async def test_a_venue_that_hangs_up_all_the_time_is_not_called_more_often_than_it_allows():
    async with world(streams=("trade",)) as there:
        there.fault(kind="rollover", life_s=0.2)
        await there.pass_time(150, step=0.5)
        report = there.sandbox.report()

    assert 80 <= report["connects"] <= 100
    assert report["broken"] == {}


async def test_a_socket_without_a_word_is_pinged_and_given_up():
    async with world(streams=("trade",)) as there:
        (bench,) = there.benches
        await there.until_tradeable()
        bench.feed.unfit = tuple  # nobody says that anything is stale
        there.fault(kind="half_open", for_s=1)
        await there.pass_time(32, step=0.5)

    (lost,) = bench.of(FeedLost)
    assert lost.reason.startswith("silent")
    assert len(bench.of(FeedOpened)) == 2


async def test_a_socket_that_talks_and_never_listens_is_given_up():
    """Data comes all the time, and nothing that we say gets there."""
    async with world(streams=("trade",)) as there:
        (bench,) = there.benches
        await there.until_tradeable()
        await there.pass_time(2)
        for connection in there.sandbox.connections.values():
            connection.pinged_ns, connection.ponged = 1 << 62, True
        there.sandbox.venues["binance"].control = lambda *_: None  # type: ignore[method-assign]  # deaf to pings
        bench.feed.lines[0].connection.send(['{"method":"LIST_SUBSCRIPTIONS","id":99}'])
        await there.pass_time(34, step=0.5)

    lost = bench.of(FeedLost)[0]
    assert lost.reason.startswith("no answer to a ping")


async def test_a_moment_without_a_word_is_no_silence_however_old_the_socket():
    """It is looked at every ten seconds, and when it is old enough to be let go: just then it has nothing to say, and
    an answer is on its way.
    """
    dialect = BinanceDialect(futures=False)
    dialect.terms = dialect.terms._replace(life_s=23.0)
    async with world(streams=("trade",), dialect=dialect) as there:
        (bench,) = there.benches
        bench.feed.unfit = tuple
        await there.pass_time(19)
        there.sandbox.venues["binance"].control = lambda *_: None  # type: ignore[method-assign]  # deaf to pings
        bench.feed.lines[0].connection.send(['{"method":"LIST_SUBSCRIPTIONS","id":99}'])
        await there.pass_time(0.8)
        for connection in there.sandbox.connections.values():
            connection.deaf = True
        await there.pass_time(8)

    assert bench.of(FeedLost) == []
    assert len(bench.of(FeedRetired)) == 1


async def test_a_socket_is_let_go_before_the_venue_s_day_is_over():
    for futures in (False, True):
        terms = BinanceDialect(futures=futures).terms
        assert (terms.life_s + terms.overlap_s + 600) * SECOND < DAY


async def test_however_fast_time_runs_a_process_is_given_half_a_second_of_the_wall():
    class Fast(TurnedClock):
        rate = 1_500.0

    assert RimClock(TurnedClock(0)).patience_s(3.0) == 3.0
    assert RimClock(Fast(0)).patience_s(3.0) == 750.0
