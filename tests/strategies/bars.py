"""Recorded bars, read as the table feed reads them, and invented ones."""

from __future__ import annotations

from functools import cache
from pathlib import Path

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
