"""Every way to size an entry, against the same worked out by hand, and what it does where it cannot know."""

from __future__ import annotations

import math
from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import OrderApproved
from bus.values import Action
from risk import sizing
from risk.oversight import Terms
from risk.sizing import Facts, Record, Sizing
from risk.translator import Unsizable
from tests.risk.world import PERP, World

EQUITY = D(50_000)
NOTHING_YET = Record(0, 0, 0.0, 0.0)


def staked(method, *, exposure=None, confidence=1.0, volatility=0.4, record=NOTHING_YET, **terms):
    facts = Facts(lambda: EQUITY, lambda _: volatility, lambda _: record)
    chosen = Sizing(notional=D(1_000), method=method, **terms)
    return sizing.stake(chosen, facts, "s", "v:BTC/USDT", exposure, confidence)


@pytest.mark.parametrize(
    ("method", "terms", "amount"),
    [
        ("intent", {}, 1_000),
        ("intent", {"exposure": 0.3}, 15_000),
        ("fixed_notional", {}, 1_000),
        ("fixed_notional", {"exposure": 0.5}, 500),
        ("dollar_per_trade", {}, 1_000),
        ("equity_fraction", {"fraction": 0.2}, 10_000),
        ("equity_fraction", {"fraction": 0.2, "exposure": 0.25}, 2_500),
        ("vol_target", {"vol_target": 0.1, "volatility": 0.4}, 12_500),
        ("vol_target", {"vol_target": 0.1, "volatility": 0.01, "max_fraction": 0.5}, 25_000),
        ("kelly", {"record": Record(29, 29, 1.0, 0.0)}, 1_000),
        ("kelly", {"record": Record(40, 24, 2_400.0, 1_600.0), "kelly_share": 0.5, "kelly_cap": 1.0}, 5_000),
        ("kelly", {"record": Record(40, 24, 2_400.0, 1_600.0), "kelly_share": 0.5, "kelly_cap": 0.05}, 2_500),
        ("exposure_confidence", {"exposure": 0.5, "confidence": 0.7}, 17_500),
        ("exposure_confidence", {"confidence": 0.5, "fraction": 0.1}, 2_500),
    ],
)
def test_a_method_comes_to_what_its_formula_says(method, terms, amount) -> None:
    assert staked(method, **terms) == amount


@pytest.mark.property
@given(
    st.integers(0, 60),
    st.integers(0, 60),
    st.floats(0.01, 1e6),
    st.floats(0.01, 1e6),
    st.floats(0.01, 1.0),
    st.floats(0.01, 1.0),
)
def test_kelly_is_what_exact_fractions_make_of_it(wins, losses, profit, loss, share, cap) -> None:
    trips = wins + losses
    record = Record(trips, wins, profit if wins else 0.0, loss if losses else 0.0)
    if not wins:
        full = Fraction(0)
    elif not losses:
        full = Fraction(wins, trips)
    else:
        won = Fraction(wins, trips)
        full = won - (1 - won) / ((Fraction(profit) / wins) / (Fraction(loss) / losses))

    assert math.isclose(sizing.kelly(record), float(full), rel_tol=1e-9, abs_tol=1e-9)

    if trips < 30:
        assert sizing.fractional_kelly(record, share, cap, 30, EQUITY) is None, "never from fewer trades"
    elif full <= -1e-9:
        with pytest.raises(Unsizable, match="Kelly stakes nothing"):
            sizing.fractional_kelly(record, share, cap, 30, EQUITY)
    elif full > 1e-9:
        made = sizing.fractional_kelly(record, share, cap, 30, EQUITY)
        assert made is not None
        assert float(made) == pytest.approx(min(cap, share * float(full)) * 50_000, abs=1e-3)
        assert made <= EQUITY * D(repr(cap)) + D("0.0001")


@pytest.mark.parametrize("volatility", [None, 0.0, float("nan")])
def test_without_a_volatility_nothing_is_sized_by_it(volatility) -> None:
    with pytest.raises(Unsizable, match="volatility"):
        staked("vol_target", volatility=volatility)


def test_a_dollar_per_trade_goes_on_top_of_what_is_held_a_fixed_notional_does_not() -> None:
    adding = World(oversight=Terms(sizing=Sizing(notional=D(1_000), method="dollar_per_trade")))
    standing = World(oversight=Terms(sizing=Sizing(notional=D(1_000), method="fixed_notional")))
    for world in (adding, standing):
        world.hold("10", PERP)

    answer = adding.wish(Action.ENTER_LONG, instrument=PERP)
    assert isinstance(answer, OrderApproved)
    assert answer.order.size == 10
    assert "already long" in standing.refuse(Action.ENTER_LONG, instrument=PERP).reason


def test_a_size_that_is_named_is_taken_as_it_is() -> None:
    world = World(oversight=Terms(sizing=Sizing(notional=D(1_000), method="equity_fraction", fraction=0.01)))

    assert world.approve(Action.BUY, D(3), PERP).size == 3
    assert world.approve(Action.BUY, instrument=PERP).size == 10
