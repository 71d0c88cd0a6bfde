"""``macd``: trend following by Appel's moving average convergence divergence.

Rationale: the line (a fast average less a slow one) is above its own average while a move gains speed (Appel, "The
Moving Average Convergence-Divergence Trading Method", 1979). Long while it is, by ``margin``; with ``trend_only`` only
where the line itself is above zero, so that the longer trend agrees.

Risk: late at turns, and in a range the lines cross again and again; ``margin`` trades some lateness for fewer
crossings.

Environment: SG_MACD_FAST, SG_MACD_SLOW, SG_MACD_SIGNAL, SG_MACD_MARGIN, SG_MACD_TREND_ONLY, SG_MACD_SHORT,
SG_MACD_EXPOSURE, SG_MACD_HORIZON_HOURS.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from strategies import indicators
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.port import BadParameter


class Lines(Track):
    __slots__ = ("macd",)

    def __init__(self, fast: int, slow: int, signal: int) -> None:
        super().__init__()
        self.macd = indicators.Macd(fast, slow, signal)

    def figures(self) -> dict[str, float]:
        return {"macd": self.macd.value, "signal": self.macd.signal, "histogram": self.macd.histogram}


class MacdTrend(BarStrategy[Lines]):
    """Parameters: ``fast``, ``slow``, ``signal`` (bars), ``margin`` (of the histogram, as a fraction of the price),
    ``trend_only``, ``short``, ``exposure`` (fraction of equity; without it the configured default size),
    ``horizon_hours``.
    """

    history = 150

    def __init__(
        self,
        fast: int = 12,
        slow: int = 26,
        signal: int = 9,
        margin: float = 0.0005,
        trend_only: bool = True,
        short: bool = False,
        exposure: float | None = None,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(exposure, short=short, horizon_hours=horizon_hours)
        if not 2 <= fast < slow or signal < 2 or not 0.0 <= margin < 1.0:
            raise BadParameter(
                f"2 <= fast < slow, signal at least 2 and margin a fraction, not {fast}, {slow}, {signal}, {margin}"
            )
        self._lengths = (fast, slow, signal)
        self._margin = margin
        self._trend_only = trend_only

    def begin(self) -> Lines:
        return Lines(*self._lengths)

    def judge(self, track: Lines, bar: Bar, state: RegimeState) -> Want | None:
        macd = track.macd
        line = macd.update(bar.close)
        apart = macd.histogram / bar.close
        level = track.level
        if apart > self._margin and level <= 0.0 and (line > 0.0 or not self._trend_only):
            return 1.0, self._confidence(apart), "macd_above_signal"
        if apart < -self._margin and level >= 0.0:
            if self._short and (line < 0.0 or not self._trend_only):
                return -1.0, self._confidence(-apart), "macd_below_signal"
            return 0.0, self._confidence(-apart), "macd_below_signal"
        if level < 0.0 and apart > self._margin:
            return 0.0, self._confidence(apart), "macd_above_signal"
        return None

    def _confidence(self, apart: float) -> float:
        """A half at the margin, all at a thousandth of the price beyond it."""
        return min(1.0, 0.5 + (apart - self._margin) * 500.0)


generate_intent = as_function(MacdTrend, "macd")
