"""Each guard just below, at and just above its limit, and what breaking it does."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from bus.events import CancelRequested, OrderApproved, OrderRefused, TradingStateChanged
from bus.values import Action, OrderType, TradingState
from risk.rules import GUARDS
from tests.risk.world import LIMITS, PERP, SPOT, World

BUY, SELL = Action.BUY, Action.SELL
DOCUMENTED = [
    "max_notional",
    "max_position",
    "symbol_position",
    "session_drawdown",
    "consecutive_rejects",
    "stale_data",
    "kill_switch",
]


def rule_of(answer: OrderApproved | OrderRefused) -> str:
    return answer.rule if isinstance(answer, OrderRefused) else ""


@pytest.mark.parametrize(("size", "rule"), [("99.999", ""), ("100", ""), ("100.001", "max_notional")])
def test_one_order_may_be_worth_as_much_as_max_notional(size: str, rule: str) -> None:
    assert rule_of(World().wish(BUY, D(size))) == rule


@pytest.mark.parametrize(("size", "rule"), [("49.999", ""), ("50", ""), ("50.001", "max_position")])
def test_a_position_may_be_worth_as_much_as_max_position_counting_what_is_open(size: str, rule: str) -> None:
    world = World()
    world.hold("100")
    world.approve(BUY, D(100))

    assert rule_of(world.wish(BUY, D(size))) == rule


@pytest.mark.parametrize(("size", "rule"), [("1.999", ""), ("2", ""), ("2.001", "symbol_position")])
def test_a_symbol_may_have_a_cap_of_its_own_in_base_units(size: str, rule: str) -> None:
    world = World(symbol_position_limits={SPOT.name: D(3)})
    world.hold("1")

    assert rule_of(world.wish(BUY, D(size))) == rule
    assert rule_of(world.wish(BUY, D(5), PERP)) == ""


@pytest.mark.parametrize(
    ("price", "limit_bps", "rule"),
    [
        (90.1, 1_000.0, ""),
        (90.0, 1_000.0, ""),
        (89.9, 1_000.0, "session_drawdown"),
        (96.0, 400.0, ""),
        (93.0, 700.0, ""),
        (95.9, 400.0, "session_drawdown"),
    ],
)
def test_losing_more_than_the_session_may_halts_trading(price: float, limit_bps: float, rule: str) -> None:
    world = World(cash={"USDT": "10000"}, max_drawdown_bps=limit_bps)
    world.hold("100")

    world.trade(price)

    assert rule_of(world.wish(SELL, D(1))) == rule
    assert (world.switch.state is TradingState.HALTED) is bool(rule)


@pytest.mark.parametrize(
    ("age_s", "rule"), [(29.999999999, ""), (30.0, ""), (30.000000001, "stale_data")], ids=["younger", "at", "older"]
)
def test_an_order_may_rest_on_data_as_old_as_the_threshold(age_s: float, rule: str) -> None:
    world = World()

    world.wait(age_s)

    assert rule_of(world.wish(BUY, D(1))) == rule


@pytest.mark.parametrize(
    ("action", "limit", "rule"),
    [
        (BUY, "104.99", ""),
        (BUY, "105", ""),
        (BUY, "105.01", "price_collar"),
        (BUY, "95", ""),
        (BUY, "94.99", "price_collar"),
        (SELL, "95", ""),
        (SELL, "94.99", "price_collar"),
        (SELL, "105.01", "price_collar"),
    ],
)
def test_a_limit_price_stays_within_the_collar_on_either_side(action: Action, limit: str, rule: str) -> None:
    world = World()
    world.hold("10")

    assert rule_of(world.wish(action, D(1), limit=D(limit))) == rule


def test_a_market_order_has_no_price_to_collar() -> None:
    assert World(price_collar_bps=0.0).approve(BUY, D(1)).type is OrderType.MARKET


def test_orders_beyond_the_rate_are_refused_until_the_window_has_moved_on() -> None:
    world = World(max_orders=3, max_orders_window_s=1.0)
    for _ in range(3):
        world.approve(BUY, D(1))
        world.wait(0.1)
    assert world.refuse(BUY, D(1)).rule == "order_rate"

    world.wait(0.699999999)  # a nanosecond before the first of them is a second old
    assert world.refuse(BUY, D(1)).rule == "order_rate"

    world.wait(0.000000001)
    world.approve(BUY, D(1))
    assert world.refuse(BUY, D(1)).rule == "order_rate", "the next of them is still too young"


def test_so_many_orders_may_be_open_at_once_and_no_more() -> None:
    world = World(max_open_orders=2, max_orders=50)
    first = world.approve(BUY, D(1))
    world.approve(BUY, D(1))
    assert world.refuse(BUY, D(1)).rule == "open_orders"

    world.cancelled(first)

    world.approve(BUY, D(1))


def test_rejects_in_a_row_halt_when_there_is_one_too_many() -> None:
    world = World(max_consecutive_rejects=2)
    for _ in range(2):
        world.reject(world.approve(BUY, D(1)))
    assert world.all(TradingStateChanged) == []

    world.reject(world.approve(BUY, D(1)))

    assert world.one(TradingStateChanged).state is TradingState.HALTED
    assert world.refuse(BUY, D(1)).rule == "consecutive_rejects"


def test_an_accepted_order_ends_the_row_of_rejects() -> None:
    world = World(max_consecutive_rejects=2, max_orders=50)
    for _ in range(4):
        world.reject(world.approve(BUY, D(1)))
        world.reject(world.approve(BUY, D(1)))
        world.accept(world.approve(BUY, D(1)))

    assert world.switch.state is TradingState.ARMED


# --- what a refusal says ---------------------------------------------------------------------------------------


def test_a_refusal_carries_its_rule_its_numbers_and_every_check_in_the_documented_order() -> None:
    refused = World().refuse(BUY, D(300))

    assert (refused.rule, refused.reason, refused.strategy, refused.instrument) == (
        "max_notional",
        "30000 > 10000",
        "s",
        SPOT.name,
    )
    assert [check.rule for check in refused.checks] == [*DOCUMENTED, "price_collar", "order_rate", "open_orders"]
    assert [check.rule for check in refused.checks if not check.passed] == ["max_notional", "max_position"]
    by_name = {check.rule: (check.value, check.limit) for check in refused.checks}
    assert by_name["max_position"] == ("30000", "25000")
    assert by_name["stale_data"] == ("0", "30")
    assert by_name["open_orders"] == ("1", "20")


def test_the_first_broken_rule_of_the_documented_order_names_the_refusal() -> None:
    world = World(symbol_position_limits={SPOT.name: D(1)}, max_open_orders=0, max_notional=D(10_000))

    assert world.refuse(BUY, D(50)).rule == "symbol_position"
    assert world.refuse(BUY, D(300)).rule == "max_notional"
    assert world.refuse(BUY, D("0.5")).rule == "open_orders"


def test_a_refusal_before_there_was_an_order_reports_the_account_only() -> None:
    refused = World().refuse(BUY, D(0))

    assert refused.rule == "translator"
    assert [check.rule for check in refused.checks] == list(GUARDS)
    assert all(check.passed for check in refused.checks)


def test_the_kill_switch_decides_before_everything_else() -> None:
    world = World()
    rule = GUARDS["kill_switch"]
    standing = world.gate._standing  # the rules are asked directly: a killed gate is closed before they are
    standing.killed = "pulled"

    refused = world.refuse(BUY, D(300))

    assert refused.rule == "kill_switch"
    assert refused.reason == "pulled"
    assert [c.rule for c in refused.checks if not c.passed] == ["max_notional", "max_position", "kill_switch"]
    assert rule(None, LIMITS, standing) == (1, 0)  # type: ignore[arg-type]  # it looks at the standing only
    assert world.switch.state is TradingState.HALTED


# --- what else breaking a rule does ----------------------------------------------------------------------------


def test_a_cap_refuses_the_one_order_and_nothing_else() -> None:
    world = World()
    world.approve(BUY, D(1), limit=D(99))

    world.refuse(BUY, D(300))

    assert world.all(CancelRequested) == []
    world.approve(BUY, D(1))


def test_stale_data_pulls_what_rests_on_that_instrument_only() -> None:
    world = World()
    resting = world.approve(BUY, D(1), limit=D(99))
    elsewhere = world.approve(BUY, D(1), PERP, limit=D(99))
    world.wait(31)

    world.refuse(BUY, D(1))

    cancel = world.one(CancelRequested)
    assert (cancel.intent_id, cancel.who) == (resting.intent_id, "stale_data")
    assert world.switch.state is TradingState.ARMED
    assert world.exposure.find(elsewhere.intent_id) is not None

    world.trade(100)
    world.approve(BUY, D(1))


@pytest.mark.parametrize("cause", ["drawdown", "rejects", "kill"])
def test_a_halt_says_why_and_pulls_everything(cause: str) -> None:
    world = World(cash={"USDT": "10000"}, max_consecutive_rejects=1)
    world.hold("50")
    resting = [world.approve(BUY, D(1), limit=D(99)), world.approve(BUY, D(1), PERP, limit=D(99))]
    match cause:
        case "drawdown":
            world.trade(75)
        case "rejects":
            world.reject(world.approve(BUY, D(1)))
            world.reject(world.approve(BUY, D(1)))
        case "kill":
            world.switch.kill("ada")

    changed = world.one(TradingStateChanged)
    rule = {"drawdown": "session_drawdown", "rejects": "consecutive_rejects", "kill": "kill_switch"}[cause]
    assert (changed.state, changed.rule) == (TradingState.HALTED, rule)
    assert [c.rule for c in changed.checks if not c.passed] == [rule]
    assert [(c.intent_id, c.who) for c in world.all(CancelRequested)] == [(order.intent_id, rule) for order in resting]
    assert world.refuse(BUY, D(1)).rule == rule
    assert world.ledger.position(SPOT.name) == 50, "positions are kept"


def test_a_halt_happens_once_and_nothing_arms_it_again() -> None:
    world = World()
    world.switch.kill("ada")

    world.switch.kill("bob")
    world.switch.halt("consecutive_rejects", "more of them")
    world.switch.arm("operator", "please")

    assert world.one(TradingStateChanged).reason == "pulled by ada"
    assert world.switch.state is TradingState.HALTED


def test_a_session_that_was_never_armed_sends_nothing() -> None:
    world = World(armed=False)

    refused = world.refuse(BUY, D(1))

    assert (refused.rule, refused.reason) == ("trading_state", "trading is disconnected")
