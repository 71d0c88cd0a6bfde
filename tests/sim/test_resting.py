"""Orders that rest: their place in the queue, and which market events reach them."""

from __future__ import annotations

import pytest

from bus.values import Liquidity, MatchSource
from sim.queue import CancelsBehindUs, CancelsProRata
from sim.slippage import LAST_PRICE
from tests.sim.venue import BUY, LIMIT, MARKET, SELL, STOP, Venue, instant

BIDS = [(100.0, 5.0), (99.0, 3.0)]
ASKS = [(101.0, 5.0), (102.0, 3.0)]


def behind_five(venue: Venue | None = None) -> Venue:
    """One buy of 2 at 100, with 5 displayed before it."""
    venue = venue or Venue()
    venue.book(BIDS, ASKS)
    venue.order(BUY, LIMIT, "2", "100")
    return venue


QUEUES = [
    ("trades eat the queue first", [("trade", 100.0, 5.0)], []),
    ("what is left of a trade is ours", [("trade", 100.0, 6.0)], [("100", "1")]),
    ("never more than we asked for", [("trade", 100.0, 60.0)], [("100", "2")]),
    ("buyers do not hit bids", [("buy", 100.0, 60.0)], []),
    ("trades above us are not for us", [("trade", 100.5, 60.0)], []),
    ("a trade through us clears the queue", [("trade", 99.5, 0.5)], [("100", "0.5")]),
    ("cancellations do not move us", [("shows", 100.0, 6.0), ("trade", 100.0, 5.0)], []),
    ("but no more is ahead than is shown", [("shows", 100.0, 1.0), ("trade", 100.0, 2.0)], [("100", "1")]),
    ("volume that came later is behind us", [("shows", 100.0, 50.0), ("trade", 100.0, 6.0)], [("100", "1")]),
    ("an emptied level leaves us first", [("shows", 100.0, 0.0), ("trade", 100.0, 1.0)], [("100", "1")]),
]  # fmt: skip


def play(venue: Venue, events: list[tuple[str, float, float]]) -> None:
    for what, price, size in events:
        if what == "shows":
            venue.update([(price, size)], [])
        else:
            venue.trade(price, size, BUY if what == "buy" else SELL)


@pytest.mark.parametrize(("fact", "events", "fills"), QUEUES)
def test_the_queue_before_a_resting_order(fact, events, fills):
    venue = behind_five()

    play(venue, events)

    assert venue.fills() == fills, fact


@pytest.mark.parametrize("queue", [CancelsBehindUs(), CancelsProRata()])
def test_a_trade_heard_after_the_depth_that_shows_it_is_not_counted_twice(queue):
    venue = behind_five(Venue(instant(queue=queue)))

    for left in (1.0, 0.5):
        venue.update([(100.0, left)], [])
        venue.trade(100.0, 4.0 if left == 1.0 else 0.5, ago_ns=2_000_000)

    assert venue.fills() == []


def test_the_order_of_depth_and_trade_makes_no_difference_to_the_queue():
    depth_first, trade_first = behind_five(), behind_five()

    depth_first.update([(100.0, 1.0)], [])
    depth_first.trade(100.0, 4.0, ago_ns=2_000_000)
    play(trade_first, [("trade", 100.0, 4.0), ("shows", 100.0, 1.0)])

    [one], [other] = depth_first.exchange.open_orders(), trade_first.exchange.open_orders()
    assert one.ahead == other.ahead == 1


def test_pro_rata_cancellations_move_us_by_our_share():
    venue = behind_five(Venue(instant(queue=CancelsProRata())))
    venue.update([(100.0, 10.0)], [])

    venue.update([(100.0, 8.0)], [])

    [order] = venue.exchange.open_orders()
    assert order.ahead == 4


def test_pro_rata_does_not_take_a_trade_for_a_cancellation():
    venue = behind_five(Venue(instant(queue=CancelsProRata())))

    play(venue, [("trade", 100.0, 2.0), ("shows", 100.0, 3.0)])

    [order] = venue.exchange.open_orders()
    assert order.ahead == 3


def test_a_trade_is_shared_in_price_then_time_order():
    venue = Venue()
    venue.book([(98.0, 1.0)], ASKS)
    low = venue.order(BUY, LIMIT, "2", "99")
    first = venue.order(BUY, LIMIT, "2", "100")
    second = venue.order(BUY, LIMIT, "2", "100")

    venue.trade(98.5, 5.0)

    assert (venue.fills(first), venue.fills(second), venue.fills(low)) == (
        [("100", "2")],
        [("100", "2")],
        [("99", "1")],
    )


def test_what_we_took_of_a_level_is_not_before_us():
    venue = Venue()
    venue.book(BIDS, ASKS)
    venue.order(SELL, MARKET, "3")

    venue.order(BUY, LIMIT, "1", "100")

    [order] = venue.exchange.open_orders()
    assert order.ahead == 2


def test_a_resting_order_fills_as_maker_at_its_limit_and_says_by_which_model():
    venue = behind_five()

    venue.trade(99.5, 1.0)

    fill = venue.last_fill()
    assert (fill.liquidity, fill.source, fill.model) == (Liquidity.MAKER, MatchSource.TRADE, "CancelsBehindUs")


def test_behind_the_best_quote_the_queue_is_unknown_and_only_trades_through_reach_us():
    venue = Venue()
    venue.quote(100.0, 101.0)
    venue.order(BUY, LIMIT, "1", "99")

    venue.trade(99.0, 50.0)
    assert venue.fills() == []
    venue.trade(98.5, 0.3)

    assert venue.fills() == [("99", "0.3")]


def test_when_the_quote_falls_to_our_price_we_stand_behind_what_it_shows():
    venue = Venue()
    venue.trade(100.5)
    venue.quote(100.0, 101.0)
    venue.order(BUY, LIMIT, "1", "99")
    venue.quote(99.0, 101.0, bid_size=4.0)

    venue.trade(99.0, 4.5)

    assert venue.fills() == [("99", "0.5")]


def test_with_quotes_alone_an_order_fills_once_per_displayed_size_when_the_other_side_reaches_it():
    venue = Venue()
    venue.quote(99.0, 101.0)
    venue.order(BUY, LIMIT, "3", "100")

    venue.quote(99.0, 100.0, ask_size=1.0)
    venue.quote(98.0, 100.0, ask_size=1.0)
    venue.quote(98.0, 99.5, ask_size=0.5)

    assert venue.fills() == [("100", "1"), ("100", "0.5")]
    assert venue.last_fill().model == "OppositeReachesUs"


def test_trade_only_data_fills_what_it_trades_through():
    venue = Venue()
    venue.trade(100.0)
    venue.order(BUY, LIMIT, "1", "99")

    venue.trade(99.0, 5.0)
    venue.trade(98.99, 0.4)

    assert venue.fills() == [("99", "0.4")]


def test_an_invalid_book_fills_nothing_and_triggers_nothing():
    venue = behind_five()
    venue.order(BUY, STOP, "1", stop="105")
    venue.invalidate()
    venue.heard.clear()

    venue.trade(90.0, 100.0)
    venue.trade(110.0, 100.0, BUY)
    venue.quote(90.0, 91.0)
    venue.bar(90.0, 120.0, 80.0, 90.0)
    venue.order(BUY, MARKET, "1", client_id="late")

    assert venue.story() == "accepted, expired"


def test_not_even_the_last_price_fills_while_the_book_is_invalid():
    venue = Venue(instant(slippage=LAST_PRICE))
    venue.book(BIDS, ASKS)
    venue.trade(100.0)
    venue.invalidate()

    venue.order(BUY, MARKET, "1")

    assert venue.story() == "accepted, expired"


def test_a_crossed_book_fills_nothing():
    venue = Venue()
    venue.book([(101.0, 1.0)], [(100.0, 1.0)])

    venue.order(BUY, MARKET, "1")

    assert venue.fills() == []


def test_a_book_that_came_back_fills_again():
    venue = behind_five()
    venue.invalidate()
    venue.book(BIDS, ASKS)

    venue.trade(99.0, 1.0)

    assert venue.fills() == [("100", "1")]


def test_a_partial_fill_is_cut_to_whole_lots():
    venue = Venue()
    venue.book([(99.0, 1.0)], [(101.0, 0.1 + 0.2)])

    venue.order(BUY, MARKET, "1")

    assert venue.fills() == [("101", "0.3")]
