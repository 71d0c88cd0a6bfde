"""Regimes: one judgement, told bar by bar and over a frame, at each threshold and beside it, never from the future."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import Bar, RegimeState
from bus.values import RegimeLabel
from research.harness.market import hours as invented
from strategies.history import to_frame
from strategies.regime import (
    FRAME_KEY,
    Gauge,
    RegimeEngine,
    Thresholds,
    classify_regime,
    classify_series,
    judge,
    thresholds_of,
)
from tests.strategies.bars import BAR_FILES, read_bars
from tests.strategies.world import BTC, ETH, MINUTE, Says, World, bar

L = RegimeLabel
T = Thresholds()


def below(value: float) -> float:
    return math.nextafter(value, 0.0)


def above(value: float) -> float:
    return math.nextafter(value, math.inf)


def label(wild: float, apart: float = 0.0, volume: float = 0.0, t: Thresholds = T) -> RegimeLabel:
    """The label at a price of 1, where ``wild`` is the range and the averages are ``apart`` ranges from each other."""
    return judge(t, 1.0, apart * wild, 0.0, wild, volume)[0]


QUIET = 0.5  # a range between dead and wild, in a scale where products and quotients of it are exact
BINARY = Thresholds(vol_lo=0.25, vol_hi=0.75, panic_hi=0.875, trend_thresh=0.25)


@pytest.mark.parametrize(
    ("story", "told", "expected"),
    [
        ("a panic at its range and its volume", label(T.panic_hi, volume=2.0), L.PANIC),
        ("just above both", label(above(T.panic_hi), volume=above(2.0)), L.PANIC),
        ("a hair less volume is an expansion", label(T.panic_hi, volume=below(2.0)), L.VOL_EXPANSION),
        ("a hair less range too", label(below(T.panic_hi), volume=9.0), L.VOL_EXPANSION),
        ("an expansion at its range", label(T.vol_hi), L.VOL_EXPANSION),
        ("just above", label(above(T.vol_hi)), L.VOL_EXPANSION),
        ("just below it is none", label(below(T.vol_hi)), L.CHOP),
        ("a compression at its range", label(T.vol_lo), L.VOL_COMPRESSION),
        ("just below", label(below(T.vol_lo)), L.VOL_COMPRESSION),
        ("just above it is none", label(above(T.vol_lo)), L.CHOP),
        ("nothing moves at all", label(0.0), L.VOL_COMPRESSION),
        ("a trend at its strength", label(QUIET, 0.25, t=BINARY), L.TREND_UP),
        ("just above", label(QUIET, above(0.25), t=BINARY), L.TREND_UP),
        ("just below it is chop", label(QUIET, below(0.25), t=BINARY), L.CHOP),
        ("down at its strength", label(QUIET, -0.25, t=BINARY), L.TREND_DOWN),
        ("just below that", label(QUIET, -below(0.25), t=BINARY), L.CHOP),
        ("wild goes before trend", label(0.75, 5.0, t=BINARY), L.VOL_EXPANSION),
        ("dead goes before trend", label(0.25, 5.0, t=BINARY), L.VOL_COMPRESSION),
        ("volume alone is no panic", label(QUIET, volume=50.0, t=BINARY), L.CHOP),
    ],
)
def test_each_threshold_at_just_below_and_just_above(story: str, told: RegimeLabel, expected: RegimeLabel) -> None:
    assert told is expected, story


@given(wild=st.floats(0, 1), apart=st.floats(-50, 50), volume=st.floats(0, 100))
def test_confidence_is_a_fraction_and_at_least_a_half(wild: float, apart: float, volume: float) -> None:
    _, confidence = judge(T, 1.0, apart * wild, 0.0, wild, volume)

    assert 0.5 - 1e-12 <= confidence <= 1.0


@pytest.mark.parametrize(
    "wrong",
    [
        {"ema_fast": 50},
        {"ema_fast": 1},
        {"atr_len": 1},
        {"vol_lo": 0.03},
        {"vol_hi": 0.05},
        {"trend_thresh": 0.0},
        {"panic_vol": math.nan},
        {"panic_hi": math.inf},
    ],
)
def test_thresholds_that_contradict_each_other_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).split("_")[0]):
        Thresholds(**wrong)


def test_the_documented_variables_set_them_and_a_bad_one_is_named() -> None:
    assert thresholds_of({}) == T
    assert thresholds_of({"REGIME_EMA_FAST": "9", "REGIME_VOL_HI": "0.03"}) == Thresholds(ema_fast=9, vol_hi=0.03)
    with pytest.raises(ValueError, match=r"REGIME_EMA_FAST must be a whole number, not .2\.5"):
        thresholds_of({"REGIME_EMA_FAST": "2.5"})
    with pytest.raises(ValueError, match=r"REGIME_EMA_SLOW=10: ema_fast is at least 2 and below ema_slow"):
        thresholds_of({"REGIME_EMA_SLOW": "10"})


# --- both forms, and a third that shares no code with them -------------------------------------------------------


def told(bars: tuple[Bar, ...], t: Thresholds = T) -> list[RegimeState]:
    gauge = Gauge(t)
    return [gauge.hear(bar) for bar in bars]


def naive(bars: tuple[Bar, ...]) -> list[RegimeLabel | None]:
    """From the definitions, with neither TA-Lib nor our indicators."""
    out: list[RegimeLabel | None] = []
    fast = slow = atr = 0.0
    ranges: list[float] = []
    for i, b in enumerate(bars):
        closes = [x.close for x in bars[max(0, i - 49) : i + 1]]
        if i > 0:
            before = bars[i - 1].close
            ranges.append(max(b.high, before) - min(b.low, before))
        fast = sum(closes[-20:]) / 20 if i == 19 else fast + (b.close - fast) * 2 / 21
        slow = sum(closes) / 50 if i == 49 else slow + (b.close - slow) * 2 / 51
        atr = sum(ranges) / 14 if i == 14 else atr + (ranges[-1] - atr) / 14 if i else 0.0
        if i < 49:
            out.append(None)
            continue
        usual = sum(x.volume for x in bars[i - 19 : i + 1]) / 20
        pct = atr / b.close
        if pct >= 0.04 and usual > 0 and b.volume / usual >= 2.0:
            out.append(L.PANIC)
        elif pct >= 0.025:
            out.append(L.VOL_EXPANSION)
        elif pct <= 0.003:
            out.append(L.VOL_COMPRESSION)
        elif abs(fast - slow) / atr >= 0.25:
            out.append(L.TREND_UP if fast > slow else L.TREND_DOWN)
        else:
            out.append(L.CHOP)
    return out


def labels_of(series: pd.DataFrame) -> list[RegimeLabel | None]:
    return list(series["label"])


@pytest.mark.shared
@pytest.mark.parametrize("file", BAR_FILES, ids=lambda path: path.name)
def test_on_every_recorded_series_all_three_tell_the_same(file: Any) -> None:
    bars = read_bars(file)[:8_000]
    states = told(bars)

    series = classify_series(to_frame(list(bars)), T)

    assert [s.label for s in states] == labels_of(series) == naive(bars)
    np.testing.assert_allclose([s.confidence for s in states], series["confidence"], rtol=1e-9)
    known = [s.features for s in states if s.label]
    np.testing.assert_allclose(
        [list(f.values()) for f in known], series.loc[series["label"].notna()].iloc[:, 2:], rtol=1e-9
    )
    assert list(known[0]) == list(series.columns[2:])


@pytest.mark.shared
def test_the_value_at_a_bar_needs_none_of_the_bars_after_it() -> None:
    bars = read_bars(next(f for f in BAR_FILES if "binance_btcusdt_1h" in f.name))[:5_000]
    frame = to_frame(list(bars))
    series, states = classify_series(frame, T), told(bars)

    for i in sorted(np.random.default_rng(4).choice(np.arange(1, 5_001), 500, replace=False).tolist()):
        state = classify_regime(frame[:i], thresholds=T)

        assert state.label is (series["label"].iloc[i - 2] if i > 1 else None)
        assert state.label is (states[i - 2].label if i > 1 else None)
        assert state.confidence == pytest.approx(series["confidence"].iloc[i - 2] if i > 1 else 0.0)


def test_the_forms_agree_on_a_market_that_shows_every_regime() -> None:
    bars = invented(6_000)
    states = told(bars)

    assert {s.label for s in states} == {None, *RegimeLabel}
    assert [s.label for s in states] == labels_of(classify_series(to_frame(list(bars)), T)) == naive(bars)


# --- the frame -------------------------------------------------------------------------------------------------


def test_the_last_row_is_dropped_always_and_it_says_so() -> None:
    frame = to_frame(list(invented(120)))
    spoilt = frame.copy()
    spoilt.iloc[-1] = 1e9

    state = classify_regime(spoilt, thresholds=T)

    assert state == classify_regime(frame, thresholds=T)
    assert state.meta == {"closed_only": True, "dropped_last_row": True, "asof_ts": frame.index[-2].isoformat()}
    assert state.features["price"] == frame["close"].iloc[-2]
    whole = classify_regime(frame, closed_only=False, thresholds=T)
    assert whole.meta == {"closed_only": False, "dropped_last_row": False, "asof_ts": frame.index[-1].isoformat()}
    assert whole.features["price"] == frame["close"].iloc[-1]


@pytest.mark.parametrize("rows", [0, 1, 2, 30, 50])
def test_too_little_history_has_no_label(rows: int) -> None:
    state = classify_regime(to_frame(list(invented(rows))), thresholds=T)

    assert (state.label, state.confidence, state.features) == (None, 0.0, {})
    assert classify_regime(to_frame(list(invented(51))), thresholds=T).label is not None


def test_a_row_without_a_price_is_no_bar() -> None:
    bars = invented(200)
    frame = to_frame(list(bars))
    holed = frame.astype(float).copy()
    holed.iloc[[70, 199], 3] = math.nan

    series = classify_series(holed, T)

    without = classify_series(frame.drop(frame.index[[70, 199]]), T)
    pd.testing.assert_frame_equal(series.drop(series.index[[70, 199]]), without)
    assert labels_of(series)[70] is None
    assert classify_regime(holed, closed_only=False, thresholds=T).label is None


def test_the_series_keeps_the_index_and_counts_every_row_as_closed() -> None:
    frame = to_frame(list(invented(90)))

    series = classify_series(frame, T)

    assert series.index is frame.index or series.index.equals(frame.index)
    assert list(series.columns[:2]) == ["label", "confidence"]
    assert list(series["label"].isna()) == [True] * 49 + [False] * 41
    assert classify_series(frame[:0], T).empty


def test_columns_may_be_written_in_capitals_and_a_missing_one_is_named() -> None:
    frame = to_frame(list(invented(90)))

    assert classify_regime(frame.rename(columns=str.title), thresholds=T) == classify_regime(frame, thresholds=T)
    with pytest.raises(ValueError, match="no column 'volume'; it has open, high, low, close"):
        classify_regime(frame.drop(columns="volume"))
    with pytest.raises(ValueError, match="not in rising order"):
        classify_series(frame[::-1])


def test_a_frame_may_name_its_thresholds_and_only_else_the_environment_is_asked(monkeypatch: Any) -> None:
    frame = to_frame(list(invented(300)))
    monkeypatch.setenv("REGIME_VOL_LO", "0.9")
    monkeypatch.setenv("REGIME_VOL_HI", "0.95")
    monkeypatch.setenv("REGIME_PANIC_HI", "0.99")

    assert classify_regime(frame).label is L.VOL_COMPRESSION

    frame.attrs[FRAME_KEY] = {"vol_lo": 0.0}
    assert classify_regime(frame).label is not L.VOL_COMPRESSION


# --- the engine ------------------------------------------------------------------------------------------------


def with_engine() -> tuple[World, RegimeEngine]:
    world = World()
    engine = RegimeEngine(world.bus, T)
    engine.attach(world.bus)
    return world, engine


def test_a_strategy_sees_the_regime_of_the_bar_in_its_hands_and_the_event_comes_after() -> None:
    world, engine = with_engine()
    events: list[RegimeState] = []
    world.bus.subscribe(RegimeState, events.append)
    seen: list[tuple[int, int]] = []
    strategy = Says(lambda b, view: seen.append((view.regime(BTC.name, MINUTE).end_ns, len(events))))
    world.seat(strategy, regimes=engine)

    world.hear(*(bar(n) for n in range(3)))

    assert seen == [(bar(n).end_ns, n) for n in range(3)]
    assert [e.end_ns for e in events] == [bar(n).end_ns for n in range(3)]


def test_each_instrument_has_its_own_and_a_forming_bar_is_not_heard() -> None:
    world, engine = with_engine()

    world.hear(*(bar(n, 100.0 + n) for n in range(60)), bar(0, 5.0, ETH), bar(60, 999.0, closed=False))

    assert engine.state(BTC.name, MINUTE).label is L.TREND_UP
    assert engine.state(BTC.name, MINUTE).features["price"] == 159.0
    assert engine.state(ETH.name, MINUTE).label is None
    assert engine.state(ETH.name, 2 * MINUTE).label is None
    assert engine.label(bar(59)) == "TREND_UP"
    assert engine.label(bar(0, instrument=ETH)) == ""


def test_an_engine_that_was_carried_over_a_restart_goes_on_as_if_nothing_had_been() -> None:
    bars = [msgspec.structs.replace(b, instrument=BTC.name) for b in invented(300)]
    stays, carried = with_engine()[1], with_engine()[1]
    for b in bars[:120]:
        stays.on_bar(b)

    carried.restore(json.loads(json.dumps(stays.kept(), allow_nan=False)))

    assert carried.state(BTC.name, bars[0].interval_ns) == stays.state(BTC.name, bars[0].interval_ns)
    for b in bars[120:]:
        stays.on_bar(b)
        carried.on_bar(b)
        assert carried.state(b.instrument, b.interval_ns) == stays.state(b.instrument, b.interval_ns)


def test_asking_where_nobody_tells_regimes_says_what_to_do() -> None:
    world = World()
    view = world.seat(Says())

    with pytest.raises(LookupError, match="needs_regime = True"):
        view.regime(BTC.name, MINUTE)
