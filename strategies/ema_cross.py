"""``ema_cross``: long while the fast average is above the slow one, flat otherwise.

The oldest trend follower there is (Appel's and Gerald's crossover systems of the 1970s): it buys strength late,
gives some back at every turn, and bleeds fees in a market that goes nowhere. It is here to exercise the house, not
to make money.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from bus.events import Bar, Intent, Trade
from bus.values import Action
from strategies.port import BadParameter, Strategy, View, Wishes

_ENTER, _EXIT = Action.ENTER_LONG, Action.EXIT_LONG


class _Averages:
    """Both averages of one instrument, seeded with the first price: ema += 2 / (n + 1) * (price - ema). ``long`` is
    None until as many prices were ``heard`` as the slow one is long.
    """

    __slots__ = ("fast", "heard", "long", "slow")

    def __init__(self, price: float) -> None:
        self.fast = self.slow = price
        self.heard = 0
        self.long: bool | None = None


class EmaCross(Strategy):
    """Parameters: ``fast`` and ``slow``, the averages' lengths in bars (or trades without an interval); ``size`` in
    base units, when absent the configured default. Acts from the ``slow``-th price on.
    """

    bars_replace_trades = True

    def __init__(self, fast: int = 50, slow: int = 200, size: Decimal | None = None) -> None:
        if not 1 <= fast < slow:
            raise BadParameter(f"fast must be at least 1 and below slow, not fast={fast}, slow={slow}")
        if size is not None and not (size.is_finite() and size > 0):
            raise BadParameter(f"size must be positive, not {size}")
        self._fast_weight = 2.0 / (fast + 1)
        self._slow_weight = 2.0 / (slow + 1)
        self._warm = slow
        self._size = size
        self._averages: dict[str, _Averages] = {}

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        averages, price = self._averages.get(trade.instrument), trade.price
        if averages is None:
            averages = self._averages[trade.instrument] = _Averages(price)
        fast, slow, long = averages.fast, averages.slow, averages.long
        averages.fast = fast = fast + self._fast_weight * (price - fast)
        averages.slow = slow = slow + self._slow_weight * (price - slow)
        if long if fast > slow else long is False:  # they stand as they stood
            return None
        return self._cross(trade.instrument, averages)

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        averages, price = self._averages.get(bar.instrument), bar.close
        if averages is None:
            averages = self._averages[bar.instrument] = _Averages(price)
        fast, slow, long = averages.fast, averages.slow, averages.long
        averages.fast = fast = fast + self._fast_weight * (price - fast)
        averages.slow = slow = slow + self._slow_weight * (price - slow)
        if long if fast > slow else long is False:  # they stand as they stood
            return None
        return self._cross(bar.instrument, averages)

    def _cross(self, instrument: str, averages: _Averages) -> Wishes:
        """The averages changed places, or are still too young to say."""
        above = averages.fast > averages.slow
        if averages.long is None:
            averages.heard += 1
            if averages.heard < self._warm:
                return None
            averages.long = False
            if not above:
                return None
        averages.long = above
        if above:
            return Intent(instrument, _ENTER, size=self._size, reason="fast above slow")
        return Intent(instrument, _EXIT, size=self._size, reason="fast below slow")

    def state(self) -> dict[str, Any]:
        return {name: [a.fast, a.slow, a.heard, a.long] for name, a in self._averages.items()}

    def restore(self, state: dict[str, Any]) -> None:
        for name, (fast, slow, heard, long) in state.items():
            averages = self._averages[name] = _Averages(fast)
            averages.slow, averages.heard, averages.long = slow, heard, long if heard >= self._warm else None
