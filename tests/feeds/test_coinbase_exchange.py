"""Coinbase Exchange: frames in, events out, on payloads of our own making."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import (
    BookInvalidated,
    BookRestored,
    BookSnapshot,
    BookUpdate,
    DataGap,
    InstrumentListed,
    Quote,
    Ticker,
    Trade,
)
from bus.values import Side
from feeds.coinbase.protocol import CoinbaseExchangeProtocol
from feeds.port import Unparsed
from tests.feeds.coinbase_frames import CONN, counted, damaged, hear

STAMP = "2026-01-02T03:04:05.000007Z"
STAMP_NS = 1_767_323_045_000_007_000


def protocol() -> CoinbaseExchangeProtocol:
    return CoinbaseExchangeProtocol("coinbaseexchange", lambda venue, symbol: None)


def frame(kind: str, **fields: Any) -> str:
    return orjson.dumps({"type": kind, "product_id": "AAA-USD", **fields}).decode()


def update(*changes: tuple[str, str, str]) -> str:
    return frame("l2update", changes=changes, time=STAMP)


def match(number: int, kind: str = "match", side: str = "sell") -> str:
    return frame(kind, trade_id=number, side=side, size="2", price="10", sequence=number * 7, time=STAMP)


SNAPSHOT = frame("snapshot", bids=[["10", "1"]], asks=[["11", "2"]])


def test_a_snapshot_and_its_updates_become_book_events():
    venue = protocol()

    events = hear(venue, SNAPSHOT, update(("buy", "10", "0.00"), ("sell", "10.5", "3")))

    assert events == [
        BookSnapshot("coinbaseexchange:AAA/USD", [(10.0, 1.0)], [(11.0, 2.0)], 0, 0, 5),
        BookRestored(5, "coinbaseexchange:AAA/USD", 0),
        BookUpdate("coinbaseexchange:AAA/USD", [(10.0, 0.0)], [(10.5, 3.0)], 0, STAMP_NS, 5),
    ]
    assert counted(venue.counts) == {"depth_updates": 1}


def test_a_snapshot_with_a_time_carries_it():
    event, _ = hear(protocol(), frame("snapshot", bids=[], asks=[], time=STAMP))

    assert isinstance(event, BookSnapshot)
    assert event.venue_ns == STAMP_NS


def test_a_lost_connection_breaks_its_books_until_their_next_snapshot():
    venue = protocol()
    hear(venue, SNAPSHOT)

    lost = venue.lost(CONN, 6)
    again = venue.opened(CONN, 7)
    quiet = hear(venue, update(("buy", "10", "4")))
    events = hear(venue, SNAPSHOT)

    assert lost == [BookInvalidated(6, "coinbaseexchange:AAA/USD", "connection lost")]
    assert again == quiet == []
    assert [type(event) for event in events] == [BookSnapshot, BookRestored]


def test_the_taker_is_whom_the_maker_met():
    venue = protocol()

    events = hear(venue, match(3, side="sell"), match(4, side="buy"))

    assert events == [
        Trade("coinbaseexchange:AAA/USD", 10.0, 2.0, Side.BUY, 3, STAMP_NS, 5),
        Trade("coinbaseexchange:AAA/USD", 10.0, 2.0, Side.SELL, 4, STAMP_NS, 5),
    ]


def test_the_last_match_before_we_subscribed_is_history():
    venue = protocol()

    events = hear(venue, match(3, kind="last_match"), match(3), match(4))

    assert [event.id for event in events] == [4]
    assert counted(venue.counts) == {"trades": 1, "duplicates": 1}


def test_a_jump_in_trade_ids_is_a_gap():
    venue = protocol()

    events = hear(venue, match(3), match(6), match(9, kind="last_match"))

    assert [event for event in events if isinstance(event, DataGap)] == [
        DataGap(5, "coinbaseexchange:AAA/USD", "trade", 4, 5),
        DataGap(5, "coinbaseexchange:AAA/USD", "trade", 7, 9),
    ]
    assert counted(venue.counts) == {"trades": 2, "gaps": 2}


def test_a_ticker_is_a_quote_only_when_it_tells_sizes():
    bare = {"price": "10.5", "volume_24h": "100", "best_bid": "10", "best_ask": "11"}

    before = hear(protocol(), frame("ticker", **bare))
    since = hear(protocol(), frame("ticker", **bare, sequence=9, time=STAMP, best_bid_size="1", best_ask_size="2"))

    assert before == [Ticker("coinbaseexchange:AAA/USD", 10.5, 100.0, 10.0, 11.0, 0, 5)]
    assert since == [
        Ticker("coinbaseexchange:AAA/USD", 10.5, 100.0, 10.0, 11.0, STAMP_NS, 5),
        Quote("coinbaseexchange:AAA/USD", 10.0, 1.0, 11.0, 2.0, 9, STAMP_NS, 5),
    ]


@pytest.mark.parametrize(
    "kind", ["subscriptions", "heartbeat", "status", "received", "open", "done", "change", "activate"]
)
def test_acks_heartbeats_and_single_orders_carry_nothing(kind):
    venue = protocol()

    assert hear(venue, frame(kind, order_id="x", price="10")) == []
    assert counted(venue.counts) == {"ignored": 1}


def test_an_instrument_the_venue_told_of_is_listed_just_before_its_first_event():
    venue = protocol()
    venue.reply("https://api.test/products", PRODUCTS, 4)

    events = hear(venue, match(3, kind="last_match"), SNAPSHOT, match(4))

    assert [type(event) for event in events] == [InstrumentListed, BookSnapshot, BookRestored, Trade]


PRODUCTS = orjson.dumps(
    [
        {
            "id": "AAA-USD",
            "base_currency": "AAA",
            "quote_currency": "USD",
            "base_increment": "0.01",
            "quote_increment": "0.1",
            "status": "online",
        }
    ]
).decode()


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ('{"type":"error","message":"no such thing","reason":"AAA is not a product"}', "no such thing AAA is not"),
        (frame("rumour"), "unknown type: 'rumour'"),
        ("null", "Expected `object`"),
        (SNAPSHOT[:-1], "truncated"),
        (SNAPSHOT.replace('"10"', '"-10"'), "Expected `float`"),
        (SNAPSHOT.replace('["10","1"]', '["10"]'), "length 2"),
        (update(("hold", "10", "1")), "Invalid enum value"),
        (update(("buy", "10", "1e999")), "out of range"),
        (update(("buy", "10", "1")).replace(STAMP, "noon"), "not a time"),
        (match(3).replace('"2"', '"0"'), "Expected `float`"),
        (match(3).replace(STAMP, ""), "not a time"),
    ],
)
def test_what_cannot_be_read_is_unparsed_and_leaves_no_trace(raw, why):
    venue = protocol()

    with pytest.raises(Unparsed, match=why):
        venue.receive(raw, 5, CONN)

    assert counted(venue.counts) == {}
    assert hear(venue, SNAPSHOT, match(9)) == hear(protocol(), SNAPSHOT, match(9))


CONVERSATION = [
    SNAPSHOT,
    frame("subscriptions"),
    match(3, kind="last_match"),
    update(("buy", "10", "0"), ("sell", "11", "4")),
    match(4),
    frame("ticker", price="10", volume_24h="5", best_bid="9", best_bid_size="1", best_ask="11", best_ask_size="1"),
    match(5, side="buy"),
    update(("buy", "9", "1")),
]


@pytest.mark.property
@given(damaged(CONVERSATION), st.integers(0, len(CONVERSATION)))
def test_a_damaged_frame_is_read_or_unparsed_and_then_as_if_it_had_never_come(raw, at):
    venue, undisturbed = protocol(), protocol()
    assert hear(venue, *CONVERSATION[:at]) == hear(undisturbed, *CONVERSATION[:at])

    try:
        venue.receive(raw, 5, CONN)
    except Unparsed:
        assert hear(venue, *CONVERSATION[at:]) == hear(undisturbed, *CONVERSATION[at:])
        assert counted(venue.counts) == counted(undisturbed.counts)
