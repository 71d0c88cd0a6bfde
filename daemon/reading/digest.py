"""What a journal tells, in few words, for ``session.md`` and the report: counts, halts, gaps, refusals, the account.

Bounded memory: everything is counted, and of what can come by the thousand only the first ``KEPT`` are kept.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple, TypeVar

from bus.clock import SECOND
from bus.events import (
    BarsPassed,
    BookInvalidated,
    BookRestored,
    DataGap,
    Decision,
    FeedLost,
    FeedOpened,
    InputFaulted,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    PartFailed,
    Record,
    SessionClosed,
    SessionOpened,
    StateRestored,
    StrategyQuarantined,
    StreamFresh,
    StreamStale,
    TradingStateChanged,
)
from bus.journal import GENESIS, Entry
from bus.values import TradingState
from daemon.live.memory import OVERSIGHT
from daemon.reading.fold import Account, Change, OrderLife, Orders, differences
from portfolio.books import Books
from risk.governor import Band
from risk.oversight import BAND

KEPT = 10_000
Item = TypeVar("Item")


class Gap(NamedTuple):
    """A stretch for which data is known to be missing; a point in time where only the fact is known."""

    start_ns: int
    end_ns: int
    what: str
    where: str
    detail: str


class Failure(NamedTuple):
    """A part of ours that failed, or something outside that said so."""

    ns: int
    what: str


class Digest:
    """``last_ns`` is the time of the last record; gaps that never ended are closed there by ``all_gaps``."""

    def __init__(self) -> None:
        self.opened: SessionOpened | None = None
        self.closed: SessionClosed | None = None
        self.head = GENESIS
        self.last_ns = 0
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.states: list[TradingStateChanged] = []
        self.failures: list[Failure] = []
        self.decision: Decision | None = None
        self.passed: BarsPassed | None = None
        self._band_before = ""
        self.gap_count = 0
        self._gaps: list[Gap] = []
        self._open: dict[tuple[str, str], Gap] = {}

    def note(self, entry: Entry, event: Record) -> None:
        self.head = entry.hash
        self.last_ns = max(self.last_ns, event.ns)
        self.counts[entry.type] += 1
        match event:
            case SessionOpened():
                self.opened = event
            case SessionClosed():
                self.closed = event
            case StateRestored() if OVERSIGHT in event.more:
                self._band_before = event.more[OVERSIGHT]["governor"]["band"]
            case Decision():
                self.decision = event
            case BarsPassed():
                self.passed = event
            case OrderRefused():
                self.refused[event.rule] += 1
            case OrderRejected():
                self.rejected[event.code] += 1
            case TradingStateChanged():
                _keep(self.states, event)
            case FeedLost():
                self._begin("feed lost", event.conn, event.reason, event.ns)
            case FeedOpened():
                self._end("feed lost", event.conn, event.ns)
            case BookInvalidated():
                self._begin("book invalid", event.instrument, event.reason, event.ns)
            case BookRestored():
                self._end("book invalid", event.instrument, event.ns)
            case StreamStale():
                self._begin("stale", f"{event.instrument} {event.stream}", event.reason, event.ns)
            case StreamFresh():
                self._end("stale", f"{event.instrument} {event.stream}", event.ns)
            case DataGap():
                self.gap_count += 1
                _keep(self._gaps, Gap(event.ns, event.ns, "ids missing", event.instrument, _missing(event)))
            case StrategyQuarantined():
                what = f"strategy {event.strategy} was quarantined: {event.error} in {event.callback}"
                _keep(self.failures, Failure(event.ns, what))
            case PartFailed():
                _keep(self.failures, Failure(event.ns, f"{event.part} failed: {event.error}"))
            case InputFaulted():
                _keep(self.failures, Failure(event.ns, f"{event.part}: {event.what}"))

    @property
    def start_ns(self) -> int:
        return self.opened.ns if self.opened is not None else 0

    @property
    def state(self) -> TradingState:
        return self.states[-1].state if self.states else TradingState.DISCONNECTED

    @property
    def band(self) -> str:
        """The drawdown band that trading is in, that of the session before included: halted, kill, hard, soft or ok."""
        if any(halt.rule == "session_drawdown" for halt in self.halts):
            return "halted"
        said = next((one.reason for one in reversed(self.states) if one.rule == BAND), self._band_before)
        word = said.partition(":")[0]
        return word if word in {band.value for band in Band} else "ok"

    @property
    def halts(self) -> list[TradingStateChanged]:
        return [change for change in self.states if change.state is TradingState.HALTED]

    def all_gaps(self) -> list[Gap]:
        """By start; those still open last until the last record."""
        return sorted([*self._gaps, *(gap._replace(end_ns=self.last_ns) for gap in self._open.values())])

    def _begin(self, what: str, where: str, detail: str, ns: int) -> None:
        if (what, where) not in self._open:  # told twice, it is still one gap
            self.gap_count += 1
            self._open[what, where] = Gap(ns, ns, what, where, detail)

    def _end(self, what: str, where: str, ns: int) -> None:
        gap = self._open.pop((what, where), None)
        if gap is not None:
            _keep(self._gaps, gap._replace(end_ns=ns))


class Reading:
    """A journal read so far: what happened, the account and the orders under way."""

    def __init__(self) -> None:
        self.digest = Digest()
        self.account = Account()
        self.orders = Orders()
        self.books = Books(self.account.instruments)

    def note(self, entry: Entry, event: Record) -> tuple[list[Change], OrderLife | None]:
        """Take one record in; returns the wallets it moved and the order it ended. Raises FoldError."""
        self.digest.note(entry, event)
        changes = self.account.note(event)
        match event:
            case OrderFilled():
                self.books.on_fill(event)
            case StateRestored() if OVERSIGHT in event.more:
                self.books.restore(event.more[OVERSIGHT]["books"])
        return changes, self.orders.note(event, self.account.instruments)

    def differences(self) -> list[str] | None:
        """What the session says it closed with against what its records make; None where it never closed."""
        closed = self.digest.closed
        return None if closed is None else differences(self.account, closed)

    def equity(self) -> Decimal | None:
        """At the close, by its marks; without a close by the last fills; None where it cannot be told."""
        closed = self.digest.closed
        return self.account.equity(closed.marks if closed is not None else None)


def iso(ns: int) -> str:
    """ISO 8601 UTC to the nanosecond."""
    return f"{_second(ns // SECOND)}.{ns % SECOND:09d}Z"


def iso_s(ns: int) -> str:
    """ISO 8601 UTC to the second, for reading."""
    return f"{_second(ns // SECOND)}Z"


@lru_cache(maxsize=4096)
def _second(s: int) -> str:
    return f"{datetime.fromtimestamp(s, UTC):%Y-%m-%dT%H:%M:%S}"


def _missing(gap: DataGap) -> str:
    if not gap.last_missing:
        return gap.stream
    count = gap.last_missing - gap.first_missing + 1
    return f"{gap.stream} {gap.first_missing} to {gap.last_missing} ({count:,})"


def _keep(kept: list[Item], item: Item) -> None:
    # A runaway session must still have a summary: the counts stay whole, the list does not grow for ever.
    if len(kept) < KEPT:
        kept.append(item)
