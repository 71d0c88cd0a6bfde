"""Exits on their way, and who is to be told of one that came to nothing: a wish to leave stands until it is fulfilled.

Each is kept with a note of whoever asked for it. It is told of again when the gate refused it, or its order was
rejected, cancelled or expired before it was filled whole. It is not where the translator refused: then nothing is left
that could be sold.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus.bus import Bus
from bus.events import OrderCancelled, OrderExpired, OrderFilled, OrderRefused, OrderRejected, OrderSubmitted


class Exits:
    """``failed`` is told the note of an exit that did not come about. Notes are JSON-ready."""

    def __init__(self, failed: Callable[[Any], object]) -> None:
        self._failed = failed
        self._notes: dict[str, Any] = {}
        self._clients: dict[str, str] = {}

    def attach(self, bus: Bus) -> None:
        bus.subscribe(OrderRefused, self._on_refused)
        bus.subscribe(OrderSubmitted, self._on_submitted)
        bus.subscribe(OrderFilled, self._on_filled)
        for over in (OrderRejected, OrderCancelled, OrderExpired):
            bus.subscribe(over, self._on_over)

    def follow(self, intent_id: str, note: Any) -> None:
        """Of a decision about to be published."""
        self._notes[intent_id] = note

    def state(self) -> dict[str, Any]:
        return {"notes": {**self._notes}, "clients": {**self._clients}}

    def restore(self, state: dict[str, Any]) -> None:
        self._notes, self._clients = dict(state["notes"]), dict(state["clients"])

    def _on_refused(self, event: OrderRefused) -> None:
        if event.intent_id in self._notes:
            note = self._notes.pop(event.intent_id)
            if event.rule != "translator":
                self._failed(note)

    def _on_submitted(self, event: OrderSubmitted) -> None:
        if event.intent_id in self._notes:
            self._clients[event.client_id] = event.intent_id

    def _on_filled(self, event: OrderFilled) -> None:
        if not event.leaves and event.client_id in self._clients:
            del self._notes[self._clients.pop(event.client_id)]

    def _on_over(self, event: Any) -> None:
        if event.client_id in self._clients:
            self._failed(self._notes.pop(self._clients.pop(event.client_id)))
