"""Small tables for the tests of the table feed, written as one kind of file or another."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from bus.clock import SECOND
from feeds.table import Row, TableFeed, TableSpec

T0 = 1_700_000_040 * SECOND
SPEC = TableSpec("sim:A")
TRADES = "ts,price,size,side,id\n"
BARS = "ts,open,high,low,close,volume\n"


def read(path: Path, spec: TableSpec = SPEC) -> list[Row]:
    return [row for rows in TableFeed(path, spec).batches() for row in rows]


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


def write_parquet(path: Path, columns: Mapping[str, Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path
