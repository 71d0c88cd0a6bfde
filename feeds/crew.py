"""Tasks of one part beside each other: kept, and ended with it, the last started first.

Whoever raises ends the part: ``over`` raises what it raised. Nobody is left to himself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any


class Crew:
    """``async with Crew() as crew``: start some, then wait for ``over``, which returns only by raising."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have ``work`` going until it ends or the part does."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)
        return task

    async def over(self) -> None:
        """Wait for the first that raises; it is raised here."""
        await asyncio.shield(self._failed)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def __aenter__(self) -> Crew:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        for task in reversed(self._tasks.copy()):
            await end(task)
        if self._failed.done():
            self._failed.exception()  # looked at, so that nobody is told that nobody looked
        else:
            self._failed.cancel()


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it has gone. What it raised on the way, ``over`` tells; a cancellation that comes
    here is ours and goes on.
    """
    task.cancel()
    if not task.done():
        gone = asyncio.Event()
        task.add_done_callback(lambda _: gone.set())
        await gone.wait()
