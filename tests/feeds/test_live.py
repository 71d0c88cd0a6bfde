"""Native feeds on the sandbox: what goes wrong is noticed in time, mended in time, and within the venues' limits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from bus.clock import MINUTE, SECOND
from bus.events import (
    BookInvalidated,
    BookRestored,
    DataGap,
    FeedLost,
    FeedOpened,
    FeedRetired,
    InputFaulted,
    InstrumentListed,
    PastBar,
    Quote,
    SourceSwitched,
    StreamStale,
    Trade,
)
from bus.inputs import CONNECT, SENT, Input
from daemon.sources import protocol_of
from feeds.binance.live import BinanceDialect
from feeds.coinbase.live import CoinbaseDialect
from feeds.connection import Connection
from feeds.live import Endpoints, NativeFeed, Past, Wanted
from sandbox.clock import TurnedClock
from sandbox.coinbase import Coinbase
from sandbox.market import START_NS
from tests.feeds.live_bench import MAX_AGE_S, Bench, core, replayed, world
from tests.sandbox.running import seeded

pytestmark = pytest.mark.asyncio

VENUES = ("binance", "binanceusdm", "coinbase")
FAULT_S = 4.0


def consecutive(ids: list[int]) -> bool:
    return all(later == earlier + 1 for earlier, later in pairwise(ids))


def trade_ids(bench: Bench) -> list[int]:
    return [trade.id for trade in bench.of(Trade)]


async def test_a_feed_asks_for_what_it_needs_and_is_tradeable_when_it_has_it():
    async with world(VENUES) as there:
        await there.until_tradeable(within_s=2)
        await there.pass_time(3)
        report = there.sandbox.report()

    for bench in there.benches:
        assert len(bench.of(InstrumentListed)) == 1
        assert [bool(why) for _, why in bench.spells] == [True, False]
        assert bench.of(DataGap, FeedLost, StreamStale) == []
        assert bench.events == replayed(bench), "a replay of what was recorded says the same"
        assert consecutive(trade_ids(bench))
    assert report["broken"] == {}


@pytest.mark.parametrize(
    ("fault", "noticed"),
    [
        ({"kind": "drop", "for_s": FAULT_S}, VENUES),
        ({"kind": "delay", "delay_s": 6, "for_s": FAULT_S}, VENUES),
        ({"kind": "duplicate", "times": 2, "for_s": FAULT_S}, ()),
        ({"kind": "reorder", "span": 3, "for_s": FAULT_S}, VENUES),
        ({"kind": "cut", "how": "reset", "for_s": FAULT_S}, VENUES),
        ({"kind": "half_open", "for_s": FAULT_S}, VENUES),
        ({"kind": "freeze", "for_s": FAULT_S}, VENUES),
        ({"kind": "freeze", "stream": "*[tT]rade*", "for_s": FAULT_S}, VENUES),
        ({"kind": "gap", "count": 9}, VENUES),
        ({"kind": "malformed", "how": "utf8", "for_s": 1}, VENUES),
        ({"kind": "slow_drip", "bytes_per_s": 40, "for_s": FAULT_S}, VENUES),
        ({"kind": "ban", "status": 418, "for_s": FAULT_S}, VENUES),
    ],
)
async def test_a_fault_makes_untradeable_in_time_and_is_mended_in_time(fault, noticed):
    async with world(VENUES) as there:
        await there.until_tradeable()
        await there.pass_time(1)
        before = there.seconds
        there.fault(**fault)
        await there.pass_time(FAULT_S)
        await there.until_tradeable(within_s=10)
        await there.pass_time(2)
        report = there.sandbox.report()

    for bench in there.benches:
        spells = [(when, why) for when, why in bench.spells if when > before]
        assert bool(spells) == (bench.venue in noticed), bench.venue
        if spells:
            assert spells[0][1]
            assert spells[0][0] - before <= max(MAX_AGE_S[stream] for stream in bench.streams) + 1
        ids = trade_ids(bench)
        assert len(ids) == len(set(ids)), "nothing is said twice"
    assert report["fired"][fault["kind"]]
    assert report["broken"] == {}, "whatever happens, the venue's limits are kept"


@pytest.mark.parametrize("frozen_s", [1.0, FAULT_S])  # before its age tells, and long enough to be asked for in vain
async def test_a_book_that_lost_changes_without_a_number_missing_is_asked_for_again_when_it_crosses_itself(frozen_s):
    async with world(("coinbase",)) as there:
        await there.until_tradeable()
        await there.pass_time(3)
        there.fault(kind="freeze", stream="level2:*", for_s=frozen_s)
        await there.pass_time(15)
        (bench,) = there.benches
        venue = there.sandbox.venues["coinbase"]
        assert isinstance(venue, Coinbase)
        theirs = venue.market.products["BTC-USD"]
        report = there.sandbox.report()

    ours = bench.market.books[bench.name]
    assert bench.why_not == ""
    assert bench.of(DataGap) == []
    assert (set(ours.bids), set(ours.asks)) == (set(map(float, theirs.bids)), set(map(float, theirs.asks)))
    assert [
        item.raw for item in bench.inputs if item.kind == SENT and "unsubscribe" in item.raw and "level2" in item.raw
    ]
    assert bench.events == replayed(bench)
    assert report["broken"] == {}


async def test_rolling_over_at_500_messages_a_second_loses_nothing_and_says_nothing_twice():
    dialect = BinanceDialect(futures=False)
    dialect.terms = dialect.terms._replace(life_s=8, quiet_s=1)
    async with world(speakers=seeded(flood=500), dialect=dialect) as there:
        there.fault(kind="rollover", life_s=14)  # a day, made short on both sides
        await there.until_tradeable()
        await there.pass_time(40)
        (bench,) = there.benches
        report = there.sandbox.report()

    retired = bench.of(FeedRetired)
    assert len(retired) >= 3
    assert bench.of(FeedLost, DataGap, BookInvalidated)[1:] == []  # but for the book before its first snapshot
    ids = trade_ids(bench)
    assert consecutive(ids)
    assert len(ids) / there.seconds > 450
    updates = [quote.id for quote in bench.of(Quote)]
    assert all(earlier < later for earlier, later in pairwise(updates))
    assert bench.spells[1:] == [bench.spells[1]], "tradeable all the time"
    assert bench.events == replayed(bench)
    assert {connection["closed"] for connection in report["connections"]} <= {"", "closed by the client"}
    assert report["broken"] == {}


async def test_without_a_roll_over_the_day_s_end_is_a_loss():
    """The test above can fail."""
    dialect = BinanceDialect(futures=False)
    dialect.terms = dialect.terms._replace(life_s=0)
    async with world(dialect=dialect) as there:
        there.fault(kind="rollover", life_s=6)
        await there.pass_time(10)
        (bench,) = there.benches

    assert bench.of(FeedLost)
    assert bench.of(BookInvalidated)


async def test_a_venue_that_announces_its_close_is_left_before():
    async with world(("binance", "binanceusdm")) as there:
        await there.until_tradeable()
        there.fault(kind="rollover", announce_s=6)
        await there.pass_time(10)

    for bench in there.benches:
        assert bench.of(FeedRetired)
        assert bench.of(FeedLost) == []
        assert consecutive(trade_ids(bench))
        assert bench.why_not == ""


async def test_a_socket_that_dies_while_its_successor_listens_along_is_replaced_at_once():
    async with world() as there:
        await there.until_tradeable()
        there.fault(kind="rollover", announce_s=2)  # less than the two are to be heard together
        await there.pass_time(6)
        (bench,) = there.benches

    assert bench.of(FeedLost) == []
    assert len(bench.of(FeedRetired)) == 1
    assert consecutive(trade_ids(bench))
    assert len(bench.of(BookInvalidated)) == 1


async def test_a_successor_that_dies_first_takes_no_name_from_the_socket_that_is_heard():
    """The third socket succeeds: it must not be called as the first one is, which is still there."""
    async with world() as there:
        await there.until_tradeable()
        (bench,) = there.benches
        connection = bench.feed.lines[0].connection
        connection.roll_over()
        await there.pass_time(1)
        there.sandbox.connections[max(there.sandbox.connections)].cut("a test")
        await there.pass_time(15)

    (first, second) = bench.of(FeedOpened)
    assert [retired.conn for retired in bench.of(FeedRetired)] == [first.conn]
    assert first.conn != second.conn
    assert len(bench.of(BookInvalidated)) == 1, "before its first snapshot"
    assert bench.of(FeedLost) == []
    assert bench.spells[1:] == [bench.spells[1]], "tradeable all the time"


async def test_books_that_broke_together_are_asked_for_together(monkeypatch):
    """A number missing on Coinbase breaks every book of the connection, and eight messages a second are heard there."""
    products = [f"AAA{number}-USD" for number in range(20)]
    wanted = [Wanted(f"coinbase:{product}", product, ("trade", "book")) for product in products]
    time, said = TurnedClock(START_NS), list[str]()
    protocol = protocol_of("coinbase", lambda _venue, _symbol: None)
    monkeypatch.setattr(protocol, "unbuilt", lambda: products)
    monkeypatch.setattr(Connection, "open_s", 60.0)
    monkeypatch.setattr(Connection, "send", lambda _self, messages: said.extend(messages))
    nowhere = Endpoints(["ws://127.0.0.1:9"], "http://127.0.0.1:9")
    feed = NativeFeed("coinbase", wanted, protocol, lambda *_: None, time, CoinbaseDialect(), nowhere)

    feed.look(START_NS)

    books = [json.loads(text) for text in said if "level2" in text]
    assert [(one["type"], sorted(one["product_ids"])) for one in books] == [
        ("unsubscribe", sorted(products)),
        ("subscribe", sorted(products)),
    ]
    said.clear()
    for at_s in (1, 3, 5, 11):
        feed.look(START_NS + at_s * SECOND)
    assert len([text for text in said if '"unsubscribe"' in text]) == 1, "after 4 s, and then after 8"


def roll_over_and_lose(bench: Bench, *sockets: str) -> None:
    """Roll the line over, and cut off these of its two sockets in the middle of passing on what was held."""
    connection = bench.feed.lines[0].connection
    hear = connection._hear

    def cut_off(items: Sequence[Input]) -> None:
        hear(items)
        if items[0].kind == CONNECT and len(bench.of(FeedOpened)) == 2:
            for socket in sockets:
                asyncio.get_running_loop().call_soon(connection._lose, getattr(connection, socket), "cut off")

    connection._hear = cut_off
    connection.roll_over()


async def test_two_sockets_that_die_while_one_hands_over_to_the_other_are_both_lost():
    """The line is gone in the middle of passing on what was held: no book may live on the second one's word."""
    async with world(speakers=seeded(flood=500)) as there:
        await there.until_tradeable()
        (bench,) = there.benches
        roll_over_and_lose(bench, "_link", "_standby")
        await there.pass_time(5)

    first, second, _ = (opened.conn for opened in bench.of(FeedOpened))
    assert [lost.conn for lost in bench.of(FeedLost)] == [first, second]
    assert [broken.reason for broken in bench.of(BookInvalidated)][:2] == ["no snapshot yet", "connection lost"]


async def test_a_successor_that_dies_while_it_takes_over_leaves_the_line_to_the_socket_before():
    async with world(speakers=seeded(flood=500)) as there:
        await there.until_tradeable()
        (bench,) = there.benches
        roll_over_and_lose(bench, "_standby")
        await there.pass_time(15)

    first, second, third = (opened.conn for opened in bench.of(FeedOpened))
    assert [(lost.conn, lost.reason) for lost in bench.of(FeedLost)] == [(second, "cut off")]
    assert [retired.conn for retired in bench.of(FeedRetired)] == [first]
    assert (third, third != first) == (second, True)
    assert len(bench.of(BookInvalidated)) == 1, "before its first snapshot"
    assert consecutive(trade_ids(bench))


async def test_bars_are_asked_for_once_however_often_they_were_missed_while_nobody_answered(monkeypatch):
    """Coinbase's request names the times; only the last of them is about the hole as it is."""
    wanted = [Wanted("coinbase:BTC/USD", "BTC-USD", ("trade",))]
    protocol = protocol_of("coinbase", lambda _venue, _symbol: None)
    nowhere = Endpoints(["ws://127.0.0.1:9"], "http://127.0.0.1:9")
    monkeypatch.setattr(Connection, "open_s", 60.0)
    past = [Past(MINUTE, 10), Past(5 * MINUTE, 10)]
    time = TurnedClock(START_NS)
    feed = NativeFeed("coinbase", wanted, protocol, lambda *_: None, time, CoinbaseDialect(), nowhere, past)
    feed._asks.want("/products")
    feed._ask_for_past(START_NS - MINUTE)
    feed._asks._waiting.pop(flying := next(path for path in feed._asks._waiting if "candles" in path))
    feed._asks._in_flight = flying  # and is refused when it has long been asked for anew

    for hole in range(50):
        protocol.counts.gaps += 1
        feed.look(START_NS + hole * MINUTE)
    feed._asks.refused()

    asked = list(feed._asks._waiting)
    assert [path.partition("?")[0].rpartition("/")[2] for path in asked] == ["products", "candles", "candles"]
    assert all(f"end={(START_NS + 49 * MINUTE) // SECOND}" in path for path in asked[1:])


async def test_a_source_that_fails_is_left_for_the_next():
    async with world(ws=["ws://127.0.0.1:9"], streams=("trade",)) as there:
        (bench,) = there.benches
        bench.feed.lines[0].connection._sources.append(f"{there.sandbox.ws}/stream")
        await there.until_tradeable()

    (switched,) = bench.of(SourceSwitched)
    assert switched.url.startswith(there.sandbox.ws)
    assert "ws://127.0.0.1:9" in switched.reason


async def test_a_request_that_is_refused_is_said_once_and_asked_again():
    async with world() as there:
        there.fault(kind="rest", path="/depth", status=503, count=3)
        await there.until_tradeable(within_s=20)
        (bench,) = there.benches

    (refused,) = bench.of(InputFaulted)
    assert refused.part == "binance/rest"
    assert "503" in refused.what


async def test_a_venue_with_more_streams_than_a_connection_takes_gets_several():
    dialect = BinanceDialect(futures=False)
    dialect.terms = dialect.terms._replace(streams=1)
    async with world(dialect=dialect) as there:
        await there.until_tradeable()
        (bench,) = there.benches

    assert len(bench.of(FeedOpened)) == 3


async def test_a_book_is_not_replaced_by_an_older_one_while_two_sockets_carry_it():
    events: list[Any] = []
    intake, market, _ = core(events, "binance:BTC/USDT", (), START_NS)
    protocol = protocol_of("binance", lambda _venue, _symbol: None)

    def diff(first: int, last: int, price: int, conn: str) -> None:
        raw = (
            f'{{"stream":"btcusdt@depth@100ms","data":{{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":{first},"u":{last},'
            f'"b":[["{price}","1"]],"a":[["200","1"]]}}}}'
        )
        intake.accept_frames((Input(raw, START_NS, conn=conn),), protocol)

    def other(kind: str, conn: str) -> None:
        intake.accept_frames((Input("", START_NS, conn=conn, kind=kind),), protocol)

    other("connect", "a")
    diff(1, 5, 100, "a")
    snapshot = '{"lastUpdateId":5,"bids":[["100","1"]],"asks":[["200","1"]]}'
    intake.accept_frames((Input(snapshot, START_NS, kind="http", url="/api/v3/depth?symbol=BTCUSDT"),), protocol)
    other("connect", "b")
    diff(6, 9, 101, "a")
    diff(3, 5, 99, "b")
    diff(6, 9, 101, "b")
    other("retire", "a")
    diff(10, 11, 102, "b")

    book = market.books["binance:BTC/USDT"]
    assert book.usable
    assert sorted(book.bids) == [100, 101, 102]
    assert [type(event) for event in events if type(event) in (BookInvalidated, BookRestored, FeedLost)] == [
        BookInvalidated,
        BookRestored,
    ]

    other("disconnect", "b")

    assert not book.usable


async def test_the_past_comes_before_the_present_and_again_after_a_hole():
    async with world(VENUES, past=[Past(MINUTE, 5)]) as there:
        await there.pass_time(70, step=1.0)
        heard = {bench.venue: bench.of(PastBar) for bench in there.benches}
        there.fault(kind="cut", for_s=1)
        await there.pass_time(8, step=0.5)

    for bench in there.benches:
        kinds = [type(event) for event in bench.of(PastBar, Trade)]
        past = heard[bench.venue]
        assert kinds[: len(past)] == [PastBar] * len(past)
        assert 4 <= len(past) <= 6
        assert all(later.start_ns == earlier.end_ns for earlier, later in pairwise(past))
        assert past[-1].end_ns <= START_NS
        assert {bar.end_ns - bar.start_ns for bar in past} == {MINUTE}
        again = bench.of(PastBar)[len(past) :]
        assert again[-1].end_ns > START_NS, "the minute that was heard, as the venue tells it"
