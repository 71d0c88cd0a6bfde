"""The documented address of ``vol_probe_v1``; what it does is in ``strategies/vol_probe_v1.py``."""

from strategies.vol_probe_v1 import generate_intent

__all__ = ["generate_intent"]
