"""Where in a recording something was odd: a gap, an unusable book, duplicates, late trades, each with its line.

The core knows no files. This stands beside it, sees which batch is being read when the core says that data is
missing, and looks the line up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bus.bus import Bus
from bus.events import BookInvalidated, DataGap
from daemon.sources import Bad, Source

KEPT = 200


class Oddities:
    """``found`` are the first of them, in the order met; ``count`` is how many there were."""

    def __init__(self, bus: Bus) -> None:
        self.found: list[Bad] = []
        self.count = 0
        self._source: Source | None = None
        self._batch: Sequence[Any] = ()
        self._before = (0, 0)
        bus.subscribe(DataGap, self._on_gap)
        bus.subscribe(BookInvalidated, self._on_invalidated)

    def begin(self, source: Source, batch: Sequence[Any]) -> None:
        self._source, self._batch = source, batch
        self._before = (source.counts.duplicates, source.counts.late)

    def end(self) -> None:
        """A batch was read: say what it repeated or brought too late."""
        source, batch = self._source, self._batch
        if source is None or not batch:
            return
        duplicates = source.counts.duplicates - self._before[0]
        late = source.counts.late - self._before[1]
        if duplicates or late:
            last = source.line_of(batch[-1])
            self._note(source, source.line_of(batch[0]), f"{duplicates} duplicates, {late} late, up to line {last}")

    def _on_gap(self, gap: DataGap) -> None:
        missing = f"{gap.first_missing} to {gap.last_missing}" if gap.first_missing else "unnumbered"
        self._at(gap.ns, f"{gap.instrument}: {gap.stream} ids {missing} never came")

    def _on_invalidated(self, event: BookInvalidated) -> None:
        self._at(event.ns, f"{event.instrument}: its book cannot be used: {event.reason}")

    def _at(self, ns: int, reason: str) -> None:
        source = self._source
        if source is not None:
            item = next((item for item in self._batch if source.time(item) == ns), self._batch[0])
            self._note(source, source.line_of(item), reason)

    def _note(self, source: Source, line: int, reason: str) -> None:
        self.count += 1
        if len(self.found) < KEPT:
            self.found.append(Bad(source.path, line, "", reason))
