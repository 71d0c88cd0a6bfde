"""A strategy for the tests of the ways to stop: it keeps so many orders resting, far from the market."""

from __future__ import annotations

from bus.events import Intent, Trade
from bus.values import Action
from strategies.port import Strategy, View, Wishes


class Rungs(Strategy):
    def __init__(self, rungs: int = 20, held: float = 0.0) -> None:
        self._rungs = rungs
        self._held = held
        self._asked = 0

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        mid = view.mid(trade.instrument)
        if not mid > 0.0 or self._asked >= self._rungs:
            return None
        if self._asked == 0 and self._held:
            self._asked = 1
            return [Intent(trade.instrument, Action.BUY, size=self._held), self._rung(trade.instrument, mid)]
        self._asked += 1
        return self._rung(trade.instrument, mid)

    def _rung(self, instrument: str, mid: float) -> Intent:
        return Intent(instrument, Action.BUY, size=0.001, limit=mid * (0.99 - 0.001 * self._asked))
