"""One session of a running process: its directory, its core, its door, and everything that writes down what happens.

A process has one at a time, from its first line to its readable files. When it rolls over, the next one is made beside
it, takes over its state between two inputs, and the first is written to its end by whoever has time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import orjson

from bus import money
from bus.clock import SECOND
from bus.events import StateRestored
from bus.inputs import Input
from bus.journal import Journal
from bus.values import Instrument
from config.schema import Process, Recording, Trading, canonical
from daemon import models, session
from daemon.live import ending, recorder
from daemon.live.cortex import Cortex
from daemon.live.door import Door
from daemon.live.durable import Durable
from daemon.live.execution_log import ExecutionLog
from daemon.live.recorder import Keeping, Recorder
from daemon.log import RunLog
from daemon.reading import calibration
from daemon.session import Session
from daemon.wiring import build
from feeds.port import LiveFeed, VenueProtocol
from strategies.load import Maker


class Clock(Protocol):
    rate: float

    def read(self) -> int: ...
    def wait_s(self, ns: int) -> float: ...


@dataclass(frozen=True)
class Setting:
    """What all sessions of a process have in common. ``build`` is the program that was started, whatever became of its
    files since; ``strategies`` are (name, how to make it, instruments).
    """

    mode: str
    process: Process
    clock: Clock
    boot: int
    feeds: Sequence[LiveFeed]
    venues: Sequence[str]
    instruments: Sequence[Instrument]
    strategies: Sequence[tuple[str, Maker, Sequence[str] | None]]
    build: Mapping[str, Any]


class Sitting:
    """``errors`` are what parts raised, in words."""

    def __init__(
        self,
        setting: Setting,
        trading: Trading,
        directory: Path,
        parent: Path | None,
        on_wake: Callable[[int], None],
    ) -> None:
        process, self.started_ns = setting.process, setting.clock.read()
        strategies = [(name, make(), wanted) for name, make, wanted in setting.strategies]
        self.mode, self.boot = setting.mode, setting.boot
        self.errors: list[str] = []
        self.session = Session.create(directory, _manifest(setting, trading, parent))
        self.journal = Journal(self.session.journal)
        self.log = RunLog(directory, process.logging.level)
        self.execution_log = ExecutionLog(directory)
        parts = (trading, setting.instruments, setting.venues, self.journal, self._on_error, strategies)
        self.core = build(*parts, step_ns=SECOND, boot=setting.boot, log=self.execution_log)
        self.cortex = Cortex(directory, setting.mode, self.core, {one.name: one.use for one in trading.strategies})
        self.execution_log.on_held = self.cortex.held
        self.recorder = Recorder(directory, keeping(process.recording))
        self.durable = Durable(directory, self.journal.path)
        self._final = False
        self.door = Door(self.core, self.journal, self.recorder, setting.clock, on_wake)

    def begin(self, restored: StateRestored | None, carried: Sequence[tuple[Input, VenueProtocol]] = ()) -> None:
        """Raises OSError where the disk does not take it."""
        about = {"session": self.session.path.name, "mode": self.mode, "boot": self.boot}
        self.door.begin(about, restored, carried)
        self.durable.sync()  # a session is on the disk before it is the latest
        self.log.event("info", "session.opened", session=str(self.session.path), boot=self.boot)

    @property
    def parent(self) -> Path | None:
        return Path(parent) if (parent := self.session.manifest["parent"]) else None

    def shut(self) -> None:
        """Nothing more comes: recording and journal are whole."""
        with suppress(recorder.RecorderFailed):
            self.recorder.close()
        self._final = self.journal.close()
        try:
            self.durable.sync()
        except OSError as error:
            self._on_error("disk", error)

    async def endure(self) -> None:
        """Have the disk take what there is, in a thread: nobody waits. Raises OSError."""
        self.door.flush()
        records = self.core.chain.seq
        await asyncio.to_thread(self.durable.sync)
        self.durable.records = records

    def write(
        self, code: int, reason: str, left: Sequence[Mapping[str, Any]], findings: Sequence[str]
    ) -> dict[str, Any]:
        """Everything but recording and journal, which are on disk already."""
        self.cortex.close()
        core, door = self.core, self.door
        session.replace_file(self.session.path / session.CURVE, orjson.dumps(core.sampler.curve()))
        if core.council is not None:
            calibration.write(self.session, core.council)
        worth, _ = core.worth()
        summary = {
            "session": str(self.session.path),
            "inputs": door.accepted,
            "intents": core.runner.intents,
            "orders": core.router.orders,
            "refused": core.gate.refused,
            "fills": core.router.fills,
            "equity_end": money.plain(worth) if worth.is_finite() else None,
            "state": core.switch.state.value,
            "reason": reason,
            "exit_code": code,
            "orders_left": len(left),
            "journal_records": core.chain.seq,
            "journal_head": core.chain.head.hex(),
        }
        self.session.manifest.update(
            ended=datetime.now(UTC).isoformat(),
            reason=reason,
            exit_code=code,
            inputs=door.accepted,
            errors=self.errors[:100],
            recording=self.recorder.failed or None,
            journal_sha256=session.file_hash(self.session.journal) if self._final else None,
            metrics=ending.figures(core),
            summary=summary,
        )
        self.session.write()
        ending.write_files(self.session, summary, left, findings)
        self.log.event("info", "session.closed", reason=reason, exit_code=code)
        return summary

    def close_logs(self) -> None:
        self.log.close()
        self.execution_log.close()
        self.cortex.close()

    def abandon(self, why: str) -> None:
        """It never began."""
        self.journal.close()
        self.session.manifest.update(ended=datetime.now(UTC).isoformat(), reason=why)
        self.session.write()
        self.close_logs()

    def _on_error(self, where: str, error: Exception) -> None:
        self.errors.append(f"{where}: {type(error).__name__}: {error}")
        self.log.event("error", "part.failed", where=where, exc_info=error)


def keeping(recording: Recording) -> Keeping:
    return Keeping(
        recording.piece_mb << 20, recording.keep_days, int(recording.budget_gb * (1 << 30)), recording.spare_mb << 20
    )


def _manifest(setting: Setting, trading: Trading, parent: Path | None) -> dict[str, Any]:
    return {
        "mode": setting.mode,
        "started": datetime.now(UTC).isoformat(),
        "ended": None,
        "reason": None,
        "exit_code": None,
        "build": setting.build,
        "config": {"trading": canonical(trading), "process": orjson.loads(setting.process.model_dump_json())},
        "seed": trading.seed,
        "boot": setting.boot,
        "feeds": [{"conn": feed.conn, "venue": feed.venue} for feed in setting.feeds],
        "data": [],
        "synthetic": False,
        "synthetic_by": None,
        "models": models.assumptions(trading),
        "parent": str(parent) if parent is not None else None,
        "state_dir": str(setting.process.state_dir.resolve()),
    }
