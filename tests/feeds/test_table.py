"""Rows to events: what was stored comes back, flaws are reported, and CSV tells the same story as Parquet."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import DAY, HOUR, MINUTE
from bus.events import Bar, Quote, Trade
from bus.values import Side
from feeds.columns import Content
from feeds.table import TableFeed, TableSpec
from tests.feeds.table_files import BARS, SPEC, T0, TRADES, read, write, write_parquet


@pytest.fixture(params=["table.csv", "table.csv.gz", "table.parquet"])
def stored(request: pytest.FixtureRequest, tmp_path: Path):
    """A function that writes columns of values as one kind of file or another."""

    def store(**columns: Sequence[Any]) -> Path:
        path = tmp_path / request.param
        if path.suffix == ".parquet":
            return write_parquet(path, {name: pa.array(list(cells)) for name, cells in columns.items()})
        lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
        return write(path, "\n".join(lines) + "\n")

    return store


def test_trades_come_back_as_they_were_stored(stored):
    path = stored(
        ts=[T0, T0 + 1],
        price=[61837.63, 0.1],
        size=[0.02, 3.0],
        side=["buy", "sell"],
        id=[7, 9],
        recv_ts_ns=[T0 + 5, T0 + 6],
    )

    assert read(path) == [
        Trade("sim:A", 61837.63, 0.02, Side.BUY, 7, T0, T0 + 5),
        Trade("sim:A", 0.1, 3.0, Side.SELL, 9, T0 + 1, T0 + 6),
    ]


def test_quotes_come_back_as_they_were_stored(stored):
    path = stored(ts=[T0, T0 + 1], bid=[9.9, 9.8], ask=[10.1, 10.2], bid_size=[1.0, 2.0], ask_size=[3.0, 0.0])

    assert read(path) == [
        Quote("sim:A", 9.9, 1.0, 10.1, 3.0, 0, T0, T0),
        Quote("sim:A", 9.8, 2.0, 10.2, 0.0, 0, T0 + 1, T0 + 1),
    ]


def test_bars_come_back_as_they_were_stored_known_at_their_end(stored):
    path = stored(
        ts=[T0, T0 + MINUTE], open=[1.0, 2.0], high=[2.5, 2.0], low=[0.5, 2.0], close=[2.0, 2.0], volume=[9.0, 0.0]
    )

    assert read(path) == [
        Bar("sim:A", MINUTE, T0, T0 + MINUTE, 1.0, 2.5, 0.5, 2.0, 9.0, 0, True, False, T0 + MINUTE),
        Bar("sim:A", MINUTE, T0 + MINUTE, T0 + 2 * MINUTE, 2.0, 2.0, 2.0, 2.0, 0.0, 0, True, False, T0 + 2 * MINUTE),
    ]


# --- cells -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "values", "takers"),
    [
        ("side", ["buy", "SELL", "b", "S"], "BSBS"),
        ("side", [1, -1, 1, -1], "BSBS"),
        ("type", ["bid", "ask", "bid", "ask"], "BSBS"),
        ("buyer_is_maker", [True, False, True, False], "SBSB"),
        ("m", ["true", "False", "1", "0"], "SBSB"),
        ("m", [1, 0, 1, 0], "SBSB"),
    ],
)
def test_the_takers_side_is_understood(stored, column: str, values: list[Any], takers: str):
    path = stored(**{"ts": [T0] * 4, "price": [1.0] * 4, "size": [1.0] * 4, column: values})

    assert "".join(row.taker.name[0] for row in read(path) if isinstance(row, Trade)) == takers


def test_without_a_side_the_tick_rule_decides(stored):
    path = stored(ts=[T0] * 6, price=[5.0, 5.0, 4.0, 4.0, 6.0, 6.0], size=[1.0] * 6)

    assert "".join(row.taker.name[0] for row in read(path) if isinstance(row, Trade)) == "BBSSBB"


def test_the_tick_rule_remembers_across_chunks(tmp_path):
    rows = 10_000
    prices = [float(rows - i // 3) for i in range(rows)]
    path = write_parquet(tmp_path / "a.parquet", {"ts": [T0] * rows, "price": prices, "size": [1.0] * rows})

    sides = [row.taker for row in read(path) if isinstance(row, Trade)]

    assert sides == [Side.BUY] * 3 + [Side.SELL] * (rows - 3)


def test_ids_count_up_where_there_are_none(tmp_path):
    with_some = write(tmp_path / "a.csv", f"{TRADES}{T0},1,1,buy,70\n{T0},1,1,buy,x-1\n")
    without = write(tmp_path / "b.csv", f"ts,price,size\n{T0},1,1\n{T0},1,1\n")

    assert [row.id for row in read(with_some) if isinstance(row, Trade)] == [70, 2]
    assert [row.id for row in read(without) if isinstance(row, Trade)] == [1, 2]


@pytest.mark.parametrize("kind", [pa.float32(), pa.string(), pa.decimal128(20, 8), pa.float64()])
def test_a_price_is_the_float_of_its_decimal_text(tmp_path, kind: pa.DataType):
    texts = ["61837.63", "0.1", "2.5", "0.00141342"]
    prices = pa.array(texts).cast(kind)
    path = write_parquet(tmp_path / "a.parquet", {"ts": [T0] * 4, "price": prices, "size": [1] * 4})

    assert [row.price for row in read(path) if isinstance(row, Trade)] == [float(text) for text in texts]


BAD_CELLS = [
    ("", "1", "1", "ts"),
    ("yesterday", "1", "1", "ts"),
    ("-5", "1", "1", "ts"),
    ("99999999999999999999", "1", "1", "ts"),
    (str(T0), "", "1", "price"),
    (str(T0), "NaN", "1", "price"),
    (str(T0), "-3", "1", "price"),
    (str(T0), "inf", "1", "price"),
    (str(T0), "ten", "1", "price"),
    (str(T0), "1", "-1", "size"),
    (str(T0), "1", "", "size"),
]


@pytest.mark.parametrize(("ts", "price", "size", "reason"), BAD_CELLS)
def test_a_bad_row_is_reported_and_left_out(tmp_path, ts: str, price: str, size: str, reason: str):
    path = write(tmp_path / "a.csv", f"ts,price,size\n{T0},1,1\n{ts},{price},{size}\n{T0 + 7},0.1,3\n")
    told: list[tuple[int, str]] = []

    feed = TableFeed(path, SPEC, lambda row, why: told.append((row, why.partition(":")[0])))
    rows = [row for batch in feed.batches() for row in batch]

    assert told == [(2, reason)]
    assert feed.bad_rows == 1
    assert feed.counts.trades == 2
    assert rows == [
        Trade("sim:A", 1.0, 1.0, Side.BUY, 1, T0, T0),
        Trade("sim:A", 0.1, 3.0, Side.SELL, 3, T0 + 7, T0 + 7),
    ]


def test_rows_of_the_wrong_width_and_text_that_is_not_utf8_are_bad_rows(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"ts,price,size\n1,1,1\n2,2\n3,3,3,3\n4,\xff\xfe,4\n5,5,5\n")
    told: list[int] = []

    feed = TableFeed(path, SPEC, lambda row, why: told.append(row))
    rows = [row.price for batch in feed.batches() for row in batch if isinstance(row, Trade)]

    assert rows == [1.0, 5.0]
    assert sorted(told) == [2, 3, 4]


def test_a_bar_whose_range_does_not_hold_its_ends_is_a_bad_row(tmp_path):
    path = write(tmp_path / "a.csv", f"{BARS}{T0},1,1,1,1,1\n{T0 + MINUTE},1,2,1,3,1\n")

    feed = TableFeed(path, SPEC)

    assert sum(map(len, feed.batches())) == 1
    assert feed.bad_rows == 1


def test_progress_goes_from_nothing_to_all(stored):
    n = 20_000
    feed = TableFeed(stored(ts=[T0] * n, price=[1.0] * n, size=[1.0] * n), SPEC)

    seen = [feed.progress()]
    for rows in feed.batches():
        assert len(rows) <= 4_096
        seen.append(feed.progress())

    assert seen == sorted(seen)
    assert (seen[0], feed.progress()) == (0.0, 1.0)


def test_the_feed_loads_pyarrow_only_when_a_table_is_read_and_pandas_never(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", {"ts": [T0], "price": [1.0], "size": [1.0], "m": [True]})
    code = (
        "import sys, pathlib, feeds.table as t, feeds.bars;"
        "print(sorted({'pyarrow', 'pandas', 'numpy'} & set(sys.modules)));"
        f"feed = t.TableFeed(pathlib.Path({str(path)!r}), t.TableSpec('sim:A'));"
        "print(len(list(feed.batches())), 'pandas' in sys.modules)"
    )

    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert out.stdout.split("\n")[:2] == ["[]", "1 False"]


# --- CSV and Parquet tell the same story -----------------------------------------------------------------------

prices = st.floats(1e-8, 1e8) | st.sampled_from([61837.63, 0.1, 1e-8]) | st.none() | st.just(-1.0)
rows_of_trades = st.lists(
    st.tuples(
        st.integers(T0, T0 + DAY) | st.none(),
        prices,
        st.floats(0, 1e6) | st.none(),
        st.sampled_from(["buy", "sell", "?", None]),
        st.integers(1, 2**62) | st.none(),
    ),
    min_size=1,
    max_size=30,
)


@pytest.mark.property
@given(rows_of_trades, st.booleans())
def test_csv_and_parquet_give_the_same_events(tmp_path_factory, rows: list[tuple[Any, ...]], with_side: bool):
    folder = tmp_path_factory.mktemp("t")
    names = ["ts", "price", "size", "side", "id"]
    kinds = [pa.int64(), pa.float64(), pa.float64(), pa.string(), pa.int64()]
    columns = {
        name: pa.array([row[i] for row in rows], kinds[i])
        for i, name in enumerate(names)
        if name != "side" or with_side
    }
    rows_of_text = zip(*(column.to_pylist() for column in columns.values()), strict=True)
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows_of_text]
    text = "\n".join([",".join(columns), *lines]) + "\n"
    plain = TableFeed(write(folder / "a.csv", text), SPEC)
    zipped = TableFeed(write(folder / "a.csv.gz", text), SPEC)
    parquet = TableFeed(write_parquet(folder / "a.parquet", columns), SPEC)

    events = [[row for batch in feed.batches() for row in batch] for feed in (plain, zipped, parquet)]

    assert events[0] == events[1] == events[2]
    assert plain.bad_rows == zipped.bad_rows == parquet.bad_rows == len(rows) - len(events[0])
    good = [row for row in rows if row[0] is not None and row[1] is not None and row[1] > 0 and row[2] is not None]
    assert [(e.venue_ns, e.price, e.size) for e in events[0] if isinstance(e, Trade)] == [row[:3] for row in good]
    for event, row in zip(events[0], good, strict=True):
        assert isinstance(event, Trade)
        assert row[4] in (event.id, None)
        assert not with_side or row[3] in (event.taker.value, "?", None)


# --- real files ------------------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "interval_ns", "rows", "bad"),
    [
        ("bars/bitfinex_btcusd_1h_2017_2019.parquet", HOUR, 26273, 0),
        ("bars/freqtrade_eth_btc_5m.parquet", 5 * MINUTE, 5760, 0),
        ("bars/coinbase_btcusd_1m_trade_quote_20180404_20180405.parquet", MINUTE, 2879, 432),
        ("bars/bitstamp_btcusd_1m_20200101.csv.gz", MINUTE, 1440, 0),
        ("bars/binance_btcusdt_1d_2020.csv.gz", DAY, 366, 0),
        ("equities/aapl_1d_2004_2018.csv.gz", DAY, 3379, 0),
        ("equities/tsla_1d_2015_2018.csv.gz", DAY, 756, 0),
        ("equities/sp500_index_1m_nov2019.csv.gz", MINUTE, 1563, 0),
        ("fx/eurusd_1h_ask_2017.csv.gz", HOUR, 6225, 0),
        ("fx/eurusd_h4_2012_2022.csv.gz", 4 * HOUR, 14400, 0),
    ],
)
def test_recorded_bars_read_whatever_their_columns_are_called(
    recordings: Path, name: str, interval_ns: int, rows: int, bad: int
):
    feed = TableFeed(recordings / name, SPEC)

    bars = [row for batch in feed.batches() for row in batch]

    assert feed.content is Content.BARS
    assert (len(bars), feed.bad_rows) == (rows - bad, bad)
    assert {bar.interval_ns for bar in bars if isinstance(bar, Bar)} == {interval_ns}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "content", "rows", "columns"),
    [
        ("trades/binance_spot_btcusdt_20240808_20240809.csv.gz", Content.TRADES, 19904, {}),
        ("trades/binance_btcusdt_nautilus.csv.gz", Content.TRADES, 2001, {}),
        ("trades/binance_btcusdt_20201116_sample.csv.gz", Content.TRADES, 1000, {"ts": 0, "price": 1, "size": 2}),
        ("trades/freqtrade_xrp_eth.csv.gz", Content.TRADES, 12477, {}),
        ("trades/mtgox_btcusd_20130101.csv.gz", Content.TRADES, 2331, {"ts": "id"}),
        ("book/binance_btcusdt_quotes_nautilus.csv.gz", Content.QUOTES, 451, {}),
        ("fx/eurusd_ticks_20200101.csv.gz", Content.QUOTES, 9500, {}),
    ],
)
def test_recorded_trades_and_quotes_read_whatever_their_columns_are_called(
    recordings: Path, name: str, content: Content, rows: int, columns: Mapping[str, str | int]
):
    feed = TableFeed(recordings / name, TableSpec("sim:A", columns=columns))

    events = [row for batch in feed.batches() for row in batch]

    assert feed.content is content
    assert (len(events), feed.bad_rows) == (rows, 0)
    assert np.diff([event.local_ns for event in events]).min() >= 0
