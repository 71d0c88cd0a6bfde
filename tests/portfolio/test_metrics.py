"""Each figure against a small case worked by hand, and against the formula as pandas would write it."""

from __future__ import annotations

import math
import subprocess
import sys
from decimal import Decimal as D

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import DAY, SECOND
from bus.events import OrderApproved
from bus.values import Instrument, Order, OrderType, Side
from portfolio import metrics
from tests.portfolio.given import INVERSE, OTHER, SPOT, T0, Desk, fill, trade


def approved(mid: float, intent_id: str = "s-1", instrument: Instrument = SPOT) -> OrderApproved:
    return OrderApproved(T0, Order(intent_id, "s", instrument.name, Side.BUY, OrderType.MARKET, D(1)), mid)


@pytest.mark.parametrize(
    ("start", "end", "days", "expected"),
    [
        (100.0, 110.0, 365, 0.10),
        (100.0, 121.0, 730, 0.10),
        (100.0, 110.0, 29, None),
        (100.0, 0.0, 365, None),
        (0.0, 10.0, 365, None),
    ],
)
def test_yearly_growth_where_it_makes_sense(start: float, end: float, days: int, expected: float | None) -> None:
    growth = metrics.cagr(start, end, days * DAY)

    assert growth == (None if expected is None else pytest.approx(expected))


def test_total_return_needs_something_to_start_with() -> None:
    assert metrics.total_return(200.0, 150.0) == -0.25
    assert metrics.total_return(0.0, 150.0) is None


@pytest.mark.parametrize(
    "values", [[1.0] * 100, [1.0 + i % 3 for i in range(29)], [1.0, -1.0] * 50, [1.0, math.nan] * 50, []]
)
def test_ratios_need_points_variance_and_equity(values: list[float]) -> None:
    assert metrics.sharpe(values, SECOND) is None
    assert metrics.sortino(values, SECOND) is None


def test_without_a_losing_step_there_is_no_sortino() -> None:
    values = [1.0 + i * i for i in range(40)]

    assert metrics.sortino(values, DAY) is None
    assert metrics.sharpe(values, DAY) is not None


def test_sharpe_and_sortino_of_gains_and_losses_in_turn() -> None:
    values = [100.0]
    for i in range(40):
        values.append(values[-1] * (1.03 if i % 2 == 0 else 0.99))

    assert metrics.sharpe(values, DAY) == pytest.approx(0.01 / (0.02 * math.sqrt(40 / 39)) * math.sqrt(365))
    assert metrics.sortino(values, DAY) == pytest.approx(0.01 / math.sqrt(0.01**2 / 2) * math.sqrt(365))


@pytest.mark.property
@given(st.lists(st.floats(1.0, 1e6), min_size=30, max_size=200))
def test_ratios_are_those_of_pandas(values: list[float]) -> None:
    returns = pd.Series(values).pct_change().dropna()
    downside = np.sqrt((returns.clip(upper=0) ** 2).mean())
    years = math.sqrt(365 * 24 * 60)

    sharpe, sortino = metrics.sharpe(values, 60 * SECOND), metrics.sortino(values, 60 * SECOND)

    if sharpe is not None and returns.std() > 1e-9:
        assert sharpe == pytest.approx(returns.mean() / returns.std() * years, rel=1e-6)
    if downside > 0:
        assert sortino == pytest.approx(returns.mean() / downside * years, rel=1e-6)


@pytest.mark.property
@given(st.lists(st.integers(1, 20), max_size=60))
def test_the_longest_drawdown_is_the_longest_stretch_below_the_running_peak(values: list[int]) -> None:
    series = pd.Series(values, dtype=float)
    under = series < series.cummax()
    longest = under.groupby((~under).cumsum()).sum().max() if values else 0

    assert metrics.longest_drawdown(values) == longest


def test_trips_are_judged_after_fees() -> None:
    desk = Desk({"USDT": "1000"})
    for price in ("110", "100.5", "90", "101"):  # +10, +0.5, -10, +1; each trip costs 1
        desk.hear(fill("1", "100", fee="0.5"), fill("-1", price, fee="0.5"))

    assert metrics.trips(desk.ledger, "USDT") == {
        "round_trips": 4.0,
        "win_rate": 0.25,
        "profit_factor": pytest.approx(9 / 11.5),
        "expectancy": pytest.approx((9 - 11.5) / 4),
    }


def test_amounts_in_another_asset_are_not_added_up() -> None:
    desk = Desk({"BTC": "1"})
    desk.hear(fill("1", "100", INVERSE), fill("-1", "110", INVERSE))

    figures = metrics.trips(desk.ledger, "USDT")

    assert (figures["win_rate"], figures["profit_factor"], figures["expectancy"]) == (1.0, None, None)


def test_without_trips_there_are_no_figures_of_them() -> None:
    figures = metrics.trips(Desk({}).ledger, "USDT")

    assert figures == {"round_trips": 0.0, "win_rate": None, "profit_factor": None, "expectancy": None}


def test_slippage_is_positive_when_it_cost_us_and_weighs_by_size() -> None:
    desk = Desk({})
    meter = desk.meter

    desk.hear(approved(100.0), fill("1", "101", leaves="3"), fill("3", "99"))  # 100 bps once, -100 bps thrice
    assert meter.bps() == {SPOT.name: pytest.approx(-50.0)}

    desk.hear(approved(100.0, "s-2", OTHER), fill("-4", "98", OTHER, intent_id="s-2"))
    turnover = 101 + 3 * 99, 4 * 98
    expected = (-50.0 * turnover[0] + 200.0 * turnover[1]) / sum(turnover)
    assert metrics.slippage_bps(desk.ledger, meter) == pytest.approx(expected)


def test_an_approval_without_a_market_is_not_measured() -> None:
    desk = Desk({})
    meter = desk.meter

    desk.hear(approved(0.0), fill("1", "101"))

    assert metrics.slippage_bps(desk.ledger, meter) is None
    assert meter.unmeasured == 1


def test_the_summary_of_a_small_session() -> None:
    desk = Desk({"USDT": "1000"})
    desk.hear(
        *(trade(100.0), approved(100.0), fill("2", "101", fee="0.1"), trade(95.0), trade(101.0)),
        *(fill("-2", "106", fee="0.1", intent_id="x"), trade(1.0)),
        after_ns=SECOND,
    )

    values = [1000.0, 1000.0, 997.9, 987.9, 999.9, 1009.8, 1009.8]
    assert metrics.summary(desk.equity, desk.ledger, desk.meter, values, SECOND) == {
        "total_return": pytest.approx(0.0098),
        "cagr": None,
        "sharpe": None,
        "sortino": None,
        "max_drawdown": pytest.approx(0.0121),
        "max_drawdown_s": 3.0,  # from the fill at 2 s until the sale at 5 s
        "exposure": pytest.approx(3 / 6),
        "turnover": pytest.approx((202 + 212) / 1000),
        "round_trips": 1.0,
        "win_rate": 1.0,
        "profit_factor": None,
        "expectancy": pytest.approx(9.8),
        "slippage_bps": pytest.approx(100.0),
        "fees.USDT": pytest.approx(0.2),
    }


def test_the_portfolio_loads_neither_numpy_nor_pandas_by_itself() -> None:
    code = "import sys, portfolio.metrics, portfolio.exposure; print({'numpy', 'pandas'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=_root())

    assert loaded.stdout.strip() == "set()"


def _root() -> str:
    return metrics.__file__.rpartition("portfolio")[0]
