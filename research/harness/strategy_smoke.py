"""A quick look at Layer 2, without data and without a broker: ``python -m research.harness.strategy_smoke``.

Every function at its documented address and every bar strategy of ours goes over an invented market: its answers have
the documented form, are the same when asked twice, and do not change when the future is cut off or spoilt.
"""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Callable
from typing import Any

from research.harness.market import hours
from strategies.history import to_frame

MODULES = (
    "research.strategies.sg_regime_trend_v1",
    "research.strategies.sg_core_exposure_v1",
    "research.strategies.sg_trend_probe_v1",
    "research.strategies.sg_vol_probe_v1",
    "research.strategies.sg_stub_strategy",
    "strategies.rsi",
    "strategies.macd",
    "strategies.bollinger",
    "strategies.keltner",
    "strategies.multivariate",
    "strategies.momentum",
    "strategies.mean_reversion",
    "strategies.perp_momentum",
)
FIELDS = ("action", "confidence", "desired_exposure_frac", "horizon_hours", "reason", "meta")
ACTIONS = ("ENTER_LONG", "EXIT_LONG", "ENTER_SHORT", "EXIT_SHORT", "HOLD", "FLAT")
_ROWS, _STEP = 900, 60


def main() -> None:
    """Print what each strategy said. Exits 1, naming it, where one misbehaves."""
    for name in MODULES:
        said = check(importlib.import_module(name).generate_intent, name)
        print(f"{name:<44} {', '.join(f'{action} {count}' for action, count in said.most_common())}")
    print("strategy_smoke: OK")


def check(generate_intent: Callable[..., dict[str, Any]], name: str) -> Counter[str]:
    """What it said at the cuts of an invented market, with the parameters' defaults."""
    frame = to_frame(list(hours(_ROWS)))
    spoilt = frame.copy()
    said: Counter[str] = Counter()
    for rows in range(_STEP, _ROWS, _STEP):
        context = {"position": 0.0, "params": {}}
        answer = generate_intent(frame[:rows], context, closed_only=True)
        if missing := [field for field in FIELDS if field not in answer]:
            raise SystemExit(f"FAILED: {name} answers without {missing[0]}")
        if answer["action"] not in ACTIONS or not 0.0 <= answer["confidence"] <= 1.0:
            raise SystemExit(f"FAILED: {name} answers {answer['action']!r} with confidence {answer['confidence']}")
        if answer != generate_intent(frame[:rows], context, closed_only=True):
            raise SystemExit(f"FAILED: {name} answers the same frame of {rows} rows differently")
        spoilt.iloc[rows - 1 :] = frame.iloc[rows - 1 :] * 3.0
        if answer != generate_intent(spoilt[:rows], context, closed_only=True):
            raise SystemExit(f"FAILED: {name} looks at the forming row after {frame.index[rows - 2]}")
        spoilt.iloc[rows - 1 :] = frame.iloc[rows - 1 :]
        said[answer["action"]] += 1
    return said


if __name__ == "__main__":
    main()
