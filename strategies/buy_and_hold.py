"""``buy_and_hold``: buys once, as soon as there is a market, and keeps it. The yardstick for everything else."""

from __future__ import annotations

from bus.events import Bar, Intent, Trade
from bus.values import Action
from strategies.port import BadParameter, Strategy, View, Wishes


class BuyAndHold(Strategy):
    """Parameters: ``exposure``, the fraction of equity to hold per instrument (above 0, at most 1); when absent the
    configured default size.
    """

    def __init__(self, exposure: float | None = None) -> None:
        if exposure is not None and not 0.0 < exposure <= 1.0:
            raise BadParameter(f"exposure is a fraction of equity above 0 and at most 1, not {exposure}")
        self._exposure = exposure
        self._bought: set[str] = set()

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        return self._buy_once(trade.instrument, view)

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return self._buy_once(bar.instrument, view)

    def _buy_once(self, instrument: str, view: View) -> Wishes:
        if instrument in self._bought or not view.mid(instrument) > 0.0:
            return None
        self._bought.add(instrument)
        return Intent(instrument, Action.ENTER_LONG, exposure=self._exposure, reason="there is a market")

    def state(self) -> dict[str, object]:
        return {"bought": sorted(self._bought)}

    def restore(self, state: dict[str, list[str]]) -> None:
        self._bought = set(state["bought"])
