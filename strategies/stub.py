"""``stub``: the strategy that never acts. It answers HOLD to every bar, so that a session without one still decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.events import Bar, Intent
from bus.values import Action
from strategies.port import Strategy, View, Wishes

if TYPE_CHECKING:
    import pandas as pd


class Stub(Strategy):
    """Takes no parameters; trades nothing. Risk: none taken, none avoided."""

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return Intent(bar.instrument, Action.HOLD, reason="stub")


def generate_intent(df: pd.DataFrame, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
    """HOLD, whatever the frame."""
    return {
        "action": Action.HOLD.value,
        "confidence": 0.0,
        "desired_exposure_frac": 0.0,
        "horizon_hours": 0,
        "reason": "stub",
        "meta": {"closed_only": closed_only, "dropped_last_row": closed_only and len(df) > 0},
    }
