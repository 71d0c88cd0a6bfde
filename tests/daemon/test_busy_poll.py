"""Whoever pays for it with a core is not put to sleep between frames, and for no longer than he said."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator

import pytest

from daemon.live.busy_poll import BusyPoll


class Noting(selectors.DefaultSelector):
    """Notes how long the loop was ready to wait, each time it asked its sockets; None is for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float | None] = []

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.waits.append(timeout)
        return super().select(timeout)


@pytest.fixture
def selector() -> Noting:
    return Noting()


@pytest.fixture
def loop(selector: Noting) -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.SelectorEventLoop(selector)
    yield loop
    loop.close()


def run_for(loop: asyncio.AbstractEventLoop, seconds: float) -> None:
    loop.call_later(seconds, loop.stop)
    loop.run_forever()


def test_after_a_frame_the_loop_asks_its_sockets_without_waiting_and_then_sleeps(loop, selector):
    poll = BusyPoll(5.0)
    poll.heard(loop)

    run_for(loop, 0.05)

    asleep = next(at for at, wait in enumerate(selector.waits) if wait)
    assert asleep > 100
    assert len(selector.waits) - asleep < 5


def test_frames_that_come_together_keep_it_awake_once(loop, selector):
    poll = BusyPoll(5.0)
    for _ in range(1_000):
        poll.heard(loop)

    assert len(loop._ready) == 1


def test_a_later_frame_wakes_it_again(loop, selector):
    poll = BusyPoll(1.0)
    poll.heard(loop)
    run_for(loop, 0.01)
    before = len(selector.waits)

    poll.heard(loop)
    run_for(loop, 0.01)

    assert len(selector.waits) - before > 20


def test_by_default_the_loop_sleeps(loop, selector):
    BusyPoll(0.0).heard(loop)

    run_for(loop, 0.01)

    assert len(selector.waits) < 5
