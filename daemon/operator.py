"""Commands, once they are inputs: what each of them does inside the core.

A command comes in through the door like a frame, is recorded, and becomes ``CommandGiven`` in the journal; the table
below says what follows. Who may give which, and what its payload must be, is checked where it is received: what gets
here has been allowed. A name that is not in the table is journaled and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bus.bus import Bus
from bus.events import CommandGiven
from bus.values import TradingState
from risk.gate import Gate
from strategies.runner import Runner

PAPER = "paper"
"""Who arms a simulated venue: nobody needs to."""


class Operator:
    def __init__(self, gate: Gate, runner: Runner) -> None:
        self._gate = gate
        self._runner = runner
        self.verbs: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = {
            "connect": self._enter(TradingState.CONNECTED),
            "reconcile": self._enter(TradingState.RECONCILED),
            "arm": self._arm,
            "disarm": self._enter(TradingState.RECONCILED),
            "shadow": self._enter(TradingState.SHADOW),
            "halt": self._halt,
            "kill": self._kill,
            "cancel": self._cancel,
            "stop": self._stop,
        }

    def attach(self, bus: Bus) -> None:
        bus.subscribe(CommandGiven, self.on_command)

    def on_command(self, command: CommandGiven) -> None:
        verb = self.verbs.get(command.name)
        if verb is not None:
            verb(command.who, command.payload)

    def _enter(self, state: TradingState) -> Callable[[str, Mapping[str, Any]], None]:
        return lambda who, payload: self._gate.enter(state, who, str(payload.get("reason", "")))

    def _arm(self, who: str, payload: Mapping[str, Any]) -> None:
        """The daemon itself arms nothing that was halted; a person may, and thereby says that it is over."""
        if self._gate.latched and who != PAPER:
            self._gate.relent()
        if not self._gate.latched:
            self._gate.arm(who, str(payload.get("reason", "")))

    def _halt(self, who: str, payload: Mapping[str, Any]) -> None:
        self._gate.halt("operator", f"{who}: {payload.get('reason', '')}".removesuffix(": "))

    def _kill(self, who: str, payload: Mapping[str, Any]) -> None:
        self._gate.kill(f"{who}: {payload.get('reason', '')}".removesuffix(": "))

    def _cancel(self, who: str, payload: Mapping[str, Any]) -> None:
        self._gate.pull(who, str(payload.get("reason", "")))

    def _stop(self, who: str, payload: Mapping[str, Any]) -> None:
        """The first half of the end: nothing new, nothing left open. The second is the session's last input."""
        self._gate.enter(TradingState.STOPPING, who, str(payload.get("reason", "")))
        self._runner.stop()
