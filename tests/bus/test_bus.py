"""Delivery: one order, everyone hears, and a failure stays where it happened."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bus import Bus
from bus.clock import Clock
from bus.inbox import Overflow
from bus.route import Handler


class Ping(msgspec.Struct, frozen=True):
    n: int


class Pong(msgspec.Struct, frozen=True):
    n: int


class LoudPing(Ping, frozen=True):
    pass


class Row(msgspec.Struct, frozen=True):
    local_ns: int


def strict_bus() -> Bus:
    """A bus on which nothing is expected to fail."""

    def failed(_handler: Handler, _event: object, error: Exception) -> None:
        raise error

    return Bus(failed)


def listening() -> tuple[Bus, list[Any]]:
    return strict_bus(), []


def test_everyone_hears_in_the_order_they_subscribed() -> None:
    bus, heard = listening()
    for name in "abc":
        bus.subscribe(Ping, partial(lambda name, event: heard.append((name, event.n)), name))

    bus.publish(Ping(1))

    assert heard == [("a", 1), ("b", 1), ("c", 1)]


def test_whatever_can_be_called_can_hear() -> None:
    class Tally(list[Any]):
        __call__ = list.append

    bus, tally = strict_bus(), Tally()
    bus.subscribe(Ping, tally)

    bus.publish(Ping(1))

    assert tally == [Ping(1)]


def test_everyone_sees_the_first_event_before_anyone_sees_the_second() -> None:
    bus, heard = listening()

    def answers(event: Ping) -> None:
        heard.append(("answers", event))
        if event.n < 3:
            bus.publish(Ping(event.n + 1))
            bus.publish(Pong(event.n))

    bus.subscribe(Ping, answers)
    bus.subscribe(Ping, lambda event: heard.append(("listens", event)))
    bus.subscribe(Pong, lambda event: heard.append(("pong", event)))

    bus.publish(Ping(1))

    assert heard == [
        ("answers", Ping(1)),
        ("listens", Ping(1)),
        ("answers", Ping(2)),
        ("listens", Ping(2)),
        ("pong", Pong(1)),
        ("answers", Ping(3)),
        ("listens", Ping(3)),
        ("pong", Pong(2)),
    ]


def test_everything_that_follows_has_happened_when_publish_returns() -> None:
    bus, heard = listening()
    bus.subscribe(Ping, lambda event: bus.publish(Pong(event.n)))
    bus.subscribe(Pong, heard.append)

    bus.publish(Ping(1))

    assert heard == [Pong(1)]


def test_a_handler_hears_exactly_the_type_it_asked_for() -> None:
    bus, heard = listening()
    bus.subscribe(Ping, heard.append)

    bus.publish(LoudPing(1))
    bus.publish(Pong(1))

    assert heard == []


def test_a_failing_handler_is_reported_and_the_rest_still_run() -> None:
    reported: list[tuple[Handler, object, Exception]] = []
    heard: list[object] = []
    bus = Bus(lambda *failure: reported.append(failure))
    error = RuntimeError("no")

    def fails(event: Ping) -> None:
        bus.publish(Pong(event.n))
        raise error

    bus.subscribe(Ping, fails)
    bus.subscribe(Ping, heard.append)
    bus.subscribe(Pong, heard.append)

    bus.publish(Ping(1))

    assert reported == [(fails, Ping(1), error)]
    assert heard == [Ping(1), Pong(1)], "what it published before it failed stays published"


def test_a_failure_while_the_backlog_drains_is_reported_too() -> None:
    reported: list[object] = []
    heard: list[object] = []
    bus = Bus(lambda _handler, event, _error: reported.append(event))
    bus.subscribe(Ping, lambda event: bus.publish(Pong(event.n)))
    bus.subscribe(Pong, lambda event: 1 / 0)
    bus.subscribe(Pong, heard.append)

    bus.publish(Ping(1))
    bus.publish(Ping(2))

    assert reported == heard == [Pong(1), Pong(2)]


def test_what_a_failure_makes_us_publish_is_heard_in_its_turn() -> None:
    heard: list[object] = []
    bus = Bus(lambda _handler, _event, _error: bus.publish(Pong(9)))
    bus.subscribe(Ping, lambda event: 1 / 0)
    bus.subscribe(Ping, heard.append)
    bus.subscribe(Pong, heard.append)

    bus.publish(Ping(1))

    assert heard == [Ping(1), Pong(9)]


@pytest.mark.parametrize("leave", ["pause", "close"])
def test_a_delivery_under_way_keeps_the_route_it_started_with(leave: str) -> None:
    bus, heard = listening()
    bus.subscribe(Ping, lambda event: getattr(late, leave)())
    late = bus.subscribe(Ping, heard.append)

    bus.publish(Ping(1))
    bus.publish(Ping(2))

    assert heard == [Ping(1)]


def test_who_subscribes_during_a_delivery_hears_from_the_next_event_on() -> None:
    bus, heard = listening()

    def invites(event: Ping) -> None:
        if event.n == 1:
            bus.subscribe(Ping, heard.append)

    bus.subscribe(Ping, invites)

    bus.publish(Ping(1))
    bus.publish(Ping(2))

    assert heard == [Ping(2)]


def test_a_queued_event_goes_by_the_route_at_its_own_delivery() -> None:
    bus, heard = listening()

    def closes_then_publishes(event: Ping) -> None:
        pongs.close()
        bus.publish(Pong(event.n))

    bus.subscribe(Ping, closes_then_publishes)
    pongs = bus.subscribe(Pong, heard.append)

    bus.publish(Ping(1))

    assert heard == []


def test_a_resumed_handler_has_its_old_place() -> None:
    bus, heard = listening()
    first = bus.subscribe(Ping, lambda event: heard.append("first"))
    bus.subscribe(Ping, lambda event: heard.append("second"))
    first.pause()
    bus.publish(Ping(1))

    first.resume()
    bus.publish(Ping(2))

    assert heard == ["second", "first", "second"]


def test_who_has_left_is_not_kept() -> None:
    class Ear:
        def hear(self, event: Ping) -> None: ...

    bus, ear = strict_bus(), Ear()
    seen = weakref.ref(ear)
    bus.subscribe(Ping, ear.hear).close()
    del ear
    gc.collect()

    assert seen() is None


def test_one_who_starts_paused_hears_nothing_until_resumed() -> None:
    bus, heard = listening()
    subscription = bus.subscribe(Ping, heard.append, active=False)
    bus.publish(Ping(1))

    subscription.resume()
    bus.publish(Ping(2))

    assert heard == [Ping(2)]
    assert bus.wanted(Ping), "wanted means now or when resumed"


def test_closing_twice_and_resuming_after_closing_change_nothing() -> None:
    bus, heard = listening()
    subscription = bus.subscribe(Ping, heard.append)
    subscription.pause()
    subscription.close()
    subscription.close()

    subscription.resume()
    bus.publish(Ping(1))

    assert heard == []
    assert not bus.wanted(Ping)


def test_in_a_batch_what_a_timer_publishes_is_heard_at_its_time_and_before_the_row_that_comes_after_it() -> None:
    bus, heard = listening()
    clock = Clock()
    for kind in (Row, Ping, Pong):
        bus.subscribe(kind, lambda event: heard.append((clock.now, event)))
    bus.subscribe(Ping, lambda ping: bus.publish(Pong(ping.n)))
    clock.at(15, lambda: bus.publish(Ping(15)))
    clock.at(20, lambda: bus.publish(Ping(20)))

    bus.publish_stamped([Row(10), Row(20), Row(5)], clock)

    assert heard == [
        (10, Row(10)),
        (15, Ping(15)),
        (15, Pong(15)),
        (20, Ping(20)),
        (20, Pong(20)),
        (20, Row(20)),
        (20, Row(5)),  # said to be earlier: time does not go back
    ]


class Other(msgspec.Struct, frozen=True):
    local_ns: int


moves = st.sampled_from(["pause", "resume", "close", "publish", "fail", "timer", "join"])
plans = st.dictionaries(st.tuples(st.integers(0, 3), st.integers(1, 12)), moves, max_size=8)


@pytest.mark.property
@given(
    rows=st.lists(st.builds(lambda kind, ns: kind(ns), st.sampled_from([Row, Other]), st.integers(0, 9))), plan=plans
)
def test_a_batch_is_the_same_as_its_events_one_by_one(rows: list[Any], plan: dict[tuple[int, int], str]) -> None:
    """``plan``: what the handler of a number does when it hears its n-th event."""
    assert play(rows, plan, at_once=True) == play(rows, plan, at_once=False)


def play(rows: list[Any], plan: dict[tuple[int, int], str], *, at_once: bool) -> list[Any]:
    heard: list[Any] = []
    bus, clock = Bus(lambda _handler, event, error: heard.append((event, str(error)))), Clock()
    times: Counter[int] = Counter()

    def handler(number: int, event: Any) -> None:
        times[number] += 1
        heard.append((clock.now, number, event))
        match plan.get((number, times[number])):
            case "pause":
                seats[(number + 1) % 4].pause()
            case "resume":
                seats[(number + 1) % 4].resume()
            case "close":
                seats[number].close()
            case "publish":
                bus.publish(Ping(number))
            case "timer":
                clock.at(clock.now + 2, lambda: bus.publish(Ping(-number)))
            case "join":
                bus.subscribe(type(event), lambda event: heard.append((clock.now, "late", event)))
            case "fail":
                raise ValueError(number)

    seats = [bus.subscribe(kind, partial(handler, number)) for number, kind in enumerate([Row, Row, Other, Ping])]
    if at_once:
        bus.publish_stamped(rows, clock)
    else:
        for row in rows:
            clock.turn(max(row.local_ns, clock.now))
            bus.publish(row)
    return heard


def test_a_batch_that_could_not_go_on_leaves_a_bus_that_can() -> None:
    bus, heard = listening()
    clock = Clock()
    bus.subscribe(Ping, heard.append)

    def fail() -> None:
        raise RuntimeError("a timer nobody guards")

    clock.at(15, fail)
    with pytest.raises(RuntimeError):
        bus.publish_stamped([Row(10), Row(20)], clock)
    bus.publish(Ping(1))

    assert heard == [Ping(1)]


def test_publishing_goes_on_after_a_failure_nobody_could_handle() -> None:
    def failed(_handler: Handler, _event: object, error: Exception) -> None:
        raise error

    bus = Bus(failed)
    heard: list[Any] = []
    bus.subscribe(Ping, lambda event: 1 / (event.n - 1))
    bus.subscribe(Ping, heard.append)
    with pytest.raises(ZeroDivisionError):
        bus.publish(Ping(1))

    bus.publish(Ping(2))

    assert heard == [Ping(2)]


async def collect(stream: AsyncIterator[Ping], count: int) -> list[int]:
    seen = []
    async with aclosing(cast("Any", stream)) as events:
        async for event in events:
            seen.append(event.n)
            if len(seen) == count:
                break
    return seen


@pytest.mark.asyncio
async def test_a_stream_gives_the_events_in_order_and_leaves_no_subscription() -> None:
    bus = strict_bus()
    consumer = asyncio.ensure_future(collect(bus.stream(Ping), 3))
    await asyncio.sleep(0)

    for n in range(5):
        bus.publish(Ping(n))

    assert await consumer == [0, 1, 2]
    assert not bus.wanted(Ping)


@pytest.mark.asyncio
@pytest.mark.parametrize(("policy", "kept"), [(Overflow.DROP_OLDEST, [7, 8, 9]), (Overflow.DROP_NEWEST, [0, 1, 2])])
async def test_a_slow_consumer_loses_events_by_its_policy_and_changes_nothing(
    policy: Overflow, kept: list[int]
) -> None:
    bus, heard = listening()
    consumer = asyncio.ensure_future(collect(bus.stream(Ping, capacity=3, policy=policy), 3))
    await asyncio.sleep(0)
    bus.subscribe(Ping, heard.append)

    for n in range(10):  # without a pause: the consumer gets no turn
        bus.publish(Ping(n))

    assert heard == [Ping(n) for n in range(10)]
    assert await consumer == kept
