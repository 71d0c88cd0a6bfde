"""Entries that are meant to last so long and no longer: the exit is ours to make, not the strategy's to remember.

An approved entry whose intent names ``horizon_s`` is noted; its first fill starts the time, a later entry of the same
strategy on the same instrument starts it anew. When it is up, what the entry opened is closed reduce-only through the
gate, as a decision of that strategy under an id of its own (``momentum~horizon-1``). Nothing is asked for while the
market is stale: where only bars are known it always is, but at their close. An exit that did not come about is asked
for again every minute, and at the next bar, until the position is gone; one that the strategy made itself ends the
matter.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from bus.bus import Bus, Subscription
from bus.clock import MINUTE, SECOND, Clock
from bus.events import Bar, Decision, Intent, OrderFilled
from bus.values import ZERO, Action, Order, Side
from portfolio.exposure import Exposure

AGAIN_NS = MINUTE
_BUY, _SELL = Side.BUY, Side.SELL

Held = Callable[[str, str], Decimal]
"""What a strategy has of an instrument, signed."""


def _always(_instrument: str) -> bool:
    return True


class Horizons:
    """``held`` says what a strategy has: of the net position, or of its own where sub-ledgers are kept. ``is_fresh`` is
    the gate's word on an instrument's market.
    """

    def __init__(self, bus: Bus, clock: Clock, exposure: Exposure, held: Held) -> None:
        self._bus = bus
        self._clock = clock
        self._exposure = exposure
        self._held = held
        self._entries: dict[str, int] = {}
        self._due: dict[tuple[str, str], tuple[int, bool]] = {}
        self._overdue: dict[tuple[str, str], None] = {}  # in the order in which they fell due
        self._made = 0
        self._fills: Subscription | None = None
        self._bars: Subscription | None = None
        self.is_fresh: Callable[[str], bool] = _always

    def attach(self, bus: Bus) -> None:
        self._fills = bus.subscribe(OrderFilled, self.on_fill, active=False)
        self._bars = bus.subscribe(Bar, self.on_bar, active=False)

    def watch(self, order: Order, horizon_s: int) -> None:
        """An entry was approved that is to end ``horizon_s`` after it fills."""
        self._entries[order.intent_id] = horizon_s
        self._listen()

    def on_fill(self, fill: OrderFilled) -> None:
        key = fill.strategy, fill.instrument
        horizon_s = self._entries.get(fill.intent_id)
        if horizon_s is not None:
            if not fill.leaves:
                del self._entries[fill.intent_id]
            self._overdue.pop(key, None)
            self._set(key, fill.ns + horizon_s * SECOND, fill.side is _BUY)
        elif key in self._due and not self._is_open(key, self._due[key][1]):
            self._forget(key)
        self._listen()

    def on_bar(self, bar: Bar) -> None:
        for key in [key for key in self._overdue if key[1] == bar.instrument]:
            self._up(key, self._due[key][0])

    def state(self) -> dict[str, Any]:
        due = [[*key, when, long] for key, (when, long) in self._due.items()]
        overdue = [list(key) for key in self._overdue]
        return {"entries": dict(self._entries), "due": due, "overdue": overdue, "made": self._made}

    def restore(self, state: dict[str, Any]) -> None:
        self._entries, self._made = dict(state["entries"]), state["made"]
        for strategy, instrument, when, long in state["due"]:
            self._set((strategy, instrument), when, long)
        self._overdue = dict.fromkeys(map(tuple, state.get("overdue", [])))
        self._listen()

    def _set(self, key: tuple[str, str], when: int, long: bool) -> None:
        if self._due.get(key) != (when, long):
            self._due.pop(key, None)  # to the end: what is due at the same time comes in the order in which it was set
            self._due[key] = (when, long)
            self._clock.at(when, lambda: self._up(key, when))

    def _up(self, key: tuple[str, str], when: int) -> None:
        due = self._due.get(key)
        if due is None or due[0] != when:
            return  # over, or begun anew
        strategy, instrument = key
        long = due[1]
        if not self._is_open(key, long):
            self._forget(key)
            self._listen()
            return
        exiting = _SELL if long else _BUY
        under_way = any(one.order.side is exiting for one in self._exposure.open_orders(instrument, strategy))
        self._set(key, self._clock.now + AGAIN_NS, long)  # before the exit is asked for: it may be over in this breath
        self._overdue[key] = None
        self._listen()
        if not under_way and self.is_fresh(instrument):
            self._made += 1
            action = Action.EXIT_LONG if long else Action.EXIT_SHORT
            intent = Intent(instrument, action, reduce_only=True, reason="its horizon is over")
            self._bus.publish(Decision(self._clock.now, f"{strategy}~horizon-{self._made}", strategy, intent))

    def _forget(self, key: tuple[str, str]) -> None:
        del self._due[key]
        self._overdue.pop(key, None)

    def _is_open(self, key: tuple[str, str], long: bool) -> bool:
        held = self._held(*key)
        return held > ZERO if long else held < ZERO

    def _listen(self) -> None:
        """Fills are heard only while one may matter."""
        assert self._fills is not None, "attached before anything is approved"
        assert self._bars is not None
        if self._entries or self._due:
            self._fills.resume()
        else:
            self._fills.pause()
        if self._overdue:
            self._bars.resume()
        else:
            self._bars.pause()
