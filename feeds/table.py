"""The table feed: market events from Parquet or CSV (plain or gzip), a few thousand rows at a time.

Whatever the size of the file, no more than a chunk of it is in memory. Rows come in the order of the file; when one was
known earlier than its predecessor, its ``local_ns`` is moved up to the predecessor's, so that time never runs
backwards. A row that cannot be read is counted and reported, and never stops the feed.

Where a table does not say who took, the tick rule does: a trade above the last price was bought, one below it sold, one
at it like the last.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from bus.events import Bar, Quote, Trade
from bus.values import Side
from feeds import cells
from feeds.cells import Unit
from feeds.columns import Content, NotATable, resolve
from feeds.files import open_table, unreadable
from feeds.port import Counts

if TYPE_CHECKING:
    import pyarrow as pa

    from feeds.cells import Codes, Floats, Integers, Mask

Row = Trade | Quote | Bar
OnBadRow = Callable[[int, str], object]


class Stamp(Enum):
    """Which end of a bar its time is."""

    OPEN = "open"
    END = "end"


@dataclass(frozen=True)
class TableSpec:
    """What the file does not say of itself.

    ``columns`` maps our fields (``feeds/columns.py``) to the file's columns where the aliases do not, by name or by
    position (with positions, a CSV needs no header). ``interval_ns`` of bars is otherwise the smallest step of the
    first chunk. ``unit`` is what numbers in time columns count, otherwise told by their size. ``delay_ns`` is how much
    later than the file says we hear of each row.
    """

    instrument: str
    content: Content | None = None
    columns: Mapping[str, str | int] = field(default_factory=dict)
    interval_ns: int | None = None
    stamp: Stamp = Stamp.OPEN
    unit: Unit | None = None
    delay_ns: int = 0


def _ignore(row: int, reason: str) -> None:
    """Bad rows are counted all the same."""


class TableFeed:
    """One file, read once. ``bad_rows`` were left out, each told to ``on_bad`` with its number (the first row is 1)."""

    def __init__(self, path: Path, spec: TableSpec, on_bad: OnBadRow = _ignore) -> None:
        self._path = path
        self._spec = spec
        self._on_bad = on_bad
        self.counts = Counts()
        self.bad_rows = 0
        try:
            self._file = open_table(path, spec.columns)
        except unreadable() as error:
            raise NotATable(path, str(error)) from error
        self.content, self._columns = resolve(path, self._file.names, spec.content, spec.columns)
        self._read = 0
        self._ragged: deque[int] = deque()
        self._ragged_passed = 0
        self._heard_ns = 0
        self._interval_ns = spec.interval_ns
        self._last_price: float | None = None
        self._last_code = 1

    def batches(self) -> Iterator[Sequence[Row]]:
        """The events in order, a few thousand at a time."""
        build = {Content.TRADES: self._trades, Content.QUOTES: self._quotes, Content.BARS: self._bars}[self.content]
        try:
            words = [column for name, column in self._columns.items() if name in cells.WORDS]
            for batch in self._file.read(list(self._columns.values()), words, self._on_ragged):
                events = build(dict(zip(self._columns, batch.columns, strict=True)))
                self._read += batch.num_rows
                self._number(self._read)
                if events:
                    yield events
        except unreadable() as error:
            raise NotATable(self._path, f"broken after {self._read} rows: {error}") from error

    def progress(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        return self._file.progress()

    # --- rows to events ----------------------------------------------------------------------------------------

    def _trades(self, columns: Mapping[str, pa.Array]) -> list[Row]:
        import numpy as np

        venue_ns = cells.times(columns["ts"], self._spec.unit)
        local_ns = cells.times(columns["received"], self._spec.unit) if "received" in columns else venue_ns
        price, size = cells.floats(columns["price"]), cells.floats(columns["size"])
        codes = np.zeros(len(price), np.int8)
        said_by = next((name for name in cells.SIDE_WORDS if name in columns), None)
        if said_by is not None:
            codes = cells.sides(columns[said_by], said_by)
        ids = np.arange(self._read + 1, self._read + 1 + len(price))
        if "id" in columns:
            told, known = cells.integers(columns["id"])
            ids = np.where(known, told, ids)
        times = {"ts": venue_ns >= 0, "received": local_ns >= 0}
        good = self._good({**times, "price": _is_price(price), "size": _is_size(size)})
        price, told = price[good], venue_ns[good].tolist()
        rows: list[Row] = list(
            map(
                Trade,
                repeat(self._spec.instrument),
                price.tolist(),
                size[good].tolist(),
                self._takers(codes[good], price),
                ids[good].tolist(),
                told,
                self._in_order(local_ns[good], told),
            )
        )
        self.counts.trades += len(rows)
        return rows

    def _quotes(self, columns: Mapping[str, pa.Array]) -> list[Row]:
        import numpy as np

        venue_ns = cells.times(columns["ts"], self._spec.unit)
        local_ns = cells.times(columns["received"], self._spec.unit) if "received" in columns else venue_ns
        bid, ask = cells.floats(columns["bid"]), cells.floats(columns["ask"])
        none = np.zeros(len(bid))
        bid_size = cells.floats(columns["bid_size"]) if "bid_size" in columns else none
        ask_size = cells.floats(columns["ask_size"]) if "ask_size" in columns else none
        ids = cells.integers(columns["id"])[0] if "id" in columns else none.astype(np.int64)
        times = {"ts": venue_ns >= 0, "received": local_ns >= 0}
        prices = {"bid": _is_price(bid), "ask": _is_price(ask)}
        good = self._good({**times, **prices, "bid_size": _is_size(bid_size), "ask_size": _is_size(ask_size)})
        told = venue_ns[good].tolist()
        rows: list[Row] = list(
            map(
                Quote,
                repeat(self._spec.instrument),
                bid[good].tolist(),
                bid_size[good].tolist(),
                ask[good].tolist(),
                ask_size[good].tolist(),
                ids[good].tolist(),
                told,
                self._in_order(local_ns[good], told),
            )
        )
        self.counts.quotes += len(rows)
        return rows

    def _bars(self, columns: Mapping[str, pa.Array]) -> list[Row]:
        """A bar is known when it ends, so that is when we hear of it."""
        import numpy as np

        stamp = cells.times(columns["ts"], self._spec.unit)
        interval = self._intervals(columns, stamp)
        start_ns = stamp if self._spec.stamp is Stamp.OPEN else stamp - interval
        prices = {name: cells.floats(columns[name]) for name in ("open", "high", "low", "close")}
        open_, high, low, close = prices.values()
        volume = cells.floats(columns["volume"]) if "volume" in columns else np.zeros(len(stamp))
        trades = cells.integers(columns["trades"])[0] if "trades" in columns else np.zeros(len(stamp), np.int64)
        enclosed = (np.minimum(open_, close) >= low) & (np.maximum(open_, close) <= high)
        good = self._good(
            {"ts": (stamp >= 0) & (start_ns >= 0), "interval": interval > 0}
            | {name: _is_price(price) for name, price in prices.items()}
            | {"high and low": enclosed, "volume": _is_size(volume)}
        )
        end_ns = (start_ns + interval)[good]
        ends: list[int] = end_ns.tolist()
        rows: list[Row] = list(
            map(
                Bar,
                repeat(self._spec.instrument),
                _alike(interval[good]),
                start_ns[good].tolist(),
                ends,
                open_[good].tolist(),
                high[good].tolist(),
                low[good].tolist(),
                close[good].tolist(),
                volume[good].tolist(),
                trades[good].tolist(),
                repeat(True),
                repeat(False),
                self._in_order(end_ns, ends),
            )
        )
        self.counts.klines += len(rows)
        return rows

    def _intervals(self, columns: Mapping[str, pa.Array], stamp: Integers) -> Integers:
        import numpy as np

        if self._spec.interval_ns is None and "interval" in columns:
            unit = Unit.NS if self._columns["interval"].endswith("_ns") else Unit.S
            return cells.intervals(columns["interval"], unit)
        if self._interval_ns is None:
            steps = np.diff(np.unique(stamp[stamp >= 0]))
            if not len(steps):
                raise NotATable(self._path, "the interval of its bars has to be given: there are not two times to tell")
            self._interval_ns = int(steps.min())
        return np.full(len(stamp), self._interval_ns)

    def _takers(self, codes: Codes, price: Floats) -> list[Side]:
        """Sides from codes; where those do not say, by the tick rule."""
        import numpy as np

        if not len(codes):
            return []
        if not codes.all():
            before = np.concatenate(([price[0] if self._last_price is None else self._last_price], price[:-1]))
            codes = np.where(codes == 0, np.sign(price - before).astype(np.int8), codes)
            latest = np.maximum.accumulate(np.where(codes != 0, np.arange(len(codes)), -1))
            codes = np.where(latest >= 0, codes[latest], self._last_code)
        self._last_price, self._last_code = float(price[-1]), int(codes[-1])
        return list(map((Side.SELL, Side.SELL, Side.BUY).__getitem__, (codes + 1).tolist()))

    def _in_order(self, local_ns: Integers, told: list[int]) -> list[int]:
        """When we hear of each row: never before the row ahead of it. Where that is when it is ``told`` to have been,
        those same numbers: half as many to keep, and to fetch from memory.
        """
        import numpy as np

        heard = np.maximum.accumulate(np.concatenate(([self._heard_ns], local_ns + self._spec.delay_ns)))
        self._heard_ns = int(heard[-1])
        in_order: list[int] = heard[1:].tolist()
        return told if in_order == told else in_order

    # --- bad rows ----------------------------------------------------------------------------------------------

    def _good(self, checks: Mapping[str, Mask]) -> Mask | slice:
        """Which rows passed every check; the others are reported by the first they failed."""
        import numpy as np

        good: Mask = np.logical_and.reduce(list(checks.values()))
        if good.all():
            return slice(None)
        for row in np.flatnonzero(~good).tolist():
            failed = next(name for name, passed in checks.items() if not passed[row])
            self._report(self._number(self._read + row + 1), f"{failed}: missing, unreadable or out of range")
        return good

    def _number(self, row: int) -> int:
        """Where the ``row``-th row read stands in the file, which counts ragged ones too; asked in rising order."""
        while self._ragged and self._ragged[0] <= row + self._ragged_passed:
            self._ragged.popleft()
            self._ragged_passed += 1
        return row + self._ragged_passed

    def _on_ragged(self, row: int, reason: str) -> None:
        self._ragged.append(row)
        self._report(row, reason)

    def _report(self, row: int, reason: str) -> None:
        self.bad_rows += 1
        self._on_bad(row, reason)


def _alike(values: Integers) -> Iterable[int]:
    """The values, as one and the same object where they are all equal."""
    return repeat(int(values[0])) if len(values) and (values == values[0]).all() else values.tolist()


def _is_price(values: Floats) -> Mask:
    import numpy as np

    return (values > 0) & np.isfinite(values)


def _is_size(values: Floats) -> Mask:
    import numpy as np

    return (values >= 0) & np.isfinite(values)
