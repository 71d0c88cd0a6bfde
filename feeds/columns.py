"""What the columns of a table mean: which of its names is the time, the price, the taker's side.

Pure: names in, a mapping out. Names are matched exactly first, then without regard to case, in the order listed; a name
serves one field only, so that ``T`` is the time and ``t`` the id where a venue uses both.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from pathlib import Path


class Content(enum.Enum):
    """What a row of a table is."""

    BARS = "bars"
    QUOTES = "quotes"
    TRADES = "trades"


class NotATable(Exception):  # not an error of ours: a fact about a file
    """A file that holds no readable trades, quotes or bars; the text says what is wrong with it."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path
        self.why = why


_RECEIVED = (
    "recv_ts_ns",
    "recv_ns",
    "local_ns",
    "local_timestamp",
    "receive_ns",
    "received_at",
    "receive_time",
    "recv_time",
    "ts_recv",
)
_TIME = (
    "ts",
    "trade_ms",
    "trade_time",
    "venue_ns",
    "ts_ns",
    "ts_us",
    "ts_ms",
    "ts_event",
    "timestamp",
    "timestamp_ns",
    "timestamp_ms",
    "datetime",
    "date_time",
    "time",
    "date",
    "open_time",
    "start_ns",
    "event_ms",
    "event_time",
    "ts_source",
    "T",
    "E",
    "unix",
    *_RECEIVED,
)

ALIASES: Mapping[Content, Mapping[str, Sequence[str]]] = {
    # In the order in which a table is taken for one: a table of bars may carry quotes, and every close is a price.
    Content.BARS: {
        "ts": (*_TIME, "t"),
        "open": ("open", "o"),
        "high": ("high", "h"),
        "low": ("low", "l"),
        "close": ("close", "c", "last"),
        "volume": ("volume", "v", "vol", "base_volume", "tick_volume", "size", "qty", "quantity", "amount"),
        "trades": ("trades", "count", "number_of_trades", "num_trades", "trade_count", "n"),
        "interval": ("interval_ns", "interval", "timeframe"),
    },
    Content.QUOTES: {
        "ts": (*_TIME, "t"),
        "bid": ("bid", "bid_price", "best_bid", "best_bid_price", "bp", "b"),
        "ask": ("ask", "ask_price", "best_ask", "best_ask_price", "ap", "a"),
        "bid_size": ("bid_size", "bid_qty", "bid_amount", "best_bid_qty", "best_bid_size", "bid_volume", "bs", "B"),
        "ask_size": ("ask_size", "ask_qty", "ask_amount", "best_ask_qty", "best_ask_size", "ask_volume", "as", "A"),
        "id": ("id", "update_id", "u"),
        "received": _RECEIVED,
    },
    Content.TRADES: {
        "ts": _TIME,
        "price": ("price", "p", "px", "last", "close"),
        "size": ("size", "qty", "quantity", "amount", "volume", "q", "s", "v"),
        "side": ("side", "taker", "taker_side", "aggressor", "aggressor_side", "direction"),
        "buyer_is_maker": ("buyer_is_maker", "is_buyer_maker", "isbuyermaker", "buyer_maker", "m"),
        # ccxt and its users call the order's kind "type" and leave it empty, so it is asked last.
        "type": ("type",),
        "id": ("id", "trade_id", "agg_trade_id", "a", "tid", "t"),
        "received": _RECEIVED,
    },
}

REQUIRED: Mapping[Content, Sequence[str]] = {
    Content.BARS: ("ts", "open", "high", "low", "close"),
    Content.QUOTES: ("ts", "bid", "ask"),
    Content.TRADES: ("ts", "price", "size"),
}
_FIELDS = sorted({field for aliases in ALIASES.values() for field in aliases})


def resolve(
    path: Path, names: Sequence[str], content: Content | None, columns: Mapping[str, str | int]
) -> tuple[Content, dict[str, str]]:
    """What the table holds and the column of each of its fields; ``columns`` are the fields the caller named."""
    for field in columns:
        if field not in _FIELDS:
            raise NotATable(path, f"there is no field {field!r}; the fields are {', '.join(_FIELDS)}")
    chosen = {field: _named(path, names, column) for field, column in columns.items()}
    for candidate in (content,) if content is not None else Content:
        found = _match(names, candidate, chosen)
        if all(field in found for field in REQUIRED[candidate]):
            return candidate, found
    wanted = [content] if content is not None else list(Content)
    needs = " or ".join(f"{c.value} ({', '.join(REQUIRED[c])})" for c in wanted)
    held = ", ".join(names) or "none"
    raise NotATable(path, f"its columns ({held}) do not make {needs}; without a header, map columns by position")


def _named(path: Path, names: Sequence[str], column: str | int) -> str:
    if isinstance(column, int):
        if 0 <= column < len(names):
            return names[column]
    elif column in names:
        return column
    raise NotATable(path, f"there is no column {column!r} among {', '.join(names)}")


def _match(names: Sequence[str], content: Content, chosen: Mapping[str, str]) -> dict[str, str]:
    found = dict(chosen)
    for field, aliases in ALIASES[content].items():
        free = [name for name in names if name not in found.values()]
        folded = {_fold(name): name for name in reversed(free)}
        exact = (alias for alias in aliases if alias in free)
        loose = (folded[_fold(alias)] for alias in aliases if _fold(alias) in folded)
        match = next(exact, None) or next(loose, None)
        if field not in found and match is not None:
            found[field] = match
    return found


def _fold(name: str) -> str:
    return name.strip().casefold().replace(" ", "_")
