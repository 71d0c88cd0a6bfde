"""From a decision to an order or a refusal: sizing, what counts already, replacements, and who is turned away."""

from __future__ import annotations

from decimal import Decimal as D
from functools import partial
from typing import Any

import pytest

from bus.clock import SECOND
from bus.events import (
    CancelRequested,
    Decision,
    Intent,
    OrderApproved,
    OrderRefused,
    PartFailed,
    TradingStateChanged,
)
from bus.state import GateState
from bus.values import Action, OrderType, Side, TimeInForce, TradingState
from tests.risk.world import ALL, CLOSED, COIN, PERP, SPOT, T0, World

BUY, SELL = Action.BUY, Action.SELL


# --- rehearsing -------------------------------------------------------------------------------------------------


def test_rehearsing_changes_nothing_whatever_the_gate_would_say() -> None:
    rehearsed, plain = World(max_orders=2), World(max_orders=2)

    for world in (rehearsed, plain):
        look = world.gate.rehearse if world is rehearsed else lambda: None
        intent = Intent(SPOT.name, BUY, size=D(1), limit=D(99), expires_ns=T0 + 9 * SECOND)
        for act in (
            lambda: None,
            partial(world.decide, intent),
            partial(world.trade, 101.0),
            partial(world.decide, intent),
            partial(world.decide, intent),  # one too many in a second
            world.lose_book,
            partial(world.wait, 60),  # stale, expired
            partial(world.trade, 10.0),  # worth less than the venue takes
            partial(world.switch.kill, "a test"),
        ):
            act()
            for _ in range(3):
                look()

    assert len(rehearsed.all(OrderApproved)) == 2
    assert rehearsed.heard == plain.heard
    assert rehearsed.gate.remember() == plain.gate.remember()
    assert (rehearsed.gate.refused, rehearsed.exposure.state()) == (plain.gate.refused, plain.exposure.state())


# --- sizing ----------------------------------------------------------------------------------------------------


def test_the_terms_of_the_intent_become_the_terms_of_the_order() -> None:
    order = World().approve(
        BUY, 0.12345, limit=101.005, tif=TimeInForce.GTD, good_till_ns=T0 + 9, post_only=True, reduce_only=False
    )

    assert (order.side, order.type, order.size, order.price) == (Side.BUY, OrderType.LIMIT, D("0.123"), D("101.00"))
    assert (order.tif, order.expires_ns, order.post_only) == (TimeInForce.GTD, T0 + 9, True)
    assert (order.intent_id, order.strategy, order.instrument) == ("s-1", "s", SPOT.name)


def test_an_approval_says_where_the_market_was() -> None:
    world = World()
    world.book(99, 102)

    world.approve(BUY, D(1))

    assert world.one(OrderApproved).mid == 100.5


@pytest.mark.parametrize(
    ("story", "terms", "size"),
    [
        ("a size is taken as it is", {"size": D("1.5"), "exposure": 0.5}, "1.5"),
        ("an exposure is a share of equity", {"exposure": 0.05}, "50"),
        ("a dear price buys less", {"exposure": 0.05, "limit": D(104)}, "48.076"),
        ("without either the default is used", {}, "10"),
    ],
)
def test_a_size_is_found_in_order_of_preference(story: str, terms: dict[str, Any], size: str) -> None:
    assert World().approve(BUY, **terms).size == D(size)


def test_inverse_contracts_are_whole_and_worth_their_quote_units() -> None:
    order = World({"USDT": "100000"}).approve(Action.ENTER_SHORT, None, COIN)

    assert (order.side, order.size) == (Side.SELL, D(10))


@pytest.mark.parametrize(
    ("story", "action", "held", "open_orders", "size"),
    [
        ("nothing held", Action.ENTER_LONG, "0", [], "10"),
        ("some held", Action.ENTER_LONG, "4", [], "6"),
        ("some on the way", Action.ENTER_LONG, "0", [(BUY, 4)], "6"),
        ("all held", Action.ENTER_LONG, "10", [], None),
        ("short turns long", Action.ENTER_LONG, "-4", [], "14"),
        ("nothing held", Action.ENTER_SHORT, "0", [], "10"),
        ("some short", Action.ENTER_SHORT, "-4", [(SELL, 2)], "4"),
        ("long turns short", Action.ENTER_SHORT, "4", [], "14"),
        ("all of it goes", Action.EXIT_LONG, "7", [], "7"),
        ("what is being sold is not sold twice", Action.EXIT_LONG, "7", [(SELL, 5)], "2"),
        ("all of it is being sold", Action.EXIT_LONG, "7", [(SELL, 7)], None),
        ("a buy on the way is not there yet", Action.EXIT_LONG, "7", [(BUY, 5)], "7"),
        ("nothing to sell", Action.EXIT_LONG, "0", [], None),
        ("not a long", Action.EXIT_LONG, "-3", [], None),
        ("the short is covered", Action.EXIT_SHORT, "-7", [(BUY, 3)], "4"),
        ("not a short", Action.EXIT_SHORT, "3", [], None),
        ("a long is sold", Action.FLAT, "7", [], "7"),
        ("a short is bought", Action.FLAT, "-7", [], "7"),
        ("flat is flat", Action.FLAT, "0", [], None),
        ("being flattened already", Action.FLAT, "-7", [(BUY, 7)], None),
    ],
)
def test_an_action_asks_for_what_is_missing(
    story: str, action: Action, held: str, open_orders: list[Any], size: str | None
) -> None:
    world = World(max_orders=50)
    if D(held):
        world.hold(held, PERP)
    for way, amount in open_orders:
        world.approve(way, D(amount), PERP, limit=D(100))

    answer = world.wish(action, None, PERP)

    if size is None:
        assert isinstance(answer, OrderRefused)
        assert answer.rule == "translator"
    else:
        assert isinstance(answer, OrderApproved)
        assert answer.order.size == D(size)


def test_an_exit_may_name_less_than_everything_and_never_gets_more() -> None:
    world = World()
    world.hold("7", PERP)

    assert world.approve(Action.EXIT_LONG, D(3), PERP).size == 3
    assert world.approve(Action.EXIT_LONG, D(100), PERP).size == 4


def test_spot_cannot_be_held_short() -> None:
    world = World()
    world.hold("4")

    assert "short" in world.refuse(Action.ENTER_SHORT, D(1)).reason
    assert world.approve(Action.EXIT_LONG).size == 4
    assert world.refuse(Action.EXIT_LONG).rule == "translator"


def test_a_spot_exit_sells_no_more_than_the_wallet_has() -> None:
    world = World()
    world.hold("4")
    world.ledger.cash["BTC"] = D("3.9996")  # a fee was taken in base

    assert world.approve(Action.FLAT).size == D("3.999")


def test_a_notional_below_the_venue_smallest_is_refused_with_the_numbers() -> None:
    refused = World().refuse(BUY, D("0.049"))

    assert refused.rule == "translator"
    assert "4.9" in refused.reason
    assert "5" in refused.reason


@pytest.mark.parametrize(
    ("terms", "type"),
    [
        ({}, OrderType.MARKET),
        ({"limit": 100.0}, OrderType.LIMIT),
        ({"stop": 101.0}, OrderType.STOP),
        ({"stop": 101.0, "limit": 102.0}, OrderType.STOP_LIMIT),
        ({"trail": 1.0}, OrderType.TRAILING_STOP),
    ],
)
def test_the_prices_of_an_intent_make_its_type(terms: dict[str, Any], type: OrderType) -> None:
    assert World().approve(BUY, D(1), **terms).type is type


# --- what counts already ---------------------------------------------------------------------------------------


def test_two_intents_of_one_moment_within_the_limit_but_jointly_over_are_not_both_approved() -> None:
    world = World()
    world.hold("100")

    world.at_once(*(Decision(T0, f"s-{n}", "s", Intent(SPOT.name, BUY, D(80))) for n in (1, 2)))

    assert world.one(OrderApproved).order.intent_id == "s-1"
    assert world.one(OrderRefused).intent_id == "s-2"
    assert world.one(OrderRefused).rule == "max_position"


def test_an_order_that_ended_no_longer_counts() -> None:
    world = World()
    world.hold("100")
    first = world.approve(BUY, D(80))
    assert world.refuse(BUY, D(80)).rule == "max_position"

    world.cancelled(first)

    world.approve(BUY, D(80))


def test_orders_on_the_other_side_are_no_excuse() -> None:
    world = World(max_position=D(1_000))
    world.approve(SELL, D(10), PERP, limit=D(100))

    world.approve(BUY, D(10), PERP, limit=D(100))

    assert world.refuse(BUY, D(1), PERP, limit=D(100)).rule == "max_position"


@pytest.mark.parametrize(
    ("story", "held", "action", "size"),
    [
        ("closing a long", "200", SELL, "200"),
        ("covering a short", "-200", BUY, "200"),
        ("a reduce-only order can only reduce", "1", SELL, "200"),
    ],
)
def test_a_way_out_is_never_too_big(story: str, held: str, action: Action, size: str) -> None:
    world = World(max_notional=D(10), max_position=D(10), symbol_position_limits={PERP.name: D("0.1")})
    world.hold(held, PERP)

    world.approve(action, D(size), PERP, reduce_only=abs(D(held)) < D(size))


def test_an_order_through_zero_is_no_way_out() -> None:
    world = World(max_notional=D(10))
    world.hold("200", PERP)

    assert world.refuse(SELL, D("200.001"), PERP).rule == "max_notional"


@pytest.mark.parametrize(("action", "held"), [(SELL, "0"), (BUY, "0"), (SELL, "-5"), (BUY, "5")])
def test_what_may_only_reduce_needs_something_to_reduce(action: Action, held: str) -> None:
    """The venue would reject it, and enough rejections in a row halt trading."""
    world = World()
    world.hold(held, PERP)

    assert world.refuse(action, D(1), PERP, reduce_only=True).rule == "translator"


def test_what_is_on_its_way_in_may_be_reduced() -> None:
    world = World()
    world.approve(BUY, D(2), PERP, limit=D(99))

    world.approve(SELL, D(2), PERP, reduce_only=True, stop=D(90))


# --- who is turned away ----------------------------------------------------------------------------------------


def test_an_instrument_nobody_described_is_refused_by_name() -> None:
    refused = World().decide(Intent("v:DOGE/USDT", BUY, D(1)))

    assert isinstance(refused, OrderRefused)
    assert (refused.rule, refused.instrument) == ("instrument", "v:DOGE/USDT")
    assert "DOGE" in refused.reason


def test_an_instrument_that_does_not_trade_is_refused() -> None:
    assert World().refuse(BUY, D(1), CLOSED).rule == "instrument"


def test_nothing_is_sent_before_the_market_was_heard() -> None:
    assert World(price=0.0).refuse(BUY, D(1)).rule == "no_market"


def test_an_invalid_book_is_no_market_and_a_fresh_trade_does_not_replace_it() -> None:
    world = World()
    world.book(99, 101)
    world.lose_book()
    world.trade(100)

    assert world.refuse(BUY, D(1)).rule == "no_market"

    world.book(99, 101)
    world.approve(BUY, D(1))


@pytest.mark.parametrize(("expires", "refused"), [(T0 - 1, True), (T0, False), (T0 + 1, False), (0, False)])
def test_a_stale_wish_is_refused(expires: int, refused: bool) -> None:
    answer = World().wish(BUY, D(1), expires_ns=expires)

    assert isinstance(answer, OrderRefused) is refused
    if isinstance(answer, OrderRefused):
        assert answer.rule == "expired"


def test_every_refusal_is_counted() -> None:
    world = World()
    world.refuse(BUY, D(300))
    world.refuse(BUY, D(0))
    world.approve(BUY, D(1))

    assert world.gate.refused == 2


def test_an_account_that_cannot_be_valued_is_a_refusal_and_not_an_accident() -> None:
    world = World({"USDT": "1000", "XYZ": "5"})

    refused = world.refuse(BUY, exposure=0.1)

    assert world.all(PartFailed) == []
    assert refused.rule == "no_value"
    assert world.switch.state is TradingState.ARMED


# --- failures --------------------------------------------------------------------------------------------------


def test_a_failing_part_of_the_core_halts() -> None:
    world = World()
    resting = world.approve(BUY, D(1), limit=D(99))

    world.bus.publish(PartFailed(world.clock.now, "Ledger.on_fill", "KeyError"))

    assert world.one(TradingStateChanged).rule == "part_failed"
    assert world.one(CancelRequested).intent_id == resting.intent_id
    assert world.refuse(BUY, D(1)).rule == "part_failed"


def test_an_order_approved_in_the_moment_of_a_halt_is_pulled_too() -> None:
    world = World()

    world.at_once(Decision(T0, "s-1", "s", Intent(SPOT.name, BUY, D(1))), PartFailed(T0, "Ledger.on_fill", "KeyError"))

    assert world.switch.state is TradingState.HALTED
    approved = [event.order.intent_id for event in world.all(OrderApproved)]
    assert approved == [event.intent_id for event in world.all(CancelRequested)]


def test_the_market_of_one_instrument_says_nothing_of_another() -> None:
    world = World()
    world.wait(31)
    world.trade(100, PERP)

    world.approve(BUY, D(1), PERP)

    assert world.refuse(BUY, D(1)).rule == "stale_data"
    assert {i.name for i in ALL} == set(world.market.instruments)
    assert world.clock.now == T0 + 31 * SECOND


# --- restarts ---------------------------------------------------------------------------------------------------


def test_an_acceptance_after_a_restart_ends_the_run_of_rejects_before_it() -> None:
    made = World()
    made.gate.recall(GateState(rejects=2, latched="", reason="", approved_ns=[]))

    made.accept(made.approve(BUY, D(1)))

    assert made.gate.remember().rejects == 0
