"""Indicators a bar at a time are TA-Lib's over the whole series, on drawn prices and on real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import talib
from hypothesis import given
from hypothesis import strategies as st

from strategies.indicators import Adx, Atr, Ema, Highest, Indicator, Lowest, Macd, Moments, Regression, Rsi, Sma
from tests.strategies.bars import BAR_FILES, DATA, read_bars

Prices = dict[str, "np.ndarray[Any, np.dtype[np.float64]]"]


def over(make: Callable[[], Any], prices: Prices, columns: str, *also: str) -> list[np.ndarray[Any, Any]]:
    """``value``, and whatever else is named, after each bar."""
    indicator = make()
    rows: list[list[float]] = []
    for row in zip(*(prices[c].tolist() for c in columns.split()), strict=True):
        returned = indicator.update(*row)
        assert returned is indicator.value
        rows.append([indicator.value, *(getattr(indicator, name) for name in also)])
    return list(np.array(rows).T)


def pairs(prices: Prices) -> list[tuple[str, list[np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]]:
    high, low, close, volume = (prices[c] for c in ("high", "low", "close", "volume"))
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    mean, deviation = over(lambda: Moments(20), prices, "close", "deviation")
    return [
        ("sma", over(lambda: Sma(20), prices, "volume"), [talib.SMA(volume, 20)]),
        ("ema", over(lambda: Ema(20), prices, "close"), [talib.EMA(close, 20)]),
        ("moments", [mean, deviation], [talib.SMA(close, 20), talib.STDDEV(close, 20)]),
        ("bollinger", [mean + 2 * deviation, mean, mean - 2 * deviation], [upper, middle, lower]),
        ("highest", over(lambda: Highest(15), prices, "high"), [talib.MAX(high, 15)]),
        ("lowest", over(lambda: Lowest(15), prices, "low"), [talib.MIN(low, 15)]),
        ("atr", over(lambda: Atr(14), prices, "high low close"), [talib.ATR(high, low, close, 14)]),
        ("adx", over(lambda: Adx(14), prices, "high low close"), [talib.ADX(high, low, close, 14)]),
        ("rsi", over(lambda: Rsi(14), prices, "close"), [talib.RSI(close, 14)]),
        ("macd", over(lambda: Macd(12, 26, 9), prices, "close", "signal", "histogram"), list(talib.MACD(close))),
    ]


def check(prices: Prices) -> None:
    for name, ours, theirs in pairs(prices):
        for mine, batch in zip(ours, theirs, strict=True):
            assert (np.isnan(mine) == np.isnan(batch)).all(), name
            # TA-Lib's own deviation is right to some 1e-9 of the price's last digits; ours is nearer to the exact one.
            rounding = 1e-12 * prices["close"].max() if name == "moments" else 0.0
            np.testing.assert_allclose(mine, batch, rtol=1e-9, atol=rounding, err_msg=name)


@pytest.mark.property
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1e-6, 1.0, 60_000.0]), length=st.integers(1, 300))
def test_a_bar_at_a_time_is_the_whole_series_at_once(seed: int, scale: float, length: int) -> None:
    draw = np.random.default_rng(seed)
    close = scale * np.exp(np.cumsum(draw.normal(0, 0.02, length)))
    close[draw.random(length) < 0.2] = scale  # ties and repeated prices
    spread = np.abs(draw.normal(0, 0.01, (2, length))) * close
    check({"high": close + spread[0], "low": close - spread[1], "close": close, "volume": draw.exponential(5, length)})


def test_a_market_that_does_not_move_divides_by_nothing() -> None:
    flat = np.full(200, 7.0)
    check({"high": flat, "low": flat, "close": flat, "volume": np.zeros(200)})


def test_the_deviation_of_a_market_that_stopped_is_nothing_at_all() -> None:
    moments = Moments(20)

    for price in [*np.random.default_rng(1).uniform(3_000, 4_000, 33), *[4_123.45] * 20]:
        moments.update(float(price))

    assert moments.deviation == 0.0


@pytest.mark.shared
def test_the_deviation_is_the_exact_one_to_ten_digits() -> None:
    closes = np.array([bar.close for bar in read_bars(DATA / "bars" / "bitfinex_btcusd_5m_2019.parquet")])
    moments = Moments(20)
    ours = []
    for close in closes.tolist():
        moments.update(close)
        ours.append(moments.deviation)

    windows = np.lib.stride_tricks.sliding_window_view(closes, 20)
    exact = np.sqrt(((windows - windows.mean(axis=1, keepdims=True)) ** 2).mean(axis=1))
    np.testing.assert_allclose(ours[19:], exact, rtol=1e-10, atol=1e-9)


@pytest.mark.shared
@pytest.mark.parametrize("file", BAR_FILES, ids=lambda path: path.name)
def test_on_recorded_bars_they_agree_too(file: Any) -> None:
    bars = read_bars(file)[-6_000:]
    check({name: np.array([getattr(b, name) for b in bars]) for name in ("high", "low", "close", "volume")})


@pytest.mark.property
@given(seed=st.integers(0, 2**32 - 1), length=st.integers(3, 60))
def test_the_regression_is_least_squares_over_its_window(seed: int, length: int) -> None:
    draw = np.random.default_rng(seed)
    x = 10 + np.cumsum(draw.normal(0, 0.01, 4 * length))
    y = 3 + 0.8 * x + draw.normal(0, 0.02, 4 * length)
    regression = Regression(length)

    for i in range(len(x)):
        regression.update(float(x[i]), float(y[i]))
        if i + 1 < length:
            assert np.isnan(regression.value)
            continue
        slope, intercept = np.polyfit(x[i + 1 - length : i + 1], y[i + 1 - length : i + 1], 1)
        left = y[i + 1 - length : i + 1] - slope * x[i + 1 - length : i + 1] - intercept
        assert regression.value == pytest.approx(slope, rel=1e-6)
        assert regression.score == pytest.approx(left[-1] / left.std(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Sma(5),
        lambda: Ema(5),
        lambda: Moments(5),
        lambda: Highest(5),
        lambda: Lowest(5),
        lambda: Rsi(5),
        lambda: Macd(3, 6, 4),
    ],
)
def test_one_that_was_carried_over_goes_on_as_if_nothing_had_been(make: Callable[[], Any]) -> None:
    values = np.random.default_rng(3).normal(100, 1, 60).tolist()
    for cut in (0, 2, 30):
        stays, carried = make(), make()
        before: Indicator = make()
        for value in values[:cut]:
            stays.update(value)
            before.update(value)  # type: ignore[attr-defined]  # each has its own
        carried.restore(json.loads(json.dumps(before.state(), allow_nan=False)))

        after = [(stays.update(v), carried.update(v)) for v in values[cut:]]

        np.testing.assert_array_equal([a for a, _ in after], [b for _, b in after])


@pytest.mark.parametrize(
    ("make", "other"),
    [
        (lambda: Sma(5), lambda: Sma(9)),
        (lambda: Ema(5), lambda: Ema(4)),
        (lambda: Moments(5), lambda: Moments(9)),
        (lambda: Highest(5), lambda: Highest(3)),
        (lambda: Rsi(5), lambda: Rsi(6)),
        (lambda: Macd(3, 6, 4), lambda: Macd(3, 6, 5)),
        (lambda: Macd(3, 6, 4), lambda: Macd(2, 6, 4)),
    ],
)
def test_what_was_measured_over_another_length_says_nothing(make: Callable[[], Any], other: Callable[[], Any]) -> None:
    """Else a restart with other parameters would go on with the old ones, and its decisions would name the new."""
    values = np.random.default_rng(3).normal(100, 1, 60).tolist()
    before, fresh, carried = other(), make(), make()
    for value in values[:30]:
        before.update(value)
    carried.restore(json.loads(json.dumps(before.state(), allow_nan=False)))

    after = [(fresh.update(v), carried.update(v)) for v in values[30:]]

    np.testing.assert_array_equal([a for a, _ in after], [b for _, b in after])
