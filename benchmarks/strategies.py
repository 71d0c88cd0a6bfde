"""The peers' workloads as strategies of ours: the same arithmetic, the same orders."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bus.events import CancelIntent, Intent, ReplaceIntent, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes

SIZE = Decimal("0.01")


class Count(Strategy):
    """W1: counts the trades and keeps two averages of their price; trades nothing."""

    def __init__(self) -> None:
        self.heard = 0
        self.fast = self.slow = 0.0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        self.heard += 1
        price = trade.price
        if self.heard == 1:
            self.fast = self.slow = price
        self.fast += 2.0 / 51 * (price - self.fast)
        self.slow += 2.0 / 201 * (price - self.slow)
        return None


class Churn(Strategy):
    """W5: a passive buy 100 below the last price, cancelled by the next trade, and so on."""

    def __init__(self) -> None:
        self.live = ""
        self.sent = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        if self.live:
            cancel, self.live = CancelIntent(self.live), ""
            return cancel
        self.sent += 1
        self.live = f"{view.strategy}-{self.sent}"
        return Intent(trade.instrument, Action.BUY, size=SIZE, limit=round(trade.price - 100.0, 2))


class EveryNth(Strategy):
    """A passive buy at every ``nth`` trade, the one before it cancelled; 0 hears the trades and does nothing."""

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self._heard = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        self._heard += 1
        if not self.nth or self._heard % self.nth:
            return None
        buy = Intent(trade.instrument, Action.BUY, size=SIZE, limit=round(trade.price - 100.0, 2))
        return [CancelIntent(view.last_intent_id), buy] if view.last_intent_id else buy


class Modify(Strategy):
    """W5-modify: one passive buy, moved to 100 below the last price by every trade."""

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        limit = round(trade.price - 100.0, 2)
        if view.last_intent_id:
            return ReplaceIntent(view.last_intent_id, limit)
        return Intent(trade.instrument, Action.BUY, size=SIZE, limit=limit)


def generate_intent(df: Any, ctx: Mapping[str, Any], *, closed_only: bool = True) -> dict[str, Any]:
    """A functional strategy: long while the last close is above the mean of the last fifty."""
    above = len(df) >= 50 and df["close"].iloc[-1] > df["close"].iloc[-50:].mean()
    return {"action": "ENTER_LONG" if above else "EXIT_LONG", "confidence": 0.6, "reason": "close against its mean"}
