"""``multivariate``: RSI, MACD and two averages as one confidence from 0 to 1.

Rationale: three views of momentum that err at different times; a weighted mean of them errs less than each (Clemen,
"Combining Forecasts", 1989). Each view is first brought to 0 (down) … 0.5 (nothing) … 1 (up): the RSI as it is, the
MACD's histogram and the distance of the averages through a curve that saturates. Long above ``enter``, out below
``leave``.

Risk: the three are relatives and agree in the same wrong moments; the mean hides that one of them shouts.

Environment: SG_MULTIVARIATE_RSI_WEIGHT, …_MACD_WEIGHT, …_EMA_WEIGHT, …_ENTER, …_LEAVE, …_SHORT, …_EXPOSURE,
…_HORIZON_HOURS.
"""

from __future__ import annotations

import math

from bus.events import Bar, RegimeState
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.indicators import Ema, Macd, Rsi
from strategies.port import BadParameter


class Views(Track):
    """``score`` is the confidence as of the last bar."""

    __slots__ = ("fast", "macd", "rsi", "score", "slow")

    def __init__(self) -> None:
        super().__init__()
        self.rsi = Rsi(14)
        self.macd = Macd(12, 26, 9)
        self.fast = Ema(20)
        self.slow = Ema(50)
        self.score = 0.5

    def figures(self) -> dict[str, float]:
        return {**super().figures(), "score": self.score}


class Multivariate(BarStrategy[Views]):
    """Parameters: ``rsi_weight``, ``macd_weight``, ``ema_weight`` (not negative, not all zero), ``enter`` and ``leave``
    (of the confidence), ``short``, ``exposure`` (fraction of equity; without it the configured default size),
    ``horizon_hours``.
    """

    history = 150

    def __init__(
        self,
        rsi_weight: float = 0.4,
        macd_weight: float = 0.3,
        ema_weight: float = 0.3,
        enter: float = 0.65,
        leave: float = 0.45,
        short: bool = False,
        exposure: float | None = None,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(exposure, short=short, horizon_hours=horizon_hours)
        total = rsi_weight + macd_weight + ema_weight
        if min(rsi_weight, macd_weight, ema_weight) < 0.0 or not 0.0 < total < math.inf:
            raise BadParameter(
                f"weights are not negative and not all zero, not {rsi_weight}, {macd_weight}, {ema_weight}"
            )
        if not 0.0 < leave < enter < 1.0 or enter <= 0.5:
            raise BadParameter(f"0 < leave < enter < 1 and enter above 0.5, not {leave} and {enter}")
        self._rsi_weight = rsi_weight / total
        self._macd_weight = macd_weight / total
        self._ema_weight = ema_weight / total
        self._enter = enter
        self._leave = leave

    def begin(self) -> Views:
        return Views()

    def judge(self, track: Views, bar: Bar, state: RegimeState) -> Want | None:
        price = bar.close
        rsi = track.rsi.update(price)
        track.macd.update(price)
        fast, slow = track.fast.update(price), track.slow.update(price)
        track.score = score = (
            self._rsi_weight * rsi / 100.0
            + self._macd_weight * _squashed(track.macd.histogram / price, 0.002)
            + self._ema_weight * _squashed(fast / slow - 1.0, 0.01)
        )
        level = track.level
        if score > self._enter and level <= 0.0:
            return 1.0, score, "score_above_enter"
        if score < 1.0 - self._enter and level >= 0.0:
            return -1.0, 1.0 - score, "score_below_enter_short"
        if level > 0.0 and score < self._leave:
            return 0.0, 1.0 - score, "score_below_leave"
        if level < 0.0 and score > 1.0 - self._leave:
            return 0.0, score, "score_above_leave_short"
        return None


def _squashed(value: float, scale: float) -> float:
    """A half where it is nothing, towards 0 and 1 as it passes ``scale``."""
    return 0.5 + 0.5 * math.tanh(value / scale)


generate_intent = as_function(Multivariate, "multivariate")
