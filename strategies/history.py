"""Closed bars kept for those who asked: a bounded window per instrument and interval."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import msgspec

from bus.bus import Bus
from bus.events import Bar
from strategies.regime import FRAME_KEY, Thresholds

if TYPE_CHECKING:
    import pandas as pd


class History:
    """Keeps the last ``depth`` closed bars of everything, in the order they closed; nothing at all when 0.

    Its frames name ``thresholds``, so that ``classify_regime`` judges them as the session does and asks no environment.
    """

    def __init__(self, depth: int, thresholds: Thresholds | None = None) -> None:
        self._depth = depth
        self._thresholds = msgspec.structs.asdict(thresholds or Thresholds())
        self._bars: dict[tuple[str, int], deque[Bar]] = {}

    def attach(self, bus: Bus) -> None:
        if self._depth:
            bus.subscribe(Bar, self.on_bar)

    def on_bar(self, bar: Bar) -> None:
        if not bar.closed:
            return
        key = (bar.instrument, bar.interval_ns)
        window = self._bars.get(key)
        if window is None:
            window = self._bars[key] = deque(maxlen=self._depth)
        window.append(bar)

    def state(self) -> list[Bar]:
        return [bar for window in self._bars.values() for bar in window]

    def restore(self, bars: list[Bar]) -> None:
        """In place of what was kept."""
        self._bars.clear()
        if self._depth:
            for bar in bars:
                self.on_bar(bar)

    def bars(self, instrument: str, interval_ns: int) -> list[Bar]:
        return list(self._bars.get((instrument, interval_ns), ()))

    def frame(self, instrument: str, interval_ns: int) -> pd.DataFrame:
        frame = to_frame(self.bars(instrument, interval_ns))
        frame.attrs[FRAME_KEY] = self._thresholds
        return frame


def to_frame(bars: list[Bar]) -> pd.DataFrame:
    """Bars as a DataFrame: index is the bar's open in UTC, columns open, high, low, close, volume as float64."""
    import pandas as pd

    return pd.DataFrame(
        {name: [getattr(bar, name) for bar in bars] for name in ("open", "high", "low", "close", "volume")},
        index=pd.to_datetime([bar.start_ns for bar in bars], utc=True).rename("ts"),
        dtype="float64",
    )
