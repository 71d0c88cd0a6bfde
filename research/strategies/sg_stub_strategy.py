"""The documented address of the stub, which holds always; what it does is in ``strategies/stub.py``."""

from strategies.stub import generate_intent

__all__ = ["generate_intent"]
