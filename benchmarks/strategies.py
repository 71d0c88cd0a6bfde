"""The peers' workloads as strategies of ours: the same arithmetic, the same orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import Any, ClassVar

from bus.clock import WallClock
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
    """A passive buy at every ``nth`` trade; halfway to the next, that of ten before, which the venue has by then, is
    cancelled. 0 hears the trades and does nothing.
    """

    def __init__(self, nth: int) -> None:
        self.nth = nth
        self._heard = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        if not self.nth:
            return None
        self._heard += 1
        sent, at = divmod(self._heard, self.nth)
        if not at:
            return Intent(trade.instrument, Action.BUY, size=SIZE, limit=round(trade.price - 100.0, 2))
        if at == self.nth // 2 and sent > 10:
            return CancelIntent(f"{view.strategy}-{sent - 10}")
        return None


class Ears(Strategy):
    """Notes how long after the door took it each trade is heard, in microseconds, while somebody wants to know."""

    _clock: ClassVar[WallClock | None] = None
    _hops: ClassVar[list[float]] = []

    @classmethod
    @contextmanager
    def listening(cls, clock: WallClock) -> Iterator[list[float]]:
        """By the door's own clock."""
        cls._clock, cls._hops = clock, []
        try:
            yield cls._hops
        finally:
            cls._clock = None

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        if self._clock is not None:
            self._hops.append((self._clock.read() - trade.local_ns) / 1_000)
        return None


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
