"""Binance's books: snapshots, the diffs that belong to them, and the moments when nothing may be believed."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.book import Book
from bus.events import BookInvalidated, BookRestored, BookSnapshot, BookUpdate, DataGap
from feeds.binance.depth import GAP, LOST, NO_SNAPSHOT, OLD_SNAPSHOT, REOPENED, WAITING_MAX
from feeds.binance.protocol import BinanceProtocol
from feeds.port import Unparsed

SPOT, LINEAR = "binance", "binanceusdm"
URLS = {SPOT: "/api/v3/depth?symbol=BTCUSDT", LINEAR: "/fapi/v1/depth?symbol=BTCUSDT&limit=1000"}


class Talk:
    """A conversation about one book, and what a listener makes of it. Events are told as short tuples."""

    def __init__(self, venue: str = SPOT) -> None:
        self.protocol = BinanceProtocol(venue, lambda _venue, _symbol: None)
        self.venue = venue
        self.book = Book()

    def diff(self, first: int, last: int, previous: int = 0, bids: object = (), asks: object = (), conn: str = "ws"):
        data = {"e": "depthUpdate", "E": 1, "T": 1, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
        if self.venue != SPOT:
            data["pu"] = previous
        return self._tell(self.protocol.receive(json.dumps({"stream": "btcusdt@depth", "data": data}), 7, conn))

    def snapshot(self, id: int, bids: object = (("1", "1"),), asks: object = (("2", "1"),)):
        body = {"lastUpdateId": id, "bids": bids, "asks": asks}
        return self._tell(self.protocol.reply(URLS[self.venue], json.dumps(body), 7))

    def partial(self, id: int):
        data = {"lastUpdateId": id, "bids": [["1", "1"]], "asks": [["2", "1"]]}
        return self._tell(self.protocol.receive(json.dumps({"stream": "btcusdt@depth5", "data": data}), 7, "ws"))

    def lost(self, conn: str | None = "ws"):
        return self._tell(self.protocol.lost(conn, 7))

    def opened(self, conn: str | None = "ws"):
        return self._tell(self.protocol.opened(conn, 7))

    def _tell(self, events):
        told: list[tuple[Any, ...]] = []
        for event in events:
            match event:
                case BookSnapshot():
                    self.book.reset(event.bids, event.asks)
                    self.book.id = event.id
                    told.append(("book", event.id))
                case BookUpdate():
                    assert self.book.valid
                    self.book.apply(event.bids, event.asks)
                    self.book.id = event.id
                    told.append(("update", event.id))
                case BookInvalidated():
                    self.book.invalidate()
                    told.append(("invalid", event.reason))
                case BookRestored():
                    assert self.book.valid
                    told.append(("restored", event.id))
                case DataGap():
                    assert event.stream == "depth"
                    told.append(("gap", event.first_missing, event.last_missing))
        return told


def test_diffs_wait_for_a_snapshot_and_only_those_after_it_are_applied():
    talk = Talk()
    assert talk.diff(1, 4) == [("invalid", NO_SNAPSHOT)]
    assert talk.diff(5, 7) == []
    assert talk.diff(8, 9) == []

    assert talk.snapshot(5) == [("book", 5), ("update", 7), ("update", 9), ("restored", 9)]

    assert talk.diff(10, 10) == [("update", 10)]
    assert (talk.protocol.counts.depth_updates, talk.protocol.counts.gaps, talk.protocol.counts.duplicates) == (4, 0, 0)


@pytest.mark.parametrize(
    ("story", "snapshot", "expected"),
    [
        ("older than all that waits", 8, [("invalid", OLD_SNAPSHOT)]),
        ("just before the first", 9, [("book", 9), ("update", 15), ("update", 20), ("restored", 20)]),
        ("inside the first", 12, [("book", 12), ("update", 15), ("update", 20), ("restored", 20)]),
        ("at the end of the first", 15, [("book", 15), ("update", 20), ("restored", 20)]),
        ("at the end of all", 20, [("book", 20), ("restored", 20)]),
        ("newer than all", 25, [("book", 25), ("restored", 25)]),
    ],
)
def test_where_a_spot_snapshot_may_fall(story, snapshot, expected):
    talk = Talk()
    talk.diff(10, 15)
    talk.diff(16, 20)

    assert talk.snapshot(snapshot) == expected, story


@pytest.mark.parametrize(
    ("story", "snapshot", "expected"),
    [
        ("older than all that waits", 4, [("invalid", OLD_SNAPSHOT)]),
        ("between the unseen one before and the first", 8, [("book", 8), ("update", 15), ("update", 20)]),
        ("inside the first", 12, [("book", 12), ("update", 15), ("update", 20)]),
        ("at the end of the first, which is kept", 15, [("book", 15), ("update", 15), ("update", 20)]),
        ("in the ids of other instruments", 16, [("book", 16), ("update", 20)]),
        ("newer than all", 25, [("book", 25)]),
    ],
)
def test_where_a_futures_snapshot_may_fall(story, snapshot, expected):
    talk = Talk(LINEAR)
    talk.diff(10, 15, 5)
    talk.diff(18, 20, 15)

    told = talk.snapshot(snapshot)

    assert [each for each in told if each[0] != "restored"] == expected, story


def test_an_old_snapshot_is_complained_of_once():
    talk = Talk()
    talk.diff(10, 15)

    assert talk.snapshot(3) == [("invalid", OLD_SNAPSHOT)]
    assert talk.snapshot(4) == []
    assert talk.snapshot(10)[0] == ("book", 10)


@pytest.mark.parametrize(
    ("venue", "diff", "missing"),
    [
        (SPOT, (14, 15, 0), (11, 13)),
        (LINEAR, (14, 15, 12), (11, 13)),
        (LINEAR, (11, 15, 9), (9, 9)),
    ],
)
def test_a_gap_is_named_and_ends_belief_at_once(venue, diff, missing):
    talk = Talk(venue)
    talk.diff(9, 10, 8)
    talk.snapshot(9)

    assert talk.diff(*diff) == [("gap", *missing), ("invalid", GAP)]
    assert talk.diff(16, 17, 15) == []
    assert talk.protocol.counts.gaps == 1
    assert talk.snapshot(15)[-2:] == [("update", 17), ("restored", 17)]


def test_a_gap_among_the_waiting_leaves_only_what_came_after_it():
    talk = Talk()
    talk.diff(1, 5)

    assert talk.diff(8, 9) == [("gap", 6, 7), ("invalid", GAP)]
    assert talk.snapshot(5) == [("invalid", OLD_SNAPSHOT)]
    assert talk.snapshot(7) == [("book", 7), ("update", 9), ("restored", 9)]


def test_what_was_applied_already_is_a_duplicate_and_an_overlap_is_applied():
    talk = Talk()
    talk.diff(1, 5)
    talk.snapshot(3)

    assert talk.diff(1, 5) == []
    assert talk.diff(2, 4) == []
    assert talk.diff(4, 8) == [("update", 8)]
    assert talk.protocol.counts.duplicates == 2


def test_diffs_that_a_newer_snapshot_contains_are_passed_over_and_are_no_duplicates():
    talk = Talk()
    talk.diff(1, 5)
    talk.snapshot(9)

    assert talk.diff(6, 8) == []
    assert talk.diff(9, 9) == []
    assert talk.diff(10, 12) == [("update", 12)]
    assert talk.protocol.counts.duplicates == 0


def test_a_second_snapshot_counts_only_when_it_is_newer():
    talk = Talk()
    talk.diff(1, 5)
    talk.snapshot(5)

    assert talk.snapshot(5) == []
    assert talk.snapshot(7) == [("book", 7)]
    assert talk.diff(6, 8) == [("update", 8)]


def test_a_lost_connection_ends_belief_and_the_sequence():
    talk = Talk()
    talk.diff(1, 5)
    talk.snapshot(5)

    assert talk.lost("another socket") == []
    assert talk.lost() == [("invalid", LOST)]
    assert talk.lost() == []
    assert talk.snapshot(8) == []
    assert talk.opened() == []
    assert talk.diff(20, 25) == [("invalid", NO_SNAPSHOT)]
    assert talk.snapshot(20) == [("book", 20), ("update", 25), ("restored", 25)]
    assert talk.protocol.counts.gaps == 0


def test_a_socket_that_opens_again_without_having_been_lost_ends_belief_too():
    talk = Talk()
    assert talk.snapshot(3) == [("book", 3), ("restored", 3)]
    assert talk.opened() == []
    talk.diff(4, 5)

    assert talk.opened("another socket") == []
    assert talk.opened() == [("invalid", REOPENED)]
    assert talk.diff(6, 7) == [("invalid", NO_SNAPSHOT)]


def test_a_partial_book_is_a_whole_one_each_time_until_diffs_are_heard():
    talk = Talk()
    assert talk.partial(5) == [("book", 5), ("restored", 5)]
    assert talk.partial(6) == [("book", 6)]
    assert talk.lost() == [("invalid", LOST)]
    assert talk.partial(9) == [("book", 9), ("restored", 9)]

    assert talk.diff(10, 12) == [("invalid", NO_SNAPSHOT)]
    assert talk.partial(12) == []
    assert talk.snapshot(11) == [("book", 11), ("update", 12), ("restored", 12)]


def test_what_waits_is_bounded():
    talk = Talk()
    for n in range(WAITING_MAX + 10):
        talk.diff(n, n)

    assert talk.snapshot(8) == [("invalid", OLD_SNAPSHOT)]
    assert len(talk.snapshot(9)) == WAITING_MAX + 2


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/api/v3/depth", '{"lastUpdateId":1,"bids":[],"asks":[]}'),
        (URLS[SPOT], '{"code":-1003,"msg":"Too many requests."}'),
        (URLS[SPOT], '{"lastUpdateId":1,"bids":[["3","1"]],"asks":[["2","1"]]}'),
        (URLS[SPOT], '{"lastUpdateId":1,"bids":[["3","-1"]],"asks":[]}'),
        (URLS[SPOT], "<html>"),
    ],
)
def test_a_snapshot_that_makes_no_sense_is_unparsed(url, body):
    talk = Talk()
    talk.diff(1, 5)

    with pytest.raises(Unparsed):
        talk.protocol.reply(url, body, 1)
    assert talk.snapshot(3)[-1] == ("restored", 5)


def test_a_reply_is_ours_wherever_a_proxy_has_put_the_venue():
    talk = Talk()
    talk.diff(1, 5)
    url, body = f"https://proxy.example/markets{URLS[SPOT]}", '{"lastUpdateId":3,"bids":[["1","1"]],"asks":[["2","1"]]}'

    assert talk._tell(talk.protocol.reply(url, body, 7))[-1] == ("restored", 5)


def test_replies_that_concern_another_market_are_not_ours():
    assert Talk().protocol.reply("/fapi/v1/depth?symbol=BTCUSDT", '{"lastUpdateId":1,"bids":[],"asks":[]}', 1) == ()
    assert Talk().protocol.reply("/api/v3/ticker/24hr", "[]", 1) == ()


# --- against the truth -----------------------------------------------------------------------------------------


class Truth:
    """A market that changes one level per update id; diffs and snapshots are read off it."""

    def __init__(self, draw: random.Random, venue: str) -> None:
        self.states: dict[int, tuple[dict[float, float], dict[float, float]]] = {}
        self.diffs: list[Any] = []
        bids, asks = {1.0: 5.0}, {9.0: 5.0}
        id = previous = draw.randrange(50, 100)
        self.states[id] = (dict(bids), dict(asks))
        for _ in range(draw.randrange(8, 30)):
            if venue != SPOT:  # ids of other instruments in between
                for _ in range(draw.randrange(3)):
                    id += 1
                    self.states[id] = (dict(bids), dict(asks))
            first = id + 1
            changed: tuple[dict[float, float], dict[float, float]] = ({}, {})
            for _ in range(draw.randrange(1, 5)):
                id += 1
                side = draw.randrange(2)
                price = float(draw.randrange(1, 5) if side == 0 else draw.randrange(6, 10))
                size = float(draw.randrange(4))
                changed[side][price] = size
                (bids, asks)[side][price] = size
                self.states[id] = (dict(bids), dict(asks))
            levels = [[[str(price), str(size)] for price, size in side.items()] for side in changed]
            self.diffs.append((first, id, previous, *levels))
            previous = id

    def levels(self, id: int):
        bids, asks = ({price: size for price, size in side.items() if size} for side in self.states[id])
        return bids, asks

    def snapshot(self, id: int):
        bids, asks = self.levels(id)
        texts = [[[str(price), str(size)] for price, size in side.items()] for side in (bids, asks)]
        return id, sorted(texts[0], reverse=True), sorted(texts[1])


def believed(talk: Talk, truth: Truth) -> None:
    assert not talk.book.valid or (talk.book.bids, talk.book.asks) == truth.levels(talk.book.id)


@pytest.mark.property
@pytest.mark.parametrize("venue", [SPOT, LINEAR])
@given(seed=st.integers(0, 1 << 32), harm=st.floats(0, 0.3), snapshots=st.integers(1, 6))
def test_the_book_is_the_true_one_or_invalid_whatever_is_lost_repeated_or_swapped(venue, seed, harm, snapshots):
    draw = random.Random(seed)
    truth = Truth(draw, venue)
    messages: list[tuple[str, Any]] = []
    for diff in truth.diffs:
        fate = draw.random()
        if fate < harm:
            continue
        messages += [("diff", diff)] * (2 if fate < 2 * harm else 1)
    for at in range(len(messages) - 1):
        if draw.random() < harm / 2:
            messages[at], messages[at + 1] = messages[at + 1], messages[at]
    ids = sorted(truth.states)
    for _ in range(snapshots):
        messages.insert(draw.randrange(len(messages) + 1), ("snapshot", truth.snapshot(draw.choice(ids))))
    talk = Talk(venue)

    for kind, message in messages:
        if kind == "diff":
            talk.diff(*message)
        else:
            talk.snapshot(*message)
        believed(talk, truth)

    assert talk.protocol.counts.depth_updates == sum(kind == "diff" for kind, _ in messages)


@pytest.mark.property
@pytest.mark.parametrize("venue", [SPOT, LINEAR])
@given(seed=st.integers(0, 1 << 32), data=st.data())
def test_without_harm_any_snapshot_on_the_way_makes_the_book_whole(venue, seed, data):
    draw = random.Random(seed)
    truth = Truth(draw, venue)
    at = data.draw(st.integers(0, len(truth.diffs)))
    id = data.draw(st.sampled_from([id for id in sorted(truth.states) if id >= truth.diffs[0][0] - 1]))
    talk = Talk(venue)

    for diff in truth.diffs[:at]:
        talk.diff(*diff)
    talk.snapshot(*truth.snapshot(id))
    for diff in truth.diffs[at:]:
        talk.diff(*diff)
        believed(talk, truth)

    assert talk.protocol.counts.gaps == 0
    assert talk.book.valid
    assert talk.book.id == max(truth.diffs[-1][1], id)


@pytest.mark.property
@pytest.mark.parametrize("venue", [SPOT, LINEAR])
@given(seed=st.integers(0, 1 << 32), data=st.data())
def test_one_lost_diff_after_the_bridge_is_one_gap_with_its_ids(venue, seed, data):
    truth = Truth(random.Random(seed), venue)
    lost = data.draw(st.integers(1, len(truth.diffs) - 2))
    talk = Talk(venue)
    talk.diff(*truth.diffs[0])
    talk.snapshot(*truth.snapshot(truth.diffs[0][1]))

    told = [each for n, diff in enumerate(truth.diffs[1:], 1) if n != lost for each in talk.diff(*diff)]

    gaps = [each for each in told if each[0] == "gap"]
    assert gaps == [("gap", truth.diffs[lost - 1][1] + 1, truth.diffs[lost + 1][0] - 1)]
    assert talk.protocol.counts.gaps == 1
    assert not talk.book.valid
