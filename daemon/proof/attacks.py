"""Futures that did not happen: what comes after a moment, cut off, scrambled, scaled, begun early or moved in time.

Each takes rows as they are fed and gives back others. Up to the cut they are the same objects; what a strategy decided
by then must be the same too.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from bus.events import Bar, MarkPrice, Quote, Trade
from daemon.intake import Row
from feeds.frames import Recording, RecordingWriter

if TYPE_CHECKING:
    import pandas as pd

WEEK_NS = 7 * 86_400 * 1_000_000_000
TAIL = 3
"""How many altered rows are fed after the cut: enough for whatever is due by then to fire."""
WILD = 1.7
COLUMNS = ("open", "high", "low", "close", "volume")
_PRICES = re.compile(r'("(?:p|i|r|b|a|price|bid|ask)":")(-?[0-9.]+)')
"""What is a price or a rate in a frame of a recording."""

Attack = Callable[[Sequence[Row], int], list[Row]]


def truncate(rows: Sequence[Row], cut: int) -> list[Row]:
    return list(rows[: cut + 1])


def scramble(rows: Sequence[Row], cut: int) -> list[Row]:
    """The times stay, the prices are those of other rows, stretched at random (seeded by the cut)."""
    draw = random.Random(cut)
    tail = rows[cut + 1 : cut + 1 + TAIL]
    return [*rows[: cut + 1], *(_times(row, draw.uniform(0.2, 5.0)) for row in tail)]


def scale(rows: Sequence[Row], cut: int) -> list[Row]:
    return [*rows[: cut + 1], *(_times(row, 3.0) for row in rows[cut + 1 : cut + 1 + TAIL])]


FUTURES: Mapping[str, Attack] = {"truncate": truncate, "scramble": scramble, "scale": scale}


def forming(rows: Sequence[Row]) -> list[Row]:
    """Before each closed bar the same bar as it might have looked while it formed, wildly off, twice."""
    out: list[Row] = []
    for row in rows:
        if isinstance(row, Bar) and out:
            begun = replace(row, closed=False, local_ns=max(out[-1].local_ns, row.start_ns))
            out += [_times(begun, WILD), _times(begun, 1 / WILD)]
        out.append(row)
    return out


def later(rows: Sequence[Row]) -> list[Row]:
    """Everything seven days later: the same hours of the same weekdays."""
    return [_moved(row, WEEK_NS) for row in rows]


def _times(row: Row, factor: float) -> Row:
    match row:
        case Bar():
            prices = {name: getattr(row, name) * factor for name in COLUMNS}
            return replace(row, **prices)
        case Trade():
            return replace(row, price=row.price * factor)
        case Quote():
            return replace(row, bid=row.bid * factor, ask=row.ask * factor)
        case MarkPrice():
            return replace(row, mark=row.mark * factor, index=row.index * factor, rate=row.rate * factor)


def _moved(row: Row, by_ns: int) -> Row:
    if isinstance(row, Bar):
        return replace(row, start_ns=row.start_ns + by_ns, end_ns=row.end_ns + by_ns, local_ns=row.local_ns + by_ns)
    if isinstance(row, MarkPrice) and row.funding_ns:
        row = replace(row, funding_ns=row.funding_ns + by_ns)
    return replace(row, venue_ns=row.venue_ns + by_ns, local_ns=row.local_ns + by_ns)


def alter_recording(file: Path, name: str, cut_ns: int, folder: Path) -> Path:
    """A copy of a recording under its own name, what was heard after ``cut_ns`` cut off, scrambled or scaled."""
    draw = random.Random(cut_ns)
    place = folder / file.name
    place.unlink(missing_ok=True)
    with RecordingWriter(place) as writer:
        for batch in Recording(file).batches():
            for item in batch:
                if (item.ts or 0) > cut_ns:
                    if name == "truncate":
                        return place
                    factor = draw.uniform(0.2, 5.0) if name == "scramble" else 3.0
                    item.raw = _PRICES.sub(partial(_number_times, factor), item.raw)
                writer.write(item)
    return place


def _number_times(factor: float, found: re.Match[str]) -> str:
    return f"{found[1]}{float(found[2]) * factor:.8f}"


def alter_file(file: Path, name: str, known: int, folder: Path) -> Path:
    """A copy of a table under its own name, its rows after the first ``known`` cut off, scrambled or scaled."""
    import pandas as pd

    parquet = file.name.endswith(".parquet")
    frame = pd.read_parquet(file) if parquet else pd.read_csv(file)
    if name == "truncate":
        frame = frame.iloc[:known]
    else:
        columns = [column for column in frame.columns if str(column).lower() in (*COLUMNS, "price", "bid", "ask")]
        draw = random.Random(known)
        factors = [draw.uniform(0.2, 5.0) if name == "scramble" else 3.0 for _ in range(len(frame) - known)]
        frame = frame.astype(dict.fromkeys(columns, "float64"))
        altered = frame[columns].iloc[known:].mul(factors, axis=0)
        frame.loc[altered.index, columns] = altered
    place = folder / file.name
    if parquet:
        frame.to_parquet(place)
    else:
        frame.to_csv(place, index=False)
    return place


# --- the same of a frame, whose last row is the bar still forming -----------------------------------------------


def polled(frame: pd.DataFrame, interval_ns: int, seed: int) -> dict[str, pd.DataFrame]:
    """The frame as someone who polls would have it: a last row that is not closed yet, as it might look."""
    import pandas as pd

    close = float(frame["close"].iloc[-1])
    draw = random.Random(seed)
    shapes = {
        "truncate": dict.fromkeys(COLUMNS[:4], close) | {"volume": 0.0},  # it has only just begun
        "scramble": {name: float(frame[name].iloc[-1]) * draw.uniform(0.2, 5.0) for name in COLUMNS},
        "scale": {name: float(frame[name].iloc[-1]) * 3.0 for name in COLUMNS},
        "forming": {name: float(frame[name].iloc[-1]) / WILD for name in COLUMNS},
    }
    begun = pd.DatetimeIndex([frame.index[-1] + pd.Timedelta(interval_ns, unit="ns")]).rename(frame.index.name)
    out = {}
    for name, shape in shapes.items():
        longer = pd.concat([frame, pd.DataFrame([shape], index=begun, columns=frame.columns)])
        longer.attrs = dict(frame.attrs)
        out[name] = longer
    return out


def later_frame(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    moved = frame.copy()
    moved.index = moved.index + pd.Timedelta(WEEK_NS, unit="ns")
    return moved
