"""Words for somebody who may be slow: a terminal, a log on a disk that hangs. The loop never waits for them.

What is said is put into a bounded queue and told by a thread of its own, in order. While that is full, what comes is
dropped and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

CAPACITY = 4096


class Aside:
    def __init__(self, tell: Callable[[str], object], name: str) -> None:
        self._tell = tell
        self._words: deque[str] = deque()
        self._there = threading.Condition()
        self._closed = False
        self.dropped = 0
        self.failed = ""
        # A daemon thread: whoever hangs for ever must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __call__(self, words: str) -> None:
        with self._there:
            if self._closed or len(self._words) >= CAPACITY:
                self.dropped += 1
                return
            self._words.append(words)
            self._there.notify()

    def close(self, within_s: float = 2.0) -> bool:
        """What was said is still told, if that takes no longer than this; whether it was."""
        with self._there:
            self._closed = True
            self._there.notify()
        self._thread.join(within_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            with self._there:
                while not self._words and not self._closed:
                    self._there.wait()
                if not self._words:
                    return
                words = self._words.popleft()
            try:
                self._tell(words)
            except (OSError, ValueError) as error:  # a disk that is full, a terminal that is gone
                self.failed = str(error)
                self.dropped += 1
