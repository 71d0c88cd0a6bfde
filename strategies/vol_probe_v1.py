"""``vol_probe_v1``: a quiet market that breaks out.

Rationale: volatility clusters and comes back to its mean, so a dead market does not stay dead, and the way it wakes up
is often the way it goes on (Crabel, "Day Trading with Short Term Price Patterns and Opening Range Breakout", 1990; the
"squeeze" of Bollinger, 2001). While the regime is VOL_COMPRESSION, or was within ``memory`` bars, a close above the
highest high of the bars before it is bought.

Risk: false breakouts, which are most of them; the way out is a close below the lowest low of the last ``exit_len``
bars, a panic, or the horizon, and the position is small.

Environment: SG_VOL_PROBE_V1_LENGTH, …_EXIT_LEN, …_MEMORY, …_EXPOSURE, …_HORIZON_HOURS; and the regime's own REGIME_*.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from bus.values import RegimeLabel
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.indicators import Highest, Lowest
from strategies.port import BadParameter

_QUIET, _PANIC = RegimeLabel.VOL_COMPRESSION, RegimeLabel.PANIC


class Range(Track):
    """``quiet`` counts down the bars for which a compression is remembered."""

    __slots__ = ("high", "low", "quiet")

    def __init__(self, length: int, exit_len: int) -> None:
        super().__init__()
        self.high = Highest(length)
        self.low = Lowest(exit_len)
        self.quiet = 0


class VolProbeV1(BarStrategy[Range]):
    """Parameters: ``length`` (bars of the range that is broken), ``exit_len`` (bars of the low that ends it),
    ``memory`` (bars a compression is remembered), ``exposure`` (fraction of equity), ``horizon_hours`` (0: none).
    """

    needs_regime = True
    history = 120

    def __init__(
        self,
        length: int = 20,
        exit_len: int = 10,
        memory: int = 6,
        exposure: float = 0.02,
        horizon_hours: int = 48,
    ) -> None:
        super().__init__(exposure, horizon_hours=horizon_hours)
        if min(length, exit_len) < 2 or memory < 0:
            raise BadParameter(
                f"length and exit_len are at least 2 and memory 0, not {length}, {exit_len} and {memory}"
            )
        self._length = length
        self._exit_len = exit_len
        self._memory = memory

    def begin(self) -> Range:
        return Range(self._length, self._exit_len)

    def judge(self, track: Range, bar: Bar, state: RegimeState) -> Want | None:
        ceiling, floor = track.high.value, track.low.value  # of the bars before this one
        track.high.update(bar.high)
        track.low.update(bar.low)
        if state.label is _QUIET:
            track.quiet = self._memory + 1
        elif track.quiet:
            track.quiet -= 1
        if track.level:
            if state.label is _PANIC:
                return 0.0, state.confidence, "regime_panic"
            if bar.close < floor:
                return 0.0, 1.0, "close_below_range"
        elif track.quiet and bar.close > ceiling:
            return 1.0, max(0.5, state.confidence), "compression_breakout"
        return None


generate_intent = as_function(VolProbeV1, "vol_probe_v1")
