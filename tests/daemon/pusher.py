"""A strategy for the tests of the governor: it wants more, less and out, over and over, whatever the market does."""

from __future__ import annotations

from typing import Any

from bus.events import CancelIntent, Intent, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes

QUIET = 0.002
"""The size of a trade on which it wants nothing."""


class Pusher(Strategy):
    """Buys every other time while it holds less than ``full``; else in turn a little more, a little less, a bid below,
    an offer above, out of some.
    """

    def __init__(self, full: float = 1.0) -> None:
        self._full = full
        self._heard = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        if trade.size == QUIET:
            return None
        self._heard += 1
        name, price, held = trade.instrument, trade.price, float(view.position(trade.instrument))
        if held < self._full and self._heard % 2:
            return Intent(name, Action.BUY, size=0.2, reason="more")
        wishes: list[Any] = []
        match self._heard // 2 % 5:
            case 0:
                wishes.append(Intent(name, Action.BUY, size=0.04, reason="a little more"))
            case 1:
                wishes.append(Intent(name, Action.SELL, size=0.02, reason="a little less"))
            case 2:
                wishes.append(Intent(name, Action.BUY, size=0.02, limit=price * 0.98, reason="a bid below"))
            case 3:
                wishes.append(Intent(name, Action.SELL, size=0.02, limit=price * 1.02, reason="an offer above"))
            case 4 if held > 0.0:
                wishes.append(Intent(name, Action.SELL, size=0.02, reduce_only=True, reason="out of some"))
        resting = view.open_orders(name)
        if len(resting) > 4:
            wishes.append(CancelIntent(resting[0].intent_id, "the oldest"))
        return wishes

    def state(self) -> dict[str, Any]:
        return {"heard": self._heard}

    def restore(self, state: dict[str, Any]) -> None:
        self._heard = state["heard"]
