"""Whoever runs beside the core is owned here: started in order, kept, restarted within bounds, stopped in reverse.

A task that ends is an event, never a silence. One that raises is started again after a while, each time a longer one,
as often as its ``restarts`` allow; then it is given up, and whoever asked is told. Nobody else here makes a task.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

OnEnd = Callable[[str, BaseException | None, bool], None]
"""Told of each end: whose, by what (None: it returned), and whether that was its last."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
CALM_S = 60.0
"""Whoever has run this long has earned its restarts back."""


class Supervisor:
    def __init__(self, on_end: OnEnd) -> None:
        self._on_end = on_end
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    @property
    def names(self) -> list[str]:
        """Who is running, in the order they were started."""
        return list(self._tasks)

    def start(self, name: str, run: Callable[[], Awaitable[None]], *, restarts: int = 0) -> None:
        """Have ``run`` going until it returns or ``stop``."""
        assert name not in self._tasks, f"{name} is running already"
        task = asyncio.get_running_loop().create_task(self._keep(name, run, restarts), name=name)
        self._tasks[name] = task

    async def stop(self, within_s: float) -> list[str]:
        """End everybody, the last started first; returns who did not end in time."""
        self._stopping = True
        late = []
        for name, task in reversed(list(self._tasks.items())):
            task.cancel()
            try:
                async with asyncio.timeout(within_s):
                    await asyncio.shield(task)
            except TimeoutError:
                late.append(name)
            except asyncio.CancelledError:
                if not task.cancelled():  # it is us who are to end
                    raise
        return late

    async def _keep(self, name: str, run: Callable[[], Awaitable[None]], restarts: int) -> None:
        loop, left, wait = asyncio.get_running_loop(), restarts, FIRST_WAIT_S
        try:
            while True:
                began = loop.time()
                try:
                    await run()
                except Exception as error:
                    if self._stopping:  # it was told to end, and has
                        return
                    if loop.time() - began > CALM_S:
                        left, wait = restarts, FIRST_WAIT_S
                    self._tell(name, error, last=left == 0)
                    if left == 0:
                        return
                else:
                    self._tell(name, None, last=True)
                    return
                left -= 1
                await asyncio.sleep(wait * random.uniform(0.5, 1.0))
                wait = min(wait * 2, LONGEST_WAIT_S)
        finally:
            del self._tasks[name]

    def _tell(self, name: str, error: BaseException | None, *, last: bool) -> None:
        if not self._stopping:
            self._on_end(name, error, last)
