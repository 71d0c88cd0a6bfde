"""Requests and reports: latency, races, replacing, refusals, and what the venue costs while it has nothing to do."""

from __future__ import annotations

import msgspec
import pytest

from bus.events import CancelRejected, OrderAccepted, OrderFilled, OrderRejected, Trade
from bus.rng import Draws
from sim import memory
from sim.floor import PATIENCE
from sim.latency import FixedLatency, LogNormalLatency, MeasuredLatency, UniformLatency
from tests.sim.venue import (
    BUY,
    GTC,
    IOC,
    LIMIT,
    LINEAR,
    MARKET,
    SELL,
    SPOT,
    STOP,
    D,
    Venue,
    instant,
)

MS = 1_000_000


def quoted(venue: Venue | None = None) -> Venue:
    venue = venue or Venue()
    venue.quote(99.0, 101.0)
    return venue


def test_an_order_acts_on_what_is_known_when_it_arrives():
    venue = quoted(Venue(instant(entry=FixedLatency(5 * MS))))
    sent = venue.clock.now
    venue.order(BUY, MARKET, "1")

    venue.quote(109.0, 111.0)
    venue.clock.turn(sent + 5 * MS)

    assert venue.fills() == [("111", "1")]
    assert venue.last_fill().arrival_ns == sent + 5 * MS


def test_a_report_is_heard_after_the_acknowledgement_latency():
    venue = quoted(Venue(instant(acknowledgement=FixedLatency(3 * MS))))
    sent = venue.clock.now
    venue.order(BUY, MARKET, "1")
    assert venue.heard == []

    venue.clock.turn(sent + 3 * MS)

    assert [event.ns for event in venue.heard] == [sent + 3 * MS] * 2


def test_reports_of_one_order_never_overtake_each_other():
    venue = Venue(instant(acknowledgement=UniformLatency(0, 1000 * MS)), seed=7)
    venue.book([(99.0, 1.0)], [(101.0, 0.1)])
    venue.order(BUY, LIMIT, "2", "101")
    for n in range(20):
        venue.trade(100.0 - n, 0.1)

    venue.clock.turn(venue.clock.now + 2000 * MS)

    leaves = [event.leaves for event in venue.heard if isinstance(event, OrderFilled)]
    assert isinstance(venue.heard[0], OrderAccepted)
    assert len(leaves) == 20
    assert leaves == sorted(leaves, reverse=True)


@pytest.mark.parametrize(
    ("fact", "fill_after_ms", "story"),
    [
        ("a fill beats our cancel", 5, "accepted, 1@98, cancel rejected -2011"),
        ("our cancel beats the fill", 15, "accepted, cancelled"),
    ],
)
def test_the_faster_of_cancel_and_fill_wins(fact, fill_after_ms, story):
    venue = quoted(Venue(instant(cancel=FixedLatency(10 * MS))))
    order = venue.order(BUY, LIMIT, "1", "98")
    start = venue.clock.now
    venue.exchange.cancel(order)

    venue.clock.turn(start + (fill_after_ms - 1) * MS)
    venue.trade(97.0)
    venue.clock.turn(start + 20 * MS)

    assert venue.story() == story, fact


def test_a_cancel_that_arrives_before_its_order_is_rejected():
    venue = quoted(Venue(instant(entry=FixedLatency(10 * MS))))
    order = venue.order(BUY, LIMIT, "1", "98")
    venue.cancel(order)

    venue.clock.turn(venue.clock.now + 10 * MS)

    assert venue.story() == "cancel rejected -2011, accepted"


def test_nobody_else_shifts_an_orders_latency():
    def first_fill(others: int) -> list[object]:
        models = instant(entry=UniformLatency(), cancel=UniformLatency(), acknowledgement=LogNormalLatency(MS, 1.0))
        venue = quoted(Venue(models))
        for n in range(others):
            noise = venue.order(SELL, LIMIT, "1", "500", client_id=f"other{n}", intent=f"noise.{n}")
            venue.exchange.cancel(noise)
        venue.order(BUY, LIMIT, "1", "100", client_id="mine")
        venue.clock.turn(venue.clock.now + 300 * MS)
        venue.exchange.replace("mine", D(99), D(2))
        venue.exchange.cancel("mine")
        venue.clock.turn(venue.clock.now + 1000 * MS)
        return [event for event in venue.heard if event.client_id == "mine"]  # type: ignore[attr-defined]

    assert first_fill(0) == first_fill(3)
    assert len(first_fill(0)) >= 2


@pytest.mark.parametrize(
    "model",
    [UniformLatency(), LogNormalLatency(80 * MS, 0.5), MeasuredLatency([60 * MS, 90 * MS]), FixedLatency(70 * MS)],
)
def test_a_latency_is_the_same_for_the_same_message_and_differs_between_messages(model):
    draws = [model.draw(Draws(3), "latency.entry", "s", n) for n in range(50)]

    assert draws == [model.draw(Draws(3), "latency.entry", "s", n) for n in range(50)]
    assert min(draws) > 0
    assert isinstance(model, FixedLatency) or len(set(draws)) > 1
    assert not isinstance(model, UniformLatency) or all(50 * MS <= draw <= 200 * MS for draw in draws)


def test_each_message_about_an_order_takes_its_own_time():
    venue = quoted(Venue(instant(entry=UniformLatency(), cancel=UniformLatency())))
    venue.order(BUY, LIMIT, "1", "98", client_id="mine")
    for _ in range(2):
        venue.exchange.replace("mine", D(97), D(1))
        venue.exchange.cancel("mine")

    assert len({message.due_ns for message in venue.exchange.wire.messages}) == 5


REPLACEMENTS = [
    ("a smaller size keeps the place", "98", "0.5", True),
    ("the same terms keep the place", "98", "1", True),
    ("a larger size goes to the back", "98", "2", False),
    ("another price goes to the back", "98.5", "1", False),
]


@pytest.mark.parametrize(("fact", "price", "size", "keeps"), REPLACEMENTS)
def test_where_a_replaced_order_stands(fact, price, size, keeps):
    venue = Venue()
    venue.book([(99.0, 1.0), (98.5, 4.0), (98.0, 4.0)], [(101.0, 1.0)])
    order = venue.order(BUY, LIMIT, "1", "98")
    arrival = venue.clock.now
    venue.update([(98.0, 9.0), (98.5, 9.0)], [])

    venue.replace(order, price, size)

    [resting] = venue.exchange.open_orders()
    assert (resting.arrival_ns == arrival) is keeps, fact
    assert resting.ahead == (4 if keeps else 9), fact


def test_a_replacement_may_take():
    venue = quoted()
    order = venue.order(BUY, LIMIT, "2", "98")

    venue.replace(order, "101", "2")

    assert venue.story() == "accepted, replaced, 1@101"


@pytest.mark.parametrize(
    ("fact", "price", "size", "code"),
    [
        ("below what is filled", "101", "1", "-2038"),
        ("off the tick", "100.001", "2", "-1013"),
        ("beyond the balance", "101", "999999", "-2010"),
    ],
)
def test_a_replacement_the_venue_refuses_leaves_the_order_as_it_was(fact, price, size, code):
    venue = quoted()
    order = venue.order(BUY, LIMIT, "2", "101")
    before = msgspec.structs.astuple(next(venue.exchange.open_orders()))[2:5], venue.exchange.account.locked["USDT"]

    venue.replace(order, price, size)

    after = msgspec.structs.astuple(next(venue.exchange.open_orders()))[2:5], venue.exchange.account.locked["USDT"]
    assert venue.story() == f"accepted, 1@101, replace rejected {code}", fact
    assert after == before


def test_a_done_order_can_be_neither_cancelled_nor_replaced():
    venue = quoted()
    order = venue.order(BUY, MARKET, "1")

    venue.cancel(order)
    venue.replace(order, "99", "1")

    assert venue.story() == "accepted, 1@101, cancel rejected -2011, replace rejected -2011"
    assert venue.heard[2] == CancelRejected(venue.clock.now, order, "-2011", "Unknown order sent.")


STRICT = msgspec.structs.replace(
    SPOT,
    min_size=D("0.01"),
    max_size=D(100),
    max_market_size=D(50),
    min_notional=D(10),
    price_up=D(5),
    price_down=D("0.2"),
)
POOR = "Account has insufficient balance for requested action."
PASSED = "Stop price would trigger immediately."
REFUSED = [
    ("off the lot", (BUY, LIMIT, "1.0001", "100"), {}, "-1013", "Filter failure: LOT_SIZE"),
    ("below the smallest size", (BUY, LIMIT, "0.001", "100"), {}, "-1013", "Filter failure: LOT_SIZE"),
    ("above the largest size", (BUY, LIMIT, "101", "100"), {}, "-1013", "Filter failure: LOT_SIZE"),
    ("too large for the market", (BUY, MARKET, "51", None), {}, "-1013", "Filter failure: MARKET_LOT_SIZE"),
    ("off the tick", (BUY, LIMIT, "1", "99.999"), {}, "-1013", "Filter failure: PRICE_FILTER"),
    ("a stop off the tick", (BUY, STOP, "1", None), {"stop": "109.999"}, "-1013", "Filter failure: PRICE_FILTER"),
    ("worth too little", (BUY, LIMIT, "0.05", "100"), {}, "-1013", "Filter failure: NOTIONAL"),
    ("worth too little at the market", (SELL, MARKET, "0.05", None), {}, "-1013", "Filter failure: NOTIONAL"),
    ("far above the market", (SELL, LIMIT, "1", "501"), {}, "-1013", "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ("far below the market", (BUY, LIMIT, "1", "19"), {}, "-1013", "Filter failure: PERCENT_PRICE_BY_SIDE"),
    ("a limit order without a price", (BUY, LIMIT, "1", None), {}, "-1102",
     "A mandatory parameter was not sent, was empty/null, or malformed."),
    ("post-only that would take", (BUY, LIMIT, "1", "101"), {"post_only": True}, "-2010",
     "Order would immediately match and take."),
    ("a stop already passed", (BUY, STOP, "1", None), {"stop": "99"}, "-2010", PASSED),
    ("more than we have", (SELL, LIMIT, "11", "110"), {}, "-2010", POOR),
    ("more than we can pay", (BUY, LIMIT, "11", "100"), {}, "-2010", POOR),
    ("a market buy we cannot pay", (BUY, MARKET, "20", None), {}, "-2010", POOR),
    ("a spot buy cannot reduce", (BUY, LIMIT, "1", "100"), {"reduce_only": True}, "-2022",
     "ReduceOnly Order is rejected."),
]  # fmt: skip


@pytest.mark.parametrize(("fact", "order", "terms", "code", "reason"), REFUSED)
def test_the_venue_refuses_in_its_own_words(fact, order, terms, code, reason):
    venue = Venue(instrument=STRICT, balances={"USDT": D(1000), "BTC": D(10)})
    venue.quote(99.0, 101.0, 100.0, 100.0)

    client_id = venue.order(*order, **terms)

    assert venue.heard == [OrderRejected(venue.clock.now, client_id, code, reason)], fact
    assert venue.exchange.account.locked["USDT"] == venue.exchange.account.locked["BTC"] == 0


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("binance:BTC/USDT", "-2010"),
        ("binanceusdm:BTC/USDT", "-5022"),
        ("coinbase:BTC/USD", "INVALID_LIMIT_PRICE_POST_ONLY"),
        ("elsewhere:BTC/USD", "WOULD_TAKE"),
    ],
)
def test_every_venue_family_has_its_own_codes(name, code):
    venue = quoted(Venue(instrument=msgspec.structs.replace(SPOT, name=name)))

    venue.order(BUY, LIMIT, "1", "101", post_only=True)

    assert venue.story() == f"rejected {code}"


def test_an_unknown_symbol_and_a_closed_market_are_refused():
    venue = quoted(Venue(instrument=msgspec.structs.replace(SPOT, trading=False)))
    venue.order(BUY, MARKET, "1")
    venue.market.instruments.clear()

    venue.order(BUY, MARKET, "1")

    assert venue.story() == "rejected -1013, rejected -1121"


def test_a_client_id_in_use_is_refused_and_the_first_order_lives_on():
    venue = quoted()
    venue.order(BUY, LIMIT, "1", "98", client_id="twice")

    venue.order(BUY, LIMIT, "1", "97", client_id="twice")
    venue.cancel("twice")

    assert venue.story() == "accepted, rejected -2010, cancelled"


SELF_TRADES = [
    ("a limit that would meet our own order", (BUY, LIMIT, "3", "102"), GTC, "accepted, 1@101, expired"),
    ("a market order stops before it", (BUY, MARKET, "3", None), GTC, "accepted, 1@101, expired"),
    ("an IOC too", (BUY, LIMIT, "3", "103"), IOC, "accepted, 1@101, expired"),
    ("enough on offer before it", (BUY, MARKET, "1", None), GTC, "accepted, 1@101"),
    ("a limit below it", (BUY, LIMIT, "3", "101"), GTC, "accepted, 1@101"),
]


@pytest.mark.parametrize(("fact", "order", "tif", "story"), SELF_TRADES)
def test_we_never_trade_with_ourselves(fact, order, tif, story):
    venue = Venue()
    venue.book([(99.0, 1.0)], [(101.0, 1.0), (102.0, 5.0), (103.0, 5.0)])
    venue.order(SELL, LIMIT, "1", "102", client_id="ours")

    client_id = venue.order(*order, tif=tif)

    assert venue.story(client_id) == story, fact
    assert venue.story("ours") == "accepted"


def test_ids_come_from_the_client_id_alone():
    venue = Venue()
    venue.book([(99.0, 1.0)], [(101.0, 1.0), (102.0, 5.0)])

    venue.order(BUY, MARKET, "2", client_id="abc")

    accepted, first, second = venue.heard
    assert accepted.venue_id == "v-abc"  # type: ignore[attr-defined]
    assert (first.fill_id, second.fill_id) == ("abc.1", "abc.2")  # type: ignore[attr-defined]


def test_with_nothing_resting_the_venue_hears_nothing():
    venue = quoted()
    silent = hearing(venue)
    order = venue.order(BUY, LIMIT, "1", "98")
    listening = hearing(venue)

    venue.cancel(order)
    for _ in range(PATIENCE):
        venue.trade(100.0)

    assert (listening, hearing(venue)) == (silent + 1, silent)


def hearing(venue):
    return sum(subscription.active for subscription in venue.bus._subscriptions[Trade])


def test_a_done_and_reported_order_leaves_nothing_behind():
    venue = Venue(instrument=LINEAR)
    venue.book([(99.0, 1.0)], [(101.0, 1.0)])
    for n in range(50):
        venue.order(BUY, MARKET, "0.5", client_id=f"m{n}")
        venue.order(SELL, MARKET, "0.5", client_id=f"n{n}")
        venue.cancel(venue.order(BUY, LIMIT, "1", "90", client_id=f"l{n}"))
        venue.book([(99.0, 1.0)], [(101.0, 1.0)])

    for _ in range(PATIENCE):
        venue.trade(100.0)

    exchange = venue.exchange
    assert not exchange._orders
    assert not exchange.wire.messages
    assert not list(exchange.open_orders())
    assert not exchange._floor._busy
    assert venue.clock._heap == []


def test_what_is_in_flight_can_be_listed():
    venue = quoted(Venue(instant(entry=FixedLatency(5 * MS))))

    venue.order(BUY, LIMIT, "1", "98", client_id="a")

    [message] = venue.exchange.wire.messages
    assert (message.read.__name__, message.due_ns) == ("_arrive", venue.clock.now + 5 * MS)


def test_an_order_that_waits_for_a_market_after_a_restart_can_be_taken_back():
    """Its feed may be gone for good; without this it would be open for ever."""
    before = Venue(instant(entry=FixedLatency(1_000_000_000)))
    before.quote(99.0, 101.0)
    order = before.order(BUY, MARKET, "1")
    after = Venue(instant(entry=FixedLatency(1_000_000_000)))
    memory.recall(after.exchange, memory.remember(before.exchange))
    after.clock.turn(after.clock.now + 3_000_000_000)
    assert after.story() == ""

    after.cancel(order)
    assert after.story() == "cancelled"

    after.quote(99.0, 101.0)
    after.clock.turn(after.clock.now + 3_000_000_000)
    assert after.story() == "cancelled"
    assert not after.exchange.wire.messages


def test_an_order_that_waits_through_two_restarts_can_be_taken_back():
    """The last venue has not seen it knock: it knows the order by its papers alone."""
    slow = instant(entry=FixedLatency(1_000_000_000))
    before, between, after = Venue(slow), Venue(slow), Venue(slow)
    before.quote(99.0, 101.0)
    order = before.order(BUY, MARKET, "1")
    memory.recall(between.exchange, memory.remember(before.exchange))
    between.clock.turn(between.clock.now + 3_000_000_000)
    memory.recall(after.exchange, memory.remember(between.exchange))

    after.cancel(order)
    after.clock.turn(after.clock.now + 9_000_000_000)

    assert after.story() == "cancelled"
    assert not after.exchange.wire.messages
