"""``execution.log``: what a person following the run wants to read, one line for each thing decided, done or let be.

Every execution, every refusal and every closed bar that a strategy let pass is a line with its reason. It is told in
plain words and in the order of events; the journal is what counts. A thread of its own writes it, and what it is too
slow for is counted and dropped: a disk that hangs holds up nobody.
"""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path

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
from daemon.reading.digest import iso
from strategies.port import Witness

EXECUTION_LOG = "execution.log"
CAPACITY = 10_000


class ExecutionLog:
    """Also a witness of the closed bar that is being heard: who acted on it, and who said why not."""

    def __init__(self, directory: Path) -> None:
        self.dropped = 0
        self._lines: queue.Queue[logging.LogRecord] = queue.Queue(CAPACITY)
        handler = logging.FileHandler(directory / EXECUTION_LOG, encoding="utf-8", delay=False)
        formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)-7s %(message)s", "%Y-%m-%d %H:%M:%S")
        formatter.converter = time.gmtime
        handler.setFormatter(formatter)
        self._handler = handler
        self._writer = QueueListener(self._lines, handler)
        self._log = logging.Logger("argus.execution")
        self._log.addHandler(_Dropping(self._lines, self))
        self._acted: set[str] = set()
        self._reasons: dict[str, str] = {}
        self._hearers: Callable[[str], list[str]] = lambda _instrument: []
        self._writer.start()

    def attach(self, bus: Bus, hearers: Callable[[str], list[str]]) -> None:
        """After everybody else: a bar's line tells what became of it."""
        self._hearers = hearers
        bus.subscribe(Decision, self._on_decision)
        bus.subscribe(OrderRefused, self._on_refused)
        bus.subscribe(OrderFilled, self._on_filled)
        bus.subscribe(OrderRejected, self._on_rejected)
        bus.subscribe(OrderCancelled, self._on_cancelled)
        bus.subscribe(CancelRequested, self._on_cancel)
        bus.subscribe(TradingStateChanged, self._on_state)
        bus.subscribe(CommandGiven, self._on_command)
        bus.subscribe(Bar, self._on_bar)

    def close(self) -> None:
        self._writer.stop()
        self._handler.close()

    # --- as a witness -------------------------------------------------------------------------------------------

    def acted(self, strategy: str) -> None:
        self._acted.add(strategy)

    def held(self, strategy: str, reason: str) -> None:
        self._reasons[strategy] = reason

    # --- one line each ------------------------------------------------------------------------------------------

    def _on_bar(self, bar: Bar) -> None:
        if not bar.closed:
            return
        for strategy in self._hearers(bar.instrument):
            if strategy not in self._acted:
                reason = self._reasons.get(strategy) or "no signal"
                self._log.info("HOLD %s %s bar %s: %s", strategy, bar.instrument, iso(bar.end_ns), reason)
        self._acted.clear()
        self._reasons.clear()

    def _on_decision(self, event: Decision) -> None:
        intent = event.intent
        why = intent.reason or "no reason given"
        self._log.info("SIGNAL %s %s %s: %s", event.intent_id, intent.action.value, intent.instrument, why)

    def _on_refused(self, event: OrderRefused) -> None:
        word = "MISSED" if event.rule == "missed" else "REFUSED"
        self._log.warning("%s %s %s by %s: %s", word, event.intent_id, event.instrument, event.rule, event.reason)

    def _on_filled(self, event: OrderFilled) -> None:
        size, price = money.plain(event.size), money.plain(event.price)
        fee, side = money.plain(event.fee), event.side.value.upper()
        line = "EXECUTION %s %s %s @ %s fee %s %s (%s, %s)"
        rest = (size, event.instrument, price, fee, event.fee_asset, event.intent_id, event.liquidity.value)
        self._log.info(line, side, *rest)

    def _on_rejected(self, event: OrderRejected) -> None:
        self._log.warning("REJECTED %s by the venue: %s %s", event.client_id, event.code, event.reason)

    def _on_cancelled(self, event: OrderCancelled) -> None:
        self._log.info("CANCELLED %s: %s", event.client_id, event.reason)

    def _on_cancel(self, event: CancelRequested) -> None:
        self._log.info("CANCEL %s by %s: %s", event.intent_id, event.who, event.reason or "no reason given")

    def _on_state(self, event: TradingStateChanged) -> None:
        self._log.warning("TRADING %s by %s: %s", event.state.value.upper(), event.rule, event.reason)

    def _on_command(self, event: CommandGiven) -> None:
        self._log.info("COMMAND %s by %s", event.name, event.who)


class _Dropping(QueueHandler):
    """Puts a line into the queue, or counts it where there is no room."""

    def __init__(self, lines: queue.Queue[logging.LogRecord], log: ExecutionLog) -> None:
        super().__init__(lines)
        self._owner = log

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self._owner.dropped += 1


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
