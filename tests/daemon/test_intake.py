"""The one door: every input gets its time, due timers go first, and a batch is the same door held open."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bus import Bus
from bus.clock import Clock
from bus.events import FeedLost, FeedOpened, InputFaulted, Trade
from bus.inputs import COMMAND, CONNECT, DISCONNECT, FAULT, HTTP, KINDS, TICK, Input
from bus.values import Side
from daemon.intake import Intake
from feeds.port import Counts, Unparsed

NAME = "v:BTC/USDT"


class Heard(msgspec.Struct, frozen=True):
    """What the fake venue makes of anything it is told."""

    how: str
    what: str
    ns: int
    conn: str | None = None


class FakeProtocol:
    """A venue whose frames are words: ``p100`` a trade at 100, ``two`` two events, ``-`` nothing; others are noise."""

    venue = "v"

    def __init__(self) -> None:
        self.counts = Counts()

    def receive(self, raw: str, local_ns: int, conn: str | None) -> Sequence[object]:
        match raw:
            case "-":
                return ()
            case "two":
                return [Heard("first", raw, local_ns, conn), Heard("second", raw, local_ns, conn)]
            case _ if raw.startswith("p"):
                return [trade(float(raw[1:]), local_ns)]
        raise Unparsed(f"never heard of {raw!r}")

    def reply(self, url: str, raw: str, local_ns: int) -> Sequence[object]:
        return [Heard("reply", f"{url} {raw}", local_ns)]

    def opened(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return [Heard("opened", "", local_ns, conn)]

    def lost(self, conn: str | None, local_ns: int) -> Sequence[object]:
        return [Heard("lost", "", local_ns, conn)]

    def state(self) -> bytes:
        return b"null"

    def resume(self, state: bytes, local_ns: int) -> Sequence[object]:
        return [Heard("resumed", state.decode(), local_ns)]


def trade(price: float, ns: int) -> Trade:
    return Trade(NAME, price, 1.0, Side.BUY, 1, ns, ns)


class House:
    """An intake, and everything that comes of what it accepts: (time of the clock, event)."""

    def __init__(self, now: int = 0) -> None:
        self.clock = Clock(now)
        self.bus = Bus(self._failed)
        self.feed = FakeProtocol()
        self.said: list[tuple[int, Any]] = []
        self.rejected: list[tuple[Input, str]] = []
        self.intake = Intake(self.clock, self.bus, lambda item, reason: self.rejected.append((item, reason)))
        self.bus.subscribe(Trade, lambda event: self.timer(self.clock.now, "soon") if event.price == 99.5 else None)
        for event_type in (Trade, Heard, FeedOpened, FeedLost, InputFaulted):
            self.bus.subscribe(event_type, lambda event: self.said.append((self.clock.now, event)))

    def timer(self, ns: int, name: str, again: int = 0) -> None:
        """Say so at ``ns``, and once more ``again`` later."""

        def ring() -> None:
            self.said.append((self.clock.now, name))
            if again:
                self.timer(self.clock.now + again, name + "'")

        self.clock.at(ns, ring)

    def accept(self, *items: Input) -> None:
        for item in items:
            self.intake.accept(item, self.feed)

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.intake.frames, self.intake.rows, self.intake.unparsed

    @staticmethod
    def _failed(_handler: object, _event: object, error: Exception) -> None:
        raise error


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


words = st.sampled_from(["-", "two", "p100", "p99.5", "what?", "", encoded("p101"), encoded("what?"), "é", "===="])
items = st.builds(
    Input,
    raw=words,
    ts=st.one_of(st.none(), st.integers(0, 60)),
    conn=st.sampled_from([None, "a", "b"]),
    kind=st.one_of(st.none(), st.none(), st.sampled_from([*sorted(KINDS), "later"])),
    enc=st.sampled_from([None, None, "b64", "zip"]),
)
timers = st.lists(st.tuples(st.integers(0, 70), st.integers(0, 9)), max_size=5)


@pytest.mark.property
@given(st.lists(items, max_size=25), timers, st.lists(st.integers(0, 25), max_size=4))
def test_a_batch_is_the_same_as_one_by_one(items: list[Input], timers: list[tuple[int, int]], cuts: list[int]) -> None:
    single, batched = House(5), House(5)
    for house in (single, batched):
        for n, (ns, again) in enumerate(timers):
            house.timer(ns, str(n), again)

    single.accept(*items)
    edges = sorted({0, len(items), *(cut for cut in cuts if cut < len(items))})
    for start, end in pairwise(edges):
        batched.intake.accept_frames(items[start:end], batched.feed)
        assert batched.clock.due > batched.clock.now, "nothing that is due waits for the next batch"

    assert batched.said == single.said
    assert batched.counts == single.counts
    assert batched.rejected == single.rejected
    assert (batched.clock.now, batched.clock.due) == (single.clock.now, single.clock.due)
    times = [ns for ns, _ in single.said]
    assert times == sorted(times), "time never goes back"


@pytest.mark.property
@given(st.lists(st.tuples(st.sampled_from([99.5, 100.0, 101.0]), st.integers(0, 60)), min_size=1, max_size=25), timers)
def test_rows_are_the_same_as_the_frames_that_would_carry_them(trades, timers: list[tuple[int, int]]) -> None:
    framed, rowed = House(5), House(5)
    for house in (framed, rowed):
        for n, (ns, again) in enumerate(timers):
            house.timer(ns, str(n), again)
    stamped = sorted(trades, key=lambda trade: trade[1])
    stamped = [(price, max(ns, 5)) for price, ns in stamped]  # a feed gives times in order, from the session's start on

    framed.accept(*(Input(f"p{price}", ns) for price, ns in stamped))
    rowed.intake.accept_rows([trade(price, ns) for price, ns in stamped])

    assert rowed.said == framed.said
    assert (rowed.clock.now, rowed.clock.due) == (framed.clock.now, framed.clock.due)
    assert (framed.counts, rowed.counts) == ((len(trades), 0, 0), (0, len(trades), 0))


def test_timers_due_before_an_input_fire_first_each_at_its_own_time() -> None:
    house = House()
    house.timer(10, "early")
    house.timer(20, "on the dot")
    house.timer(21, "late")

    house.accept(Input("p100", 20))

    assert [(ns, what if isinstance(what, str) else "trade") for ns, what in house.said] == [
        (10, "early"),
        (20, "on the dot"),
        (20, "trade"),
    ]


def test_a_timer_for_right_now_set_by_an_input_fires_before_the_door_closes() -> None:
    house = House()

    house.accept(Input("p99.5", 20))
    assert [ns for ns, what in house.said if what == "soon"] == [20]

    house.intake.accept_rows([trade(99.5, 30)])
    assert [ns for ns, what in house.said if what == "soon"] == [20, 30]


@pytest.mark.parametrize("ts", [3, None])
def test_an_input_from_the_past_or_of_no_time_happens_now(ts: int | None) -> None:
    house = House(10)

    house.accept(Input("two", ts))

    assert [(ns, event.ns) for ns, event in house.said] == [(10, 10), (10, 10)]


def test_a_late_row_does_not_turn_the_clock_back() -> None:
    house = House(10)

    house.intake.accept_rows([trade(100.0, 20), trade(101.0, 15)])

    assert [ns for ns, _ in house.said] == [20, 20]
    assert house.clock.now == 20


def test_frames_that_carry_nothing_are_counted_as_heard() -> None:
    house = House()

    house.accept(Input("-", 1), Input("two", 2))

    assert house.counts == (2, 0, 0)


@pytest.mark.parametrize(
    ("story", "item", "reason"),
    [
        ("unknown text", Input("what?", 1), "never heard of 'what?'"),
        ("an unknown kind", Input("p100", 1, kind="later"), "unknown kind 'later'"),
        ("base64 of unknown text", Input(encoded("what?"), 1, enc="b64"), "never heard of 'what?'"),
        ("what is not base64", Input("====", 1, enc="b64"), ""),
        ("what is not even ASCII", Input("é", 1, enc="b64"), ""),
        ("base64 of what is no text", Input(base64.b64encode(b"\xff\xfe").decode(), 1, enc="b64"), ""),
        ("an encoding nobody knows", Input(encoded("p100"), 1, enc="zip"), "never heard of"),
    ],
)
def test_what_nobody_can_read_is_counted_and_reported(story: str, item: Input, reason: str) -> None:
    house = House()

    house.accept(item, Input("p100", 2))

    assert house.intake.unparsed == 1
    assert [rejected for rejected, _ in house.rejected] == [item]
    assert reason in house.rejected[0][1]
    assert [event for _, event in house.said] == [trade(100.0, 2)], "what comes after it is read as ever"


def test_a_binary_frame_is_read_from_its_base64() -> None:
    house = House()

    house.accept(Input(encoded("p100"), 5, enc="b64"))

    assert [event for _, event in house.said] == [trade(100.0, 5)]
    assert house.counts == (1, 0, 0)


def test_other_kinds_are_heard_as_what_they_are() -> None:
    house = House()

    house.accept(
        Input("", 1, "a", CONNECT, "wss://v"),
        Input("{}", 2, None, HTTP, "https://v/depth"),
        Input("", 3, None, TICK),
        Input("{}", 4, None, COMMAND),
        Input("code 1006", 5, "a", DISCONNECT),
        Input("", 6, "recorder", FAULT, note="disk full"),
    )

    assert house.said == [
        (1, FeedOpened(1, "a")),
        (1, Heard("opened", "", 1, "a")),
        (2, Heard("reply", "https://v/depth {}", 2)),
        (5, FeedLost(5, "a", "code 1006")),
        (5, Heard("lost", "", 5, "a")),
        (6, InputFaulted(6, "recorder", "disk full")),
    ]
    assert house.counts == (0, 0, 0)


def test_a_tick_turns_the_clock() -> None:
    house = House()
    house.timer(7, "bell")

    house.accept(Input("", 9, None, TICK))

    assert house.said == [(7, "bell")]
    assert house.clock.now == 9
