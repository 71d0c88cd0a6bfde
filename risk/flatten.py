"""``flatten``: whatever is open is cancelled, whatever is held is closed, and only then is the gate shut for good.

Nothing is sold while an order of ours may still fill, so a position is never closed twice and never turned over. Each
closing order is reduce-only and against all that is held at that moment; what it leaves is tried again until the time
is up. It ends in a halt either way, and the halt says whether everything is flat or names what is left.
"""

from __future__ import annotations

from decimal import Decimal

from bus import money
from bus.clock import SECOND, Clock
from bus.values import TradingState
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from risk.gate import Gate, NoMarket
from risk.translator import Unsizable

NAME = "flatten"
"""Of the rule that closes the gate, and of whose the closing orders are."""

STEP_NS = SECOND // 4
ASK_AGAIN_NS = SECOND
_OVER = (TradingState.HALTED, TradingState.STOPPING)


class Flatten:
    """``begin`` once; a second word joins the first. ``who`` is whose word it was, empty while nobody's; ``sent``
    numbers the closing orders.
    """

    def __init__(self, clock: Clock, gate: Gate, ledger: Ledger, exposure: Exposure) -> None:
        self._clock = clock
        self._gate = gate
        self._switch = gate.switch
        self._ledger = ledger
        self._exposure = exposure
        self._deadline = self._asked = 0
        self.sent = 0
        self.who = ""

    def begin(self, who: str, within_ns: int) -> None:
        if self.who or self._switch.state in _OVER:
            return
        self.who = who
        self._deadline = self._clock.now + within_ns
        self._switch.enter(TradingState.REDUCING, NAME, f"{who}: cancel, then close what is held")
        self._pull()
        self._clock.at(self._clock.now, self._step)

    def held(self) -> dict[str, Decimal]:
        """What there is to close, by instrument."""
        return {name: p.size for name, p in self._ledger.positions.items() if p.size}

    def _pull(self) -> None:
        self._asked = self._clock.now
        self._switch.pull(None, NAME, f"{self.who}: before closing what is held")

    def _step(self) -> None:
        if self._switch.state in _OVER:
            return  # somebody's halt came first, or the process ends
        waits, stuck = self._exposure.count() > 0, False
        if waits:
            if self._clock.now - self._asked >= ASK_AGAIN_NS:
                self._pull()
        else:
            waits, stuck = self._close()
        left = ", ".join(f"{money.plain(size)} {name}" for name, size in sorted(self.held().items()))
        if not waits:
            self._switch.halt(NAME, f"{self.who}: " + (f"flat, but for dust: {left}" if stuck else "flat"))
        elif self._clock.now >= self._deadline:
            self._switch.halt(NAME, f"{self.who}: NOT flat when the time was up: {left or 'open orders'}")
            self._switch.pull(None, NAME, "the time is up")
        else:
            self._clock.at(self._clock.now + STEP_NS, self._step)

    def _close(self) -> tuple[bool, bool]:
        """Send what closes it all; whether there is anything to wait for, and whether something cannot be closed."""
        waits = stuck = False
        for name in sorted(self.held()):
            try:
                self._gate.reduce(f"{NAME}-{self.sent + 1}", NAME, name)
            except NoMarket:
                waits = True
            except Unsizable:
                stuck = True
            else:
                self.sent += 1
                waits = True
        return waits, stuck
