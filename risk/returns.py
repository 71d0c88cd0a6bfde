"""The last closed bars of every instrument as returns: what volatility, correlation and VaR are worked out from.

One length of bar counts, the configured one or the first that is heard. Bars of several instruments are lined up by the
time they end; a bar that one of them does not have counts for none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from bus.bus import Bus
from bus.clock import DAY
from bus.events import Bar
from risk import var

_YEAR = 365 * DAY


class Returns:
    """``keep`` is how many returns are looked back on. Subscribed only where something asks."""

    def __init__(self, keep: int, interval_ns: int = 0) -> None:
        self._keep = keep
        self.interval_ns = interval_ns
        self._closes: dict[str, deque[tuple[int, float]]] = {}

    def attach(self, bus: Bus) -> None:
        bus.subscribe(Bar, self.on_bar)

    def on_bar(self, bar: Bar) -> None:
        if not bar.closed or not bar.close > 0.0:
            return
        if not self.interval_ns:
            self.interval_ns = bar.interval_ns
        if bar.interval_ns != self.interval_ns:
            return
        closes = self._closes.get(bar.instrument)
        if closes is None:
            closes = self._closes[bar.instrument] = deque(maxlen=self._keep + 1)
        closes.append((bar.end_ns, bar.close))

    def aligned(self, instruments: Iterable[str]) -> dict[str, list[float]]:
        """Simple returns over the bars that all of them have, the latest ``keep``; equally long, maybe empty."""
        names = list(instruments)
        series = [dict(self._closes.get(name, ())) for name in names]
        if not series:
            return {}
        times: Sequence[int] = list(series[0])
        for other in series[1:]:
            times = [end for end in times if end in other]
        return {
            name: [closes[b] / closes[a] - 1.0 for a, b in pairwise(times)]
            for name, closes in zip(names, series, strict=True)
        }

    def volatility(self, instrument: str) -> float | None:
        """Per year; None while there are fewer than two returns."""
        if not self.interval_ns:
            return None
        return var.volatility(self.aligned([instrument])[instrument], _YEAR / self.interval_ns)

    def bars_in(self, span_ns: int) -> float:
        return span_ns / self.interval_ns if self.interval_ns else 0.0

    def state(self) -> dict[str, Any]:
        return {
            "interval_ns": self.interval_ns,
            "closes": {name: [list(pair) for pair in closes] for name, closes in self._closes.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        if self.interval_ns and self.interval_ns != state["interval_ns"]:
            return  # another length was configured since: those bars say nothing about it
        self.interval_ns = state["interval_ns"]
        for name, closes in state["closes"].items():
            self._closes[name] = deque(((end, close) for end, close in closes), maxlen=self._keep + 1)
