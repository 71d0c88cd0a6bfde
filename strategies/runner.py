"""Calls the strategies and takes their wishes: the only place that knows both the bus and a strategy's callbacks.

Each strategy sits in a seat of its own: its id, its counter of intents, its view. A callback it did not implement is
not subscribed. What it returns is taken whole or, when any part of it is not a wish, not at all; a strategy that
raises is quarantined by whoever supervises, through ``quarantine``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from msgspec import structs

from bus.bus import Bus, Subscription
from bus.clock import Clock
from bus.events import (
    Adaptation,
    Bar,
    BookInvalidated,
    BookSnapshot,
    BookUpdate,
    CancelIntent,
    CancelRejected,
    CancelRequested,
    DataGap,
    Decision,
    Intent,
    MarkPrice,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    OrderTriggered,
    PairIntent,
    ParametersAdapted,
    Quote,
    ReplaceIntent,
    ReplaceRejected,
    ReplaceRequested,
    StrategyQuarantined,
    Trade,
)
from bus.journal import encode
from bus.route import Handler
from bus.state import SeatState, SentState
from bus.values import Action
from strategies.legs import ENTRIES, Legs
from strategies.port import Strategy, View, Wish, Wishes, Witness
from strategies.provenance import traced

_HOLD = Action.HOLD
_UNSAID = "<unsaid>"  # stands in a state for all that its strategy could not say
Divert = Callable[["Seat", Intent, Bar | None], None]

_MARKET_CALLBACKS: dict[str, tuple[type, ...]] = {
    "on_trade": (Trade,),
    "on_quote": (Quote,),
    "on_book": (BookSnapshot, BookUpdate),
    "on_mark": (MarkPrice,),
    "on_gap": (DataGap, BookInvalidated),
}
_ORDER_EVENTS = (
    OrderAccepted,
    OrderTriggered,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderReplaced,
    CancelRejected,
    ReplaceRejected,
)
_LAST_EVENTS = (OrderCancelled, OrderExpired, OrderRejected)


class Seat:
    """A strategy at work. ``instruments`` None hears everything; ``emitted`` numbers its intents; ``timers`` are those
    it waits for.
    """

    __slots__ = ("active", "emitted", "failed", "id", "instruments", "strategy", "subscriptions", "timers", "view")

    def __init__(self, id: str, strategy: Strategy, instruments: frozenset[str] | None, view: View) -> None:
        self.id = id
        self.strategy = strategy
        self.instruments = instruments
        self.view = view
        self.emitted = 0
        self.active = True
        self.failed = False
        self.subscriptions: list[Subscription] = []
        self.timers: list[tuple[int, str]] = []


class Runner:
    """``builds_bars``: bars are being built from the trades. ``divert``, where it is set, is given the intents in place
    of the bus, with the closed bar they answer (None: they answer something else). ``stamp``, where it is set,
    adds to an intent what others say of it before it becomes a decision.
    """

    def __init__(self, bus: Bus, clock: Clock, *, builds_bars: bool, witness: Witness | None) -> None:
        self._bus = bus
        self._clock = clock
        self._builds_bars = builds_bars
        self._witness = witness
        self._seats: list[Seat] = []
        self._clients: dict[str, Seat] = {}
        self._returning: Seat | None = None
        self._hearers: dict[str, list[str]] = {}
        self.intents = 0
        self.divert: Divert | None = None
        self.stamp: Callable[[Intent], Intent] | None = None
        self._legs: Legs | None = None

    def add(self, id: str, strategy: Strategy, instruments: Iterable[str] | None, view: View) -> Seat:
        """Seat a strategy and subscribe what it implements. Its id names its intents; it must be unique."""
        seat = Seat(id, strategy, frozenset(instruments) if instruments is not None else None, view)
        self._seats.append(seat)
        deaf_to_trades = self._builds_bars and strategy.bars_replace_trades
        for name, events in _MARKET_CALLBACKS.items():
            if _implements(strategy, name) and not (name == "on_trade" and deaf_to_trades):
                for event_type in events:
                    self._listen(seat, event_type, self._market_handler(seat, getattr(strategy, name)))
        if _implements(strategy, "on_bar"):
            self._listen(seat, Bar, self._bar_handler(seat, strategy.on_bar))
        if _implements(strategy, "on_fill"):
            self._listen(seat, OrderFilled, self._fill_handler(seat, strategy.on_fill))
        if _implements(strategy, "on_order"):
            self._follow_orders(seat)
        return seat

    def start(self) -> None:
        for seat in self._seats:
            self._call(seat, "on_start", seat.strategy.on_start)

    def stop(self) -> None:
        """Tell every strategy, once, that it is over; none is called again."""
        for seat in self._seats:
            self._call(seat, "on_stop", seat.strategy.on_stop)
            self._silence(seat)

    def state(self) -> list[SeatState]:
        """Of a strategy that cannot say what it keeps, the error: whoever goes on from here goes on without it."""
        return [
            SeatState(
                s.id,
                s.emitted,
                s.view.last_intent_id,
                s.failed,
                list(s.timers),
                _said(s.strategy),
                type(s.strategy).__name__,
            )
            for s in self._seats
        ]

    def restore(self, states: Sequence[SeatState], sent: Sequence[SentState] = ()) -> list[str]:
        """In place of ``start``: each strategy is started, given back its state, and has the timers it waited for. Who
        follows its orders goes on hearing of those that are ``sent``. Where another kind of strategy has the name now,
        it begins anew, counting on from the intents there were; returns those.

        What a strategy asks for in its ``on_start`` is let be: what it asked for at its first start still stands.
        """
        by_id = {state.id: state for state in states}
        others = [
            seat.id
            for seat in self._seats
            if (was := by_id.get(seat.id)) is not None and is_another(seat.strategy, was)
        ]
        followers = {
            seat.id: seat for seat in self._seats if _implements(seat.strategy, "on_order") and seat.id not in others
        }
        for one in sent:
            if (follower := followers.get(one.intent_id.rpartition("-")[0])) is not None:
                self._clients[one.client_id] = follower
        for seat in self._seats:
            state = by_id.get(seat.id)
            if state is None:
                self._call(seat, "on_start", seat.strategy.on_start)
            elif seat.id in others:
                seat.emitted, seat.view.last_intent_id = state.emitted, state.last_intent_id
                self._call(seat, "on_start", seat.strategy.on_start)
            elif state.failed:
                seat.failed = True
                self._silence(seat)
            else:
                self._return(seat, state)
        return others

    def strategies(self) -> list[tuple[str, Strategy]]:
        return [(seat.id, seat.strategy) for seat in self._seats]

    def pairs(self) -> list[Any]:
        """The pairs of intents under way."""
        return self._legs.state() if self._legs is not None else []

    def restore_pairs(self, state: list[Any]) -> None:
        """Those of strategies that are still there: of one that is gone, what was open is cancelled."""
        seats = {seat.id: seat for seat in self._seats}
        if there := [pair for pair in state if pair[0] in seats]:
            self._watch().restore(there, lambda name: partial(self._decision, seats[name]))

    def _return(self, seat: Seat, state: SeatState) -> None:
        seat.emitted, seat.view.last_intent_id = state.emitted, state.last_intent_id
        if unsaid := state.state.get(_UNSAID):
            self._quarantine(seat, "state", str(unsaid))
            return
        self._returning = seat
        try:
            seat.strategy.on_start(seat.view)
            seat.strategy.restore(state.state)
        except Exception as error:
            self.quarantine(seat, "restore", error)
            return
        finally:
            self._returning = None
        for when_ns, name in state.timers:
            self.call_at(seat.id, when_ns, name)

    def hearers(self, instrument: str) -> list[str]:
        """The strategies that hear the bars of an instrument, in their order."""
        hearers = self._hearers.get(instrument)
        if hearers is None:
            hearers = self._hearers[instrument] = [
                seat.id
                for seat in self._seats
                if seat.active
                and _implements(seat.strategy, "on_bar")
                and (seat.instruments is None or instrument in seat.instruments)
            ]
        return hearers

    def call_at(self, strategy: str, when_ns: int, name: str) -> None:
        """Turn a strategy's request for a timer into one of the clock's."""
        seat = next(s for s in self._seats if s.id == strategy)
        if seat is self._returning:
            return
        timer = (when_ns, name)
        seat.timers.append(timer)

        def fire() -> None:
            seat.timers.remove(timer)
            self._call(seat, "on_timer", lambda view: seat.strategy.on_timer(name, view))

        self._clock.at(when_ns, fire)

    def quarantine(self, seat: Seat, callback: str, error: Exception) -> None:
        """The strategy is not called again and what it has in the market is pulled."""
        self._quarantine(seat, callback, type(error).__name__)

    def _quarantine(self, seat: Seat, callback: str, error: str) -> None:
        if not seat.active:
            return
        seat.failed = True
        self._silence(seat)
        if self._witness is not None and callback == "Bar":
            self._witness.acted(seat.id)
        now, publish = self._clock.now, self._bus.publish
        publish(StrategyQuarantined(now, seat.id, callback, error))
        for order in seat.view.open_orders():
            publish(CancelRequested(now, order.intent_id, "quarantine", f"{seat.id} raised in {callback}"))

    def _silence(self, seat: Seat) -> None:
        seat.active = False
        self._hearers.clear()
        for subscription in seat.subscriptions:
            subscription.close()

    # --- handlers, one closure per callback so that the common case is one call ---------------------------------

    def _market_handler(self, seat: Seat, callback: Callable[[Any, View], Wishes]) -> Handler:
        view, take = seat.view, self._take

        def hear(event: Any) -> None:
            wishes = callback(event, view)
            if wishes:
                take(seat, wishes)

        return _of(seat.instruments, hear)

    def _bar_handler(self, seat: Seat, callback: Callable[[Bar, View], Wishes]) -> Handler:
        view, take = seat.view, self._take

        def hear(bar: Bar) -> None:
            if bar.closed:
                wishes = callback(bar, view)
                if wishes:
                    take(seat, wishes, bar)

        return _of(seat.instruments, hear)

    def _fill_handler(self, seat: Seat, callback: Callable[[OrderFilled, View], Wishes]) -> Handler:
        view, take, name = seat.view, self._take, seat.id

        def hear(fill: OrderFilled) -> None:
            if fill.strategy == name:
                wishes = callback(fill, view)
                if wishes:
                    take(seat, wishes)

        return hear

    def _follow_orders(self, seat: Seat) -> None:
        """Order events name the client id only, so a strategy that listens has its submissions remembered."""
        callback, view, clients = seat.strategy.on_order, seat.view, self._clients

        def submitted(event: OrderSubmitted) -> None:
            if event.intent_id.rpartition("-")[0] == seat.id:
                clients[event.client_id] = seat
                self._take_any(seat, callback(event, view))

        def hear(event: Any) -> None:
            if clients.get(event.client_id) is seat:
                if type(event) in _LAST_EVENTS:
                    del clients[event.client_id]
                self._take_any(seat, callback(event, view))

        def filled(event: OrderFilled) -> None:
            if not event.leaves:
                clients.pop(event.client_id, None)

        def refused(event: OrderRefused) -> None:
            if event.strategy == seat.id:
                self._take_any(seat, callback(event, view))

        self._listen(seat, OrderSubmitted, submitted)
        self._listen(seat, OrderFilled, filled)
        self._listen(seat, OrderRefused, refused)
        for event_type in _ORDER_EVENTS:
            self._listen(seat, event_type, hear)

    def _listen(self, seat: Seat, event_type: type, handler: Handler) -> None:
        handler.seat = seat  # type: ignore[attr-defined]  # how a failure finds its way back to the strategy
        seat.subscriptions.append(self._bus.subscribe(event_type, handler))

    def _call(self, seat: Seat, callback: str, call: Callable[[View], Wishes]) -> None:
        """A callback that no bus event triggers, so nobody else would catch what it raises."""
        if not seat.active:
            return
        try:
            self._take_any(seat, call(seat.view))
        except Exception as error:
            self.quarantine(seat, callback, error)

    # --- wishes -------------------------------------------------------------------------------------------------

    def _take_any(self, seat: Seat, wishes: Wishes) -> None:
        if wishes:
            self._take(seat, wishes)

    def _take(self, seat: Seat, wishes: Iterable[Wish] | Wish, bar: Bar | None = None) -> None:
        """All of it or nothing. Raises TypeError or ValueError when something in it is no wish."""
        if isinstance(wishes, (Intent, PairIntent, CancelIntent, ReplaceIntent, Adaptation)):
            _check(seat, wishes)
            self._grant(seat, wishes, bar)
            return
        taken = tuple(wishes)
        for wish in taken:
            _check(seat, wish)
        for wish in taken:
            self._grant(seat, wish, bar)

    def _grant(self, seat: Seat, wish: Wish, bar: Bar | None) -> None:
        now, witness = self._clock.now, self._witness if bar is not None else None
        if isinstance(wish, Intent):
            if wish.action is _HOLD:
                if witness is not None:
                    witness.held(seat.id, wish.reason)
                return
            self.intents += 1
            if seat.strategy.provenance is not None:
                wish = _traced(seat, wish, bar)
            if self.divert is None:
                self._bus.publish(self._decision(seat, wish))
            else:
                self.divert(seat, wish, bar)
        elif isinstance(wish, CancelIntent):
            self._bus.publish(CancelRequested(now, wish.intent_id, seat.id, wish.reason))
        elif isinstance(wish, ReplaceIntent):
            self._bus.publish(ReplaceRequested(now, wish.intent_id, seat.id, wish.limit, wish.size, wish.reason))
        elif isinstance(wish, PairIntent):
            self._grant_pair(seat, wish, bar)
        else:
            self._bus.publish(ParametersAdapted(now, seat.id, wish.before, wish.after, wish.reason))
        if witness is not None:
            witness.acted(seat.id)

    def _decision(self, seat: Seat, intent: Intent) -> Decision:
        seat.emitted += 1
        intent_id = seat.view.last_intent_id = f"{seat.id}-{seat.emitted}"
        if self.stamp is not None:
            intent = self.stamp(intent)
        return Decision(self._clock.now, intent_id, seat.id, intent)

    def _grant_pair(self, seat: Seat, pair: PairIntent, bar: Bar | None) -> None:
        """Two decisions under one group. Half a pair is nobody's vote: in a council it is written down only."""
        legs = [_traced(seat, leg, bar) for leg in (pair.first, pair.second)]
        self.intents += len(legs)
        if self.divert is not None:
            for leg in legs:
                self.divert(seat, leg, None)
            return
        ids = [f"{seat.id}-{seat.emitted + n}" for n in (1, 2)]
        legs = [structs.replace(leg, group=ids[0]) for leg in legs]
        if any(leg.action in ENTRIES for leg in legs):
            self._watch().watch(seat.id, dict(zip(ids, legs, strict=True)), partial(self._decision, seat))
        # One is never answered before both are asked for.
        self._bus.publish_all([self._decision(seat, leg) for leg in legs])

    def _watch(self) -> Legs:
        if self._legs is None:
            self._legs = Legs(self._bus, self._clock)
        return self._legs


def _traced(seat: Seat, intent: Intent, bar: Bar | None) -> Intent:
    known, kept = seat.strategy.provenance, seat.strategy.history
    if known is None or intent.provenance is known:
        return intent
    if bar is None or not kept:
        return structs.replace(intent, provenance=known)
    return traced(intent, known, seat.view.bars(intent.instrument, bar.interval_ns)[-kept:])


def _check(seat: Seat, wish: object) -> None:
    """A wish must be one, name the strategy's own orders only, and be fit to be written down."""
    if isinstance(wish, Intent):
        if not 0.0 <= wish.confidence <= 1.0:
            raise ValueError(f"confidence is a fraction, not {wish.confidence}")
        if wish.meta is None and wish.reason.isascii():
            return
    elif isinstance(wish, (CancelIntent, ReplaceIntent)):
        if wish.intent_id.rpartition("-")[0] != seat.id:
            raise ValueError(f"{wish.intent_id!r} is not an intent of {seat.id}")
        if wish.reason.isascii():
            return
    elif isinstance(wish, PairIntent):
        for leg in (wish.first, wish.second):
            if not isinstance(leg, Intent) or leg.action is _HOLD:
                raise TypeError("the legs of a pair are two intents that want something")
            _check(seat, leg)
        return
    elif isinstance(wish, Adaptation):
        pass
    else:
        raise TypeError(f"a strategy returns Intent, CancelIntent or ReplaceIntent, not {type(wish).__name__}")
    encode(wish)


def _of(wanted: frozenset[str] | None, hear: Handler) -> Handler:
    """``hear``, of these instruments only; of all, and itself, where none are named."""
    if wanted is None:
        return hear

    def hear_wanted(event: Any) -> None:
        if event.instrument in wanted:
            hear(event)

    return hear_wanted


def _implements(strategy: Strategy, callback: str) -> bool:
    return getattr(type(strategy), callback) is not getattr(Strategy, callback)


def is_another(strategy: Strategy, state: SeatState) -> bool:
    """Whether what is kept under its name is of a strategy of another kind."""
    return state.kind not in ("", type(strategy).__name__)


def _said(strategy: Strategy) -> dict[str, Any]:
    try:
        encode(said := {**strategy.state()})
    except Exception as error:
        return {_UNSAID: type(error).__name__}
    return said
