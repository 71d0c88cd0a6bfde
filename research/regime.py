"""The documented address of Layer 1; what it does is in ``strategies/regime.py``."""

from strategies.regime import RegimeLabel, RegimeState, Thresholds, classify_regime, classify_series

__all__ = ["RegimeLabel", "RegimeState", "Thresholds", "classify_regime", "classify_series"]
