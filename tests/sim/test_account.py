"""Money at the venue: what is locked and given back, fees in their own asset, contracts, reduce-only, funding."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from bus.events import FundingPaid, OrderFilled
from bus.money import divide
from bus.values import FeeAsset
from sim import memory
from sim.fees import MakerTakerFees
from tests.sim.venue import BUY, FOK, INVERSE, LIMIT, LINEAR, MARKET, SELL, SPOT, STOP, D, Venue, instant

RECEIVED = msgspec.structs.replace(SPOT, fee_asset=FeeAsset.RECEIVED)
FEES = {"fees": MakerTakerFees(D("0.001"), D("0.002"))}


def quoted(venue: Venue, bid: float = 99.0, ask: float = 101.0, size: float = 100.0) -> Venue:
    venue.quote(bid, ask, size, size)
    return venue


def holdings(venue: Venue) -> dict[str, tuple[Decimal, Decimal]]:
    account = venue.exchange.account
    return {asset: (account.free[asset], account.locked[asset]) for asset in ("USDT", "BTC")}


def test_an_open_buy_locks_its_worth_and_the_highest_fee_and_a_cancel_gives_it_back():
    venue = quoted(Venue(instant(**FEES), balances={"USDT": D(1000)}))

    order = venue.order(BUY, LIMIT, "2", "98")
    assert holdings(venue)["USDT"] == (D("803.608"), D("196.392"))
    venue.cancel(order)

    assert holdings(venue)["USDT"] == (D(1000), D(0))


def test_a_partial_fill_gives_back_what_the_better_price_saved():
    venue = quoted(Venue(instant(**FEES), balances={"USDT": D(1000)}), size=1.0)

    venue.order(BUY, LIMIT, "2", "102")

    assert holdings(venue) == {"USDT": (D(1000) - D("101.202") - D("102.204"), D("102.204")), "BTC": (D(1), D(0))}


FEE_CASES = [
    ("a buy pays in quote", SPOT, BUY, D("0.202"), "USDT"),
    ("a sell pays in quote", SPOT, SELL, D("0.198"), "USDT"),
    ("a buy pays of what it received", RECEIVED, BUY, D("0.002"), "BTC"),
    ("a sell pays of what it received", RECEIVED, SELL, D("0.198"), "USDT"),
    ("a contract pays in settle", LINEAR, BUY, D("0.202"), "USDT"),
]


@pytest.mark.parametrize(("fact", "instrument", "side", "fee", "asset"), FEE_CASES)
def test_fees_are_charged_in_their_own_asset(fact, instrument, side, fee, asset):
    venue = quoted(Venue(instant(**FEES), instrument=instrument, balances={"USDT": D(1000), "BTC": D(10)}))
    before = {name: sum(amounts) for name, amounts in holdings(venue).items()}

    venue.order(side, MARKET, "1")

    fill = venue.last_fill()
    assert (fill.fee, fill.fee_asset) == (fee, asset), fact
    if instrument is not LINEAR:
        given = {"BTC": D(1) if side is BUY else D(-1), "USDT": -fill.price if side is BUY else fill.price}
        given[asset] -= fee
        assert {name: sum(amounts) for name, amounts in holdings(venue).items()} == {
            name: before[name] + given[name] for name in before
        }


def test_a_contract_of_ten_units_costs_earns_and_pays_ten_times_what_one_of_one_does():
    """As the ledger has it (``portfolio/lots.py``)."""
    tenfold = msgspec.structs.replace(LINEAR, multiplier=D(10))
    ended = []
    for instrument in (LINEAR, tenfold):
        venue = quoted(Venue(instant(**FEES), instrument=instrument, balances={"USDT": D(5000)}))
        venue.order(BUY, MARKET, "1")
        locked, fee = holdings(venue)["USDT"][1], venue.last_fill().fee
        quoted(venue, 119.0, 121.0)
        venue.order(SELL, MARKET, "1")
        ended.append((locked, fee, venue.exchange.account.total("USDT") - 5000))

    assert ended[1] == tuple(10 * each for each in ended[0])


def test_a_negative_fee_is_a_rebate():
    venue = quoted(Venue(instant(fees=MakerTakerFees(D("-0.001"), D(0))), balances={"USDT": D(100)}))
    venue.order(BUY, LIMIT, "1", "100")

    venue.trade(99.0, 5.0)

    assert venue.last_fill().fee == D("-0.1")
    assert holdings(venue)["USDT"] == (D("0.1"), D(0))


@pytest.mark.parametrize(
    ("fact", "fee_rate", "story"),
    [("exactly enough", "0", "accepted, 1@101"), ("the fee is too much", "0.001", "rejected -2010")],
)
def test_a_market_buy_is_checked_where_it_meets_its_price(fact, fee_rate, story):
    venue = quoted(Venue(instant(fees=MakerTakerFees(D(0), D(fee_rate))), balances={"USDT": D(101)}))

    venue.order(BUY, MARKET, "1")

    assert venue.story() == story, fact


def test_spot_cannot_be_sold_short():
    venue = quoted(Venue(balances={"USDT": D(1000)}))

    venue.order(SELL, MARKET, "1")

    assert venue.story() == "rejected -2010"


def test_two_orders_cannot_spend_the_same_money():
    venue = quoted(Venue(balances={"USDT": D(150)}))

    venue.order(BUY, LIMIT, "1", "98")
    venue.order(BUY, LIMIT, "1", "97")

    assert venue.story() == "accepted, rejected -2010"


def test_an_accepted_order_that_can_no_longer_be_paid_expires_with_the_venues_reason():
    venue = Venue(balances={"USDT": D(150)})
    venue.bar(100.0, 101.0, 99.0, 100.0)
    venue.order(BUY, MARKET, "1")
    venue.order(BUY, MARKET, "1")

    venue.bar(100.0, 101.0, 99.0, 100.0)

    assert venue.story() == "accepted, accepted, 1@100, expired"
    assert venue.heard[-1].reason.endswith("insufficient balance for requested action.")  # type: ignore[attr-defined]


def test_a_linear_position_locks_margin_and_returns_its_result():
    venue = quoted(Venue(instant(leverage=D(10)), instrument=LINEAR, balances={"USDT": D(100)}))

    venue.order(BUY, MARKET, "5")
    assert holdings(venue)["USDT"] == (D("49.5"), D("50.5"))
    venue.quote(103.0, 104.0, 10.0, 10.0)
    venue.order(SELL, MARKET, "5")

    assert holdings(venue)["USDT"] == (D(110), D(0))
    assert venue.exchange.account.positions[LINEAR.name].size == 0


def test_an_inverse_short_gains_base_as_the_price_falls():
    venue = quoted(Venue(instrument=INVERSE, balances={"BTC": D(100)}), 100.0, 100.0)
    venue.order(SELL, MARKET, "10")

    venue.quote(80.0, 80.0, 100.0, 100.0)
    venue.order(BUY, MARKET, "10")

    assert venue.exchange.account.total("BTC") == D(100) + divide(D(1000), D(80)) - D(10)


def test_a_contract_beyond_its_margin_is_refused():
    venue = quoted(Venue(instant(leverage=D(2)), instrument=LINEAR, balances={"USDT": D(100)}))

    venue.order(BUY, MARKET, "2")

    assert venue.story() == "rejected -2019"


def test_one_order_may_turn_a_position():
    venue = quoted(Venue(instrument=LINEAR, balances={"USDT": D(101)}), 101.0, 101.0)
    venue.order(BUY, MARKET, "1")

    venue.order(SELL, MARKET, "2")

    assert venue.story() == "accepted, 1@101, accepted, 2@101"
    assert venue.exchange.account.positions[LINEAR.name].size == -1


REDUCE_ONLY = [
    ("flat", "0", (SELL, MARKET, "1", None), {}, "rejected -2022"),
    ("the same way", "2", (BUY, MARKET, "1", None), {}, "rejected -2022"),
    ("less than held", "2", (SELL, MARKET, "1", None), {}, "accepted, 1@99"),
    ("more than held", "2", (SELL, MARKET, "5", None), {}, "accepted, 2@99, expired"),
    ("more than held, all or nothing", "2", (SELL, LIMIT, "5", "99"), {"tif": FOK}, "accepted, 2@99, expired"),
]


@pytest.mark.parametrize(("fact", "held", "order", "terms", "story"), REDUCE_ONLY)
def test_reduce_only_never_turns_a_position(fact, held, order, terms, story):
    venue = quoted(Venue(instrument=LINEAR))
    if held != "0":
        venue.order(BUY, MARKET, held)
    venue.heard.clear()

    venue.order(*order, reduce_only=True, **terms)

    assert venue.story() == story, fact
    assert venue.exchange.account.positions[LINEAR.name].size >= 0


def test_resting_reduce_only_orders_end_when_there_is_nothing_left_to_reduce():
    venue = quoted(Venue(instrument=LINEAR))
    venue.order(BUY, MARKET, "2")
    first = venue.order(SELL, LIMIT, "2", "105", reduce_only=True)
    second = venue.order(SELL, LIMIT, "2", "106", reduce_only=True)

    venue.trade(110.0, 10.0, BUY)

    assert (venue.story(first), venue.story(second)) == ("accepted, 2@105", "accepted, expired")
    assert venue.exchange.account.positions[LINEAR.name].size == 0


def by_quotes(venue: Venue, price: float) -> None:
    venue.quote(price, price + 1.0, 100.0, 100.0)


def by_bars(venue: Venue, price: float) -> None:
    venue.bar(price, price, price, price)


@pytest.mark.parametrize("shows", [by_quotes, by_bars])
@pytest.mark.parametrize(
    ("sold", "story"), [("1", "accepted, triggered, 1@90, expired"), ("2", "accepted, triggered, expired")]
)
def test_a_stop_that_only_reduces_sells_no_more_than_is_held_when_it_comes_about(shows, sold, story):
    venue = Venue(instrument=LINEAR)
    shows(venue, 100.0)
    venue.order(BUY, MARKET, "2")
    shows(venue, 100.0)
    stop = venue.order(SELL, STOP, "2", stop="95", reduce_only=True)
    venue.order(SELL, MARKET, sold)
    shows(venue, 90.0)

    assert venue.story(stop) == story
    assert venue.exchange.account.positions[LINEAR.name].size == 0


def test_selling_all_that_is_held_reduce_only_works_on_spot():
    venue = quoted(Venue(instrument=RECEIVED, models=instant(**FEES), balances={"USDT": D(1000)}))
    venue.order(BUY, MARKET, "1")
    venue.heard.clear()

    venue.order(SELL, MARKET, "1", reduce_only=True)

    assert venue.story() == "accepted, 0.998@99, expired"


FUNDING = [
    ("a long pays a positive rate", LINEAR, BUY, 0.0001, D("0.02")),
    ("a short receives it", LINEAR, SELL, 0.0001, D("-0.02")),
    ("a long receives a negative rate", LINEAR, BUY, -0.0001, D("-0.02")),
    ("inverse pays in base", INVERSE, BUY, 0.0001, D("0.0002")),
]


@pytest.mark.parametrize(("fact", "instrument", "side", "rate", "amount"), FUNDING)
def test_funding(fact, instrument, side, rate, amount):
    venue = quoted(Venue(instrument=instrument))
    due = venue.clock.now + 1_000_000_000
    venue.mark(100.0, rate * 9, due)
    venue.order(side, MARKET, "2")
    venue.mark(100.0, rate, due)
    before = venue.exchange.account.total(instrument.settle)

    venue.clock.turn(due + 1)

    [paid] = [event for event in venue.heard if isinstance(event, FundingPaid)]
    assert (paid.ns, paid.amount, paid.asset) == (due, amount, instrument.settle), fact
    assert venue.exchange.account.total(instrument.settle) == before - amount


def test_a_position_closed_before_the_funding_time_pays_nothing():
    venue = quoted(Venue(instrument=LINEAR))
    due = venue.clock.now + 1_000_000_000
    venue.mark(100.0, 0.0001, due)
    venue.order(BUY, MARKET, "2")
    venue.order(SELL, MARKET, "2")

    venue.clock.turn(due + 1)

    assert not [event for event in venue.heard if isinstance(event, FundingPaid)]


def test_every_announced_funding_is_paid_once():
    venue = quoted(Venue(instrument=LINEAR))
    venue.order(BUY, MARKET, "1")
    start = venue.clock.now

    for n in range(1, 4):
        venue.mark(100.0, 0.0001, start + n * 1_000_000_000)
        venue.mark(100.0, 0.0001, start + n * 1_000_000_000)
        venue.clock.turn(start + n * 1_000_000_000)

    assert venue.story().count("funding") == 3


@pytest.mark.parametrize("told", ["nothing", "the next time"])
def test_funding_that_is_due_across_a_restart_is_paid_once_at_the_terms_last_heard(told):
    before = quoted(Venue(instrument=LINEAR))
    due = before.clock.now + 1_000_000_000
    before.order(BUY, MARKET, "2")
    before.mark(100.0, 0.0001, due)
    after = Venue(instrument=LINEAR)
    memory.recall(after.exchange, memory.remember(before.exchange))
    rate = D("0.0001")
    if told == "the next time":
        after.mark(100.0, 0.0003, due + 8 * 3_600_000_000_000)
        rate = D("0.0003")

    after.clock.turn(due + 1)

    [paid] = [event for event in after.heard if isinstance(event, FundingPaid)]
    assert (paid.ns, paid.rate, paid.amount) == (due, rate, 200 * rate)


def test_fees_are_exact():
    venue = quoted(Venue(instant(fees=MakerTakerFees(D(0), D("0.00075")))), 27_123.45, 27_123.46)

    venue.order(BUY, MARKET, "0.007")

    fill = venue.last_fill()
    assert isinstance(fill, OrderFilled)
    assert fill.fee == D("27123.46") * D("0.007") * D("0.00075")
