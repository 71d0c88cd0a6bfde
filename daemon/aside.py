"""Words for somebody who may be slow: a terminal, a log on a disk that hangs. The loop never waits for them.

What is said is put into a bounded queue and told by a thread of its own, in order. While that is full, what comes is
dropped and counted. The thread looks by itself, ten times a second: to wake it for each word would cost whoever speaks
more than the word does, and an order speaks on its way.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

CAPACITY = 4096
LOOK_S = 0.1

Words = TypeVar("Words")


class Aside(Generic[Words]):
    def __init__(self, tell: Callable[[Words], object], name: str) -> None:
        self._tell = tell
        self._words: deque[Words] = deque()
        self._open = True
        self._closed = threading.Event()
        self._full = self._untold = 0  # each counted by one thread only
        self.failed = ""
        # A daemon thread: whoever hangs for ever must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        return self._full + self._untold

    def __call__(self, words: Words) -> None:
        if self._open and len(self._words) < CAPACITY:
            self._words.append(words)
        else:
            self._full += 1

    def close(self, within_s: float = 2.0) -> bool:
        """What was said is still told, if that takes no longer than this; whether it was."""
        self._open = False
        self._closed.set()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        closed = False
        while not closed:
            closed = self._closed.wait(LOOK_S)
            while self._words:
                try:
                    self._tell(self._words.popleft())
                except (OSError, ValueError) as error:  # a disk that is full, a terminal that is gone
                    self.failed = str(error)
                    self._untold += 1
