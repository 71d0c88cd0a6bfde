"""``mean_reversion``: bought when far below the mean of the last bars, sold when near it again.

Rationale: over short spans prices overreact and come back (De Bondt and Thaler, 1985; Lehmann, "Fads, Martingales, and
Market Efficiency", 1990). How far is counted in standard deviations of the window (the z-score), so the rule is the
same in quiet and in wild markets.

Risk: what looks far may be the beginning of a move; ``stop`` gives up. Many small gains, rare large losses, and the
losses come together when a market starts to trend.

Environment: SG_MEAN_REVERSION_WINDOW, …_THRESHOLD, …_LEAVE, …_STOP, …_SHORT, …_EXPOSURE, …_HORIZON_HOURS.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from strategies.barwise import BarStrategy, Want, as_function
from strategies.bollinger import Bands, revert
from strategies.port import BadParameter


class MeanReversion(BarStrategy[Bands]):
    """Parameters: ``window`` (bars), ``threshold`` (deviations from the mean to enter at), ``leave`` (to be out
    within), ``stop`` (to give up at), ``short``, ``exposure`` (fraction of equity; without it the configured default
    size), ``horizon_hours``.
    """

    history = 100

    def __init__(
        self,
        window: int = 50,
        threshold: float = 2.0,
        leave: float = 0.5,
        stop: float = 4.0,
        short: bool = False,
        exposure: float | None = None,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(exposure, short=short, horizon_hours=horizon_hours)
        if window < 2 or not 0.0 <= leave < threshold < stop:
            raise BadParameter(
                f"window is at least 2 and 0 <= leave < threshold < stop, not {window}, {leave}, {threshold}, {stop}"
            )
        self._window = window
        self._threshold = threshold
        self._leave = leave
        self._stop = stop

    def begin(self) -> Bands:
        return Bands(self._window)

    def judge(self, track: Bands, bar: Bar, state: RegimeState) -> Want | None:
        z = track.away(bar.close)
        return None if z is None else revert(track.level, z, self._threshold, self._stop, self._leave, "z")


generate_intent = as_function(MeanReversion, "mean_reversion")
