"""Strategies of ours with parameters by which they speak often, for tests that need decisions to compare."""

from __future__ import annotations

STRATEGIES = {
    "rsi": "length = 5",
    "macd": "fast = 3, slow = 6, signal = 3, margin = 0.0",
    "bollinger": "length = 10, deviations = 1.2",
    "keltner": "length = 10, atr_len = 5, ranges = 0.8",
    "momentum": "fast = 3, slow = 8",
    "mean_reversion": "window = 10, threshold = 1.2",
    "multivariate": "enter = 0.51, leave = 0.49",
    "trend_probe_v1": "confirm = 1, min_confidence = 0.5",
    "regime_trend_v1": "adx_len = 3, adx_min = 1.0",
    "core_exposure_v1": "vol_target = 0.0001, confirm = 1",
}
