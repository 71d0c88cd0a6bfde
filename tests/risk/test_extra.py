"""The rules that are only there where they are set: just below, at and just above, and together under any order."""

from __future__ import annotations

import math
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bus.clock import DAY, SECOND
from bus.events import BookSnapshot, Decision, Intent, ModelAnswered, OrderApproved, OrderRefused, Quote
from bus.journal import encode
from bus.values import Action
from risk.confirm import Answers, Confirmation
from risk.extra import RULES
from risk.extra import Terms as Extra
from risk.oversight import Terms
from risk.rules import GUARDS
from risk.sizing import Sizing
from tests.risk.world import COIN, PERP, SPOT, T0, World

BUY, SELL = Action.BUY, Action.SELL
SOL = structs.replace(PERP, name="v:SOL/USDT:USDT", base="SOL")


def world(cash: str = "10000", *, confirmation: Any = None, verified: Any = str, own: bool = False, **asked: Any):
    terms = Terms(sizing=Sizing(notional=D(1_000)), extra=Extra(**asked), own_positions=own)
    made = World(
        {"USDT": cash},
        oversight=terms,
        confirmation=confirmation,
        verified=verified,
        max_orders=1_000,
        max_open_orders=1_000,
        max_notional=D(10**6),
        max_position=D(10**6),
        max_drawdown_bps=10_000.0,
    )
    made.oversight.start()
    return made


def rule_of(answer: OrderApproved | OrderRefused) -> str:
    return answer.rule if isinstance(answer, OrderRefused) else ""


def quote(made: World, bid: float, ask: float, size: float = 5.0, instrument: Any = PERP) -> None:
    now = made.clock.now
    made.bus.publish(Quote(instrument.name, bid, size, ask, size, 1, now, now))


def test_what_nobody_asked_for_is_neither_measured_nor_reported() -> None:
    made = world()

    assert made.oversight.extra.rules == {}
    assert [check.rule for check in made.refuse(BUY, D(10**6), PERP).checks] == list(GUARDS)


def test_every_rule_that_is_asked_is_reported_in_the_documented_order_after_the_ten() -> None:
    everything: dict[str, Any] = {
        "verify_wallet": True,
        "min_notional": D(1),
        "budgets": {"s": D(10**5)},
        "min_equity": D(1),
        "max_money_at_risk": D(1),
    }
    everything |= {name: 1.0 for name in Extra.__struct_fields__ if name.startswith("max_") and name not in everything}
    everything |= {"cooldown_s": 1.0, "min_atr": 0.001, "min_liquidation_distance": 0.1}
    made = world(**everything, confirmation=Confirmation(0.6, None, bypass=True))
    made.oversight.extra.panics = {}

    checks = [check.rule for check in made.refuse(BUY, D(10), PERP).checks]

    assert checks == [*GUARDS, *(name for name in RULES if name != "panic")]


@pytest.mark.parametrize(
    ("asked", "size", "rule"),
    [
        ({"min_notional": D(1_000)}, "9.999", "min_notional"),
        ({"min_notional": D(1_000)}, "10", ""),
        ({"min_equity": D(10_000)}, "1", ""),
        ({"min_equity": D("10000.01")}, "1", "account_health"),
        ({"max_gross": 0.5}, "50", ""),
        ({"max_gross": 0.5}, "50.001", "gross_exposure"),
        ({"max_net": 0.5}, "50.001", "net_exposure"),
        ({"max_leverage": 1.0}, "100", ""),
        ({"max_leverage": 1.0}, "100.001", "leverage"),
        ({"budgets": {"s": D(2_000)}}, "20", ""),
        ({"budgets": {"s": D(2_000)}}, "20.001", "budget"),
        ({"budgets": {"other": D(1)}}, "20", ""),
        ({"max_money_at_risk": D(2_000)}, "100", ""),
        ({"max_money_at_risk": D(2_000)}, "100.001", "money_at_risk"),
        ({"max_money_at_risk": D(500), "stresses": {PERP.name: D("0.05")}}, "100", ""),
        # (10000 - 0.005 x 10000) / (10000 x 1.005) = 0.990049...
        ({"min_liquidation_distance": 0.99}, "100", ""),
        ({"min_liquidation_distance": 0.9901}, "100", "liquidation"),
    ],
)
def test_an_order_is_held_to_it_at_its_limit(asked: dict[str, Any], size: str, rule: str) -> None:
    assert rule_of(world(**asked).wish(BUY, D(size), PERP)) == rule


@pytest.mark.parametrize(
    ("bid", "ask", "rule"),
    [(99.95, 100.05, ""), (99.9, 100.2, "spread"), (0.0, 0.0, "spread"), (101.0, 99.0, "spread")],
)
def test_the_spread_is_of_the_quote_and_without_one_nothing_enters(bid: float, ask: float, rule: str) -> None:
    made = world(max_spread_bps=10.0001)
    made.trade(100.0, PERP)
    if bid < ask:
        quote(made, bid, ask)

    assert rule_of(made.wish(BUY, D(1), PERP)) == rule


def test_depth_fills_an_order_near_enough_to_the_middle_or_it_is_refused() -> None:
    made = world(max_impact_bps=20.0)
    asks = [(100.1, 1.0), (100.3, 2.0), (101.0, 50.0)]
    made.bus.publish(BookSnapshot(PERP.name, [(99.9, 1.0)], asks, 1, T0, T0))

    made.approve(BUY, D(1), PERP)  # 10 bps
    made.approve(BUY, D(2), PERP)  # (100.1 + 100.3) / 2: 20 bps
    assert made.refuse(BUY, D("2.1"), PERP).rule == "liquidity"
    deep = made.refuse(BUY, D(1_000), PERP)
    assert next(check.value for check in deep.checks if check.rule == "liquidity") == "inf"
    made.approve(BUY, D(50), PERP, limit=D("99.5"))  # waits at its own price
    assert made.refuse(BUY, D(50), PERP, limit=D("100.2")).rule == "liquidity"


def test_a_strategy_that_went_out_waits_before_it_goes_in_again() -> None:
    made = world(cooldown_s=60.0)
    made.fill(made.approve(BUY, D(5), PERP))
    made.approve(BUY, D(1), PERP)  # more of it is not going out
    made.fill(made.approve(SELL, D(2), PERP))

    made.wait(20.0)
    made.trade(100.0, PERP)
    made.approve(SELL, D(1), PERP)
    refused = made.refuse(BUY, D(1), PERP)
    assert (refused.rule, refused.reason) == ("cooldown", "40 > 0")
    made.approve(BUY, D(1), SPOT)
    made.wait(40.0)
    made.trade(100.0, PERP)

    made.approve(BUY, D(1), PERP)


def test_a_day_that_lost_too_much_lets_nothing_in_until_the_next() -> None:
    made = world(max_daily_loss_bps=300.0)
    made.hold("100", PERP)
    made.trade(97.0, PERP)
    made.approve(BUY, D(1), PERP)
    made.trade(96.9, PERP)
    assert made.refuse(BUY, D(1), PERP).reason == "310 > 300"
    made.approve(SELL, D(1), PERP)

    made.clock.turn(DAY)
    made.trade(96.9, PERP)

    made.approve(BUY, D(1), PERP)


def again(before: World, *, started_s: float = 0.0, **asked: Any) -> World:
    """The session that goes on from ``before``, in the order in which the daemon starts one; nothing is heard yet."""
    kept = msgspec.json.decode(encode(before.oversight.state()))
    terms = Terms(sizing=Sizing(notional=D(1_000)), extra=Extra(**asked))
    after = World({"USDT": "10000"}, price=0.0, oversight=terms, max_drawdown_bps=10_000.0)
    after.clock.turn(before.clock.now + round(started_s * SECOND))
    after.ledger.restore(before.ledger.state())
    after.oversight.restore(kept)
    after.equity.restore(before.equity.state())
    after.oversight.start()
    return after


def test_what_the_day_has_lost_outlives_a_restart() -> None:
    before = world(max_daily_loss_bps=300.0)
    before.hold("100", PERP)
    before.trade(96.9, PERP)

    after = again(before, max_daily_loss_bps=300.0)
    after.trade(96.9, PERP)

    assert after.refuse(BUY, D(1), PERP).reason == "310 > 300"


def test_a_day_that_begins_before_what_is_held_has_a_price_counts_from_the_first_one() -> None:
    before = world(max_daily_loss_bps=300.0)
    before.hold("100", PERP)
    before.trade(96.9, PERP)

    after = again(before, started_s=DAY / SECOND, max_daily_loss_bps=300.0)
    after.trade(96.0, PERP)
    after.wait(1.0)

    assert isinstance(after.wish(BUY, D(1), PERP), OrderApproved)
    after.trade(93.0, PERP)
    assert after.refuse(BUY, D(1), PERP).reason == "312.5 > 300"


def test_a_wallet_that_is_not_the_venues_lets_nothing_in_and_says_what_differs() -> None:
    differs = ["BTC: 1 here, 2 there"]
    made = world(verify_wallet=True, verified=lambda: differs[0])

    refused = made.refuse(BUY, D(1), PERP)
    differs[0] = ""

    assert (refused.rule, refused.reason) == ("wallet_verified", "1 > 0: BTC: 1 here, 2 there")
    made.approve(BUY, D(1), PERP)


# --- statistics ---


def history(made: World, bars: int = 60) -> None:
    """PERP swings 1 % up and down; SPOT with it, SOL against it."""
    for i in range(bars + 1):
        up = i % 2
        for instrument, close in ((PERP, 100.0 + up), (SPOT, 200.0 + 2 * up), (SOL, 101.0 - up)):
            made.bar(close, T0 // SECOND + i * 60, instrument)


def test_var_refuses_with_its_arithmetic() -> None:
    made = world(max_var=0.03, horizon_s=60.0, confidence=0.99)
    assert made.refuse(BUY, D(10), PERP).reason == "inf > 0.03: fewer than 30 bars that all instruments share"
    history(made)
    made.trade(100.0, PERP)

    made.approve(BUY, D(100), PERP)
    refused = made.refuse(BUY, D(100), PERP)

    assert refused.rule == "var"
    value, _, rest = refused.reason.partition(" > 0.03: ")
    # 20,000 of it, returns of +0.01 and -1/101 by turns: 2.3263 x s
    rs = [0.01, -1 / 101] * 30
    mean = sum(rs) / 60
    s = math.sqrt(sum((r - mean) ** 2 for r in rs) / 59) * 20_000
    assert float(value) == pytest.approx(2.326348 * s / 10_000, rel=1e-4)
    assert f"= 2.3263 x {s:.4f} x 1.0000" in rest
    assert "99.00% over 1 bars from 60 returns" in rest
    assert "equity 10000.00" in rest


def test_what_moves_together_is_not_held_together_and_what_moves_apart_hedges() -> None:
    made = world(max_correlation=0.9)
    history(made)
    made.market.instruments[SOL.name] = SOL
    for instrument in (PERP, SPOT, SOL):
        made.trade(100.0, instrument)
    made.approve(BUY, D(10), PERP)

    assert made.refuse(BUY, D(1), SPOT).rule == "correlation"
    made.approve(BUY, D(10), PERP)
    made.approve(BUY, D(1), SOL)
    assert "nothing says what USD is worth" in made.refuse(BUY, D(1), COIN).reason


def test_money_at_risk_names_each_gap() -> None:
    made = world(max_money_at_risk=D(1_500), stress=D("0.1"))
    made.hold("100", PERP)
    made.approve(BUY, D(20), SPOT)

    refused = made.refuse(BUY, D(40), SPOT, limit=D(98))

    assert refused.reason == (
        f"1520 > 1500: gaps against what is held and may fill: {SPOT.name} 520 at 0.1, {PERP.name} 1000 at 0.1"
    )


# --- what may fill and what may not ---


def test_a_hedge_that_has_not_filled_hedges_nothing() -> None:
    """PERP and SOL go against each other: both long is no risk, and either alone is."""
    made = world(max_var=0.03, horizon_s=60.0, confidence=0.99)
    history(made)
    made.market.instruments[SOL.name] = SOL
    for instrument in (PERP, SOL):
        made.trade(100.0, instrument)
    hedge = made.approve(BUY, D(100), PERP, limit=D(98))

    refused = made.refuse(BUY, D(200), SOL)
    made.fill(hedge, "98")

    assert refused.rule == "var"
    made.approve(BUY, D(200), SOL)


def test_of_many_orders_on_their_way_those_that_can_move_least_are_added_rather_than_combined() -> None:
    """Eight instruments that all go together: the sum is the truth, and 256 combinations are not tried."""
    made = world(cash="100000", max_var=0.025, horizon_s=60.0, confidence=0.99)
    many = [structs.replace(PERP, name=f"v:A{n}/USDT:USDT", base=f"A{n}") for n in range(8)]
    for instrument in many:
        made.market.instruments[instrument.name] = instrument
        for i in range(61):
            made.bar(100.0 + i % 2, T0 // SECOND + i * 60, instrument)
        made.trade(100.0, instrument)
    for number, instrument in enumerate(many):
        made.approve(BUY, D(10 * (number + 1)), instrument)

    values = {check.rule: check.value for check in made.refuse(BUY, D(1_000), many[0]).checks}

    rs = [0.01, -1 / 101] * 30
    s = math.sqrt(sum((r - sum(rs) / 60) ** 2 for r in rs) / 59)
    assert float(values["var"]) == pytest.approx(2.326348 * s * (36_000 + 100_000) / 100_000, rel=1e-4)


def test_two_that_hedge_each_other_are_no_net_exposure_once_they_are_held() -> None:
    made = world(max_net=0.5)
    made.market.instruments[SOL.name] = SOL
    made.trade(100.0, SOL)
    made.hold("40", PERP)

    made.fill(made.approve(SELL, D(40), SOL))

    made.approve(BUY, D(50), PERP)


def test_what_only_reduces_makes_no_way_for_what_goes_through_it() -> None:
    """100 held and 200 resting to be sold: once the 100 are closed by another order, the 200 are a short of 200."""
    made = world(max_gross=1.0)
    made.hold("100", PERP)
    made.approve(SELL, D(200), PERP, limit=D(102))

    assert made.refuse(SELL, D(100), PERP, reduce_only=True).rule == "gross_exposure"
    assert made.approve(BUY, D(50), PERP, reduce_only=True).size == 50, "there is nothing for it to reduce"


def test_what_may_be_closed_before_the_gap_gains_nothing_in_it() -> None:
    made = world(max_money_at_risk=D(1_400), stress=D("0.1"))
    made.hold("100", PERP)
    made.approve(SELL, D(100), PERP, reduce_only=True, limit=D(104))

    assert made.refuse(SELL, D(150), PERP).rule == "money_at_risk", "up 10 %, and nothing is left that gains by it"


def test_what_is_or_may_be_held_either_way_counts_for_correlation_on_both_sides() -> None:
    made = world(max_correlation=0.9)
    history(made)
    for instrument in (PERP, SPOT):
        made.trade(100.0, instrument)
    made.approve(BUY, D(10), PERP, limit=D(98))
    made.approve(SELL, D(5), PERP, limit=D(102))

    assert made.refuse(BUY, D(1), SPOT).rule == "correlation"
    assert made.refuse(SELL, D(1), SPOT).rule == "correlation"


def test_a_strategy_with_a_part_of_its_own_has_a_budget_also_where_it_goes_against_another() -> None:
    made = world(own=True, budgets={"b": D(2_000)})
    made.hold("100", PERP)  # of strategy s

    over = made.decide(Intent(PERP.name, SELL, D(30)), "b")
    within = made.decide(Intent(PERP.name, SELL, D(20)), "b")

    assert rule_of(over) == "budget"
    assert rule_of(within) == ""
    assert rule_of(made.decide(Intent(PERP.name, SELL, D(100)), "s")) == "", "its own part only gets smaller"


# --- a second opinion ---


def test_an_entry_needs_the_model_on_its_side() -> None:
    made = world()
    answers = Answers(made.clock, 60.0)
    answers.attach(made.bus)
    confirmation = Confirmation(0.64, answers, bypass=True)
    made = world(confirmation=confirmation)
    answers._clock = made.clock
    answers.attach(made.bus)
    assert made.refuse(BUY, D(1), PERP).reason == "0.64 > 0"

    made.bus.publish(ModelAnswered(made.clock.now, "forest", "p_long", PERP.name, 0.64))
    made.approve(BUY, D(1), PERP)
    assert rule_of(made.wish(SELL, D(5), PERP)) == "p_long"
    made.bus.publish(ModelAnswered(made.clock.now, "forest", "p_long", PERP.name, 0.36))
    made.approve(SELL, D(5), PERP)
    assert confirmation.stamp(Intent(PERP.name, BUY, meta={"why": 1})).meta == {
        "why": 1,
        "p_long": 0.36,
        "conf_min": 0.64,
    }

    made.wait(60.000001)
    made.trade(100.0, PERP)
    assert made.refuse(BUY, D(1), PERP).rule == "p_long", "an old answer is none"


def test_without_a_model_paper_trades_and_says_so_and_live_does_not_arm() -> None:
    paper, live = (Confirmation(0.64, None, bypass=bypass) for bypass in (True, False))

    world(confirmation=paper).approve(BUY, D(1), PERP)
    assert paper.stamp(Intent(PERP.name, BUY)).meta == {
        "p_long": None,
        "conf_min": 0.64,
        "confirmation": "bypassed: no model",
    }
    made = world(confirmation=live)
    made.switch.arm("ada", "")
    assert made.switch.state.value == "disconnected"
    assert made.refuse(BUY, D(1), PERP).reason == "trading is disconnected"


# --- together ---

JOINT: dict[str, dict[str, Any]] = {
    "gross_exposure": {"max_gross": 0.5},
    "net_exposure": {"max_net": 0.5},
    "leverage": {"max_leverage": 0.5},
    "budget": {"budgets": {"s": D(5_000), "t": D(5_000)}},
    "money_at_risk": {"max_money_at_risk": D(1_000)},
    "var": {"max_var": 0.0117, "horizon_s": 60.0},
}


@pytest.mark.property
@given(
    st.sampled_from(sorted(JOINT)),
    st.sampled_from([BUY, SELL]),
    st.lists(st.sampled_from(["fill", "part", "submit", "trade", "nothing"]), max_size=6),
    st.booleans(),
    st.integers(26, 49),
)
def test_two_intents_each_within_limits_and_together_over_never_both_pass(
    rule: str, action: Action, between: list[str], at_once: bool, size: int
) -> None:
    """Whatever happens between them; also when both were decided before either was judged, in one delivery."""
    made = world(**JOINT[rule])
    if rule == "var":
        history(made)
        made.trade(100.0, PERP)
    now = made.clock.now
    wishes = [Decision(now, f"s-{n}", "s", Intent(PERP.name, action, D(size))) for n in (1, 2)]
    if at_once:
        made.at_once(*wishes)
    else:
        made.bus.publish(wishes[0])
        for what in between:
            approved = made.all(OrderApproved)
            match what:
                case "submit" if approved:
                    made.submit(approved[0].order)
                case "fill" | "part" if approved:
                    made.submit(approved[0].order)
                    made.fill(approved[0].order, size=D(size) if what == "fill" else D(size - 1))
                    break
                case "trade":
                    made.trade(100.0, PERP)
        made.bus.publish(wishes[1])

    assert len(made.all(OrderApproved)) == 1
    assert made.one(OrderRefused).rule == rule


def test_each_strategy_enters_and_leaves_its_own_part_of_the_one_position() -> None:
    made = world(own=True)
    made.decide(Intent(PERP.name, Action.ENTER_LONG, D(10)), "a")
    made.decide(Intent(PERP.name, Action.ENTER_SHORT, D(4)), "b")
    for approved in made.all(OrderApproved):
        made.submit(approved.order)
        made.fill(approved.order)
    assert made.ledger.inventory(PERP.name) == 6
    assert made.oversight.books.netting(PERP.name) == (10, 4, 6, 4)

    leaving = made.decide(Intent(PERP.name, Action.EXIT_LONG), "a")
    again = made.decide(Intent(PERP.name, Action.EXIT_LONG), "a")

    assert isinstance(leaving, OrderApproved)
    assert leaving.order.size == 10
    assert rule_of(again) == "translator"


def test_eight_positions_and_more_are_held_and_judged_at_once() -> None:
    made = world("100000", max_gross=0.12, max_var=1.0, min_returns=2, max_correlation=1.0)
    many = [structs.replace(PERP, name=f"v:C{i}/USDT:USDT", base=f"C{i}") for i in range(12)]
    for instrument in many:
        made.market.instruments[instrument.name] = instrument
        for i in range(40):
            made.bar(100.0 + (i * (7 + int(instrument.base[1:]))) % 5, T0 // SECOND + i * 60, instrument)
        made.trade(100.0, instrument)

    answers = [made.wish(BUY, D(11), instrument) for instrument in many]

    assert [rule_of(one) for one in answers] == [""] * 10 + ["gross_exposure"] * 2
