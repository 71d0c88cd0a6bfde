"""The documented address of ``core_exposure_v1``; what it does is in ``strategies/core_exposure_v1.py``."""

from strategies.core_exposure_v1 import generate_intent

__all__ = ["generate_intent"]
