"""Strategies for the tests of a shared position: one that holds, one that goes in and out beside it."""

from __future__ import annotations

from typing import Any

from bus.events import Bar, Intent
from bus.values import Action
from strategies.port import Strategy, View, Wishes


class Holder(Strategy):
    """Wants to be long at every bar."""

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return Intent(bar.instrument, Action.ENTER_LONG, size=0.5, reason="for good")


class Comer(Strategy):
    """In for three bars, out for three bars."""

    def __init__(self) -> None:
        self._bars = 0

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        self._bars += 1
        if self._bars % 6 < 3:
            return Intent(bar.instrument, Action.ENTER_LONG, size=0.2, reason="in")
        return Intent(bar.instrument, Action.EXIT_LONG, reason="out")

    def state(self) -> dict[str, Any]:
        return {"bars": self._bars}

    def restore(self, state: dict[str, Any]) -> None:
        self._bars = state["bars"]
