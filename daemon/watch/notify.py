"""Messages to people, through apprise, when something happens that they asked to hear of.

An observer on the rim. The core's side is one append to a bounded queue; a thread does the rest: it leaves out what is
below the level, switched off or the same as a moment ago, writes the others to SQLite, and delivers them at a bounded
rate until each has been taken. What was waiting when the process died is delivered by the next one. Only a *missed*
heartbeat is ever said: the thread sees when the loop no longer turns, and ``argus notify missed`` when nobody is left.

Addresses are secrets (``ARGUS_NOTIFY_URLS``); without one there is no notifier, no thread and no subscriber.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bus.bus import Bus
from bus.events import (
    BookInvalidated,
    DataGap,
    FeedLost,
    FeedOpened,
    InputFaulted,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    PartFailed,
    StrategyQuarantined,
    TradingStateChanged,
)
from bus.values import TradingState
from config.schema import Notify, Process
from daemon.setup.credentials import NOTIFY_URLS, find, redact
from daemon.watch.findings import Level

FILE = "notices.db"
HEARTBEAT = "heartbeat"
RANKS = {Level.INFO: 0, Level.WARNING: 1, Level.CRITICAL: 2}
_TYPES = {Level.INFO: "info", Level.WARNING: "warning", Level.CRITICAL: "failure"}
_BEAT_EVERY_S, _FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 5.0, 300.0
_MINUTE_S = 60.0

Deliver = Callable[["Notice"], bool]


class Notice(NamedTuple):
    """``kind`` is what can be switched off; two of the same kind and title are the same thing."""

    kind: str
    level: Level
    title: str
    body: str = ""


def _state(event: TradingStateChanged) -> Notice:
    grave = event.state in (TradingState.HALTED, TradingState.SHADOW)
    level = Level.CRITICAL if grave else Level.INFO
    return Notice("state", level, f"trading is {event.state.value}", f"{event.rule}: {event.reason}")


WORDS: Mapping[type, Callable[[Any], Notice]] = {
    TradingStateChanged: _state,
    OrderFilled: lambda e: Notice(
        "fill", Level.INFO, f"{e.side.value} {e.size} {e.instrument} at {e.price}", f"{e.strategy}, order {e.client_id}"
    ),
    OrderRefused: lambda e: Notice("refusal", Level.INFO, f"{e.instrument} refused by {e.rule}", e.reason),
    OrderRejected: lambda e: Notice("rejection", Level.WARNING, f"order {e.client_id} rejected", str(e.reason)),
    StrategyQuarantined: lambda e: Notice(
        "strategy", Level.CRITICAL, f"{e.strategy} is quarantined", f"{e.error} in {e.callback}"
    ),
    PartFailed: lambda e: Notice("failure", Level.CRITICAL, f"{e.part} failed: trading halts", e.error),
    InputFaulted: lambda e: Notice("fault", Level.WARNING, f"{e.part}: {e.what}"),
    FeedLost: lambda e: Notice("feed", Level.WARNING, f"{e.conn} is lost", e.reason),
    FeedOpened: lambda e: Notice("feed", Level.INFO, f"{e.conn} is there"),
    DataGap: lambda e: Notice("data", Level.INFO, f"{e.instrument}: ids are missing"),
    BookInvalidated: lambda e: Notice("data", Level.INFO, f"{e.instrument}: book is invalid", e.reason),
}
KINDS = (
    "state",
    "fill",
    "refusal",
    "rejection",
    "strategy",
    "failure",
    "fault",
    "feed",
    "data",
    "finding",
    "heartbeat",
)


class Outbox:
    """What is still to be said, on disk. Not for two threads; times are seconds of any steady clock."""

    def __init__(self, path: Path, terms: Notify, deliver: Deliver) -> None:
        self._terms = terms
        self._deliver = deliver
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS notices (id INTEGER PRIMARY KEY, kind TEXT, level TEXT, title TEXT, body TEXT)"
        )
        self._said: dict[tuple[str, str], float] = {}
        self._same: dict[tuple[str, str], int] = {}
        self._sent: deque[float] = deque()
        self._taken = 0  # the number of one that was delivered and is not yet known to be gone from the disk
        self._wait_s, self._not_before = _FIRST_WAIT_S, float("-inf")

    def take(self, notice: Notice, now: float) -> bool:
        """Keep it for delivery, if it is to be said at all."""
        terms = self._terms
        if notice.kind == "state":  # another one has come between, said or not: the one before would be news again
            self._said = {k: at for k, at in self._said.items() if k[0] != "state" or k[1] == notice.title}
        if notice.kind in terms.mute or RANKS[notice.level] < RANKS[Level(terms.level)]:
            return False
        key = (notice.kind, notice.title)
        if now - self._said.get(key, float("-inf")) < terms.same_within_s:
            self._same[key] = self._same.get(key, 0) + 1
            return False
        again = self._same.get(key, 0)
        body = notice.body + (f" (and {again} times since it was last said)" if again else "")
        row = (notice.kind, notice.level.value, redact(notice.title), redact(body))
        self._db.execute("INSERT INTO notices (kind, level, title, body) VALUES (?, ?, ?, ?)", row)
        self._said = {k: at for k, at in self._said.items() if now - at < terms.same_within_s} | {key: now}
        self._same.pop(key, None)
        self._db.execute(
            "DELETE FROM notices WHERE id <= (SELECT max(id) FROM notices) - ? AND level != 'critical'", (terms.kept,)
        )
        return True

    def step(self, now: float) -> float | None:
        """Deliver what may go now; in how many seconds to look again, None with nothing left."""
        while (row := self._first()) is not None:
            if now < self._not_before:
                return self._not_before - now
            while self._sent and now - self._sent[0] >= _MINUTE_S:
                self._sent.popleft()
            if len(self._sent) >= self._terms.per_minute:
                return self._sent[0] + _MINUTE_S - now
            number, *words = row
            if number != self._taken:
                if not self._deliver(Notice(words[0], Level(words[1]), words[2], words[3])):
                    self._not_before = now + self._wait_s
                    self._wait_s = min(self._wait_s * 2, _LONGEST_WAIT_S)
                    return self._not_before - now
                self._wait_s = _FIRST_WAIT_S
                self._sent.append(now)
                self._taken = number
            self._db.execute("DELETE FROM notices WHERE id = ?", (number,))
            self._taken = 0
        return None

    def waiting(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM notices").fetchone()[0])

    def close(self) -> None:
        self._db.close()

    def _first(self) -> Any:
        """The gravest, and of equals the oldest."""
        order = "CASE level WHEN 'critical' THEN 0 ELSE 1 END, id"
        return self._db.execute(f"SELECT id, kind, level, title, body FROM notices ORDER BY {order} LIMIT 1").fetchone()


class Notifier:
    """``say`` and ``beat`` are for the loop and wait for nothing. ``dropped`` counts what found the queue full,
    ``failed`` says why nothing can be kept at the moment, nor said.
    """

    def __init__(
        self, state_dir: Path, terms: Notify, deliver: Deliver, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._terms, self._deliver, self._now = terms, deliver, now
        self._directory = state_dir
        self._inbox: deque[Notice] = deque()
        self._there = threading.Condition()
        self._closed = False
        self._beat = now()
        self._beat_said = self._beat_written = float("-inf")
        self.dropped = 0
        self.failed = ""
        self._thread = threading.Thread(target=self._run, name="notify", daemon=True)

    def attach(self, bus: Bus) -> None:
        for kind, words in WORDS.items():
            bus.subscribe(kind, self._hearer(words))

    def start(self) -> Notifier:
        self._thread.start()
        return self

    def say(self, notice: Notice) -> None:
        if len(self._inbox) >= self._terms.kept:
            self.dropped += 1
            return
        self._inbox.append(notice)
        if self._there.acquire(blocking=False):
            self._there.notify()
            self._there.release()

    def beat(self) -> None:
        """The loop turns."""
        self._beat = self._now()

    def close(self, within_s: float = 3.0) -> None:
        """Deliver what can be delivered in that time; the rest waits on disk for the next process."""
        self._closed = True
        with self._there:
            self._there.notify()
        self._thread.join(within_s)
        (self._directory / HEARTBEAT).unlink(missing_ok=True)  # an end in order is nothing to be missed

    def _hearer(self, words: Callable[[Any], Notice]) -> Callable[[Any], None]:
        return lambda event: self.say(words(event))

    def _run(self) -> None:
        closing = self._closed
        while (outbox := self._opened()) is None:
            if closing:
                return
            with self._there:
                if not self._closed:
                    self._there.wait(1.0)
            closing = self._closed
        try:
            while True:
                closing = self._closed
                wait_s = self._turn(outbox, self._now())
                if closing:
                    return
                with self._there:
                    if (self.failed or not self._inbox) and not self._closed:
                        self._there.wait(1.0 if wait_s is None else min(wait_s, 1.0))
        finally:
            outbox.close()

    def _opened(self) -> Outbox | None:
        try:
            return Outbox(self._directory / FILE, self._terms, self._deliver)
        except sqlite3.Error as error:
            self.failed = str(error)
            return None

    def _turn(self, outbox: Outbox, now: float) -> float | None:
        """What a disk that is full does not take now it may take the next time."""
        try:
            self._heart(now)
            while self._inbox:
                outbox.take(self._inbox[0], now)
                self._inbox.popleft()
            wait_s = outbox.step(now)
        except (sqlite3.Error, OSError) as error:
            self.failed = str(error)
            return None
        self.failed = ""
        return wait_s

    def _heart(self, now: float) -> None:
        """Write down that the loop turns; say so when it does not, once for each time."""
        silent = now - self._beat
        if silent > self._terms.missed_heartbeat_s:
            if self._beat_said != self._beat:
                self._beat_said = self._beat
                self.say(missed(silent))
        elif now - self._beat_written >= _BEAT_EVERY_S:
            self._beat_written = now
            (self._directory / HEARTBEAT).touch()


def missed(silent_s: float) -> Notice:
    return Notice("heartbeat", Level.CRITICAL, "no heartbeat", f"nothing for {silent_s:.0f} s")


def age_s(state_dir: Path, wall: Callable[[], float] = time.time) -> float | None:
    """How old the heartbeat is; None where nothing runs or all ended in order."""
    try:
        return wall() - (state_dir / HEARTBEAT).stat().st_mtime
    except FileNotFoundError:
        return None


def by_apprise(urls: str) -> Deliver:
    """Raises ValueError, without the address, where one of them is none."""
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would name the addresses
    channels = apprise.Apprise()
    for number, url in enumerate(urls.split()):
        if not channels.add(url):
            raise ValueError(f"{NOTIFY_URLS}: address {number + 1} is none that apprise knows")

    def deliver(notice: Notice) -> bool:
        body = notice.body or notice.title
        title = f"Argus: {notice.title}"
        return bool(channels.notify(title=title, body=body, notify_type=apprise.NotifyType(_TYPES[notice.level])))

    return deliver


def channels(environ: Mapping[str, str]) -> Deliver | None:
    """How to reach people, None where nobody said."""
    urls = find(NOTIFY_URLS, environ)
    return by_apprise(urls.reveal()) if urls is not None else None


def begin(process: Process, environ: Mapping[str, str], state_dir: Path, bus: Bus) -> Notifier | None:
    """The notifier of a live session, at work; None where no address is set."""
    deliver = channels(environ)
    if deliver is None:
        return None
    notifier = Notifier(state_dir, process.notify, deliver)
    notifier.attach(bus)
    return notifier.start()
