"""A session's inputs through the same wiring once more: what ``verify``, ``why`` and ``council`` stand on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bus.journal import Chain
from bus.values import Instrument
from config.schema import Process, Trading
from daemon import session
from daemon.app import END_OF_DATA, Opened, open_sources
from daemon.errors import Usage
from daemon.proof.refold import LIVE, Refold, opening_state
from daemon.replay import Stop, Watch, play
from daemon.session import Session
from daemon.sources import Source
from daemon.wiring import Core, OnError, build

Through = Callable[[Stop, Watch | None], None]


@dataclass
class Again:
    """A session opened to be run again. ``limit`` is how many inputs it took where it was interrupted, None for all;
    ``notes`` say what is not as it was. A live session holds its own recording, so it needs none of the files.
    """

    written: Session
    trading: Trading
    instruments: Sequence[Instrument]
    venues: Sequence[str]
    limit: int | None
    notes: list[str]
    _open: Callable[[], Sequence[Source]]

    @property
    def live(self) -> bool:
        return self.written.manifest["mode"] in LIVE

    @property
    def continues(self) -> bool:
        """Whether it begins in another's state, and not with nothing."""
        return self.live and opening_state(self.written) is not None

    def sources(self) -> Sequence[Source]:
        """Its inputs from the start; each call opens them anew."""
        return self._open()

    def core(self, chain: Chain, on_error: OnError, trading: Trading | None = None, **other: Any) -> Core:
        """The session's parts joined anew, with what ``build`` takes besides."""
        return build(trading or self.trading, self.instruments, self.venues, chain, on_error, **other)

    def begin(self, chain: Chain, trading: Trading | None = None, **other: Any) -> tuple[Core, Through]:
        """The parts joined anew, and what runs the session's inputs through them until told to stop."""
        if self.live:
            fold = Refold(self.written, chain, trading=trading, **other)

            def refold(stop: Stop, _: Watch | None) -> None:
                def on() -> bool:
                    chain.seal()
                    return not stop.reason

                fold.run(on)

            return fold.core, refold
        core = self.core(chain, lambda _where, _error: None, trading, **other)

        def replay(stop: Stop, watch: Watch | None) -> None:
            asyncio.run(play(core, self.sources(), chain.seal, stop=stop, watch=watch, limit=self.limit))

        return core, replay


def reopen(written: Session, data: Sequence[Path] = ()) -> Again:
    """Raises Usage where a recording is missing, SessionError or ConfigError where the manifest cannot be followed."""
    manifest = written.manifest
    if manifest["mode"] in LIVE:
        trading = Trading.model_validate(manifest["config"]["trading"])
        return Again(written, trading, [], [], None, of_build(manifest), list)
    files, notes = _data(manifest, data)
    trading = Trading.model_validate(manifest["config"]["trading"])
    process = Process.model_validate(manifest["config"]["process"])
    venues = list(dict.fromkeys(entry["venue"] for entry in manifest["data"]))
    given = venues[0] if len(venues) == 1 else None  # as --venue was, had it been needed

    def opened() -> Opened:
        return open_sources(files, given, trading, process, manifest["intervals"], manifest["instrument"])

    here = [instrument for instrument in opened().instruments if instrument.venue in venues]
    interrupted = manifest["ended"] is not None and manifest["reason"] != END_OF_DATA
    limit = manifest["inputs"] if interrupted else None
    return Again(written, trading, here, venues, limit, notes, lambda: opened().sources)


def _data(manifest: Mapping[str, Any], given: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """The files to read, each held to the hash in the manifest; a changed one is noted as refused."""
    entries = manifest["data"]
    if given and len(given) != len(entries):
        raise Usage(f"the session read {len(entries)} files, --data names {len(given)}; name them in the same order")
    files = list(given) or [Path(entry["path"]) for entry in entries]
    notes = []
    for file, entry in zip(files, entries, strict=True):
        if not file.is_file():
            raise Usage(f"{file} is not there; if it moved, say where with --data FILE")
        if (now := session.file_hash(file)) != entry["sha256"]:
            notes.append(f"refused: {file} is not the file the session read (sha256 {now}, was {entry['sha256']})")
    return files, notes + of_build(manifest)


def of_build(manifest: Mapping[str, Any]) -> list[str]:
    """A note where this build is not the one that wrote the session."""
    build_now = session.build()["sha256"]
    if manifest["build"]["sha256"] == build_now:
        return []
    return [f"this build ({build_now[:12]}) is not the one that wrote the session ({manifest['build']['sha256'][:12]})"]
