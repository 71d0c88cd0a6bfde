"""A strategy for the tests of restarts: it always has something resting and something on its way."""

from __future__ import annotations

from typing import Any

from bus.events import CancelIntent, Intent, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes

SIZE = 0.001


class Ladder(Strategy):
    """Limits on both sides a little away from the market, the oldest taken back when there are ``rungs``; now and then
    a market order.
    """

    def __init__(self, rungs: int = 6) -> None:
        self._rungs = rungs
        self._heard = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        mid = view.mid(trade.instrument)
        if not mid > 0.0:
            return None
        self._heard += 1
        side = Action.BUY if self._heard % 2 else Action.SELL
        wishes: list[Any] = []
        if self._heard % 5 == 0:
            wishes.append(Intent(trade.instrument, side, size=SIZE, reason="now and then"))
        elif self._heard % 3 == 0:
            away = mid * (0.0001 + 0.00005 * (self._heard % 7))
            limit = mid - away if side is Action.BUY else mid + away
            wishes.append(Intent(trade.instrument, side, size=SIZE, limit=limit, reason="a rung"))
        resting = [order for order in view.open_orders(trade.instrument) if order.price is not None]
        if len(resting) > self._rungs:
            wishes.append(CancelIntent(resting[0].intent_id, "the oldest"))
        return wishes

    def state(self) -> dict[str, Any]:
        return {"heard": self._heard}

    def restore(self, state: dict[str, Any]) -> None:
        self._heard = state["heard"]
