"""How often a venue hears us, whoever stands still and whatever holds our messages up on the way."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from random import Random
from typing import Any, cast

import pytest
from aiohttp import WSMessage, WSMsgType
from hypothesis import example, given
from hypothesis import strategies as st

from bus.clock import SECOND
from feeds.connection import Connection, Terms
from feeds.crew import Crew
from feeds.network import Network
from feeds.pace import Allowance
from sandbox.clock import TurnedClock
from tests.feeds.live_bench import TurnedRim

MOST = 4
TERMS = Terms(MOST, 1.25, 1_000, 100, 300.0, 0.0, quiet_s=1e9)


class Wire:
    """A socket whose far end hears and answers when it likes: in order, and all at once if need be."""

    def __init__(self) -> None:
        self.sent: deque[tuple[str, bytes]] = deque()
        self.answers: deque[bytes] = deque()
        self._to_us: asyncio.Queue[WSMessage] = asyncio.Queue()

    async def send_str(self, text: str) -> None:
        self.sent.append(("text", text.encode()))

    async def ping(self, payload: bytes) -> None:
        self.sent.append(("ping", payload))

    async def pong(self, payload: bytes) -> None:
        self.sent.append(("pong", payload))

    async def receive(self) -> WSMessage:
        return await self._to_us.get()

    async def close(self) -> None:
        pass

    def bring(self, kind: WSMsgType, data: bytes = b"") -> None:
        self._to_us.put_nowait(WSMessage(kind, data, ""))

    close_code = None


class Venue:
    """Counts what arrives. Each line is a fresh wire for each dial."""

    def __init__(self, lines: int, *, by_address: bool) -> None:
        self.clock = TurnedClock(SECOND)
        self.rim = TurnedRim(self.clock)
        self.by_address = by_address
        self.wires = [Wire() for _ in range(lines)]
        self.arrived: dict[object, list[int]] = {}
        self.heard = 0

    def hear(self, line: int, count: int) -> None:
        """The next messages of a line arrive, all now."""
        wire, now = self.wires[line], self.clock.read()
        for _ in range(min(count, len(wire.sent))):
            kind, payload = wire.sent.popleft()
            if kind == "ping":
                wire.answers.append(payload)
            self.heard += kind == "text"
            times = self.arrived.setdefault(None if self.by_address else wire, [])
            times.append(now)
            recent = [time for time in times if time > now - SECOND]
            assert len(recent) <= MOST, "more in a second than we allow ourselves"

    def answer(self, line: int, count: int) -> None:
        wire = self.wires[line]
        for _ in range(min(count, len(wire.answers))):
            wire.bring(WSMsgType.PONG, wire.answers.popleft())

    async def turn(self, seconds: float) -> None:
        self.clock.turn(seconds)
        self.rim.wake()
        await settle()


class Exchange:
    """What a line dials."""

    def __init__(self, venue: Venue, line: int) -> None:
        self.venue, self.line = venue, line

    async def dial(self, _url: str, _size: int) -> Wire:
        self.venue.hear(self.line, 99)  # what the wire before still carried, at the latest
        self.venue.wires[self.line] = Wire()
        return self.venue.wires[self.line]


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


line = st.integers(0, 1)
steps = st.one_of(
    st.tuples(st.just("say"), line, st.integers(1, 6)),
    st.tuples(st.just("ping"), line, st.just(1)),
    st.tuples(st.just("hear"), line, st.integers(1, 9)),
    st.tuples(st.just("answer"), line, st.integers(1, 3)),
    st.tuples(st.just("pong nobody asked for"), line, st.just(1)),
    st.tuples(st.just("cut"), line, st.just(1)),
    st.tuples(st.just("turn"), st.just(0), st.integers(1, 3_000)),  # ms
)


@pytest.mark.property
@given(st.lists(steps, max_size=60), st.booleans())
@example([("say", 0, 6), ("turn", 0, 3_000), ("say", 0, 6), ("turn", 0, 3_000), ("hear", 0, 9)], False)
@example(
    [("cut", 0, 1), ("cut", 1, 1), ("turn", 0, 231), ("turn", 0, 600)], True
)  # one line's call proves its own only
def test_no_stall_anywhere_makes_a_venue_hear_too_much_in_a_second(schedule, by_address):
    asyncio.run(through(schedule, by_address=by_address))


def test_what_a_line_said_that_is_over_is_nobody_s_burden():
    """Its hello was never proved: an address that counted it for ever would one day say nothing more."""
    venue = Venue(1, by_address=True)
    shared = Allowance(venue.rim, TERMS.messages, TERMS.messages_s)

    async def come_and_go() -> None:
        async with Crew() as crew:
            crew.start(line_to(venue, 0, Allowance(venue.rim, TERMS.connects, TERMS.connects_s), shared).run())
            await settle()
            assert shared.free < TERMS.messages

    asyncio.run(come_and_go())
    venue.clock.turn(2 * TERMS.messages_s)

    assert shared.free == TERMS.messages


def line_to(venue: Venue, number: int, connects: Allowance, shared: Allowance | None) -> Connection:
    return Connection(
        f"venue/{number}",
        ["ws://venue"],
        cast(Network, Exchange(venue, number)),
        venue.rim,
        TERMS,
        connects,
        Random(1),
        lambda _items: None,
        lambda: ["hello"],
        lambda _raw: True,
        shared,
    )


async def through(schedule: Sequence[tuple[str, int, int]], *, by_address: bool) -> None:
    venue = Venue(2, by_address=by_address)
    shared = Allowance(venue.rim, TERMS.messages, TERMS.messages_s) if by_address else None
    connects = Allowance(venue.rim, TERMS.connects, TERMS.connects_s)
    lines = [line_to(venue, number, connects, shared) for number in range(2)]
    said = 0
    async with Crew() as crew:
        for each in lines:
            crew.start(each.run())
        await settle()
        cut = False
        for what, number, count in schedule:
            wire = venue.wires[number]
            match what:
                case "say":
                    lines[number].send(["text"] * count)
                    said += count
                case "ping":
                    wire.bring(WSMsgType.PING, b"venue")
                case "pong nobody asked for":
                    wire.bring(WSMsgType.PONG, b"")
                case "hear":
                    venue.hear(number, count)
                case "answer":
                    venue.answer(number, count)
                case "cut":
                    cut = True
                    wire.bring(WSMsgType.CLOSED)
                case _:
                    await venue.turn(count / 1_000)
            await settle()
        for _ in range(2 * said + 20):  # all is well again, and everything gets through
            for number in range(2):
                venue.hear(number, 99)
                venue.answer(number, 99)
            await settle()
            await venue.turn(0.65)
        assert cut or venue.heard == said + 2
        assert not any(wire.sent for wire in venue.wires)
        assert not any(cast(Any, each)._link.has_to_speak for each in lines), "nobody is left with something to say"
