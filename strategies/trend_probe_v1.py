"""``trend_probe_v1``: TREND_UP or nothing.

Rationale: a small position that is only ever held while the regime is TREND_UP, strictly: in when the regime has stood
for ``confirm`` bars and is sure, out at the first bar that is anything else. What it earns says what the label is worth
on its own, before gates and exits are added to it (compare Faber, "A Quantitative Approach to Tactical Asset
Allocation", 2007, which holds above an average and not below).

Risk: the label flickers around its thresholds and each flicker is a round trip; small, but not free.

Environment: SG_TREND_PROBE_V1_CONFIRM, …_MIN_CONFIDENCE, …_EXPOSURE, …_HORIZON_HOURS; and the regime's own REGIME_*.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from bus.values import RegimeLabel
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.port import BadParameter

_UP = RegimeLabel.TREND_UP


class Probe(Track):
    """``run`` counts the bars in a row that were TREND_UP."""

    __slots__ = ("run",)

    def __init__(self) -> None:
        super().__init__()
        self.run = 0


class TrendProbeV1(BarStrategy[Probe]):
    """Parameters: ``confirm`` (bars in a row), ``min_confidence`` (0 to 1, of the regime), ``exposure`` (fraction of
    equity), ``horizon_hours`` (0: none).
    """

    needs_regime = True
    history = 120

    def __init__(
        self, confirm: int = 3, min_confidence: float = 0.7, exposure: float = 0.02, horizon_hours: int = 0
    ) -> None:
        super().__init__(exposure, horizon_hours=horizon_hours)
        if confirm < 1 or not 0.0 <= min_confidence <= 1.0:
            raise BadParameter(
                f"confirm is at least 1 and min_confidence a fraction, not {confirm} and {min_confidence}"
            )
        self._confirm = confirm
        self._min_confidence = min_confidence

    def begin(self) -> Probe:
        return Probe()

    def judge(self, track: Probe, bar: Bar, state: RegimeState) -> Want | None:
        if state.label is not _UP:
            track.run = 0
            return 0.0, state.confidence, "not_trend_up"
        track.run += 1
        if not track.level and track.run >= self._confirm and state.confidence >= self._min_confidence:
            return 1.0, state.confidence, "trend_up_confirmed"
        return None


generate_intent = as_function(TrendProbeV1, "trend_probe_v1")
