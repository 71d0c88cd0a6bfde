"""Start, run, stop: a replay from the command line's words to a finished session directory.

Everything that can be wrong with a request (a missing file, an unknown strategy, a bad limit) is found before
anything is written; from then on, whatever happens, the directory is left with a readable journal and a manifest
that says how it ended.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
from pydantic import ValidationError

from bus import money
from bus.clock import MINUTE, SECOND
from bus.journal import Journal
from bus.values import Instrument
from config import load as config
from config.schema import Config, Process, Trading, canonical
from daemon import models, session, sources
from daemon.errors import Usage
from daemon.live import recorder
from daemon.log import RunLog
from daemon.oddities import Oddities
from daemon.replay import Stop, Watch, interruptible, play
from daemon.session import Session
from daemon.sources import Source
from daemon.wiring import Core, build, load_all
from feeds.port import VenueProtocol
from portfolio import metrics
from portfolio.equity import CannotValue

END_OF_DATA = "end of data"
_SELDOM = 50_000


@dataclass
class Request:
    """What ``argus replay`` was asked for."""

    files: Sequence[Path]
    strategies: Sequence[str] = ()
    params: Sequence[Mapping[str, Any]] = ()
    intervals: Sequence[str] = ()
    config_file: Path | None = None
    overrides: Sequence[str] = ()
    seed: int | None = None
    venue: str | None = None
    speed: float | None = None
    out: Path | None = None
    instrument: str | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Result:
    session: Session
    summary: dict[str, Any]
    bad: Sequence[sources.Bad]
    odd: Sequence[sources.Bad] = ()
    odd_count: int = 0


async def replay(request: Request, watch: Watch | None = None, note: Callable[[str], None] | None = None) -> Result:
    """Run the request to its end, or to the first SIGINT. Raises Usage, BadSource, ConfigError, SessionError and
    friends.

    ``note`` is told of every error that a strategy or a part of the core raised, as it happens.
    """
    run = Run(request, note)
    stop = Stop()
    with interruptible(stop):
        await run.play(watch, stop)
    return run.finish(stop.reason)


class Run:
    """One session being made: started by the constructor, fed by ``play``, ended by ``finish``."""

    def __init__(self, request: Request, note: Callable[[str], None] | None = None) -> None:
        resolved = resolve(request)
        strategies = load_all(resolved.trading)  # one that cannot be built is found before a directory is made
        started = datetime.now(UTC)
        directory = request.out or session.new_directory(resolved.process.out_dir, started, "replay")
        self.session = Session.create(directory, _manifest(resolved, started, request))
        self.sources = resolved.sources
        self.journal = Journal(self.session.journal, remakable=True)
        self.core = build(
            resolved.trading,
            resolved.instruments,
            resolved.venues,
            self.journal,
            self._on_error,
            strategies,
            MINUTE if all(source.bars_only for source in self.sources) else SECOND,
        )
        self._log = RunLog(self.session.path, resolved.process.logging.level)
        self._log.event("info", "session.opened", files=[str(file) for file in request.files])
        self._oddities = Oddities(self.core.bus)
        self._speed = request.speed
        self._note = note
        self._errors: list[str] = []
        self._accepted = 0
        self._wall = 0.0
        self._final = False
        # What is here now stays to the end, and hardly anything that comes after is part of a cycle: the collector need
        # not walk it again and again.
        gc.freeze()
        self._threshold = gc.get_threshold()
        gc.set_threshold(_SELDOM, *self._threshold[1:])

    async def play(self, watch: Watch | None = None, stop: Stop | None = None) -> None:
        begun = time.perf_counter()
        self._accepted = await play(
            self.core,
            self.sources,
            self.journal.commit,
            speed=self._speed,
            stop=stop,
            watch=watch,
            oddities=self._oddities,
        )
        self.core.close()
        self._final = self.journal.close()
        self._wall = time.perf_counter() - begun
        gc.unfreeze()
        gc.set_threshold(*self._threshold)

    def finish(self, interrupted: str = "") -> Result:
        """Write everything but the journal, which is on disk already."""
        # Imported now that the buffers of the sources are free again, not beside them.
        from daemon.reading import calibration, export

        summary = _summary(self.core, self.sources, self.session, self._wall)
        bad = [one for source in self.sources for one in sorted(source.bad, key=lambda one: one.line)]
        session.replace_file(self.session.path / session.CURVE, orjson.dumps(self.core.sampler.curve()))
        write_rejected(self.session, bad)
        if self.core.council is not None:
            calibration.write(self.session, self.core.council)
        self.session.manifest.update(
            ended=datetime.now(UTC).isoformat(),
            reason=interrupted or END_OF_DATA,
            exit_code=0,
            inputs=self._accepted,
            errors=self._errors[:100],
            journal_sha256=session.file_hash(self.session.journal) if self._final else None,
            metrics=self._metrics(),
            summary=summary,
        )
        self.session.write()
        export.export(self.session)
        for one in bad:
            self._log.event("warning", "frame.rejected", file=str(one.path), line=one.line, reason=one.reason)
        for one in self._oddities.found:
            self._log.event("warning", "data.odd", file=str(one.path), line=one.line, reason=one.reason)
        self._log.event("info", "session.closed", reason=self.session.manifest["reason"], fills=summary["fills"])
        self._log.close()
        return Result(self.session, summary, bad, self._oddities.found, self._oddities.count)

    def _metrics(self) -> dict[str, float | None]:
        core = self.core
        try:
            return metrics.summary(core.equity, core.ledger, core.slippage, core.sampler.equity(), core.sampler.step_ns)
        except CannotValue:
            return {}

    def _on_error(self, where: str, error: Exception) -> None:
        self._log.event("error", "part.failed", where=where, exc_info=error)
        self._errors.append(f"{where}: {type(error).__name__}: {error}")
        if self._note is not None:
            self._note(self._errors[-1])


@dataclass
class Resolved:
    """A request with every question answered: what ``verify`` needs to ask again."""

    trading: Trading
    process: Process
    instruments: list[Instrument]
    venues: list[str]
    sources: list[Source]


def resolve(request: Request) -> Resolved:
    loaded: Config = config.load(request.config_file, request.overrides, request.environ)
    trading = _with_flags(loaded.trading, request)
    files = [piece for file in request.files for piece in recorder.recording_of(file)]
    opened = open_sources(files, request.venue, trading, loaded.process, request.intervals, request.instrument)
    venues = list(dict.fromkeys(source.venue for source in opened.sources))
    chosen = loaded.trading.model_fields_set
    trading = models.resolve(trading, chosen, venues, bars_only=all(source.bars_only for source in opened.sources))
    here = [instrument for instrument in opened.instruments if instrument.venue in venues]
    return Resolved(trading, loaded.process, here, venues, opened.sources)


@dataclass
class Opened:
    sources: list[Source]
    instruments: list[Instrument]


def open_sources(
    files: Sequence[Path],
    venue: str | None,
    trading: Trading,
    process: Process,
    intervals: Sequence[str],
    instrument: str | None = None,
) -> Opened:
    """The files as sources, and every instrument known before they are read. Raises Usage, BadSource, NotARecording."""
    for file in files:
        if not file.is_file():
            raise Usage(f"no such file: {file}")
    instruments = models.instruments_of(trading)
    protocols: dict[str, VenueProtocol] = {}
    opened: list[Source] = []
    for file in files:
        if sources.is_table(file):
            spec = models.table_spec(file, process.tables, intervals, instrument or "", trading.asset)
            if all(known.name != spec.instrument for known in instruments):
                instruments.append(models.stated_instrument(spec.instrument))
            opened.append(sources.RowSource(file, spec))
            continue
        name, synthetic = sources.look_at(file, venue)
        # Two recordings of one venue are one conversation: a book may be in the one and its trades in the other.
        if name not in protocols:
            protocols[name] = sources.protocol_of(name, sources.known_by(instruments))
        opened.append(sources.FrameSource(file, name, protocols[name], synthetic))
    return Opened(opened, instruments)


def _with_flags(trading: Trading, request: Request) -> Trading:
    """The command line's own flags over whatever the config says."""
    changes: dict[str, Any] = {}
    if request.seed is not None:
        changes["seed"] = request.seed
    if request.intervals:
        changes["bars"] = {**trading.bars.model_dump(), "intervals": list(request.intervals)}
    if request.strategies:
        changes["strategies"] = _entries(request.strategies, request.params)
    elif request.params:
        raise Usage("--params goes with --strategy; parameters of configured strategies are set with --set")
    elif not trading.strategies:
        changes["strategies"] = [{"use": "stub"}]
    try:
        named = Trading.model_validate({**trading.model_dump(), **changes})
        return models.with_variables(named, request.environ)
    except ValidationError as error:
        faults = (
            f"{'.'.join(map(str, fault['loc']))} = {fault['input']!r}: {fault['msg']}" for fault in error.errors()
        )
        raise Usage("; ".join(faults)) from None


def _entries(names: Sequence[str], params: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if len(params) > len(names):
        raise Usage(f"{len(params)} --params for {len(names)} --strategy; each strategy takes one, in order")
    entries: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for index, use in enumerate(names):
        stem = models.strategy_name(use)
        counts[stem] = counts.get(stem, 0) + 1
        name = stem if counts[stem] == 1 else f"{stem}.{counts[stem]}"
        entries.append({"use": use, "name": name, "params": dict(params[index]) if index < len(params) else {}})
    return entries


def _summary(core: Core, files: Sequence[Source], written: Session, wall: float) -> dict[str, Any]:
    """The object ``--json`` ends with. Money is exact text; ratios are numbers."""
    counts = list({id(source.counts): source.counts for source in files}.values())
    intake = core.intake
    start = core.equity.start
    end, _ = core.worth()
    return {
        "session": str(written.path),
        "frames": intake.frames + intake.rows,
        "unparsed": sum(source.bad_lines for source in files),
        **{
            name: sum(getattr(c, name) for c in counts)
            for name in ("ignored", "gaps", "duplicates", "late", "trades", "quotes", "depth_updates", "klines")
        },
        "late_for_bars": core.bars.late if core.bars is not None else 0,
        "bars": (core.bars.closed if core.bars is not None else 0)
        + sum(source.counts.klines for source in files if source.bars_only),
        "intents": core.runner.intents,
        "orders": core.router.orders,
        "refused": core.gate.refused,
        "fills": core.router.fills,
        "fees": {asset: money.plain(fee) for asset, fee in sorted(core.ledger.fees.items())},
        "equity_start": None if start is None else money.plain(start),
        "equity_end": money.plain(end) if end.is_finite() else None,
        "max_drawdown": core.equity.max_drawdown,
        "state": core.switch.state.value,
        "journal_records": core.chain.seq,
        "journal_head": core.chain.head.hex(),
        "wall_s": round(wall, 4),
        "frames_per_s": round((intake.frames + intake.rows) / wall) if wall else 0,
    }


def _manifest(resolved: Resolved, started: datetime, request: Request) -> dict[str, Any]:
    synthetic = next((source.synthetic for source in resolved.sources if source.synthetic), "")
    return {
        "mode": "replay",
        "started": started.isoformat(),
        "ended": None,
        "reason": None,
        "exit_code": None,
        "build": session.build(),
        "config": {
            "trading": canonical(resolved.trading),
            "process": orjson.loads(resolved.process.model_dump_json()),
        },
        "seed": resolved.trading.seed,
        "intervals": list(request.intervals),
        "instrument": request.instrument,
        "data": [
            {
                "path": str(source.path.resolve()),
                "sha256": session.file_hash(source.path),
                "venue": source.venue,
                "kind": "table" if sources.is_table(source.path) else "recording",
            }
            for source in resolved.sources
        ],
        "synthetic": bool(synthetic),
        "synthetic_by": synthetic.removeprefix(sources.SYNTHETIC).lstrip(" :") or None,
        "models": models.assumptions(resolved.trading),
        "parent": None,
    }


def write_rejected(written: Session, bad: Sequence[sources.Bad]) -> None:
    """Keep what nobody could read, with its file and line."""
    if bad:
        lines = [
            orjson.dumps({"file": str(one.path), "line": one.line, "reason": one.reason, "raw": one.text})
            for one in bad
        ]
        session.replace_file(written.path / session.REJECTED, b"\n".join(lines) + b"\n")
