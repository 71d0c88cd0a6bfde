"""A bar builder on a stage of its own: a clock, a bus, and everything it published."""

from __future__ import annotations

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import Bar, DataGap, Trade
from bus.values import Side
from feeds.bars import BarBuilder, EmptyBars

T0 = 1_700_000_100 * SECOND  # the start of a second, a minute and of five
GAP = DataGap(0, "sim:A", "trade", 7, 9)


def trade(
    venue_s: float, price: float = 100.0, size: float = 1.0, *, local_s: float | None = None, of: str = "sim:A"
) -> Trade:
    """A trade ``venue_s`` seconds after T0, heard at once unless ``local_s`` says when."""
    heard = venue_s if local_s is None else local_s
    return Trade(of, price, size, Side.BUY, 0, T0 + round(venue_s * SECOND), T0 + round(heard * SECOND))


class Stage:
    """A builder on a clock and a bus of its own; ``bars`` is all it published."""

    def __init__(self, *intervals_ns: int, empty: EmptyBars = EmptyBars.NONE) -> None:
        self.clock = Clock()
        self.bus = Bus(_fail)
        self.bars: list[Bar] = []
        self.builder = BarBuilder(self.clock, self.bus, intervals_ns, empty)
        self.builder.attach(self.bus)
        self.bus.subscribe(Bar, self.bars.append)

    def hear(self, *events: object) -> None:
        for event in events:
            ns = event.local_ns if isinstance(event, Trade) else self.clock.now
            self.turn_to(ns)
            self.bus.publish(event)
            self.turn_to(ns)

    def turn_to(self, ns: int) -> None:
        self.clock.turn(max(ns, self.clock.now))


def _fail(handler: object, event: object, error: Exception) -> None:
    raise error


def ohlcv(bar: Bar) -> tuple[float, float, float, float, float, int]:
    return bar.open, bar.high, bar.low, bar.close, bar.volume, bar.trades
