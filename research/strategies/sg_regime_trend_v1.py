"""The documented address of ``regime_trend_v1``; what it does is in ``strategies/regime_trend_v1.py``."""

from strategies.regime_trend_v1 import generate_intent

__all__ = ["generate_intent"]
