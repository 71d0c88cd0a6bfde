"""Recorded bars, read as the table feed reads them, and invented ones."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from random import Random

from bus.events import Bar
from feeds.columns import Content
from feeds.table import TableFeed, TableSpec

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
BAR_FILES = sorted((DATA / "bars").glob("*")) if DATA.is_dir() else []


@cache
def read_bars(path: Path, limit: int | None = None, instrument: str = "v:BTC/USDT") -> tuple[Bar, ...]:
    """The closed bars of a file; rows nobody could read are left out, as in a session."""
    feed = TableFeed(path, TableSpec(instrument, Content.BARS))
    bars = [row for batch in feed.batches() for row in batch if isinstance(row, Bar)]
    return tuple(bars[:limit])


HOUR = 3_600_000_000_000


@cache
def invented(count: int, seed: int = 11, instrument: str = "v:BTC/USDT") -> tuple[Bar, ...]:
    """Hours of a market that trends, chops, sleeps, goes wild and panics by turns, a hundred bars or so of each."""
    draw = Random(seed)
    price, bars = 100.0, []
    for n in range(count):
        drift, wild, busy = _MOODS[n // 110 % len(_MOODS)]
        before = price
        price *= math.exp(drift + draw.gauss(0.0, wild))
        high = max(before, price) * (1 + abs(draw.gauss(0.0, wild / 2)))
        low = min(before, price) * (1 - abs(draw.gauss(0.0, wild / 2)))
        volume = draw.uniform(1.0, 2.0) * (busy if n % 7 == 0 else 1.0)
        start = n * HOUR
        bars.append(
            Bar(instrument, HOUR, start, start + HOUR, before, high, low, price, volume, 5, True, False, start + HOUR)
        )
    return tuple(bars)


_MOODS = (
    (0.0, 0.004, 1.0),  # chop
    (0.004, 0.006, 1.0),  # up
    (0.0, 0.0008, 1.0),  # asleep
    (-0.004, 0.006, 1.0),  # down
    (0.0, 0.02, 1.0),  # wild
    (-0.005, 0.04, 8.0),  # panic
    (0.004, 0.006, 1.0),
)
"""Drift and deviation an hour, and how much busier every seventh hour is."""
