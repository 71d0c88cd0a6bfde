"""A strategy for the tests of the schedule: it acts on closed bars and nothing else."""

from __future__ import annotations

from bus.events import Bar, Intent
from bus.values import Action
from strategies.port import Strategy, View, Wishes


class Hourly(Strategy):
    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return Intent(bar.instrument, Action.ENTER_LONG, reason=f"closed at {bar.close:.2f}")
