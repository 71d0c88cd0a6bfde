"""Each order type by time in force by source of prices: what the venue makes of it, as one line of reports."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bus.values import Liquidity, MatchSource
from sim.latency import FixedLatency
from sim.slippage import LAST_PRICE
from tests.sim.venue import (
    BUY,
    FOK,
    GTC,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    SELL,
    STOP,
    STOP_LIMIT,
    TRAILING_STOP,
    Venue,
    instant,
)

BIDS = [(99.0, 1.0), (98.0, 2.0)]
ASKS = [(101.0, 1.0), (102.0, 2.0)]


MARKETS: dict[str, Callable[[Venue], None]] = {
    "book": lambda venue: venue.book(BIDS, ASKS),
    "quote": lambda venue: venue.quote(99.0, 101.0),
    "trade": lambda venue: venue.trade(100.0),
    "bar": lambda venue: venue.bar(100.0, 105.0, 95.0, 100.0),
}


def at(source: str) -> Venue:
    venue = Venue()
    MARKETS[source](venue)
    return venue


AT_ARRIVAL = [
    ("book", BUY, MARKET, "0.5", None, GTC, "accepted, 0.5@101"),
    ("book", BUY, MARKET, "2.5", None, GTC, "accepted, 1@101, 1.5@102"),
    ("book", BUY, MARKET, "5", None, GTC, "accepted, 1@101, 2@102, expired"),
    ("book", SELL, MARKET, "3", None, GTC, "accepted, 1@99, 2@98"),
    ("book", BUY, LIMIT, "2", "101", GTC, "accepted, 1@101"),
    ("book", BUY, LIMIT, "2", "101", IOC, "accepted, 1@101, expired"),
    ("book", BUY, LIMIT, "2", "101", FOK, "accepted, expired"),
    ("book", BUY, LIMIT, "2", "102", FOK, "accepted, 1@101, 1@102"),
    ("book", BUY, LIMIT, "2", "100", GTC, "accepted"),
    ("book", BUY, LIMIT, "2", "100", IOC, "accepted, expired"),
    ("book", SELL, LIMIT, "1", "98", GTC, "accepted, 1@99"),
    ("quote", BUY, MARKET, "0.5", None, GTC, "accepted, 0.5@101"),
    ("quote", BUY, MARKET, "5", None, GTC, "accepted, 1@101, expired"),
    ("quote", SELL, MARKET, "1", None, IOC, "accepted, 1@99"),
    ("quote", BUY, LIMIT, "2", "105", GTC, "accepted, 1@101"),
    ("quote", BUY, LIMIT, "2", "105", FOK, "accepted, expired"),
    ("quote", BUY, LIMIT, "2", "105", IOC, "accepted, 1@101, expired"),
    ("trade", BUY, MARKET, "1", None, GTC, "accepted, 1@100.02"),
    ("trade", SELL, MARKET, "1", None, GTC, "accepted, 1@99.98"),
    ("trade", BUY, MARKET, "100", None, GTC, "accepted, 100@100.02"),
    ("trade", BUY, LIMIT, "1", "100.02", GTC, "accepted, 1@100.02"),
    ("trade", BUY, LIMIT, "1", "100", GTC, "accepted"),
    ("trade", BUY, LIMIT, "1", "100", FOK, "accepted, expired"),
    ("bar", BUY, MARKET, "1", None, GTC, "accepted"),
    ("bar", BUY, LIMIT, "1", "101", GTC, "accepted"),
    ("bar", BUY, LIMIT, "1", "99", IOC, "accepted"),
]


@pytest.mark.parametrize(("source", "side", "kind", "size", "price", "tif", "story"), AT_ARRIVAL)
def test_what_an_order_does_when_it_arrives(source, side, kind, size, price, tif, story):
    venue = at(source)

    venue.order(side, kind, size, price, tif=tif)

    assert venue.story() == story


IN_BARS = [
    ("a market order fills at the next open", (BUY, MARKET, "1", None), {}, (102, 104, 101, 103), "1@102"),
    ("a marketable limit does too", (BUY, LIMIT, "1", "103"), {}, (102, 104, 101, 103), "1@102"),
    ("unless the bar opens beyond it", (BUY, LIMIT, "1", "101"), {}, (102, 104, 101, 103), ""),
    ("an IOC is asked once", (BUY, LIMIT, "1", "101"), {"tif": IOC}, (102, 104, 90, 103), "expired"),
    ("a resting buy fills when traded through", (BUY, LIMIT, "1", "98"), {}, (100, 101, 97, 99), "1@98"),
    ("a touch is not a fill", (BUY, LIMIT, "1", "98"), {}, (100, 101, 98, 99), ""),
    ("a bar that opens better fills at its open", (BUY, LIMIT, "1", "98"), {}, (96, 101, 95, 99), "1@96"),
    ("a resting sell fills when traded through", (SELL, LIMIT, "1", "103"), {}, (100, 104, 97, 99), "1@103"),
    ("a stop fills at its price", (BUY, STOP, "1", None), {"stop": "103"}, (100, 104, 97, 99), "triggered, 1@103"),
    ("or at a worse open", (BUY, STOP, "1", None), {"stop": "103"}, (105, 106, 97, 99), "triggered, 1@105"),
    ("a sell stop likewise", (SELL, STOP, "1", None), {"stop": "97"}, (96, 98, 95, 97), "triggered, 1@96"),
    ("a stop-limit only rests in that bar", (BUY, STOP_LIMIT, "1", "104"), {"stop": "103"}, (100, 105, 99, 100),
     "triggered"),
    ("a trailing stop", (SELL, TRAILING_STOP, "1", None), {"trail": "2"}, (100, 101, 97, 99), "triggered, 1@98"),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "order", "terms", "prices", "after"), IN_BARS)
def test_what_the_next_bar_does(fact, order, terms, prices, after):
    venue = at("bar")
    venue.order(*order, **terms)
    venue.heard.clear()

    venue.bar(*map(float, prices))

    assert venue.story() == after, fact


def test_a_bar_that_began_before_the_order_arrived_fills_nothing():
    venue = at("bar")
    venue.order(BUY, LIMIT, "1", "98")
    venue.order(BUY, MARKET, "1")

    venue.bar(90.0, 90.0, 90.0, 90.0, began_ago_ns=1)

    assert venue.fills() == []


def test_an_order_that_waited_for_an_open_beyond_its_limit_rests_without_a_word():
    venue = Venue(instant(acknowledgement=FixedLatency(5)))
    venue.bar(100.0, 105.0, 95.0, 100.0)
    venue.order(BUY, LIMIT, "1", "101")
    venue.bar(103.0, 104.0, 102.0, 103.0)
    venue.clock.turn(venue.clock.now + 5)

    venue.bar(103.0, 104.0, 100.0, 100.0)
    venue.clock.turn(venue.clock.now + 5)

    assert venue.story() == "accepted, 1@101"


def test_a_triggered_stop_limit_fills_in_a_later_bar():
    venue = at("bar")
    venue.order(BUY, STOP_LIMIT, "1", "104", stop="103")
    venue.bar(100, 105, 99, 105.0)

    venue.bar(105, 106, 103, 103.0)

    assert venue.fills() == [("104", "1")]


@pytest.mark.parametrize(
    ("source", "name", "match"),
    [
        ("book", "WalkTheBook", MatchSource.BOOK),
        ("quote", "WalkTheBook", MatchSource.QUOTE),
        ("trade", "SpreadPlusImpact", MatchSource.TRADE),
    ],
)
def test_a_fill_says_by_what_and_how_it_was_priced(source, name, match):
    venue = at(source)

    venue.order(BUY, MARKET, "1")

    fill = venue.last_fill()
    assert (fill.model, fill.source, fill.liquidity) == (name, match, Liquidity.TAKER)


@pytest.mark.parametrize("source", ["book", "quote", "trade", "bar"])
def test_last_price_fills_everything_at_once_and_says_so(source):
    venue = Venue(instant(slippage=LAST_PRICE))
    MARKETS[source](venue)

    venue.order(BUY, MARKET, "500")

    assert venue.fills() == [("100", "500")]
    assert venue.last_fill().model == "LastPrice"


STOPS = [
    ("a stop waits", (BUY, STOP, "1", None), {"stop": "105"}, [100, 104.0], ""),
    ("and triggers on the last trade", (BUY, STOP, "1", None), {"stop": "105"}, [105.0], "triggered, 1@105.02"),
    ("a sell stop triggers below", (SELL, STOP, "1", None), {"stop": "95"}, [94.0], "triggered, 1@93.99"),
    ("a stop-limit may rest", (BUY, STOP_LIMIT, "1", "104"), {"stop": "105"}, [105.0], "triggered"),
    ("and fill later", (BUY, STOP_LIMIT, "1", "104"), {"stop": "105"}, [105, 103.0], "triggered, 1@104"),
    ("a trail follows", (SELL, TRAILING_STOP, "1", None), {"trail": "2"}, [101, 110, 109.0], ""),
    ("and triggers", (SELL, TRAILING_STOP, "1", None), {"trail": "2"}, [110, 108.0], "triggered, 1@107.98"),
    ("a buy trail", (BUY, TRAILING_STOP, "1", None), {"trail": "2"}, [90, 92.0], "triggered, 1@92.01"),
]


@pytest.mark.parametrize(("fact", "order", "terms", "prices", "after"), STOPS)
def test_stops_watch_the_last_trade(fact, order, terms, prices, after):
    venue = at("trade")
    venue.order(*order, **terms)
    venue.heard.clear()

    for price in prices:
        venue.trade(price)

    assert venue.story() == after, fact


def test_without_trades_stops_watch_the_middle_of_the_quote():
    venue = at("quote")
    venue.order(BUY, STOP, "1", stop="105")

    venue.quote(104, 105.0)
    venue.quote(105, 106.0)

    assert venue.story() == "accepted, triggered, 1@106"


def test_a_good_till_date_order_ends_at_its_date():
    venue = at("book")
    date = venue.clock.now + 5_000_000
    venue.order(BUY, LIMIT, "1", "90", tif=GTD, expires_ns=date)

    venue.clock.turn(date + 1)

    assert venue.story() == "accepted, expired"
    assert venue.heard[-1].ns == date


def test_an_order_that_arrives_after_its_date_does_nothing():
    venue = at("book")

    venue.order(BUY, LIMIT, "1", "105", tif=GTD, expires_ns=venue.clock.now)

    assert venue.story() == "accepted, expired"


def test_a_market_without_any_price_fills_nothing():
    venue = Venue()

    venue.order(BUY, MARKET, "1")

    assert venue.story() == "accepted, expired"


@pytest.mark.parametrize("source", ["book", "quote"])
def test_a_repeated_order_finds_what_the_first_left(source):
    venue = at(source)

    venue.order(BUY, LIMIT, "0.7", "101", tif=IOC)
    venue.order(BUY, LIMIT, "0.7", "101", tif=IOC)

    assert venue.story() == "accepted, 0.7@101, accepted, 0.3@101, expired"


def test_a_level_is_new_again_when_the_feed_speaks_of_it():
    venue = at("book")
    venue.order(BUY, MARKET, "1")

    venue.update([], [(101, 1.0)])
    venue.order(BUY, MARKET, "1")

    assert venue.fills() == [("101", "1"), ("101", "1")]
