"""Which columns a table is made of, and which files are none."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import pytest

from bus.clock import SECOND
from bus.events import Trade
from feeds.columns import ALIASES, REQUIRED, Content, NotATable, resolve
from feeds.table import TableFeed, TableSpec
from tests.feeds.table_files import BARS, SPEC, T0, read, write

EVERY_ALIAS = [
    (content, field, alias)
    for content, fields in ALIASES.items()
    for field, aliases in fields.items()
    for alias in aliases
]


@pytest.mark.parametrize(("content", "field", "alias"), EVERY_ALIAS)
def test_an_alias_names_its_field(content: Content, field: str, alias: str):
    others = [name for name in REQUIRED[content] if name != field]

    _, found = resolve(Path("x"), [*others, alias], content, {})

    assert alias in found.values()
    if field in REQUIRED[content]:
        assert found[field] == alias


@pytest.mark.parametrize(
    ("names", "content", "found"),
    [
        ("ts,price,size", Content.TRADES, {"ts": "ts", "price": "price", "size": "size"}),
        ("T,t,p,q,m", Content.TRADES, {"ts": "T", "id": "t", "price": "p", "size": "q", "buyer_is_maker": "m"}),
        (
            "recv_ts_ns,event_ms,trade_ms,trade_id,price,qty,buyer_is_maker",
            Content.TRADES,
            {
                "ts": "trade_ms",
                "received": "recv_ts_ns",
                "id": "trade_id",
                "price": "price",
                "size": "qty",
                "buyer_is_maker": "buyer_is_maker",
            },
        ),
        (
            "index,Timestamp,symbol,ask_size,ask,bid_size,bid",
            Content.QUOTES,
            {"ts": "Timestamp", "ask_size": "ask_size", "ask": "ask", "bid_size": "bid_size", "bid": "bid"},
        ),
        (
            "Date,Open,High,Low,Close,Adj Close,Volume",
            Content.BARS,
            {"ts": "Date", "open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"},
        ),
        ("Open Time,o,h,l,c", Content.BARS, {"ts": "Open Time", "open": "o", "high": "h", "low": "l", "close": "c"}),
    ],
)
def test_columns_are_recognised(names: str, content: Content, found: Mapping[str, str]):
    assert resolve(Path("x"), names.split(","), None, {}) == (content, found)


def test_a_column_named_by_hand_goes_before_any_alias(tmp_path):
    path = write(tmp_path / "a.csv", f"ts,when,price,size\n1,{T0},5,1\n")

    [row] = read(path, TableSpec("sim:A", columns={"ts": "when"}))

    assert isinstance(row, Trade)
    assert row.venue_ns == T0


@pytest.mark.parametrize("header", ["", "0,1,2,3\n", "when,what,how_much,who\n"])
def test_columns_can_be_named_by_position_with_or_without_a_header(tmp_path, header: str):
    path = write(tmp_path / "a.csv", f"{header}1605499846,15993.5,0.026472,ANY\n1605499847,15994,1,ANY\n")

    rows = read(path, TableSpec("sim:A", columns={"ts": 0, "price": 1, "size": 2}))

    assert [(row.price, row.venue_ns) for row in rows if isinstance(row, Trade)] == [
        (15993.5, 1605499846 * SECOND),
        (15994.0, 1605499847 * SECOND),
    ]


@pytest.mark.parametrize(
    ("text", "spec", "why"),
    [
        ("a,b\n1,2\n", SPEC, "its columns (a, b) do not make bars (ts, open, high, low, close) or"),
        ("ts,open,high\n1,2,3\n", TableSpec("sim:A", Content.TRADES), "do not make trades (ts, price, size);"),
        ("", SPEC, "do not make"),
        ("ts,price,size\n1,2,3\n", TableSpec("sim:A", columns={"price": "cost"}), "no column 'cost' among ts, price"),
        ("ts,price,size\n1,2,3\n", TableSpec("sim:A", columns={"cost": "price"}), "no field 'cost'"),
        ("ts,price,size\n1,2,3\n", TableSpec("sim:A", columns={"price": 3}), "no column 3"),
        (f"{BARS}1,1,1,1,1,1\n", SPEC, "interval"),
    ],
)
def test_what_is_no_table_says_why(tmp_path, text: str, spec: TableSpec, why: str):
    path = write(tmp_path / "a.csv", text)

    with pytest.raises(NotATable) as caught:
        read(path, spec)

    assert why in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [b"PAR1 and nothing more", b"\x1f\x8b torn", None])
def test_a_broken_or_absent_file_is_no_table(tmp_path, content: bytes | None):
    path = tmp_path / "a"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(NotATable):
        read(path)


def test_a_torn_gzip_yields_what_it_held_and_then_says_so(tmp_path):
    whole = gzip.compress(("ts,price,size\n" + f"{T0},{{}},1\n" * 50_000).format(*range(1, 50_001)).encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    batches = TableFeed(path, SPEC).batches()

    first = next(batches)
    with pytest.raises(NotATable, match="broken after"):
        list(batches)

    assert [row.price for row in first if isinstance(row, Trade)] == [i + 1 for i in range(len(first))]
