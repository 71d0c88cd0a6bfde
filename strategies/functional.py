"""Strategies written as a function over a DataFrame, made to fit the event loop.

``generate_intent(df, ctx, *, closed_only=True) -> dict`` is called at every closed bar with the closed bars so far. The
documented contract drops the last row because in a polled frame it is the bar still forming; here no such row
exists, so nothing is dropped, ``closed_only=False`` tells the function so, and the intent's meta says what is true:
``closed_only`` true (only closed bars were seen), ``dropped_last_row`` false, ``asof_ts`` the open of the last bar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from bus.events import Bar, Intent
from bus.values import Action, TimeInForce
from strategies.port import Strategy, View, Wishes

Function = Callable[..., Mapping[str, Any]]

_NAMES = {action.value: action for action in Action}


def context(bar: Bar, view: View, params: Mapping[str, Any]) -> dict[str, Any]:
    """What a function is told besides its frame."""
    return {
        "instrument": bar.instrument,
        "interval_s": bar.interval_ns // 1_000_000_000,
        "now_ns": view.now_ns,
        "position": float(view.position(bar.instrument)),
        "equity": float(view.equity()),
        "params": dict(params),
    }


class Functional(Strategy):
    """``params`` travel to the function as ``ctx["params"]``. At most ``history`` bars are kept."""

    history = 1_000

    def __init__(self, function: Function, params: dict[str, Any]) -> None:
        self._function = function
        self._params = params

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        frame = view.frame(bar.instrument, bar.interval_ns)
        answer = self._function(frame, context(bar, view, self._params), closed_only=False)
        return _intent(bar.instrument, answer, str(frame.index[-1].isoformat()))


class OrderGenerator(Strategy):
    """``order_generator(df, ctx, *, closed_only=True)``: the same frame and context, answered with raw orders.

    Each is a mapping: ``side`` (buy or sell) and ``size`` in base units; ``limit``, ``stop`` or ``trail`` where it is
    no market order; ``tif``, ``post_only``, ``reduce_only``, ``reason``, and ``instrument`` where it is not the bar's.
    They pass the gate like any other.
    """

    history = 1_000

    def __init__(self, function: Callable[..., Iterable[Mapping[str, Any]] | None], params: dict[str, Any]) -> None:
        self._function = function
        self._params = params

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        frame = view.frame(bar.instrument, bar.interval_ns)
        answer = self._function(frame, context(bar, view, self._params), closed_only=False)
        return [_order(bar.instrument, order) for order in answer or ()]


_ORDER_FIELDS = ("limit", "stop", "trail", "post_only", "reduce_only", "reason")


def _order(instrument: str, order: Mapping[str, Any]) -> Intent:
    """A raw order as an Intent. Raises ValueError naming the field that is missing, wrong or unknown."""
    if not isinstance(order, Mapping):
        raise TypeError(f"order_generator yields mappings, not {type(order).__name__}")
    if unknown := set(order) - {"instrument", "side", "size", "tif", *_ORDER_FIELDS}:
        raise ValueError(f"an order has no field {sorted(unknown)[0]!r}")
    sides = {"buy": Action.BUY, "sell": Action.SELL}
    if order.get("side") not in sides:
        raise ValueError(f"side is buy or sell, not {order.get('side')!r}")
    if not isinstance(order.get("size"), (int, float, Decimal)) or not order["size"] > 0:
        raise ValueError(f"size is a positive number of base units, not {order.get('size')!r}")
    said = {name: order[name] for name in _ORDER_FIELDS if name in order}
    return Intent(
        order.get("instrument", instrument),
        sides[order["side"]],
        size=order["size"],
        tif=TimeInForce(order.get("tif", "gtc")),
        **said,
    )


def _intent(instrument: str, answer: Mapping[str, Any], asof: str) -> Intent:
    """The documented dict as an Intent. Raises ValueError naming the field that is missing or wrong."""
    if not isinstance(answer, Mapping):
        raise TypeError(f"generate_intent returns a dict, not {type(answer).__name__}")
    action = _NAMES.get(str(answer.get("action")))
    if action is None:
        raise ValueError(f"action must be one of {', '.join(_NAMES)}, not {answer.get('action')!r}")
    exposure = answer.get("desired_exposure_frac")
    size = answer.get("size")
    if size is not None and not size > 0.0:
        raise ValueError(f"size is a positive number of base units, not {size}")
    confidence = float(answer.get("confidence", 1.0))
    if not 0.0 <= confidence <= 1.0 or (exposure is not None and not 0.0 <= exposure <= 1.0):
        raise ValueError(f"confidence and desired_exposure_frac are fractions, not {confidence} and {exposure}")
    meta = dict(answer.get("meta") or {})
    meta.update(closed_only=True, dropped_last_row=False, asof_ts=asof)
    return Intent(
        instrument,
        action,
        size=None if size is None else float(size),
        exposure=None if exposure is None else float(exposure),
        confidence=confidence,
        horizon_s=int(answer.get("horizon_hours") or 0) * 3600,
        reason=str(answer.get("reason", "")),
        meta=meta,
    )
