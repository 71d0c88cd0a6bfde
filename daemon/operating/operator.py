"""Commands, once they are inputs: what each of them does inside the core.

A command comes in through the door like a frame, is recorded, and becomes ``CommandGiven`` in the journal; the table
below says what follows. Who may give which, and what its payload must be, is checked where it is received: what gets
here has been allowed. A name that is not in the table is journaled and does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import CommandGiven, LimitsChanged
from bus.values import TradingState
from config.schema import Limits
from daemon import models
from portfolio.equity import CannotValue
from risk.flatten import NAME as FLATTEN
from risk.flatten import Flatten
from risk.gate import Gate
from risk.governor import Band
from strategies.runner import Runner

PAPER = "paper"
"""Who arms a simulated venue: nobody needs to."""


FLATTEN_WITHIN_S = 30.0
_LAST = frozenset({"halt", "kill", "cancel", "stop"})
"""What is still heard while everything is being closed."""


class Operator:
    """``held`` is the word, other than a halt's, by which somebody keeps trading from going on: shadow, disarm,
    flatten, or the clear of a kill band. It outlives the session, and only an arm takes it back. ``handing_over``: the
    session is about to go on in another one.
    """

    def __init__(self, bus: Bus, clock: Clock, gate: Gate, runner: Runner, flatten: Flatten) -> None:
        self._bus = bus
        self._clock = clock
        self._gate = gate
        self._switch = gate.switch
        self._runner = runner
        self._flatten = flatten
        self.held = ""
        self.handing_over = False
        self.verbs: Mapping[str, Callable[[str, Mapping[str, Any]], None]] = {
            "connect": self._enter(TradingState.CONNECTED),
            "reconcile": self._enter(TradingState.RECONCILED),
            "arm": self._arm,
            "clear": self._clear,
            "disarm": self._hold("disarm", TradingState.RECONCILED),
            "shadow": self._hold("shadow", TradingState.SHADOW),
            "routing": self._routing,
            "flatten": self._close_all,
            "reload": self._reload,
            "halt": self._halt,
            "kill": self._kill,
            "cancel": self._cancel,
            "stop": self._stop,
            "roll": self._roll,
            "resume": self._resume,
        }

    def attach(self, bus: Bus) -> None:
        bus.subscribe(CommandGiven, self.on_command)

    def on_command(self, command: CommandGiven) -> None:
        verb = self.verbs.get(command.name)
        if verb is not None and (not self._flatten.who or command.name in _LAST):
            verb(command.who, command.payload)

    @property
    def closing(self) -> bool:
        """Whether everything is being closed, by a flatten."""
        return bool(self._flatten.who)

    def held_positions(self) -> dict[str, Decimal]:
        return self._flatten.held()

    def state(self) -> dict[str, Any]:
        return {"held": self.held, "routing": self._gate.routing, "closed": self._flatten.sent}

    def restore(self, state: Mapping[str, Any]) -> None:
        """What somebody said stands, whichever process heard it."""
        self.held = str(state.get("held", ""))
        self._gate.routing = bool(state.get("routing", True))
        self._flatten.sent = int(state.get("closed", 0))

    def _enter(self, state: TradingState) -> Callable[[str, Mapping[str, Any]], None]:
        return lambda who, payload: self._switch.enter(state, who, str(payload.get("reason", "")))

    def _hold(self, word: str, state: TradingState) -> Callable[[str, Mapping[str, Any]], None]:
        def hold(who: str, payload: Mapping[str, Any]) -> None:
            self.held = word
            self._switch.enter(state, who, str(payload.get("reason", "")))

        return hold

    def _routing(self, _who: str, payload: Mapping[str, Any]) -> None:
        self._gate.routing = payload.get("on") is True  # anything that is not plainly on is off

    def _close_all(self, who: str, payload: Mapping[str, Any]) -> None:
        self.held = FLATTEN
        self._flatten.begin(who, round(float(payload.get("within_s", FLATTEN_WITHIN_S)) * SECOND))

    def _reload(self, who: str, payload: Mapping[str, Any]) -> None:
        limits = models.gate_limits(Limits.model_validate(payload["limits"]))
        before = self._gate.limits
        refused = self._gate.limit(limits)
        if not refused and limits != before:
            changes = {
                name: (str(getattr(before, name)), str(getattr(limits, name)))
                for name in limits.__struct_fields__
                if getattr(before, name) != getattr(limits, name)
            }
            self._bus.publish(LimitsChanged(self._clock.now, who, changes))

    def _arm(self, who: str, payload: Mapping[str, Any]) -> None:
        """The daemon itself arms nothing that was halted or held; a person may, and thereby says that it is over."""
        if who != PAPER:
            self.held = ""
            if self._switch.latched:
                self._switch.relent()
        if not self._switch.latched and not self.held:
            self._switch.arm(who, str(payload.get("reason", "")))

    def _clear(self, who: str, payload: Mapping[str, Any]) -> None:
        """Who looked at a kill band has not armed yet: a restart must not do it for them."""
        waits = self._switch.band is Band.KILL
        with suppress(CannotValue):  # then there is nothing to count from, and the band stays
            self._switch.clear(who, str(payload.get("reason", "")))
            self.held = self.held or ("clear" if waits else "")

    def _halt(self, who: str, payload: Mapping[str, Any]) -> None:
        self._switch.halt("operator", f"{who}: {payload.get('reason', '')}".removesuffix(": "))

    def _kill(self, who: str, payload: Mapping[str, Any]) -> None:
        self._switch.kill(f"{who}: {payload.get('reason', '')}".removesuffix(": "))

    def _cancel(self, who: str, payload: Mapping[str, Any]) -> None:
        self._switch.pull(None, who, str(payload.get("reason", "")))

    def _roll(self, _who: str, _payload: Mapping[str, Any]) -> None:
        """The next input is the session's last, and nothing ends with it."""
        self.handing_over = True

    def _resume(self, who: str, payload: Mapping[str, Any]) -> None:
        """Take up trading where the session before was when it handed over."""
        state, reason = TradingState(payload["state"]), str(payload.get("reason", ""))
        if state in (TradingState.ARMED, TradingState.REDUCING):
            self._switch.arm(who, reason)  # which takes a drawdown band into account
        else:
            self._switch.enter(state, who, reason)

    def _stop(self, who: str, payload: Mapping[str, Any]) -> None:
        """The first half of the end: nothing new, nothing left open. The second is the session's last input."""
        self._switch.enter(TradingState.STOPPING, who, str(payload.get("reason", "")))
        self._runner.stop()
