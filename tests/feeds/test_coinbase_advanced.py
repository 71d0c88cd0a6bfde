"""Coinbase Advanced Trade: trades, tickers, candles, names, and frames that cannot be read."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import DataGap, InstrumentListed, Kline, Quote, Ticker, Trade
from bus.values import Instrument, Side
from feeds.coinbase.protocol import CANDLE_NS, CoinbaseAdvancedProtocol
from feeds.port import Unparsed
from tests.feeds.coinbase_frames import (
    CONN,
    SNAPSHOT,
    STAMP_NS,
    advanced,
    beat,
    candles,
    counted,
    damaged,
    depth,
    frame,
    hear,
    ticker,
    trades,
)

# --- trades ----------------------------------------------------------------------------------------------------


def test_trades_come_out_oldest_first_and_the_taker_is_whom_the_maker_met():
    venue = advanced()

    events = hear(venue, trades(0, "update", [7, 8, 9], side="SELL"), trades(1, "update", [10], side="BUY"))

    assert [(event.id, event.taker) for event in events] == [
        (7, Side.BUY),
        (8, Side.BUY),
        (9, Side.BUY),
        (10, Side.SELL),
    ]
    assert events[0] == Trade("coinbase:AAA/USD", 10.0, 1.0, Side.BUY, 7, STAMP_NS, 5)


def test_trades_before_we_subscribed_are_history():
    venue = advanced()

    history = hear(venue, trades(0, "snapshot", [5, 6, 7]))
    events = hear(venue, trades(1, "update", [7, 8]))

    assert history == []
    assert [event.id for event in events] == [8]
    assert counted(venue.counts) == {"trades": 1, "duplicates": 1}


def test_trades_missed_between_two_connections_are_a_gap():
    venue = advanced()
    hear(venue, trades(0, "snapshot", [5]), trades(1, "update", [6]))
    venue.lost(CONN, 6)

    events = hear(venue, trades(0, "snapshot", [6, 7, 8]), trades(1, "update", [9]))

    assert events[0] == DataGap(5, "coinbase:AAA/USD", "trade", 7, 8)
    assert [event.id for event in events[1:]] == [9]
    assert venue.counts.gaps == 1


@pytest.mark.property
@given(st.lists(st.tuples(st.sampled_from(["update", "update", "snapshot"]), st.sets(st.integers(1, 60), max_size=4))))
def test_every_trade_id_is_told_once_or_named_as_missing(batches):
    venue = advanced()
    first = next((max(ids) + 1 if kind == "snapshot" else min(ids) for kind, ids in batches if ids), 1)
    newest = max((i for _, ids in batches for i in ids), default=0)

    events = hear(venue, *(trades(number, kind, ids) for number, (kind, ids) in enumerate(batches)))

    told: list[int] = []
    for event in events:
        told += [event.id] if isinstance(event, Trade) else range(event.first_missing, event.last_missing + 1)
    assert told == list(range(first, newest + 1))
    assert venue.counts.gaps == sum(isinstance(event, DataGap) for event in events)


# --- tickers and candles ---------------------------------------------------------------------------------------


def test_a_ticker_with_sizes_is_a_quote_too():
    best = {"best_bid": "10", "best_bid_quantity": "1", "best_ask": "11", "best_ask_quantity": "2"}

    events = hear(advanced(), ticker(3, **best))

    assert events == [
        Ticker("coinbase:AAA/USD", 10.5, 100.0, 10.0, 11.0, STAMP_NS, 5),
        Quote("coinbase:AAA/USD", 10.0, 1.0, 11.0, 2.0, 3, STAMP_NS, 5),
    ]


@pytest.mark.parametrize(
    "best",
    [
        {},
        {"best_bid": "", "best_bid_quantity": "", "best_ask": "", "best_ask_quantity": ""},
        {"best_bid": "0", "best_bid_quantity": "0", "best_ask": "0", "best_ask_quantity": "0"},
    ],
)
def test_a_ticker_with_nobody_in_the_market_is_no_quote(best):
    events = hear(advanced(), ticker(0, channel="ticker_batch", **best))

    assert events == [Ticker("coinbase:AAA/USD", 10.5, 100.0, 0.0, 0.0, STAMP_NS, 5)]


def test_a_candle_is_closed_once_by_the_next_with_what_was_last_said_of_it():
    venue = advanced()

    events = hear(
        venue, candles(0, (300, "9")), candles(1, (300, "9.5")), candles(2, (600, "10")), candles(3, (600, "11"))
    )

    assert [(event.start_ns // 10**9, event.close, event.closed) for event in events] == [
        (300, 9.0, False),
        (300, 9.5, False),
        (300, 9.5, True),
        (600, 10.0, False),
        (600, 11.0, False),
    ]
    assert all(event.end_ns - event.start_ns == event.interval_ns == CANDLE_NS for event in events)


def test_a_candle_history_is_closed_bars_and_one_that_forms():
    venue = advanced()

    events = hear(venue, candles(0, (900, "3"), (300, "1"), (600, "2")), candles(1, (600, "7")))

    assert [(event.start_ns // 10**9, event.close, event.closed) for event in events] == [
        (300, 1.0, True),
        (600, 2.0, True),
        (900, 3.0, False),
    ]
    assert venue.counts.late == 1


@pytest.mark.property
@given(st.lists(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 9)), max_size=4)))
def test_candles_close_in_order_and_what_forms_is_later_than_all_that_closed(batches):
    venue = advanced()
    frames = [candles(i, *((start * 300, str(close)) for start, close in batch)) for i, batch in enumerate(batches)]

    events = hear(venue, *frames)

    closed_ns = -1
    for event in events:
        assert isinstance(event, Kline)
        assert event.start_ns > closed_ns
        if event.closed:
            closed_ns = event.start_ns


# --- names, quiet frames, what cannot be read ------------------------------------------------------------------


def test_an_instrument_the_venue_told_of_is_listed_just_before_its_first_event():
    venue = advanced()
    told = venue.reply("https://api.test/api/v3/brokerage/market/products?limit=9", PRODUCTS, 4)

    events = hear(venue, trades(0, "snapshot", [5]), trades(1, "update", [6, 7]))

    assert told == []
    assert [type(event) for event in events] == [InstrumentListed, Trade, Trade]


def test_an_instrument_that_config_knows_keeps_its_name_and_is_not_listed():
    ours = Instrument("coinbase:MINE/USD", "AAA-USD", "MINE", "USD", "USD")
    venue = CoinbaseAdvancedProtocol("coinbase", lambda venue, symbol: ours if symbol == "AAA-USD" else None)
    venue.reply("https://api.test/api/v3/brokerage/market/products", PRODUCTS, 4)

    (event,) = hear(venue, trades(0, "update", [6]))

    assert isinstance(event, Trade)
    assert event.instrument == "coinbase:MINE/USD"


def test_a_product_list_that_comes_late_or_anew_lists_what_was_already_heard_of():
    venue = advanced()
    hear(venue, SNAPSHOT)
    url = "https://api.test/api/v3/brokerage/market/products"

    late: list[Any] = list(venue.reply(url, PRODUCTS, 6))
    same = venue.reply(url, PRODUCTS, 7)
    halted: list[Any] = list(venue.reply(url, PRODUCTS.replace("online", "offline"), 8))

    assert [event.instrument.name for event in late] == ["coinbase:AAA/USD"]
    assert same == []
    assert [event.instrument.trading for event in halted] == [False]


PRODUCTS = orjson.dumps(
    {
        "products": [
            {
                "product_id": f"{base}-USD",
                "base_currency_id": base,
                "quote_currency_id": "USD",
                "base_increment": "0.01",
                "quote_increment": "0.1",
                "price_increment": "0.1",
                "status": "online",
                "product_type": "SPOT",
            }
            for base in ("AAA", "BBB")
        ]
    }
).decode()


def test_acks_and_heartbeats_carry_nothing():
    venue = advanced()
    lists: list[dict[str, Any]] = [{"subscriptions": {"level2": ["AAA-USD"]}}, {"products": []}]

    events = hear(venue, beat(0), frame("subscriptions", 1, lists[0]), frame("status", 2, lists[1]))

    assert events == []
    assert counted(venue.counts) == {"ignored": 3}


def test_a_frame_with_its_keys_in_another_order_means_the_same():
    turned = orjson.dumps(dict(reversed(orjson.loads(SNAPSHOT).items()))).decode()

    assert turned != SNAPSHOT
    assert hear(advanced(), turned) == hear(advanced(), SNAPSHOT)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ('{"type":"error","message":"authentication failure"}', "authentication failure"),
        (frame("rumours", 0), "unknown channel: 'rumours'"),
        ("{}", "unknown channel: ''"),
        ("", "truncated"),
        ("[1]", "Expected `object`"),
        ('{"channel":"l2_data"', "truncated"),
        ('{"channel":"l2_data', "truncated"),
        ('{"x":' + "[" * 100_000, "recursion"),
        (SNAPSHOT + "\ud800", "surrogates"),
        (SNAPSHOT.replace('"1"', '"NaN"'), "Expected `float`"),
        (SNAPSHOT.replace('"1"', '"-1"'), "Expected `float`"),
        (SNAPSHOT.replace('"1"', '"inf"'), "Expected `float`"),
        (SNAPSHOT.replace('"10"', '"0"'), "Expected `float`"),
        (SNAPSHOT.replace("snapshot", "snap"), "Invalid enum value"),
        (SNAPSHOT.replace("03:04:04Z", "03:04"), "not a time"),
        (trades(0, "update", [1]).replace("05.000000007Z", "05"), "not a time"),
        (trades(0, "update", [1]).replace("SELL", "UNKNOWN"), "Invalid enum value"),
        (trades(0, "update", [2**63]), "Expected `int`"),
        (candles(-1, (300, "1")), "Expected `int`"),
    ],
)
def test_what_cannot_be_read_is_unparsed_and_leaves_no_trace(raw, why):
    venue = advanced()

    with pytest.raises(Unparsed, match=why):
        venue.receive(raw, 5, CONN)

    assert counted(venue.counts) == {}
    assert hear(venue, SNAPSHOT) == hear(advanced(), SNAPSHOT)


@pytest.mark.parametrize("raw", ["", "[]", "{", '{"products":1}', '{"x":' + "[" * 100_000, "\ud800"])
def test_a_product_list_that_cannot_be_read_is_unparsed(raw):
    with pytest.raises(Unparsed):
        advanced().reply("https://api.test/market/products", raw, 5)


def test_other_answers_are_not_needed():
    venue = advanced()

    assert venue.reply("https://api.test/market/product_book?product_id=AAA-USD", "<html>", 5) == ()
    assert venue.reply("http://[", "", 5) == ()


CONVERSATION = [
    SNAPSHOT,
    depth(1, "update", "AAA-USD", {"10": "0", "9": "4"}, {"11": "3"}),
    trades(2, "snapshot", [3, 4]),
    trades(3, "update", [5, 6]),
    candles(4, (300, "9")),
    ticker(5, best_bid="10", best_bid_quantity="1", best_ask="11", best_ask_quantity="2"),
    beat(6),
    candles(7, (600, "9")),
    trades(8, "update", [7]),
    depth(9, "update", "AAA-USD", {"9": "5"}, {}),
]


@pytest.mark.property
@given(damaged(CONVERSATION), st.integers(0, len(CONVERSATION)))
def test_a_damaged_frame_is_read_or_unparsed_and_then_as_if_it_had_never_come(raw, at):
    venue, undisturbed = advanced(), advanced()
    assert hear(venue, *CONVERSATION[:at]) == hear(undisturbed, *CONVERSATION[:at])

    try:
        venue.receive(raw, 5, CONN)
    except Unparsed:
        assert hear(venue, *CONVERSATION[at:]) == hear(undisturbed, *CONVERSATION[at:])
        assert counted(venue.counts) == counted(undisturbed.counts)
