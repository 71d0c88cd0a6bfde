"""``regime_trend_v1``: in a rising market that goes somewhere, hold; out when the market says otherwise.

Rationale: trends persist longer than chance (time-series momentum: Moskowitz, Ooi and Pedersen, "Time Series Momentum",
2012), but a crossing of averages alone buys every wiggle. So the regime must be TREND_UP, and Wilder's ADX ("New
Concepts in Technical Trading Systems", 1978), which measures how one-sided the way was, must be above a gate.

Risk: late in and late out; a sharp reversal costs several average true ranges before the regime turns. In a range that
keeps breaking out falsely it pays the spread and the fees again and again. A panic takes it out, whatever the ADX.

Environment (when called by hand, or for a strategy of the command line): SG_REGIME_TREND_V1_ADX_LEN, …_ADX_MIN,
…_EXPOSURE, …_HORIZON_HOURS; and the regime's own REGIME_*.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from bus.values import RegimeLabel
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.indicators import Adx
from strategies.port import BadParameter

_UP, _DOWN, _PANIC = RegimeLabel.TREND_UP, RegimeLabel.TREND_DOWN, RegimeLabel.PANIC


class Trend(Track):
    __slots__ = ("adx",)

    def __init__(self, length: int) -> None:
        super().__init__()
        self.adx = Adx(length)


class RegimeTrendV1(BarStrategy[Trend]):
    """Parameters: ``adx_len`` (bars), ``adx_min`` (0 to 100, the gate), ``exposure`` (fraction of equity),
    ``horizon_hours`` (0: none).
    """

    needs_regime = True
    history = 120

    def __init__(
        self, adx_len: int = 14, adx_min: float = 20.0, exposure: float = 0.05, horizon_hours: int = 0
    ) -> None:
        super().__init__(exposure, horizon_hours=horizon_hours)
        if adx_len < 2 or not 0.0 <= adx_min < 100.0:
            raise BadParameter(f"adx_len is at least 2 and adx_min within 0 and 100, not {adx_len} and {adx_min}")
        self._adx_len = adx_len
        self._adx_min = adx_min

    def begin(self) -> Trend:
        return Trend(self._adx_len)

    def judge(self, track: Trend, bar: Bar, state: RegimeState) -> Want | None:
        adx = track.adx.update(bar.high, bar.low, bar.close)
        label = state.label
        if track.level:
            if label is _DOWN or label is _PANIC:
                return 0.0, state.confidence, f"regime_{label.value.lower()}"
        elif label is _UP and adx >= self._adx_min:
            return 1.0, (state.confidence + min(1.0, adx / 50.0)) / 2.0, "trend_up_and_adx_above_gate"
        return None


generate_intent = as_function(RegimeTrendV1, "regime_trend_v1")
