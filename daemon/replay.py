"""Feed a session from files: open the sources, turn the loop, stop when they end or somebody says so.

The loop is the live one with other parts plugged in: sources instead of sockets, the recordings' stamps instead of the
wall clock, the simulated venue instead of a broker. ``verify`` runs the same ``play`` into a journal that compares.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from bus.clock import SECOND
from daemon.oddities import Oddities
from daemon.sources import Source, merged
from daemon.wiring import Core

COMMIT_EVERY = 512
COMMIT_WITHIN_S = 0.2
STRIDE = 512
"""How many records, or for how long, may wait in memory; then they are committed at the end of the batch."""

Commit = Callable[[], object]
Watch = Callable[[float], None]


class Stop:
    """Set once, by a signal or a caller; the loop looks at it between batches."""

    def __init__(self) -> None:
        self.reason = ""

    def __call__(self, reason: str) -> None:
        self.reason = self.reason or reason


async def play(
    core: Core,
    sources: Sequence[Source],
    commit: Commit,
    *,
    speed: float | None = None,
    stop: Stop | None = None,
    watch: Watch | None = None,
    limit: int | None = None,
    oddities: Oddities | None = None,
) -> int:
    """Accept everything the sources hold, in order; returns how many inputs were accepted.

    ``speed`` paces by the recording's own time (1.0 as it was), None runs as fast as it goes; neither changes a byte of
    the journal. ``limit`` ends after that many inputs, as an interrupted session did. ``watch`` is told the progress.
    """
    stop = stop or Stop()
    pace = _Pace(speed) if speed else None
    accepted = 0
    intake = core.intake
    opened, commit_by = False, 0.0
    for source, batch in merged(sources):
        core.rejecting = source.reject
        if not opened:
            core.open(next((ns for item in batch if (ns := source.time(item)) is not None), 0))
            commit()
            opened = True
        if limit is not None and accepted + len(batch) >= limit:
            batch = batch[: limit - accepted]
        if oddities is not None:
            oddities.begin(source, batch)
        if pace is None:
            for start in range(0, len(batch), STRIDE):
                source.accept(intake, batch[start : start + STRIDE])
                if len(core.chain.pending) >= COMMIT_EVERY:
                    commit()
            accepted += len(batch)
        else:
            for item in batch:
                await pace.until(source.time(item), stop)
                if stop.reason:
                    break
                source.accept(intake, (item,))
                accepted += 1
        if oddities is not None:
            oddities.end()
        if core.chain.pending and (len(core.chain.pending) >= COMMIT_EVERY or time.monotonic() > commit_by):
            commit()
            commit_by = time.monotonic() + COMMIT_WITHIN_S
        if watch is not None:
            watch(sum(s.progress() for s in sources) / len(sources))
        await asyncio.sleep(0)
        if stop.reason or accepted == limit:
            break
    return accepted


class _Pace:
    """Waits so that recorded time passes at ``speed`` times real time. Reads the wall: it stands at the rim."""

    def __init__(self, speed: float) -> None:
        self._speed = speed
        self._recorded_start: int | None = None
        self._started = time.monotonic()

    async def until(self, ns: int | None, stop: Stop) -> None:
        if ns is None:
            return
        if self._recorded_start is None:
            self._recorded_start = ns
        due = self._started + (ns - self._recorded_start) / SECOND / self._speed
        while not stop.reason and (left := due - time.monotonic()) > 0:
            await asyncio.sleep(min(left, 0.1))


@contextmanager
def interruptible(stop: Stop) -> Iterator[None]:
    """SIGINT and SIGTERM end the session cleanly; a second one has its usual, abrupt meaning."""
    loop = asyncio.get_running_loop()
    taken: list[signal.Signals] = []

    def asked(number: signal.Signals) -> None:
        stop(f"interrupted by {number.name}")
        for one in taken:
            loop.remove_signal_handler(one)

    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError, RuntimeError, ValueError):  # no signals on this loop or thread
            loop.add_signal_handler(number, asked, number)
            taken.append(number)
    try:
        yield
    finally:
        for number in taken:
            with suppress(ValueError):
                loop.remove_signal_handler(number)


def run_async(main: Any) -> Any:
    """Run what speaks to sockets: on uvloop where the platform has it, on the stock loop elsewhere.

    A replay waits for nothing and runs on the stock loop: uvloop is 3 MB that it would not use.
    """
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)
