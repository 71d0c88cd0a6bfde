"""A strategy for the tests of timers: it asks for one five times a second, and lets each be seen in the journal."""

from __future__ import annotations

from bus.clock import SECOND
from bus.events import CancelIntent
from strategies.port import Strategy, View, Wishes


class Ticker(Strategy):
    def on_start(self, view: View) -> Wishes:
        view.call_at(view.now_ns + SECOND // 5, "tick")
        return None

    def on_timer(self, name: str, view: View) -> Wishes:
        view.call_at(view.now_ns + SECOND // 5, name)
        return CancelIntent("ticker-1", "was here")
