"""The documented address of ``trend_probe_v1``; what it does is in ``strategies/trend_probe_v1.py``."""

from strategies.trend_probe_v1 import generate_intent

__all__ = ["generate_intent"]
