"""A strategy for the tests of roll-overs: it buys once, and cannot say what it keeps."""

from __future__ import annotations

from typing import Any

from bus.events import Intent, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes


class Wordless(Strategy):
    def on_trade(self, trade: Trade, view: View) -> Wishes:
        if view.open_orders(trade.instrument) or not (mid := view.mid(trade.instrument)) > 0.0:
            return None
        return Intent(trade.instrument, Action.BUY, size=0.001, limit=mid * 0.99, reason="far away")

    def state(self) -> dict[str, Any]:
        raise KeyError("nothing said")
