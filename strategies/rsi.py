"""``rsi``: momentum by Wilder's relative strength.

Rationale: the index (Wilder, "New Concepts in Technical Trading Systems", 1978) is the rises' share of all moves. Above
the middle buyers have the upper hand, and moves of markets go on more often than chance (Jegadeesh and Titman, 1993):
long above ``enter``, out below ``leave``; the space between the two keeps it from trading on every tick of the index.
With ``short``, the mirror image below 100 - ``enter``.

Risk: in a range it buys the top of each swing and sells the bottom. It does not know volatility.

Environment: SG_RSI_LENGTH, SG_RSI_ENTER, SG_RSI_LEAVE, SG_RSI_SHORT, SG_RSI_EXPOSURE, SG_RSI_HORIZON_HOURS.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from strategies import indicators
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.port import BadParameter


class Strength(Track):
    __slots__ = ("rsi",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self.rsi = indicators.Rsi(length)


class RsiMomentum(BarStrategy[Strength]):
    """Parameters: ``length`` (bars), ``enter`` and ``leave`` (of the index, 0 to 100), ``short``, ``exposure``
    (fraction of equity; without it the configured default size), ``horizon_hours``.
    """

    history = 100

    def __init__(
        self,
        length: int = 14,
        enter: float = 60.0,
        leave: float = 45.0,
        short: bool = False,
        exposure: float | None = None,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(exposure, short=short, horizon_hours=horizon_hours)
        if length < 2 or not 0.0 < leave < enter < 100.0 or enter <= 50.0:
            raise BadParameter(
                f"length is at least 2, 0 < leave < enter < 100 and enter above 50, not {length}, {leave}, {enter}"
            )
        self._length = length
        self._enter = enter
        self._leave = leave

    def begin(self) -> Strength:
        return Strength(self._length)

    def judge(self, track: Strength, bar: Bar, state: RegimeState) -> Want | None:
        value = track.rsi.update(bar.close)
        level = track.level
        if value > self._enter and level <= 0.0:
            return 1.0, value / 100.0, "rsi_above_enter"
        if value < 100.0 - self._enter and level >= 0.0:
            return -1.0, 1.0 - value / 100.0, "rsi_below_enter_short"
        if level > 0.0 and value < self._leave:
            return 0.0, 1.0 - value / 100.0, "rsi_below_leave"
        if level < 0.0 and value > 100.0 - self._leave:
            return 0.0, value / 100.0, "rsi_above_leave_short"
        return None


generate_intent = as_function(RsiMomentum, "rsi")
