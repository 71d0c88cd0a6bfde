"""A strategy for the tests of stopping: as many orders as it is told to, far from the market."""

from __future__ import annotations

from bus.events import Intent, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes


class Twenty(Strategy):
    def __init__(self, orders: int = 20) -> None:
        self._orders = orders

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        mid = view.mid(trade.instrument)
        there = len(view.open_orders())
        if there >= self._orders or not mid > 0.0:
            return None
        return Intent(trade.instrument, Action.BUY, size=0.001, limit=mid * (0.99 - there / 10_000))
