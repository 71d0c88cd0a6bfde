"""``core_exposure_v1``: a long-term holding whose size follows the regime and shrinks as the market gets wilder.

Rationale: the reward for holding does not grow with volatility in the short run, so holding less when the market is
wild keeps the risk even and has paid (Moreira and Muir, "Volatility-Managed Portfolios", 2017). Each regime has a share
of the full holding; the average true range picks a bucket that scales it: ``calm`` whole, ``moderate`` 0.6, ``high``
0.3.

Risk: it is long nearly always and loses with the market; it sells into falls and buys back later and higher after short
shocks. Changing size costs fees, so a change must have been asked for by ``confirm`` bars in a row; only leaving
altogether (TREND_DOWN, PANIC) is at once.

Environment: SG_CORE_EXPOSURE_V1_VOL_TARGET, …_CONFIRM, …_EXPOSURE, …_HORIZON_HOURS; and the regime's own REGIME_*.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from bus.values import RegimeLabel
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.port import BadParameter

SHARES = {
    RegimeLabel.TREND_UP: 1.0,
    RegimeLabel.VOL_COMPRESSION: 0.6,
    RegimeLabel.CHOP: 0.4,
    RegimeLabel.VOL_EXPANSION: 0.4,
    RegimeLabel.TREND_DOWN: 0.0,
    RegimeLabel.PANIC: 0.0,
}
"""Of the full holding, by regime."""
_BUCKETS = ((1.0, 1.0, "calm"), (2.0, 0.6, "moderate"))
_HIGH = (0.3, "high")


class Core(Track):
    """``asked`` is the level that the last ``times`` bars in a row asked for."""

    __slots__ = ("asked", "times")

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0.0
        self.times = 0


class CoreExposureV1(BarStrategy[Core]):
    """Parameters: ``vol_target`` (average true range as a fraction of the price up to which a market is calm; to twice
    of it moderate), ``confirm`` (bars), ``exposure`` (fraction of equity of the full holding), ``horizon_hours``.
    """

    needs_regime = True
    history = 120

    def __init__(
        self, vol_target: float = 0.008, confirm: int = 6, exposure: float = 0.08, horizon_hours: int = 0
    ) -> None:
        super().__init__(exposure, horizon_hours=horizon_hours)
        if not 0.0 < vol_target < 1.0 or confirm < 1:
            raise BadParameter(
                f"vol_target is a fraction of the price and confirm at least 1, not {vol_target} and {confirm}"
            )
        self._vol_target = vol_target
        self._confirm = confirm

    def begin(self) -> Core:
        return Core()

    def judge(self, track: Core, bar: Bar, state: RegimeState) -> Want | None:
        label = state.label
        if label is None:
            return None
        share = SHARES[label]
        if not share:
            track.asked, track.times = 0.0, 0
            return 0.0, state.confidence, f"{label.value.lower()}_no_exposure"
        scale, bucket = self._bucket(state.features["atr_pct"])
        level = share * scale
        if level == track.level:
            track.times = 0
            return None
        track.times = track.times + 1 if level == track.asked else 1
        track.asked = level
        if track.times < self._confirm:
            return None
        track.times = 0
        return level, state.confidence, f"{label.value.lower()}_vol_scaled_exposure(bucket={bucket})"

    def _bucket(self, atr_pct: float) -> tuple[float, str]:
        for multiple, scale, name in _BUCKETS:
            if atr_pct < multiple * self._vol_target:
                return scale, name
        return _HIGH


generate_intent = as_function(CoreExposureV1, "core_exposure_v1")
