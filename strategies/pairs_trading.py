"""``pairs_trading``: two markets that move together, bought and sold against each other when they have drifted apart.

Rationale: what is left of one logarithm of price after as much of the other as hedges it (the hedge ratio, by ordinary
least squares over the last ``window`` bars, or fixed) comes back to its mean where the two share a cause (Gatev,
Goetzmann and Rouwenhorst, "Pairs Trading: Performance of a Relative-Value Arbitrage Rule", 2006; Engle and Granger,
1987). Beyond ``threshold`` standard deviations the dear one is sold and the cheap one bought, both as one wish; within
``leave`` both are closed; beyond ``stop`` it gives up.

Risk: the cause they shared goes away and the spread never comes back. A leg alone is a naked position: where one is
refused or fails, ``strategies/legs.py`` closes the other, and an exit that did not come through is asked for again at
every bar. Needs markets that can be held short.

Environment: SG_PAIRS_TRADING_FIRST, …_SECOND, …_WINDOW, …_THRESHOLD, …_LEAVE, …_STOP, …_HEDGE_RATIO, …_EXPOSURE.
"""

from __future__ import annotations

import math
from typing import Any

from bus.events import Bar, Intent, OrderFilled, PairIntent
from bus.values import Action
from strategies.indicators import Moments, Regression
from strategies.legs import Holdings
from strategies.port import BadParameter, Strategy, View, Wishes

_ENTER = {1: Action.ENTER_LONG, -1: Action.ENTER_SHORT}
_EXIT = {1: Action.EXIT_LONG, -1: Action.EXIT_SHORT}

_Close = tuple[float, int, int]
"""Of a bar: its close, its end and its interval."""


class PairsTrading(Strategy):
    """Parameters: ``first`` and ``second`` (instruments; without them the first two heard), ``window`` (bars),
    ``threshold``, ``leave`` and ``stop`` (standard deviations of the spread), ``hedge_ratio`` (of the logarithms: how
    much of the second hedges one of the first; without it by regression), ``exposure`` (fraction of equity of the first
    leg; the second has hedge ratio times it, at least a tenth and at most twice of it).
    """

    history = 120

    def __init__(
        self,
        first: str = "",
        second: str = "",
        window: int = 96,
        threshold: float = 2.0,
        leave: float = 0.5,
        stop: float = 4.0,
        hedge_ratio: float | None = None,
        exposure: float = 0.04,
    ) -> None:
        if window < 3 or not 0.0 <= leave < threshold < stop:
            raise BadParameter(
                f"window is at least 3 and 0 <= leave < threshold < stop, not {window}, {leave}, {threshold}, {stop}"
            )
        if not 0.0 < exposure <= 1.0 or (hedge_ratio is not None and not 0.0 < hedge_ratio < 100.0):
            raise BadParameter(f"exposure is a fraction and hedge_ratio positive, not {exposure} and {hedge_ratio}")
        if bool(first) != bool(second) or (first and first == second):
            raise BadParameter("name both instruments, two different ones, or neither")
        self._names = [first, second] if first else []
        self._threshold = threshold
        self._leave = leave
        self._stop = stop
        self._fixed = hedge_ratio
        self._exposure = exposure
        self._regression = Regression(window)
        self._spread = Moments(window)
        self._latest: dict[str, _Close] = {}
        self._side = 0  # of the first leg
        self._held = Holdings()
        self._given_up = False

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        names = self._names
        if bar.instrument not in names:
            if len(names) == 2:
                return None
            names.append(bar.instrument)
        self._latest[bar.instrument] = (bar.close, bar.end_ns, bar.interval_ns)
        first, second = (self._latest.get(name) for name in (names if len(names) == 2 else ("", "")))
        if first is None or second is None or first[1:] != second[1:]:
            return None  # the other one of this moment is still to come, or has no bar there
        return self._decide(*self._measure(math.log(first[0]), math.log(second[0])), view)

    def _measure(self, first: float, second: float) -> tuple[float, float]:
        """The hedge ratio, and how many deviations the first is dear by."""
        if self._fixed is None:
            ratio = self._regression.update(second, first)
            return ratio, self._regression.score
        spread = first - self._fixed * second
        mean = self._spread.update(spread)
        deviation = self._spread.deviation
        return self._fixed, (spread - mean) / deviation if deviation > 0.0 else math.nan

    def _decide(self, ratio: float, dear: float, view: View) -> Wishes:
        if self._side and not self._held and not view.open_orders():
            self._side = 0  # the entry came to nothing, or the pair was broken and taken back
            self._given_up = True
        if self._side:
            if abs(dear) >= self._stop:
                self._given_up = True
                return self._leave_both(ratio, dear, "spread_stop")
            return self._leave_both(ratio, dear, "spread_back") if -self._side * dear <= self._leave else None
        if self._held:  # an exit did not come through
            return None if view.open_orders() else self._leave_both(ratio, dear, "what_is_left")
        if self._given_up:
            self._given_up = not abs(dear) <= self._leave
            return None
        if not (self._threshold < abs(dear) < self._stop and ratio > 0.0):
            return None
        self._side = side = -1 if dear > 0.0 else 1
        hedge = self._exposure * min(2.0, max(0.1, ratio))
        reason = "first_is_dear" if side < 0 else "first_is_cheap"
        legs = ((self._names[0], side, self._exposure), (self._names[1], -side, hedge))
        meta = {"z": dear, "hedge_ratio": ratio}
        wish = [
            Intent(name, _ENTER[way], exposure=share, confidence=self._confidence(dear), reason=reason, meta=meta)
            for name, way, share in legs
        ]
        return PairIntent(*wish)

    def _leave_both(self, ratio: float, dear: float, reason: str) -> Wishes:
        self._side = 0
        meta = {"z": None if math.isnan(dear) else dear, "hedge_ratio": None if math.isnan(ratio) else ratio}
        legs = [
            Intent(name, _EXIT[1 if held > 0 else -1], exposure=0.0, reduce_only=True, reason=reason, meta=meta)
            for name in dict.fromkeys([*self._names, *self._held.names()])
            if (held := self._held.of(name))
        ]
        return PairIntent(*legs) if len(legs) == 2 else legs

    def _confidence(self, dear: float) -> float:
        return min(1.0, 0.5 * abs(dear) / self._threshold)

    def on_fill(self, fill: OrderFilled, view: View) -> Wishes:
        self._held.note(fill, view)
        return None

    def state(self) -> dict[str, Any]:
        return {
            "names": list(self._names),
            "latest": dict(self._latest),
            "hedge_ratio": self._fixed,
            "regression": self._regression.state(),
            "spread": self._spread.state(),
            "side": self._side,
            "held": self._held.state(),
            "given_up": self._given_up,
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._held.restore(state["held"])
        if self._names and self._names != state["names"]:
            return  # another pair: what is left of the one before is closed, and its past says nothing of this one
        self._names = list(state["names"])
        self._latest = {name: (close, *bar) for name, (close, *bar) in state.get("latest", {}).items()}
        self._regression.restore(state["regression"])
        if self._fixed == state.get("hedge_ratio", self._fixed):
            self._spread.restore(state["spread"])
        self._side = state["side"]
        self._given_up = state["given_up"]
