"""``buy_and_hold``: buys once, at the first price it hears, and keeps it. The yardstick for everything else."""

from __future__ import annotations

from bus.events import Bar, Intent, Trade
from bus.values import Action
from strategies.port import BadParameter, Strategy, View, Wishes


class BuyAndHold(Strategy):
    """Parameters: ``exposure``, the fraction of equity to hold per instrument (0 to 1, default 0.95)."""

    def __init__(self, exposure: float = 0.95) -> None:
        if not 0.0 < exposure <= 1.0:
            raise BadParameter(f"exposure is a fraction of equity above 0 and at most 1, not {exposure}")
        self._exposure = exposure
        self._bought: set[str] = set()

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        return self._buy_once(trade.instrument)

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return self._buy_once(bar.instrument)

    def _buy_once(self, instrument: str) -> Wishes:
        if instrument in self._bought:
            return None
        self._bought.add(instrument)
        return Intent(instrument, Action.ENTER_LONG, exposure=self._exposure, reason="first price heard")

    def state(self) -> dict[str, object]:
        return {"bought": sorted(self._bought)}

    def restore(self, state: dict[str, list[str]]) -> None:
        self._bought = set(state["bought"])
