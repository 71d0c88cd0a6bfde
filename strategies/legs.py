"""Both legs or neither: what becomes of a pair of entries when one of them comes to nothing.

Two orders cannot be made one at a venue, let alone at two. So the legs of a ``PairIntent`` are sent together and
watched. When one is refused by the gate, rejected, cancelled or expires unfilled, the pair is broken (``PairBroken``):
the other's order is pulled, and whatever either has filled, by then or on the way, is closed again by a decision of the
same strategy. Until that has filled the strategy holds a leg alone: that is the risk this leaves, and it is as short as
the venue allows. A closing order that comes to nothing, or fills in part, is asked for again after a second, then two,
then four, at last once an hour; it ends where nothing is left that could be closed.

Exits are not watched. An exit that fails must not bring back the other one.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec

from bus.bus import Bus
from bus.clock import HOUR, SECOND, Clock
from bus.events import (
    CancelRequested,
    Decision,
    Intent,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderSubmitted,
    PairBroken,
)
from bus.values import ZERO, Action, Kind, Side
from strategies.port import View

WHO = "pair"
ENTRIES = frozenset({Action.ENTER_LONG, Action.ENTER_SHORT, Action.BUY, Action.SELL})
_LONG = frozenset({Action.ENTER_LONG, Action.BUY})
_FIRST_WAIT_NS, _LONGEST_WAIT_NS = SECOND, HOUR

Decide = Callable[[Intent], Decision]
"""Makes a strategy's next decision, which nobody has heard yet."""


class _Pair:
    """``open`` are the legs that may still fill, ``filled`` what each has. Once it is ``broken``, ``closing`` are the
    orders that take it back, each with its leg and how much of it is still to fill, and ``late`` is what of each leg is
    to be asked for again, at the times in ``asks``; ``wait_ns`` is how long the next question waits.
    """

    __slots__ = (
        "asks",
        "broken",
        "closing",
        "decide",
        "filled",
        "group",
        "late",
        "legs",
        "open",
        "strategy",
        "wait_ns",
    )

    def __init__(self, group: str, strategy: str, legs: dict[str, Intent], decide: Decide) -> None:
        self.group = group
        self.strategy = strategy
        self.legs = legs
        self.decide = decide
        self.open = set(legs)
        self.filled = dict.fromkeys(legs, ZERO)
        self.broken = ""
        self.closing: dict[str, tuple[str, Decimal]] = {}
        self.late: dict[str, Decimal] = {}
        self.asks: list[int] = []
        self.wait_ns = _FIRST_WAIT_NS

    @property
    def is_over(self) -> bool:
        return not (self.open or self.closing or self.late)


class Legs:
    """Made when the first pair is wished for, so that nobody else pays for it."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._pairs: dict[str, _Pair] = {}
        self._clients: dict[str, str] = {}
        bus.subscribe(OrderRefused, self.on_refused)
        bus.subscribe(OrderSubmitted, self.on_submitted)
        bus.subscribe(OrderFilled, self.on_filled)
        bus.subscribe(OrderRejected, self.on_ended)
        bus.subscribe(OrderCancelled, self.on_ended)
        bus.subscribe(OrderExpired, self.on_ended)

    def watch(self, strategy: str, legs: dict[str, Intent], decide: Decide) -> None:
        """Two decisions about to be published, by intent id; ``decide`` makes another of the same strategy."""
        pair = _Pair(next(iter(legs)), strategy, legs, decide)
        self._pairs.update(dict.fromkeys(legs, pair))

    def state(self) -> list[Any]:
        """The pairs under way, JSON-ready."""
        clients = {intent_id: client_id for client_id, intent_id in self._clients.items()}
        pairs = {pair.group: pair for pair in self._pairs.values()}
        return [
            [
                pair.strategy,
                {leg: msgspec.to_builtins(intent) for leg, intent in pair.legs.items()},
                {leg: str(size) for leg, size in pair.filled.items()},
                {leg: clients.get(leg, "") for leg in sorted(pair.open)},
                pair.broken,
                {id: [leg, str(left), clients.get(id, "")] for id, (leg, left) in pair.closing.items()},
                {leg: str(size) for leg, size in pair.late.items()},
                list(pair.asks),
                pair.wait_ns,
            ]
            for pair in pairs.values()
        ]

    def restore(self, state: list[Any], decider: Callable[[str], Decide]) -> None:
        """``decider`` gives the way a strategy decides, by its name."""
        for strategy, legs, filled, still_open, broken, closing, late, *waits in state:
            self.watch(strategy, msgspec.convert(legs, dict[str, Intent]), decider(strategy))
            pair = self._pairs[next(iter(legs))]
            pair.filled = {leg: Decimal(size) for leg, size in filled.items()}
            pair.open, pair.broken = set(still_open), broken
            pair.closing = {id: (leg, Decimal(left)) for id, (leg, left, _) in closing.items()}
            pair.late = {leg: Decimal(size) for leg, size in late.items()}
            self._pairs.update(dict.fromkeys(closing, pair))
            known = {**still_open, **{id: client for id, (_, _, client) in closing.items()}}
            self._clients.update({client: id for id, client in known.items() if client})
            if waits:
                asks, pair.wait_ns = waits
                for due_ns in asks:
                    self._ask_at(pair, due_ns)
            elif pair.late:  # of an earlier build, which did not say when
                self._ask_later(pair)

    def on_refused(self, event: OrderRefused) -> None:
        pair = self._pairs.get(event.intent_id)
        if pair is None:
            return
        if event.intent_id in pair.closing:
            # The translator's answer is that nothing is left to close, or less than can be sold.
            self._ended(pair, event.intent_id, for_good=event.rule == "translator")
        else:
            self._end(pair, event.intent_id, f"refused by {event.rule}: {event.reason}")

    def on_submitted(self, event: OrderSubmitted) -> None:
        if event.intent_id in self._pairs:
            self._clients[event.client_id] = event.intent_id

    def on_filled(self, event: OrderFilled) -> None:
        pair = self._pairs.get(event.intent_id)
        if pair is None:
            return
        if not event.leaves:
            self._clients.pop(event.client_id, None)
        if event.intent_id in pair.closing:
            leg, left = pair.closing[event.intent_id]
            pair.closing[event.intent_id] = leg, left - event.size
            if not event.leaves:
                self._ended(pair, event.intent_id)
            return
        if pair.broken:
            self._close(pair, event.intent_id, event.size)
        else:
            pair.filled[event.intent_id] += event.size
        if not event.leaves:
            pair.open.discard(event.intent_id)
            self._forget(pair)

    def on_ended(self, event: Any) -> None:
        """An order of ours is over and was not filled whole."""
        intent_id = self._clients.pop(event.client_id, None)
        if intent_id is None:
            return
        pair = self._pairs[intent_id]
        if intent_id in pair.closing:
            self._ended(pair, intent_id)
        else:
            self._end(pair, intent_id, f"{type(event).__name__}: {event.reason}")

    def _end(self, pair: _Pair, intent_id: str, reason: str) -> None:
        """A leg came to nothing."""
        pair.open.discard(intent_id)
        if not pair.broken:
            pair.broken = reason
            now = self._clock.now
            self._bus.publish(PairBroken(now, pair.group, pair.strategy, intent_id, reason))
            for other in sorted(pair.open):
                self._bus.publish(CancelRequested(now, other, WHO, f"the other leg was {reason}"))
            for leg, size in pair.filled.items():
                self._close(pair, leg, size)
        self._forget(pair)

    def _ended(self, pair: _Pair, intent_id: str, *, for_good: bool = False) -> None:
        """A closing order is over; what it has left is asked for again later, unless that is ``for_good``."""
        leg, left = pair.closing.pop(intent_id)
        del self._pairs[intent_id]
        if left > ZERO and not for_good:
            pair.late[leg] = pair.late.get(leg, ZERO) + left
            self._ask_later(pair)
        self._forget(pair)

    def _ask_later(self, pair: _Pair) -> None:
        self._ask_at(pair, self._clock.now + pair.wait_ns)
        pair.wait_ns = min(2 * pair.wait_ns, _LONGEST_WAIT_NS)

    def _ask_at(self, pair: _Pair, due_ns: int) -> None:
        pair.asks.append(due_ns)
        self._clock.at(due_ns, partial(self._ask_again, pair, due_ns))

    def _ask_again(self, pair: _Pair, due_ns: int) -> None:
        pair.asks.remove(due_ns)
        late, pair.late = pair.late, {}
        for leg, size in late.items():
            self._close(pair, leg, size)

    def _close(self, pair: _Pair, leg: str, size: Decimal) -> None:
        if size:
            intent = pair.legs[leg]
            action = Action.EXIT_LONG if intent.action in _LONG else Action.EXIT_SHORT
            wish = Intent(intent.instrument, action, size=size, group=pair.group, reason="the pair was broken")
            decision = pair.decide(wish)
            pair.closing[decision.intent_id] = leg, size
            self._pairs[decision.intent_id] = pair  # before anybody hears of it: the answer may be there at once
            self._bus.publish(decision)

    def _forget(self, pair: _Pair) -> None:
        if pair.is_over:
            for leg in pair.legs:
                self._pairs.pop(leg, None)


class Holdings:
    """What a strategy holds by its own fills, whatever else the account holds: less the fees that came out of what was
    bought, and nothing where less than a lot is left.
    """

    def __init__(self) -> None:
        self._sizes: dict[str, Decimal] = {}

    def note(self, fill: OrderFilled, view: View) -> None:
        size = fill.size if fill.side is Side.BUY else -fill.size
        instrument = view.instruments[fill.instrument]
        if fill.side is Side.BUY and fill.fee_asset == instrument.base and instrument.kind is Kind.SPOT:
            size -= fill.fee
        held = self._sizes.get(fill.instrument, Decimal(0)) + size
        self._sizes[fill.instrument] = held if abs(held) >= instrument.lot else Decimal(0)

    def of(self, instrument: str) -> Decimal:
        return self._sizes.get(instrument, Decimal(0))

    def names(self) -> list[str]:
        """Of what something is held."""
        return [name for name, size in self._sizes.items() if size]

    def __bool__(self) -> bool:
        return any(self._sizes.values())

    def state(self) -> dict[str, str]:
        return {name: str(size) for name, size in self._sizes.items()}

    def restore(self, state: dict[str, str]) -> None:
        self._sizes = {name: Decimal(size) for name, size in state.items()}
