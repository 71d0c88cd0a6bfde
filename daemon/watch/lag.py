"""How late the loop is: what a callback that is due now waits until it runs.

Measured, not guessed: a nap of a known length, and how much longer than that it took. The last minute is kept.
"""

from __future__ import annotations

import asyncio
from collections import deque

NAP_S = 0.02
KEPT = round(60 / NAP_S)


class Lag:
    """Seconds. ``worst`` is the largest since it was last ``taken``."""

    def __init__(self) -> None:
        self._naps: deque[float] = deque(maxlen=KEPT)
        self._worst = 0.0

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            begun = clock()
            await asyncio.sleep(NAP_S)
            self.note(clock() - begun - NAP_S)

    def note(self, late_s: float) -> None:
        self._naps.append(max(0.0, late_s))
        self._worst = max(self._worst, late_s)

    def take(self) -> float:
        """The worst since this was last asked."""
        worst, self._worst = self._worst, 0.0
        return worst

    def percentile(self, share: float) -> float:
        naps = sorted(self._naps)
        return naps[min(len(naps) - 1, int(share * len(naps)))] if naps else 0.0
