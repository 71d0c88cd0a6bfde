"""``stub``: the strategy that never acts. It answers HOLD to every bar, so that a session without one still decides."""

from __future__ import annotations

from bus.events import Bar, Intent
from bus.values import Action
from strategies.port import Strategy, View, Wishes


class Stub(Strategy):
    """Takes no parameters; trades nothing. Risk: none taken, none avoided."""

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return Intent(bar.instrument, Action.HOLD, reason="stub")
