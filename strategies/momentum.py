"""``momentum``: long while the mean of the last ``fast`` closes is above that of the last ``slow``.

Rationale: returns of the recent past go on for a while (Jegadeesh and Titman, 1993; for time series Moskowitz, Ooi and
Pedersen, 2012), and two plain means are the least that can be asked of a trend (Brock, Lakonishok and LeBaron, "Simple
Technical Trading Rules and the Stochastic Properties of Stock Returns", 1992). ``band`` keeps them apart by a fraction
of the price before anything is done.

Risk: late at every turn, and in a range a loss a turn.

Environment: SG_MOMENTUM_FAST, …_SLOW, …_BAND, …_SHORT, …_EXPOSURE, …_HORIZON_HOURS.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.indicators import Sma
from strategies.port import BadParameter


class Means(Track):
    __slots__ = ("fast", "slow")

    def __init__(self, fast: int, slow: int) -> None:
        super().__init__()
        self.fast = Sma(fast)
        self.slow = Sma(slow)


class Momentum(BarStrategy[Means]):
    """Parameters: ``fast`` and ``slow`` (bars), ``band`` (fraction of the price), ``short``, ``exposure`` (fraction of
    equity; without it the configured default size), ``horizon_hours``.
    """

    history = 200

    def __init__(
        self,
        fast: int = 20,
        slow: int = 50,
        band: float = 0.0,
        short: bool = False,
        exposure: float | None = None,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(exposure, short=short, horizon_hours=horizon_hours)
        if not 1 <= fast < slow or not 0.0 <= band < 1.0:
            raise BadParameter(f"1 <= fast < slow and band a fraction, not {fast}, {slow} and {band}")
        self._lengths = (fast, slow)
        self._band = band

    def begin(self) -> Means:
        return Means(*self._lengths)

    def judge(self, track: Means, bar: Bar, state: RegimeState) -> Want | None:
        apart = track.fast.update(bar.close) / track.slow.update(bar.close) - 1.0
        if apart > self._band:
            return 1.0, min(1.0, 0.5 + 50.0 * apart), "fast_above_slow"
        if apart < -self._band:
            return -1.0, min(1.0, 0.5 - 50.0 * apart), "fast_below_slow"
        return None


generate_intent = as_function(Momentum, "momentum")
