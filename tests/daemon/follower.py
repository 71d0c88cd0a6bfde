"""A strategy for the tests of restarts: it follows its orders, and takes each back once the venue has it."""

from __future__ import annotations

from bus.events import CancelIntent, Intent, OrderAccepted, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes


class Follower(Strategy):
    """What it keeps in itself it tells nobody."""

    def __init__(self) -> None:
        self.heard = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        self.heard += 1
        if view.open_orders(trade.instrument) or not (mid := view.mid(trade.instrument)) > 0.0:
            return None
        return Intent(trade.instrument, Action.BUY, size=0.001, limit=mid * 0.99, reason="far away")

    def on_order(self, event: object, view: View) -> Wishes:
        return CancelIntent(view.last_intent_id, "the venue has it") if isinstance(event, OrderAccepted) else None
