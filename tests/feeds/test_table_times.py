"""When a row of a table happened, when a bar starts and ends, and when we hear of it."""

from __future__ import annotations

import pyarrow as pa
import pytest
from pyarrow import parquet

from bus.clock import DAY, HOUR, MINUTE, SECOND
from bus.events import Bar, Trade
from bus.values import Side
from feeds.cells import Unit, integers
from feeds.table import Stamp, TableSpec
from tests.feeds.table_files import BARS, T0, TRADES, read, write, write_parquet


@pytest.mark.parametrize(
    ("cell", "ns"),
    [
        ("1723161255", 1723161255 * SECOND),
        ("1723161255342", 1723161255342 * 10**6),
        ("1723161255342123", 1723161255342123 * 10**3),
        ("1723161255342123456", 1723161255342123456),
        ("1723161255.342123", 1723161255342123 * 10**3),
        ("2021-01-08 00:00:00.278+00:00", 1610064000278 * 10**6),
        ("2021-01-08T05:30:00.278+05:30", 1610064000278 * 10**6),
        ("2021-01-08T00:00:00Z", 1610064000 * SECOND),
        ("2021-01-08 00:00", 1610064000 * SECOND),
        ("2021-01-08", 1610064000 * SECOND),
        ("2021/01/08", 1610064000 * SECOND),
        ("2021-01-08T00:00:00.123456789", 1610064000123456789),
    ],
)
def test_a_time_is_understood(tmp_path, cell: str, ns: int):
    path = write(tmp_path / "a.csv", f"time,price,size\n{cell},1,1\n")

    [row] = read(path)

    assert isinstance(row, Trade)
    assert row.venue_ns == ns


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "America/New_York"])
def test_a_parquet_timestamp_of_any_unit_and_zone_is_the_same_moment(tmp_path, unit: str, zone: str | None):
    count = T0 // Unit(unit).ns
    path = write_parquet(
        tmp_path / "a.parquet", {"ts": pa.array([count]).cast(pa.timestamp(unit, zone)), "price": [1.5], "size": [1]}
    )

    assert read(path) == [Trade("sim:A", 1.5, 1.0, Side.BUY, 1, T0, T0)]


def test_a_unit_given_goes_before_the_magnitude(tmp_path):
    path = write(tmp_path / "a.csv", "ts,price,size\n1500,1,1\n")

    [row] = read(path, TableSpec("sim:A", unit=Unit.MS))

    assert isinstance(row, Trade)
    assert row.venue_ns == 1_500_000_000


def test_a_bar_stamped_at_its_end_starts_an_interval_earlier(tmp_path):
    path = write(tmp_path / "a.csv", f"{BARS}{T0},1,1,1,1,1\n{T0 + MINUTE},1,1,1,1,1\n")

    by_open, by_end = read(path), read(path, TableSpec("sim:A", stamp=Stamp.END))

    assert [b.start_ns for b in by_open if isinstance(b, Bar)] == [T0, T0 + MINUTE]
    assert [b.start_ns for b in by_end if isinstance(b, Bar)] == [T0 - MINUTE, T0]
    assert [b.local_ns for b in by_open] == [b.local_ns + MINUTE for b in by_end] == [T0 + MINUTE, T0 + 2 * MINUTE]


@pytest.mark.parametrize(
    ("header", "cell", "interval_ns"),
    [("interval", "1h", HOUR), ("timeframe", "5m", 5 * MINUTE), ("interval", "60", MINUTE), ("interval_ns", DAY, DAY)],
)
def test_a_bars_interval_can_stand_in_the_table(tmp_path, header: str, cell: str | int, interval_ns: int):
    path = write(tmp_path / "a.csv", f"ts,open,high,low,close,{header}\n{T0},1,1,1,1,{cell}\n")

    [bar] = read(path)

    assert isinstance(bar, Bar)
    assert bar.interval_ns == interval_ns


@pytest.mark.parametrize("cell", ["99999999999999999999m", "9" * 5_000, "999999999999999999d", "fortnight"])
def test_a_bar_of_an_interval_that_is_none_is_left_out(tmp_path, cell: str):
    path = write(
        tmp_path / "a.csv", f"ts,open,high,low,close,interval\n{T0},1,1,1,1,{cell}\n{T0 + MINUTE},1,1,1,1,1m\n"
    )

    assert [bar.local_ns for bar in read(path)] == [T0 + 2 * MINUTE]


def test_the_intervals_of_a_column_with_a_hole_are_read(tmp_path):
    path = tmp_path / "a.parquet"
    prices = {name: [1.0, 1.0] for name in ("open", "high", "low", "close")}
    parquet.write_table(pa.table({"ts": [T0, T0 + MINUTE], **prices, "interval": [60.0, None]}), path)

    [bar] = read(path)

    assert isinstance(bar, Bar)
    assert bar.interval_ns == MINUTE


def test_an_unsigned_number_beyond_what_we_count_with_is_none():
    _, known = integers(pa.array([5, 2**63 + 5], pa.uint64()))

    assert known.tolist() == [True, False]


def test_the_interval_is_the_smallest_step_and_holes_do_not_matter(tmp_path):
    rows = "".join(f"{T0 + i * MINUTE},1,1,1,1,1\n" for i in (0, 7, 8, 12))
    path = write(tmp_path / "a.csv", BARS + rows)

    assert {bar.interval_ns for bar in read(path) if isinstance(bar, Bar)} == {MINUTE}


def test_an_interval_given_goes_before_the_steps(tmp_path):
    path = write(tmp_path / "a.csv", f"{BARS}{T0},1,1,1,1,1\n")

    [bar] = read(path, TableSpec("sim:A", interval_ns=HOUR))

    assert isinstance(bar, Bar)
    assert bar.end_ns == T0 + HOUR


def test_time_never_runs_backwards_and_the_venues_is_left_alone(tmp_path):
    path = write(tmp_path / "a.csv", TRADES + "".join(f"{T0 + i},1,1,buy,1\n" for i in (5, 3, 9, 4)))

    rows = [row for row in read(path, TableSpec("sim:A", delay_ns=100)) if isinstance(row, Trade)]

    assert [row.venue_ns - T0 for row in rows] == [5, 3, 9, 4]
    assert [row.local_ns - T0 for row in rows] == [105, 105, 109, 109]
