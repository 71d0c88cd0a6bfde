"""Watching one closed bar go through the core: who said what, what the gate measured, what became of it; and what would
have become of it had something been different at that bar.

A probe sits where the journal would and writes nothing. It knows its bar by instrument, length and end. Changes
(``changes.py``) take effect with that bar and not before, so everything up to it is as it was, and only the decision is
asked about. For those that need the past (another strategy in the place of one) the probe keeps the closed bars.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from bus.bus import Bus, Stamped
from bus.clock import Clock
from bus.events import (
    Bar,
    CouncilVoted,
    Decision,
    Intent,
    IntentLogged,
    OrderApproved,
    OrderRefused,
    PairIntent,
    RegimeState,
    StrategyQuarantined,
    TradingStateChanged,
)
from bus.journal import Chain
from bus.route import OnFailure
from bus.values import Check, TradingState
from config.schema import Trading
from strategies.legs import ENTRIES
from strategies.port import Strategy, View, Wishes
from strategies.regime import Gauge, Thresholds

Key = tuple[str, int, int]
"""A bar: instrument, interval, end."""


class Answer(msgspec.Struct, frozen=True):
    """What a strategy said on the bar: its intents, or why there are none."""

    strategy: str
    intents: tuple[Intent, ...]
    failed: str = ""


class Away(msgspec.Struct, frozen=True):
    """An entry that was turned away at an earlier bar, since which nothing of its strategy was let through.
    ``since_ns`` is when that bar was heard.
    """

    refusal: OrderRefused
    since_ns: int


class Facts(msgspec.Struct):
    """Everything that was seen of one bar. ``judged`` are the gate's answers by intent id; ``away`` the entries that
    nobody made good since they were refused, the strategies that made them believing otherwise.
    """

    bar: Bar
    regime: RegimeState | None = None
    answers: list[Answer] = []
    voted: CouncilVoted | None = None
    logged: list[IntentLogged] = []
    decisions: list[Decision] = []
    judged: dict[str, list[Check]] = {}
    approved: list[OrderApproved] = []
    refused: list[OrderRefused] = []
    halted: TradingStateChanged | None = None
    away: list[Away] = []

    @property
    def outcome(self) -> list[str]:
        """What the bar led to: the side of each order the gate let through, by strategy. Empty: nothing was done."""
        return [f"{a.order.strategy} {a.order.side.value}" for a in self.approved]


class Probe(Chain):
    """Stands where a journal would, and sees one bar at a time. ``reached`` is asked what a bar is to be taken for,
    before anybody hears it; None leaves it alone and unwatched. ``done`` is given the facts once all that follows from
    the bar has happened.
    """

    def __init__(self, trading: Trading) -> None:
        super().__init__()
        self.facts: Facts | None = None
        self.reached: Callable[[Bar], Bar | None] = lambda bar: bar
        self.done: Callable[[Facts], None] = lambda facts: None
        self._gauges: dict[tuple[str, int], Gauge] = {}
        self._thresholds = Thresholds(**trading.regime.model_dump())
        self._halted: TradingStateChanged | None = None
        self._heard: Bar | None = None
        self.past: list[Bar] = []
        self.seats: list[tuple[str, Strategy, Sequence[str] | None]] = []
        self.stands_in: dict[str, Callable[[Bar, View], Wishes]] = {}
        self._entries: set[str] = set()
        self._away: dict[tuple[str, str], Away] = {}
        self._bar_ns = 0

    def bus(self, on_failure: OnFailure) -> Bus:
        return _WatchedBus(on_failure, self)

    def attach(self, bus: Bus) -> None:
        """First of all subscribers, as a journal is."""
        bus.subscribe(Bar, self._on_bar)
        for kind in (CouncilVoted, IntentLogged, Decision, OrderApproved, OrderRefused, StrategyQuarantined):
            bus.subscribe(kind, self._on_record)
        bus.subscribe(TradingStateChanged, self._on_state)

    def watch(self, seats: Iterable[tuple[str, Strategy, Sequence[str] | None]]) -> None:
        """Listen in on what strategies answer to bars, HOLD and silence included."""
        self.seats = list(seats)
        for name, strategy, _ in self.seats:
            if type(strategy).on_bar is not Strategy.on_bar:
                vars(strategy)["on_bar"] = self._listener(name, strategy.on_bar)

    def judged(self, intent_id: str, checks: list[Check]) -> None:
        if self.facts is not None:
            self.facts.judged[intent_id] = checks

    def begin(self, bar: Bar) -> Bar:
        """What the bus carries for ``bar``."""
        self._bar_ns = bar.local_ns
        taken = self.reached(bar)
        self.past.append(taken or bar)
        if taken is None:
            return bar
        self.facts = Facts(taken, halted=self._halted, away=list(self._away.values()))
        return taken

    def end(self) -> None:
        """The bus has come to rest."""
        facts, self.facts = self.facts, None
        if facts is not None and self._heard is not None and self._heard is facts.bar:
            self.done(facts)
        elif facts is not None:
            self.facts = facts  # its bar still waits its turn

    def warm(self, before: Sequence[Bar]) -> None:
        """Have heard these bars before all others."""
        self._gauges.clear()
        for bar in (*before, *self.past):
            self._gauge(bar).hear(bar)

    def _gauge(self, bar: Bar) -> Gauge:
        key = (bar.instrument, bar.interval_ns)
        gauge = self._gauges.get(key)
        if gauge is None:
            gauge = self._gauges[key] = Gauge(self._thresholds)
        return gauge

    def _on_bar(self, bar: Bar) -> None:
        if not bar.closed:
            return
        state = self._gauge(bar).hear(bar)
        if self.facts is not None and bar is self.facts.bar:
            self._heard, self.facts.regime = bar, state

    def _listener(self, name: str, on_bar: Callable[[Bar, View], Wishes]) -> Callable[[Bar, View], Wishes]:
        def listen(bar: Bar, view: View) -> Wishes:
            if self.facts is None or bar is not self.facts.bar:
                return on_bar(bar, view)
            try:
                wishes = self.stands_in.get(name, on_bar)(bar, view)
                if wishes is not None and not isinstance(wishes, msgspec.Struct):
                    wishes = tuple(wishes)
            except Exception as error:  # the runner's to handle; here it is only written down
                self.facts.answers.append(Answer(name, (), type(error).__name__))
                raise
            said = wishes if isinstance(wishes, tuple) else (wishes,)
            self.facts.answers.append(Answer(name, tuple(_intents(said))))
            return wishes

        return listen

    def _on_record(self, event: Any) -> None:
        self._turned_away(event)
        facts = self.facts
        if facts is None or self._heard is not facts.bar:
            return
        match event:
            case CouncilVoted():
                facts.voted = event
            case IntentLogged():
                facts.logged.append(event)
            case Decision():
                facts.decisions.append(event)
            case OrderApproved():
                facts.approved.append(event)
            case OrderRefused():
                facts.refused.append(event)

    def _turned_away(self, event: Any) -> None:
        match event:
            case Decision(intent=intent):
                if intent.action in ENTRIES:
                    self._entries.add(event.intent_id)
            case OrderApproved(order=order):
                self._away.pop((order.strategy, order.instrument), None)
            case OrderRefused() if event.intent_id in self._entries:
                self._away[event.strategy, event.instrument] = Away(event, self._bar_ns)

    def _on_state(self, event: TradingStateChanged) -> None:
        self._halted = event if event.state is not TradingState.ARMED else None


def _intents(wishes: Iterable[object]) -> Iterator[Intent]:
    for wish in wishes:
        if isinstance(wish, PairIntent):
            yield from (wish.first, wish.second)
        elif isinstance(wish, Intent):
            yield wish


class _WatchedBus(Bus):
    """A bus that tells the probe of bars before anybody hears them, and when it has come to rest."""

    def __init__(self, on_failure: OnFailure, probe: Probe) -> None:
        super().__init__(on_failure)
        self._probe = probe

    def publish(self, event: object) -> None:
        probe = self._probe
        if type(event) is Bar and event.closed:
            event = probe.begin(event)
        super().publish(event)
        if probe.facts is not None and not self._busy:
            probe.end()

    def publish_stamped(self, events: Iterable[Stamped], clock: Clock) -> None:
        for event in events:
            ns = max(event.local_ns, clock.now)
            if clock.due <= ns:
                clock.turn(ns)
            clock.now = ns
            self.publish(event)
