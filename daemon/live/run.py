"""``argus run``: start, trade, stop. The order of both ends is the contract; what happens between them is the door's.

Start: lock → the previous session's journal checked → its state made again → disconnected → connected (the feeds are
there) → reconciled (the differences are listed) → armed. Each step is a command, recorded like any input.

Stop: the gate closes → the strategies stop → our open orders are cancelled → none is left at the venue → everything is
written → sockets close → an exit code that says which of this came true. A second signal skips to the writing.

In between the process may roll over: one session is closed and the next begins, between two inputs, with nothing
cancelled and no socket closed.
"""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

from bus import money
from bus.clock import NEVER, SECOND, WallClock
from bus.events import FeedOpened, StateRestored, TradingStateChanged
from bus.inputs import Input
from bus.journal import JournalError
from bus.values import Instrument, TradingState
from config import load as config
from config import surroundings
from config.schema import Limits, Process, Trading
from daemon import models, session
from daemon.errors import CLEAN, ERROR, KILLED, ORDERS_LEFT
from daemon.live import cortex, durable, ending, recorder, rolling, state
from daemon.live import status as process_status
from daemon.live.busy_poll import BusyPoll
from daemon.live.door import Accept, Door
from daemon.live.killfile import KillFile
from daemon.live.recorder import Recorder
from daemon.live.sitting import Clock, Setting, Sitting, keeping
from daemon.live.state import StateDirectory
from daemon.live.supervise import Supervisor
from daemon.live.wallclock import ClockWatch
from daemon.log import RunLog
from daemon.operating.operator import PAPER
from daemon.operating.verbs import Refused
from daemon.session import Session
from daemon.watch import notify
from daemon.watch.attendant import Attendant
from daemon.watch.findings import Finding, Findings, Level
from daemon.wiring import Core, makers
from feeds.port import LiveFeed, VenueProtocol

CLOCK, KILL_FILE, DISK, HOUSEKEEPING, CORTEX = "clock", "kill_file", "disk", "housekeeping", "cortex"
_HOUSEKEEPING_S = 0.5
_ASK_AGAIN_S = 0.1
_REHEARSE_NS = SECOND // 500


Feeds = Callable[[Trading, Process, Sequence[Instrument], Accept, Clock], Sequence[LiveFeed]]
"""Makes the configured feeds; they are given the door."""


@dataclass
class RunRequest:
    """What ``argus run`` or ``argus record`` was asked for. ``for_s`` is on the feed's own time."""

    config_file: Path | None = None
    overrides: Sequence[str] = ()
    out: Path | None = None
    for_s: float | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    mode: str = PAPER


async def run(
    request: RunRequest, feeds: Feeds, clock: Clock | None = None, say: Callable[[str], None] = lambda _text: None
) -> Ended:
    """From the first lock to the exit code. Raises LockHeld, Usage, ConfigError, SessionError, JournalError."""
    loaded = config.load(request.config_file, request.overrides, request.environ, only_tighter=True)
    for note in surroundings.notes(request.environ):
        say(note)
    clock = clock or WallClock(loaded.test.rate, loaded.test.since_ns or None)
    held = StateDirectory.open(loaded.process.state_dir, request.mode)
    try:
        trading = models.with_variables(loaded.trading, request.environ)
        live = Live(request, trading, loaded.process, held, feeds, clock, say)
        return await live.run()
    finally:
        held.close()


@dataclass
class Ended:
    session: Path
    exit_code: int
    reason: str
    summary: dict[str, Any]


class Live:
    """One session of a running process. ``door`` takes commands; ``status`` is the process in one object."""

    def __init__(
        self,
        request: RunRequest,
        trading: Trading,
        process: Process,
        held: StateDirectory,
        feeds: Feeds,
        clock: Clock,
        say: Callable[[str], None],
    ) -> None:
        self._written = trading
        if request.mode == "record":
            trading = trading.model_copy(update={"strategies": []})
        if "holds" not in trading.journal.model_fields_set:
            trading = trading.model_copy(update={"journal": trading.journal.model_copy(update={"holds": True})})
        strategies = makers(trading)
        self.request, self.trading, self.process, self.clock = request, trading, process, clock
        self.state_directory = held.path
        self.findings = Findings(held.path, clock.read, self._on_finding)
        self.mode_pending = ""
        self._taking_back = False
        self._held, self._say = held, say
        self._stopping = asyncio.Event()
        self._reason, self._exit_code, self._signals = "", CLEAN, 0
        self._sitting: Sitting | None = None
        self._written_by: list[threading.Thread] = []
        self._notifier: notify.Notifier | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._rehearsed_ns = 0
        self._busy_poll = BusyPoll(process.busy_poll_ms)
        self._wake: asyncio.TimerHandle | None = None
        parent = held.parent
        restored = self._previous(parent)
        instruments = models.instruments_of(trading)
        self.feeds = list(feeds(trading, process, instruments, self.accept, clock))
        venues = list(dict.fromkeys(feed.venue for feed in self.feeds))
        trading = models.resolve(trading, trading.model_fields_set, venues, bars_only=False) if venues else trading
        if restored is not None and parent is not None:
            ending.must_fit(parent, restored, trading.asset, venues)
        here = [instrument for instrument in instruments if instrument.venue in venues]
        self.boot = held.boot()
        self._setting = Setting(
            request.mode, process, clock, self.boot, self.feeds, venues, here, strategies, session.build()
        )
        self._trading = trading  # as the next session will have it
        directory = request.out or session.new_directory(process.out_dir, datetime.now(UTC), request.mode)
        self.reconnects = 0
        self._opened: set[str] = set()
        self._restored = restored
        self._sitting = Sitting(self._setting, trading, directory, parent, self._wake_at)
        self._listen()
        self._notifier = notify.begin(process, request.environ, held.path, self.core.bus)
        self.tasks = Supervisor(self._on_task)
        self._clock_watch = ClockWatch(lambda what: self.door.fault(CLOCK, what))
        self._kill_file = KillFile(process.kill_file)
        self.schedule = rolling.Schedule(process.session.roll_at, clock, lambda: self.roll(rolling.SCHEDULE))
        self.attendant = Attendant(self)

    @property
    def sitting(self) -> Sitting:
        """The session at hand."""
        assert self._sitting is not None, "nothing asks before it is there"
        return self._sitting

    @property
    def session(self) -> Session:
        return self.sitting.session

    @property
    def core(self) -> Core:
        return self.sitting.core

    @property
    def door(self) -> Door:
        return self.sitting.door

    @property
    def recorder(self) -> Recorder:
        return self.sitting.recorder

    @property
    def log(self) -> RunLog:
        return self.sitting.log

    @property
    def unnotified(self) -> str:
        """Why people are told of nothing at the moment; empty where they are, or where nobody is to be."""
        return self._notifier.failed if self._notifier is not None else ""

    def accept(self, items: Sequence[Input], protocol: VenueProtocol) -> None:
        sitting = self.sitting
        door = sitting.door
        door.accept(items, protocol)
        loop = self._loop
        if loop is None:
            return
        self._busy_poll.heard(loop)
        if door.last_ns - self._rehearsed_ns > _REHEARSE_NS:
            # While frames come an order may, too. Later, so that it holds up nothing that was read with this one.
            self._rehearsed_ns = door.last_ns
            loop.call_soon(sitting.core.gate.rehearse)

    # --- start --------------------------------------------------------------------------------------------------

    async def run(self) -> Ended:
        """The whole of it."""
        loop = self._loop = asyncio.get_running_loop()
        try:
            self.sitting.begin(self._restored)
        except OSError as error:
            self._not_taken(error)
        if not self.door.broken:  # a session without a record can be gone on from by nobody
            self._held.began(self.session.path)
        self.prune()
        self._take_back()
        self._say(f"session {self.session.path}")
        if self._restored is not None:
            for what in ending.changed(self._restored, self.core):
                self._find(what)
        if not self.feeds:
            self._say("nothing will be heard: no [[trading.feeds]] is configured")
        for number in (signal.SIGINT, signal.SIGTERM):
            with suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, self._on_signal, number)
        try:
            self.tasks.start(KILL_FILE, self._watch_kill_file)
            self.tasks.start(CLOCK, self._clock_watch.run)
            self.tasks.start(DISK, self._keep_durable)
            self.tasks.start(HOUSEKEEPING, self._keep_house, restarts=3)
            self.tasks.start(CORTEX, self._keep_cortex, restarts=3)
            if self.process.session.roll_at:
                self.tasks.start(rolling.ROLL, self.schedule.run, restarts=3)
            await self.attendant.start()
            for feed in self.feeds:
                self.tasks.start(f"feed {feed.conn}", feed.run, restarts=1_000_000)
            await self._until_stopped()
            return await self._shut_down()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                with suppress(NotImplementedError, RuntimeError, ValueError):
                    loop.remove_signal_handler(number)
            if self._wake is not None:
                self._wake.cancel()
            await self.attendant.stop()
            if self._notifier is not None:
                self._notifier.close()
            self.sitting.close_logs()

    def _previous(self, parent: Path | None) -> StateRestored | None:
        """What the session before left, shown and then made again."""
        if parent is None:
            return None
        if not (parent / session.MANIFEST).is_file():
            raise session.SessionError(
                f"{parent}, the session this one continues, is gone; bring it back, or begin in another state directory"
            )
        before = Session.open(parent)
        left, found, unexplained = ending.hand_over(before)
        for what in found:
            self._find(what)
        if unexplained:
            self._find(unexplained, Level.CRITICAL)
        for line in ending.last_words_of(before, left):
            self._say(line)
        if ending.panicked(before):
            self._taking_back = True
            self._find(f"argus panic ended {before.path.name}: its orders are taken back, look why", Level.CRITICAL)
        return left

    def _listen(self) -> None:
        """Hear what a new session says."""
        core = self.core
        for feed in self.feeds:
            feed.unfit = core.freshness.unfit
        core.bus.subscribe(FeedOpened, self._on_opened)
        core.bus.subscribe(TradingStateChanged, self._on_state)

    def _on_opened(self, event: FeedOpened) -> None:
        """A feed is there. What follows is said after the input at hand is through."""
        first = event.conn.partition("/")[0] not in self._opened
        self._opened.add(event.conn.partition("/")[0])
        self.reconnects += not first
        if self.core.switch.state is TradingState.DISCONNECTED:
            asyncio.get_running_loop().call_soon(self._connected)

    def _connected(self) -> None:
        """From here to trading: nobody needs to authorise a simulated venue, but every step is taken and recorded."""
        switch = self.core.switch
        if switch.state is not TradingState.DISCONNECTED or self._stopping.is_set():
            return
        self.door.command("connect", PAPER, {"reason": "the feeds are there"})
        self.door.command(
            "reconcile",
            PAPER,
            {"reason": "the simulated venue is ours", "findings": [one.what for one in self.findings.open()]},
        )
        if switch.latched:
            self._find(f"not armed: {switch.latched} halted trading before; look why, then say argus arm")
        elif held := self.core.operator.held:
            self._find(f"not armed: somebody said {held}; say argus arm when that is over")
        elif blocking := self.findings.blocking():
            self._say(f"not armed: {len(blocking)} findings; look (argus findings), acknowledge, then say argus arm")
        elif self._kill_file.present:
            self._find(f"not armed: {self._kill_file.why}; remove it, then say argus arm")
        elif self.request.mode == PAPER:
            self.door.command("arm", PAPER, {"reason": "a simulated venue needs no operator to arm it"})

    # --- between ------------------------------------------------------------------------------------------------

    def command(self, name: str, who: str, payload: Mapping[str, Any] | None = None) -> None:
        """An operator's command, checked already: recorded and done when this returns; what it means for the process
        follows.
        """
        said = dict(payload or {})
        self.log.event("info", f"command.{name}", who=who, payload=said)
        if name == "stop":
            self.stop(f"stopped by {who}" + (f": {said['reason']}" if said.get("reason") else ""))
            return
        if name == rolling.ROLL:
            if why := self.roll(who, said.get("reason", "")):
                raise Refused(why)
            return
        self.door.command(name, who, said)
        if name == "ack":
            self.findings.acknowledge(said.get("number"), who)
        elif name == "reload":
            limits = Limits.model_validate(said["limits"])
            if models.gate_limits(limits) == self.core.gate.limits:  # what was taken holds across the next line too
                self._trading = self._trading.model_copy(update={"limits": limits})
        elif name == "mode":
            self.mode_pending = "" if said["mode"] == self.request.mode else said["mode"]

    def kill_file(self) -> str:
        """Why the kill file keeps trading from being armed; empty while it does not."""
        self._kill_file.look()
        return self._kill_file.why

    def limits_on_disk(self) -> Limits:
        """Those of the configuration as it is now. Raises ConfigError, Usage where more than they changed."""
        request = self.request
        now = config.load(request.config_file, request.overrides, request.environ).trading
        return models.limits_alone(self._written, now)

    def status_of_clock(self) -> int:
        """How far the wall is from our clock, in ns."""
        return self._clock_watch.offset_ns

    def stop(self, reason: str, exit_code: int = CLEAN) -> None:
        """End the session in order; the first reason stands."""
        if not self._stopping.is_set():
            self._reason, self._exit_code = reason, exit_code
            self._stopping.set()

    def status(self) -> dict[str, Any]:
        """The process in one object, JSON-ready: amounts are text, times ns."""
        return {
            **process_status.of(self.sitting),
            "next_roll_ns": None if self.schedule.next_ns == NEVER else self.schedule.next_ns,
            "mode": self.request.mode,
            "mode_pending": self.mode_pending,
            "boot": self.boot,
            "now_ns": max(self.clock.read(), self.door.last_ns),
            "stopping": self._reason,
            "feeds": [feed.conn for feed in self.feeds],
            "tasks": self.tasks.names,
            "clock_offset_ns": self._clock_watch.offset_ns,
            "findings": [one.what for one in self.findings.open()],
        }

    def _on_state(self, event: TradingStateChanged) -> None:
        self._say(f"{event.state.value} ({event.rule}: {event.reason})")
        self.log.event("info", f"trading.{event.state.value}", rule=event.rule, reason=event.reason)
        if event.state is TradingState.HALTED:
            if self.door.broken:  # the halt is only what follows from it
                self.stop(self.door.broken, ERROR)
            self.stop(f"halted by {event.rule}: {event.reason}", KILLED)

    def _on_signal(self, number: signal.Signals) -> None:
        self._signals += 1
        self.stop(f"interrupted by {number.name}")

    def _on_task(self, name: str, error: BaseException | None, last: bool) -> None:
        """Somebody beside the core ended: that is an input; who cannot be spared ends the session."""
        what = f"{type(error).__name__}: {error}" if error is not None else "ended"
        self.log.event("error", "task.ended", task=name, exc_info=error if isinstance(error, Exception) else None)
        self.door.fault(name, what)
        if last and name in (KILL_FILE, CLOCK, DISK):
            self.door.command("halt", "supervisor", {"reason": f"{name} is gone: {what}"})
        elif last:
            self._find(f"{name} is gone: {what}", Level.CRITICAL)

    def _find(self, what: str, level: Level = Level.WARNING) -> None:
        self.findings.add(what, level)

    def _on_finding(self, one: Finding) -> None:
        self._say(f"{one.what}; {one.action}" if one.action else one.what)
        if self._sitting is not None:
            self.log.event(
                "warning", "finding", number=one.number, grade=one.level.value, what=one.what, action=one.action
            )
        if self._notifier is not None:
            self._notifier.say(notify.Notice("finding", one.level, one.what, one.action))

    def _wake_at(self, due_ns: int) -> None:
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if due_ns != NEVER:
            self._wake = asyncio.get_running_loop().call_later(self.clock.wait_s(due_ns), self._on_wake)

    def _on_wake(self) -> None:
        self._wake = None
        if not self.door.tick():
            self._wake_at(self.core.clock.due)

    async def _watch_kill_file(self) -> None:
        present = self._kill_file.look()
        while True:
            await asyncio.sleep(KillFile.EVERY_S)
            if self._kill_file.look() and not present:
                self.door.command("kill", "kill file", {"reason": self._kill_file.why})
            present = self._kill_file.present

    def prune(self) -> int:
        """Let old recordings go, so many pieces; those of this session and of the one it continues stay."""
        kept = {self.session.path.resolve(), (self.sitting.parent or self.session.path).resolve()}
        gone = recorder.prune(
            self.process.out_dir, keeping(self.process.recording), self.clock.read(), frozenset(kept), state.is_latest
        )
        for piece in gone:
            self.log.event("info", "recording.pruned", piece=str(piece))
        return len(gone)

    def _take_back(self) -> None:
        """After a panic: cancel what it left, and ask again until none of it is there."""
        if self._taking_back and ending.anything_open(self.core):
            self.door.command("cancel", "panic", {"reason": "left open by a session that argus panic ended"})
        elif self.core.switch.state is not TradingState.DISCONNECTED:
            self._taking_back = False

    async def _keep_cortex(self) -> None:
        while True:
            self.sitting.cortex.look()
            await asyncio.sleep(cortex.EVERY_S)

    def _not_taken(self, error: OSError) -> None:
        what = f"the disk does not take the session: {error}"
        self._find(what, Level.CRITICAL)
        self.stop(what, ERROR)

    async def _keep_durable(self) -> None:
        while True:
            await asyncio.sleep(durable.EVERY_S)
            await self.sitting.endure()

    async def _keep_house(self) -> None:
        piece = self.recorder.piece
        while True:
            await asyncio.sleep(_HOUSEKEEPING_S)
            self.door.flush()
            if self._notifier is not None:
                self._notifier.beat()
            if self.recorder.piece != piece:
                piece = self.recorder.piece
                self.prune()
            self._take_back()
            if self.door.broken:
                self.stop(self.door.broken, ERROR)

    # --- roll over ----------------------------------------------------------------------------------------------

    def roll(self, who: str, reason: str = "") -> str:
        """Close this session as handed over and go on in a new one, all between two inputs; why that is not possible,
        nothing where it was done.

        The new one is ready before the old one ends, so that what fails fails while nothing has changed. It is the
        latest from the moment its first records are on disk, before which nothing can come in.
        """
        before, core = self.sitting, self.core
        if self._stopping.is_set() or before.door.broken:
            return "the session is ending"
        if core.operator.closing:
            return "everything is being closed"
        began = time.perf_counter()
        try:
            after = Sitting(self._setting, self._trading, self._beside(), before.session.path.resolve(), self._wake_at)
        except (OSError, sqlite3.Error, session.SessionError, JournalError, ValueError) as error:
            self._find(f"could not go on in a new session: {error}")
            return str(error)
        left = rolling.cross(before, after, self.feeds, who, reason, self._held.began)
        if before.door.broken:
            self.stop(before.door.broken, ERROR)
            return before.door.broken
        self._sitting = after
        self._listen()
        if self._notifier is not None:
            self._notifier.attach(self.core.bus)
        self.attendant.turn_to(after)
        self._wake_at(self.core.clock.due)
        if after.door.broken:
            self.stop(after.door.broken, ERROR)
        elif self.core.switch.state is TradingState.HALTED:
            self.stop(f"halted by {self.core.switch.latched} while rolling over", KILLED)
        took_ms = round((time.perf_counter() - began) * 1_000)
        self.log.event("info", "session.rolled", parent=before.session.path.name, who=who, took_ms=took_ms)
        self._say(f"rolled over by {who} in {took_ms} ms: session {after.session.path}")
        for what in rolling.forgotten(before.core.runner.strategies(), self.core.runner.strategies()):
            self._find(what)
        self._write_aside(before, f"handed over to {after.session.path.name}", left)
        self.prune()
        return ""

    def _beside(self) -> Path:
        out, now = self.request.out, datetime.now(UTC)
        if out is None:
            return session.new_directory(self.process.out_dir, now, self.request.mode)
        number = next(n for n in count(2) if not out.with_name(f"{out.name}-{n}").exists())
        return out.with_name(f"{out.name}-{number}")

    def _write_aside(self, before: Sitting, reason: str, left: Sequence[Mapping[str, Any]]) -> None:
        """The readable files of a session that is over, by a thread of their own: the market does not wait."""
        self._shut(before)
        found = [one.what for one in self.findings.open()]
        loop = asyncio.get_running_loop()

        def write() -> None:
            money.install()
            try:
                before.write(CLEAN, reason, left, found)
            except Exception as error:
                loop.call_soon_threadsafe(self._find, _unwritten(before.session, error))
            finally:
                before.close_logs()

        self._written_by = [thread for thread in self._written_by if thread.is_alive()]
        self._written_by.append(threading.Thread(target=write, name="write session", daemon=True))
        self._written_by[-1].start()

    def _shut(self, sitting: Sitting) -> bool:
        """Whether its recording and its journal are whole."""
        try:
            sitting.shut()
        except (OSError, sqlite3.Error) as error:
            self._find(f"{sitting.session.path.name} was not closed as it should be: {error}")
            return False
        return True

    async def _until_stopped(self) -> None:
        within = self.request.for_s / self.clock.rate if self.request.for_s is not None else None
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._stopping.wait()
        self.stop(f"the {self.request.for_s:g} s asked for are over" if within is not None else "")

    # --- stop ---------------------------------------------------------------------------------------------------

    async def _shut_down(self) -> Ended:
        core, door = self.core, self.door
        self.attendant.notifier.say(STOPPING="1", STATUS=self._reason)
        door.command("stop", "daemon", {"reason": self._reason})
        asked, hurry = asyncio.get_running_loop().time(), self._signals + 1
        deadline = asked + self.process.stop_within_s
        while ending.anything_open(core) and self._signals < hurry and not door.broken:
            await asyncio.sleep(0.005)
            now = asyncio.get_running_loop().time()
            if now > deadline:
                break
            if now > asked + _ASK_AGAIN_S and core.router.unasked:  # a cancel was refused
                door.command("cancel", "daemon", {"reason": self._reason})
                asked = now
        left = ending.open_orders(core)
        code = self._exit_code or (ORDERS_LEFT if left else CLEAN)
        if left:
            self._find(f"{len(left)} orders are left at the venue")
        handed = ending.Handed()
        door.end(handed.take)
        late = await self.tasks.stop(self.process.stop_within_s)
        if late:
            self._find(f"did not end in time: {', '.join(late)}")
        if not self._shut(self.sitting):
            code = code or ERROR
        summary: dict[str, Any] = {}
        try:
            handed.write(self.session, core.chain)
            summary = self.sitting.write(code, self._reason, left, [one.what for one in self.findings.open()])
        except OSError as error:  # what the code says of our orders stands, whatever the disk has room for
            self._find(_unwritten(self.session, error))
            code = code or ERROR
        for thread in self._written_by:
            thread.join(self.process.stop_within_s)
        return Ended(self.session.path, code, self._reason, summary)


def _unwritten(over: Session, error: Exception) -> str:
    return f"{over.path.name} was not written to its end ({error}); argus export makes it again"
