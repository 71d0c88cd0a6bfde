"""``bollinger``: back to the mean from outside Bollinger's bands.

Rationale: the bands lie ``deviations`` standard deviations around a mean of ``length`` bars (Bollinger, "Bollinger on
Bollinger Bands", 2001). In a market without a trend a close outside is far from where the price has been and tends to
come back: bought below the lower band, sold at the mean; with ``short`` the mirror image.

Risk: in a trend the price walks along the band and the position loses all the way, which is why ``stop`` (in deviations
below the mean) gives up. Many small gains, rare large losses.

Environment: SG_BOLLINGER_LENGTH, …_DEVIATIONS, …_STOP, …_SHORT, …_EXPOSURE, …_HORIZON_HOURS.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.indicators import Moments
from strategies.port import BadParameter


class Bands(Track):
    __slots__ = ("mean",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self.mean = Moments(length)

    def away(self, price: float) -> float | None:
        """How many deviations ``price``, now among them, is from the mean; None where nothing deviates."""
        mean, deviation = self.mean.update(price), self.mean.deviation
        return (price - mean) / deviation if deviation > 0.0 else None

    def figures(self) -> dict[str, float]:
        return {"mean": self.mean.value, "deviation": self.mean.deviation}


class BollingerReversion(BarStrategy[Bands]):
    """Parameters: ``length`` (bars), ``deviations`` (of the bands), ``stop`` (deviations from the mean at which it
    gives up), ``short``, ``exposure`` (fraction of equity; without it the configured default size), ``horizon_hours``.
    """

    history = 60

    def __init__(
        self,
        length: int = 20,
        deviations: float = 2.0,
        stop: float = 4.0,
        short: bool = False,
        exposure: float | None = None,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(exposure, short=short, horizon_hours=horizon_hours)
        if length < 2 or not 0.0 < deviations < stop:
            raise BadParameter(f"length is at least 2 and 0 < deviations < stop, not {length}, {deviations}, {stop}")
        self._length = length
        self._deviations = deviations
        self._stop = stop

    def begin(self) -> Bands:
        return Bands(self._length)

    def judge(self, track: Bands, bar: Bar, state: RegimeState) -> Want | None:
        away = track.away(bar.close)
        return None if away is None else revert(track.level, away, self._deviations, self._stop, 0.0, "band")


def revert(level: float, away: float, enter: float, stop: float, leave: float, name: str) -> Want | None:
    """Against a price that is ``away`` from its mean: in beyond ``enter``, out within ``leave`` or beyond ``stop``."""
    if level > 0.0:
        if away >= -leave:
            return 0.0, 1.0, f"{name}_back_at_mean"
        return (0.0, 1.0, f"{name}_stop") if away < -stop else None
    if level < 0.0:
        if away <= leave:
            return 0.0, 1.0, f"{name}_back_at_mean"
        return (0.0, 1.0, f"{name}_stop") if away > stop else None
    if -stop <= away < -enter:
        return 1.0, min(1.0, 0.5 * -away / enter), f"{name}_below_lower"
    if enter < away <= stop:
        return -1.0, min(1.0, 0.5 * away / enter), f"{name}_above_upper"
    return None


generate_intent = as_function(BollingerReversion, "bollinger")
