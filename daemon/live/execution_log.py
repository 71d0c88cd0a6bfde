"""``execution.log``: what a person following the run wants to read, one line for each thing decided, done or let be.

Every execution, every refusal and every closed bar that a strategy let pass is a line with its reason. It is told in
plain words and in the order of events; the journal is what counts. An order on its way only leaves the event here: the
words are found and written by a thread of their own, and what that is too slow for is counted and dropped, so a disk
that hangs holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from bus import money
from bus.bus import Bus
from bus.events import (
    Bar,
    CancelRequested,
    CommandGiven,
    Decision,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    TradingStateChanged,
)
from daemon.aside import Aside
from daemon.reading.digest import iso
from strategies.port import Witness

EXECUTION_LOG = "execution.log"


class Held(NamedTuple):
    """A strategy let a closed bar pass."""

    ns: int
    strategy: str
    bar: Bar
    reason: str


class ExecutionLog:
    """Also a witness of the closed bar that is being heard: who acted on it, and who said why not."""

    def __init__(self, directory: Path) -> None:
        self._file: TextIO = (directory / EXECUTION_LOG).open("a", encoding="utf-8", buffering=1)
        self._lines: Aside[Any] = Aside(self._write, "execution log")
        self._acted: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._hearers: Callable[[str], list[str]] = lambda _instrument: []
        self.on_held: Callable[[str, str], None] = lambda _strategy, _reason: None
        """Told of each closed bar that a strategy let pass, and why."""

    @property
    def dropped(self) -> int:
        """Lines that the disk was too slow for."""
        return self._lines.dropped

    def attach(self, bus: Bus, hearers: Callable[[str], list[str]]) -> None:
        """After everybody else: a bar's line tells what became of it."""
        self._hearers = hearers
        for event_type in _WORDS:
            if event_type is not Held:
                bus.subscribe(event_type, self._lines)
        bus.subscribe(Bar, self._on_bar)

    def close(self) -> None:
        if self._lines.close():
            self._file.close()

    # --- as a witness -------------------------------------------------------------------------------------------

    def acted(self, strategy: str) -> None:
        self._acted.add(strategy)

    def held(self, strategy: str, reason: str) -> None:
        self._reasons[strategy] = reason

    def _on_bar(self, bar: Bar) -> None:
        if not bar.closed:
            return
        for strategy in self._hearers(bar.instrument):
            if strategy not in self._acted:
                reason = self._reasons.get(strategy) or "no signal"
                self._lines(Held(bar.local_ns, strategy, bar, reason))
                self.on_held(strategy, reason)
        self._acted.clear()
        self._reasons.clear()

    # --- by the thread ------------------------------------------------------------------------------------------

    def _write(self, event: Any) -> None:
        level, words = _WORDS[type(event)]
        time = iso(event.ns)
        self._file.write(f"{time[:10]} {time[11:23]}Z {level:<7} {words(event)}\n")


def _signal(event: Decision) -> str:
    intent = event.intent
    why = intent.reason or "no reason given"
    return f"SIGNAL {event.intent_id} {intent.action.value} {intent.instrument}: {why}"


def _refused(event: OrderRefused) -> str:
    word = "MISSED" if event.rule == "missed" else "REFUSED"
    return f"{word} {event.intent_id} {event.instrument} by {event.rule}: {event.reason}"


def _execution(event: OrderFilled) -> str:
    size, price, fee = money.plain(event.size), money.plain(event.price), money.plain(event.fee)
    what = f"{event.side.value.upper()} {size} {event.instrument} @ {price}"
    return f"EXECUTION {what} fee {fee} {event.fee_asset} ({event.intent_id}, {event.liquidity.value})"


def _rejected(event: OrderRejected) -> str:
    return f"REJECTED {event.client_id} by the venue: {event.code} {event.reason}"


def _cancelled(event: OrderCancelled) -> str:
    return f"CANCELLED {event.client_id}: {event.reason}"


def _cancel(event: CancelRequested) -> str:
    return f"CANCEL {event.intent_id} by {event.who}: {event.reason or 'no reason given'}"


def _state(event: TradingStateChanged) -> str:
    return f"TRADING {event.state.value.upper()} by {event.rule}: {event.reason}"


def _command(event: CommandGiven) -> str:
    return f"COMMAND {event.name} by {event.who}"


def _hold(held: Held) -> str:
    return f"HOLD {held.strategy} {held.bar.instrument} bar {iso(held.bar.end_ns)}: {held.reason}"


_WORDS: Mapping[type, tuple[str, Callable[[Any], str]]] = {
    Decision: ("INFO", _signal),
    OrderRefused: ("WARNING", _refused),
    OrderFilled: ("INFO", _execution),
    OrderRejected: ("WARNING", _rejected),
    OrderCancelled: ("INFO", _cancelled),
    CancelRequested: ("INFO", _cancel),
    TradingStateChanged: ("WARNING", _state),
    CommandGiven: ("INFO", _command),
    Held: ("INFO", _hold),
}


class Both:
    """Two witnesses of the same bar."""

    def __init__(self, first: Witness, second: Witness) -> None:
        self._witnesses = (first, second)

    def acted(self, strategy: str) -> None:
        for witness in self._witnesses:
            witness.acted(strategy)

    def held(self, strategy: str, reason: str) -> None:
        for witness in self._witnesses:
            witness.held(strategy, reason)
