"""VaR, ES, correlation and money at risk against a second opinion that shares nothing with the first."""

from __future__ import annotations

import math
from decimal import Decimal as D
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import DAY, MINUTE
from bus.values import Side
from risk import stress, var
from risk.returns import Returns
from risk.stress import Resting
from tests.risk.world import COIN, PERP, SPOT

returns = st.lists(st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2)), min_size=2, max_size=60)
amounts = st.floats(-1e5, 1e5)


def quantile(c: float) -> float:
    """The normal quantile by bisection of its distribution function, for want of scipy."""
    low, high = -10.0, 10.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 + math.erf(middle / math.sqrt(2))) / 2 < c else (low, middle)
    return low


@pytest.mark.property
@given(returns, amounts, amounts, st.sampled_from([0.9, 0.95, 0.99]), st.floats(1.0, 1_440.0))
def test_var_and_es_are_what_the_covariance_matrix_and_a_full_sort_make_of_them(rows, a, b, c, h) -> None:
    series = {"a": [row[0] for row in rows], "b": [row[1] for row in rows]}
    weights = {"a": a, "b": b}
    n = len(rows)
    means = {name: sum(values) / n for name, values in series.items()}
    covariance = {
        (x, y): sum((series[x][t] - means[x]) * (series[y][t] - means[y]) for t in range(n)) / (n - 1)
        for x, y in product(series, series)
    }
    variance = sum(weights[x] * covariance[x, y] * weights[y] for x, y in covariance)
    losses = sorted((-(a * x + b * y) for x, y in rows), reverse=True)
    k = max(1, -(-round(n * (1 - c) * 1e6) // 1_000_000))

    made = var.tail(var.profits(weights, series), c, h)

    z, root = quantile(c), math.sqrt(max(0.0, variance) * h)
    close = {"rel_tol": 1e-6, "abs_tol": 1e-3}
    assert math.isclose(made.var_parametric, z * root, **close)
    density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    assert math.isclose(made.es_parametric, root * density / (1 - c), **close)
    assert math.isclose(made.var_historical, max(0.0, losses[k - 1]) * math.sqrt(h), **close)
    assert math.isclose(made.es_historical, max(0.0, sum(losses[:k]) / k) * math.sqrt(h), **close)
    assert made.es_parametric >= made.var_parametric
    assert made.es_historical >= made.var_historical - 1e-6


def test_of_500_returns_at_99_percent_five_are_the_tail() -> None:
    made = var.tail([-float(i) for i in range(1, 501)], 0.99, 1.0)

    assert var.tail_size(500, 0.99) == 5
    assert (made.var_historical, made.es_historical) == (496.0, 498.0)
    assert "worst no. 5" in made.arithmetic()


@pytest.mark.property
@given(returns)
def test_correlation_is_pearsons(rows) -> None:
    xs, ys = [row[0] for row in rows], [row[1] for row in rows]
    n = len(rows)
    sx, sy = sum(xs), sum(ys)
    sxx, syy, sxy = sum(x * x for x in xs), sum(y * y for y in ys), sum(x * y for x, y in rows)
    spread = (n * sxx - sx * sx) * (n * syy - sy * sy)
    if spread > 1e-8:
        expected = (n * sxy - sx * sy) / math.sqrt(spread)
        assert math.isclose(var.correlation(xs, ys), expected, abs_tol=1e-6)
    assert -1.0 - 1e-9 <= var.correlation(xs, ys) <= 1.0 + 1e-9


def closed(returns: Returns, name: str, closes: dict[int, float]) -> None:
    from bus.events import Bar

    for minute, close in closes.items():
        end = minute * MINUTE
        returns.on_bar(Bar(name, MINUTE, end - MINUTE, end, close, close, close, close, 1.0, 1, True, False, end))


def test_returns_are_of_the_bars_that_all_instruments_have() -> None:
    kept = Returns(3)
    closed(kept, "a", {1: 100.0, 2: 110.0, 3: 99.0, 4: 108.9, 5: 108.9})
    closed(kept, "b", {2: 50.0, 4: 55.0, 5: 44.0})

    both = kept.aligned(["a", "b"])

    assert both["a"] == pytest.approx([-0.01, 0.0])
    assert both["b"] == pytest.approx([0.1, -0.2])
    assert kept.bars_in(DAY) == 1_440
    assert len(kept.aligned(["a"])["a"]) == 3
    assert kept.aligned(["nobody"]) == {"nobody": []}
    again = Returns(3)
    again.restore(kept.state())
    assert again.aligned(["a", "b"]) == both


orders = st.lists(
    st.tuples(
        st.sampled_from([Side.BUY, Side.SELL]),
        st.integers(1, 50).map(D),
        st.one_of(st.none(), st.integers(70, 130).map(D)),
    ),
    max_size=4,
)


@pytest.mark.property
@given(st.sampled_from([SPOT, PERP, COIN]), st.integers(-60, 60).map(D), orders, st.sampled_from(["0.1", "0.25"]))
def test_money_at_risk_is_the_worst_of_every_way_the_orders_can_fill(instrument, held, resting, gap) -> None:
    """By brute force: each subset of the orders fills, the price then gaps either way."""
    price, worst = 100.0, 0.0
    multiplier = float(instrument.multiplier)

    def pnl(size: float, entry: float, exit: float) -> float:
        if instrument is COIN:
            return size * multiplier * (1 / entry - 1 / exit) * exit  # in coins, counted at the exit
        return size * multiplier * (exit - entry)

    for exit in (price * (1 - float(gap)), price * (1 + float(gap))):
        for filled in product([False, True], repeat=len(resting)):
            made = pnl(float(held), price, exit)
            for yes, (side, size, limit) in zip(filled, resting, strict=True):
                if yes:
                    signed = float(size) if side is Side.BUY else -float(size)
                    made += pnl(signed, float(limit) if limit is not None else price, exit)
            worst = max(worst, -made)

    found = stress.loss(instrument, held, [Resting(*one) for one in resting], D(100), D(gap))

    assert found >= 0
    assert float(found) == pytest.approx(worst, rel=1e-9, abs=1e-6)
