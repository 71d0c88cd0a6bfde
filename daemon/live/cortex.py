"""``cortex.json`` of a running session: the last decision, for programs that watch the file.

Whoever decides only leaves a note of it here. Some moments later the loop makes one document of the latest note and of
how the account stands, and a thread of its own puts it in the old one's place: readers see a whole file, what came in
between is in ``cortex.jsonl`` at the end, and a disk that hangs holds up nobody.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import orjson

from bus import money
from bus.events import Decision
from daemon.aside import Aside
from daemon.reading import snapshots
from daemon.reading.snapshots import Said, Stood
from daemon.session import replace_file
from daemon.wiring import Core
from portfolio.equity import CannotValue

CORTEX = "cortex.json"
EVERY_S = 0.25
"""A file is replaced at most so often; what was decided in between is not in it."""


class Cortex:
    """``held`` is to be told of bars that are let pass; decisions it hears itself."""

    def __init__(self, directory: Path, mode: str, core: Core, uses: Mapping[str, str]) -> None:
        self._path = directory / CORTEX
        self._mode, self._core, self._uses = mode, core, uses
        self._decided: deque[Decision] = deque(maxlen=1)
        self._held: Said | None = None
        self._aside = Aside(self._tell, "cortex")
        self._writing = False
        core.bus.subscribe(Decision, self._decided.append)  # no call of ours: an order is on its way

    def held(self, strategy: str, reason: str) -> None:
        self._held = Said(self._core.clock.now, strategy, "HOLD", reason, {})

    def look(self) -> None:
        """Have the latest decision written, if it is a new one and the one before it is on disk."""
        if self._writing:
            return
        said, self._held = self._held, None
        if self._decided:
            decided = self._decided.pop()
            if said is None or decided.ns >= said.ns:  # who wanted something is not outdone by who let it pass
                said = snapshots.of_decision(decided)
        if said is None:
            return
        self._writing = True
        self._aside(orjson.dumps(self._document(said), option=orjson.OPT_INDENT_2).decode() + "\n")

    def close(self) -> None:
        """Nothing more is written here: what ends the session writes the file for good."""
        self._aside.close()

    def _document(self, said: Said) -> dict[str, object]:
        core = self._core
        switch = core.switch
        worth, peak = None, None
        with suppress(CannotValue):
            worth = core.equity.value()
            peak = max(worth, money.from_float(core.equity.peak))
        band = "halted" if switch.latched == "session_drawdown" else switch.band.value
        stood = Stood(worth, peak, band, not core.oversight.extra.verified(), core.equity.asset)
        return snapshots.cortex(self._mode, said, stood, self._uses)

    def _tell(self, text: str) -> None:
        """In the thread."""
        try:
            self.write(text)
        finally:
            self._writing = False

    def write(self, text: str) -> None:
        replace_file(self._path, text.encode())
