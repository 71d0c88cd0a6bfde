"""A strategy for the steps of ``steps.py``: it decides where a step begins, and lets everything in between pass."""

from __future__ import annotations

from typing import Any

from bus.events import CancelIntent, Intent, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes
from tests.daemon.steps import SIGN

SIZE = 0.001


def wanted_by(signs: int) -> int:
    """The number of the last order wanted at so many signs."""
    return 2 * signs + signs // 3


class Stairs(Strategy):
    """A limit on either side at each sign, now and then a market order; the oldest is taken back from ``rungs`` on."""

    def __init__(self, rungs: int = 12) -> None:
        self._rungs = rungs
        self._signs = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        if trade.size != SIGN:
            return None
        self._signs += 1
        mid = view.mid(trade.instrument)
        away = 9.0 + 8.0 * (self._signs % 5)
        wishes: list[Any] = [
            Intent(trade.instrument, Action.BUY, size=SIZE, limit=mid - away, reason="below"),
            Intent(trade.instrument, Action.SELL, size=SIZE, limit=mid + away, reason="above"),
        ]
        if self._signs % 3 == 0:
            side = Action.BUY if self._signs % 2 else Action.SELL
            wishes.append(Intent(trade.instrument, side, size=SIZE, reason="now and then"))
        resting = [order for order in view.open_orders(trade.instrument) if order.price is not None]
        if len(resting) > self._rungs:
            wishes.append(CancelIntent(resting[0].intent_id, "the oldest"))
        return wishes

    def state(self) -> dict[str, Any]:
        return {"signs": self._signs}

    def restore(self, state: dict[str, Any]) -> None:
        self._signs = state["signs"]
