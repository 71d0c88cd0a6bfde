"""Strategies written as a function over a DataFrame, made to fit the event loop.

``generate_intent(df, ctx, *, closed_only=True) -> dict`` is called at every closed bar with the closed bars so far. The
documented contract drops the last row because in a polled frame it is the bar still forming; here no such row
exists, so nothing is dropped, ``closed_only=False`` tells the function so, and the intent's meta says what is true:
``closed_only`` true (only closed bars were seen), ``dropped_last_row`` false, ``asof_ts`` the open of the last bar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bus.events import Bar, Intent
from bus.values import Action
from strategies.port import Strategy, View, Wishes

Function = Callable[..., Mapping[str, Any]]

_NAMES = {action.value: action for action in Action}


class Functional(Strategy):
    """``params`` travel to the function as ``ctx["params"]``. At most ``history`` bars are kept."""

    history = 1_000

    def __init__(self, function: Function, params: dict[str, Any]) -> None:
        self._function = function
        self._params = params

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        frame = view.frame(bar.instrument, bar.interval_ns)
        answer = self._function(frame, self._context(bar, view), closed_only=False)
        return _intent(bar.instrument, answer, str(frame.index[-1].isoformat()))

    def _context(self, bar: Bar, view: View) -> dict[str, Any]:
        return {
            "instrument": bar.instrument,
            "interval_s": bar.interval_ns // 1_000_000_000,
            "now_ns": view.now_ns,
            "position": float(view.position(bar.instrument)),
            "equity": float(view.equity()),
            "params": dict(self._params),
        }


def _intent(instrument: str, answer: Mapping[str, Any], asof: str) -> Intent:
    """The documented dict as an Intent. Raises ValueError naming the field that is missing or wrong."""
    if not isinstance(answer, Mapping):
        raise TypeError(f"generate_intent returns a dict, not {type(answer).__name__}")
    action = _NAMES.get(str(answer.get("action")))
    if action is None:
        raise ValueError(f"action must be one of {', '.join(_NAMES)}, not {answer.get('action')!r}")
    exposure = answer.get("desired_exposure_frac")
    confidence = float(answer.get("confidence", 1.0))
    if not 0.0 <= confidence <= 1.0 or (exposure is not None and not 0.0 <= exposure <= 1.0):
        raise ValueError(f"confidence and desired_exposure_frac are fractions, not {confidence} and {exposure}")
    meta = dict(answer.get("meta") or {})
    meta.update(closed_only=True, dropped_last_row=False, asof_ts=asof)
    return Intent(
        instrument,
        action,
        exposure=None if exposure is None else float(exposure),
        confidence=confidence,
        horizon_s=int(answer.get("horizon_hours") or 0) * 3600,
        reason=str(answer.get("reason", "")),
        meta=meta,
    )
