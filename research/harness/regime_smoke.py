"""A quick look at Layer 1, without data and without a broker: ``python -m research.harness.regime_smoke``."""

from __future__ import annotations

from collections import Counter

from research.harness.market import hours
from research.regime import RegimeLabel, Thresholds, classify_regime, classify_series
from strategies.history import to_frame


def main() -> None:
    """Classify an invented market, hold both forms to each other, print what was found. Exits 1 where they differ."""
    frame = to_frame(list(hours(1_500)))
    thresholds = Thresholds()
    series = classify_series(frame, thresholds)
    for label, count in Counter(series["label"].dropna()).most_common():
        print(f"{label:<16} {count:>5} bars")
    missing = set(RegimeLabel) - set(series["label"].dropna())
    if missing:
        raise SystemExit(f"FAILED: never told: {', '.join(sorted(missing))}")
    for rows in range(1, len(frame) + 1, 23):
        state = classify_regime(frame[:rows], closed_only=True, thresholds=thresholds)
        expected = series["label"].iloc[rows - 2] if rows > 1 else None
        if state.label is not expected or not state.meta["dropped_last_row"]:
            raise SystemExit(f"FAILED: with {rows} rows {state.label} was told, {expected} was meant")
        if not 0.0 <= state.confidence <= 1.0:
            raise SystemExit(f"FAILED: with {rows} rows the confidence is {state.confidence}")
    print("regime_smoke: OK")


if __name__ == "__main__":
    main()
