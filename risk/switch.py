"""The switch that lets orders through or stops them: the states of trading, who changes them, and what is pulled then.

``HALTED`` stays until the process ends, and is remembered after that; ``STOPPING`` is the end. ``REDUCING`` by a band
lets out what makes a position smaller; by an operator's ``flatten`` nothing passes but what that sends itself.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from bus.bus import Bus
from bus.clock import Clock
from bus.events import CancelRequested, TradingStateChanged
from bus.values import ZERO, Check, Side, TradingState
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from risk.governor import Band
from risk.oversight import BAND, STATES, Oversight
from risk.rules import KILL_SWITCH, Standing

_ARMED, _REDUCING, _SHADOW = TradingState.ARMED, TradingState.REDUCING, TradingState.SHADOW
_STOPPING, _HALTED = TradingState.STOPPING, TradingState.HALTED


class Switch:
    """``latched`` is the rule that halted trading, in this session or before it, empty where none did; ``lets_out``
    says that a band only lets through what makes a position smaller. ``checks`` are of the account alone.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        ledger: Ledger,
        exposure: Exposure,
        standing: Standing,
        checks: Callable[[], list[Check]],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._ledger = ledger
        self._exposure = exposure
        self._standing = standing
        self._checks = checks
        self.oversight: Oversight | None = None
        self.state = TradingState.DISCONNECTED
        self.latched = ""
        self.lets_out = False

    def arm(self, rule: str, reason: str) -> None:
        """Let orders through. Paper and replay do this at the start; a halted gate stays halted."""
        if self.state in (_HALTED, _STOPPING):
            return
        if self.oversight is not None and (why := self.oversight.unconfirmed):
            self.note("p_long", f"not armed: {why}")
        elif self.oversight is not None and (state := STATES[self.oversight.governor.band]) is not _ARMED:
            self.enter(state, BAND, f"{self.oversight.governor.reason}; only the operator can clear it")
        else:
            self._change(_ARMED, rule, reason)

    def enter(self, state: TradingState, rule: str, reason: str) -> None:
        """Take a state by somebody's word. What was halted stays so, and nothing comes after stopping."""
        if self.state is _STOPPING or (self.state is _HALTED and state is not _STOPPING):
            return
        halted = self.state is _HALTED  # then everything was asked back already
        self._change(state, rule, reason)
        if (state is _STOPPING and not halted) or state is _SHADOW:
            self.pull(None, rule, reason)
        elif self.lets_out:
            self._pull_entries(rule, reason)

    def told(self, state: TradingState | None, rule: str, reason: str) -> None:
        """A governor's word: it closes a gate that lets orders through, and is written down in any case."""
        if state is not None and (self.state is _ARMED or self.lets_out):
            self.enter(state, rule, reason)
        else:
            self.note(rule, reason)

    def clear(self, who: str, reason: str) -> None:
        """The operator has looked at what a band closed: losses count from here on. Raises CannotValue.

        Trading that was let out only goes on; what was put in shadow waits to be armed.
        """
        if self.oversight is not None:
            self.oversight.governor.clear()
            said = f"cleared by {who}: {reason}".removesuffix(": ")
            if self.lets_out:
                self._change(_ARMED, BAND, said)
            else:
                self.note(BAND, said)

    @property
    def band(self) -> Band:
        """The drawdown band that the account is in."""
        return self.oversight.governor.band if self.oversight is not None else Band.OK

    def relent(self) -> None:
        """Somebody looked, and lets what halted an earlier session be over."""
        self.latched = self._standing.killed = ""
        self._standing.rejects = 0

    def halt(self, rule: str, reason: str, checks: list[Check] | None = None) -> None:
        """Close the gate for good and pull what is open; positions are kept."""
        if self.state is _HALTED:
            return
        self.latched = rule
        self._change(_HALTED, rule, reason, checks)
        self.pull(None, rule, reason)

    def kill(self, who: str) -> None:
        """The kill switch: refuses first and halts at once."""
        self._standing.killed = f"pulled by {who}"
        self.halt(KILL_SWITCH, self._standing.killed)

    @property
    def is_flattening(self) -> bool:
        """Everything is being closed, and ends in a halt of its own: one that came first would keep what is held."""
        return self.state is _REDUCING and not self.lets_out

    def note(self, rule: str, reason: str) -> None:
        """Something about trading changed that leaves its state what it is."""
        self._bus.publish(TradingStateChanged(self._clock.now, self.state, rule, reason, self._checks()))

    def pull(self, instrument: str | None, rule: str, reason: str) -> None:
        """Cancel what is open on an instrument, or on all."""
        for order in self._exposure.open_orders(instrument):
            self._bus.publish(CancelRequested(self._clock.now, order.intent_id, rule, reason))

    def _pull_entries(self, rule: str, reason: str) -> None:
        """Of what is open only what makes a position smaller stays, the oldest first: what is held closes once."""
        left: dict[tuple[str, Side], Decimal] = {}
        for entry in self._exposure.open_orders():
            order, held = entry.order, self._ledger.inventory(entry.order.instrument)
            if order.reduce_only:
                continue
            key = order.instrument, order.side
            rest = left.get(key, held if order.side is Side.SELL else -held) - entry.leaves
            if rest < ZERO:
                self._bus.publish(CancelRequested(self._clock.now, entry.intent_id, rule, reason))
            else:
                left[key] = rest

    def _change(self, state: TradingState, rule: str, reason: str, checks: list[Check] | None = None) -> None:
        checks = checks or self._checks()
        self.lets_out = state is _REDUCING and rule == BAND
        self.state = state
        self._bus.publish(TradingStateChanged(self._clock.now, state, rule, reason, checks))
