"""The two kinds of file a table comes in, read a few thousand rows at a time in bounded memory: Parquet and CSV.

What a file is, its first bytes say; its name does not matter. CSV cells are read as text, because with a type guessed
from the first block a strange cell further down would be an error of the whole file.
"""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK_ROWS = 4_096
_READAHEAD_BYTES = 1 << 16  # of each Parquet column: a row group of any size is streamed, never loaded
_BLOCK_BYTES = 1 << 17  # of CSV parsed at a time
_RELEASE_EVERY = 32  # batches: the allocator keeps what was freed, over 10 million rows 10 MB of it

OnRagged = Callable[[int, str], object]


class TableFile(Protocol):
    names: Sequence[str]

    def read(self, columns: Sequence[str], words: Collection[str], on_ragged: OnRagged) -> Iterator[pa.RecordBatch]:
        """The named columns in batches; rows of the wrong width are left out and told by number, the first being 1.

        ``words`` are those that hold a few texts again and again: text in them comes coded by a dictionary.
        """
        ...

    def progress(self) -> float:
        """How much has been read, from 0 to 1."""
        ...


def open_table(path: Path, columns: Mapping[str, str | int]) -> TableFile:
    """``columns`` are those the caller named: by position, if the file may be without a header."""
    # Read when pyarrow is first imported: its own allocators hold on to 5 to 10 MB more than a replay needs.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with path.open("rb") as file:
        magic = file.read(4)
    if magic == b"PAR1":
        return ParquetTable(path)
    by_position = any(isinstance(column, int) for column in columns.values())
    return CsvTable(path, gzipped=magic[:2] == b"\x1f\x8b", by_position=by_position)


def unreadable() -> tuple[type[Exception], ...]:
    """What reading a broken file may raise."""
    import pyarrow as pa

    return pa.ArrowException, OSError, EOFError, zlib.error, csv.Error


class ParquetTable:
    def __init__(self, path: Path) -> None:
        import pyarrow.parquet as pq

        with pq.ParquetFile(path) as file:
            self._metadata = file.metadata
            self.names: Sequence[str] = file.schema_arrow.names
        self._path = path
        self._rows = 0

    def read(self, columns: Sequence[str], words: Collection[str], on_ragged: OnRagged) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        # Without the buffer the whole column chunk of a row group is loaded, however many rows are asked for. Coded by
        # the reader, because coding text afterwards loads Arrow's functions: 9 MB for one of them.
        with pq.ParquetFile(
            self._path,
            metadata=self._metadata,
            read_dictionary=list(words),
            buffer_size=_READAHEAD_BYTES,
            pre_buffer=False,
        ) as file:
            batches = (
                batch
                for group in range(file.num_row_groups)
                for batch in file.iter_batches(CHUNK_ROWS, [group], list(columns), use_threads=False)
            )
            for batch in _releasing(batches):
                self._rows += batch.num_rows
                yield batch.select(columns)

    def progress(self) -> float:
        return self._rows / (self._metadata.num_rows or 1)


class CsvTable:
    def __init__(self, path: Path, *, gzipped: bool, by_position: bool) -> None:
        self._path = path
        self._gzipped = gzipped
        with self._open() as (_, text):
            first = text.readline().decode("utf-8-sig", errors="replace")
        names = next(csv.reader([first]), [])
        self._header = not by_position or _is_header(names)
        self.names: Sequence[str] = names if self._header else [f"column {i}" for i in range(len(names))]
        self._size = path.stat().st_size
        self._at = 0

    def read(self, columns: Sequence[str], words: Collection[str], on_ragged: OnRagged) -> Iterator[pa.RecordBatch]:
        # Cut into blocks here: Arrow's own streaming reader reads ahead on another thread, and how many rows of a
        # damaged file it hands out before the error would be a matter of luck.
        with self._open() as (file, text):
            if self._header:
                text.readline()
            for batch in _releasing(self._blocks(text, columns, words, on_ragged)):
                self._at = file.tell()
                for start in range(0, batch.num_rows, CHUNK_ROWS):
                    yield batch.slice(start, CHUNK_ROWS)
        self._at = self._size

    def progress(self) -> float:
        return self._at / (self._size or 1)

    @contextmanager
    def _open(self) -> Iterator[tuple[BinaryIO, BinaryIO]]:
        """The file as it lies on disk, whose position is our progress, and the text in it."""
        with self._path.open("rb") as file:
            if not self._gzipped:
                yield file, file
                return
            with gzip.open(file) as text:
                yield file, cast(BinaryIO, text)

    def _blocks(
        self, text: BinaryIO, columns: Sequence[str], words: Collection[str], on_ragged: OnRagged
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        passed = 0  # rows of the blocks before this one
        ragged = 0  # in this one

        def skip(row: Any) -> str:
            nonlocal ragged
            ragged += 1
            on_ragged(passed + row.number, f"{row.actual_columns} columns instead of {row.expected_columns}")
            return "skip"

        read = arrow_csv.ReadOptions(use_threads=False, column_names=self.names)
        parse = arrow_csv.ParseOptions(invalid_row_handler=skip)
        coded = pa.dictionary(pa.int32(), pa.string())
        convert = arrow_csv.ConvertOptions(
            check_utf8=False,
            strings_can_be_null=True,
            include_columns=columns,
            column_types=dict.fromkeys(columns, pa.string()) | dict.fromkeys(words, coded),
        )
        while block := text.read(_BLOCK_BYTES) + text.readline():
            if not block.isspace():
                table = arrow_csv.read_csv(pa.BufferReader(block), read, parse, convert)
                passed, ragged = passed + table.num_rows + ragged, 0
                yield from table.to_batches()


def _is_header(first: Sequence[str]) -> bool:
    """Whether a first line is names: no numbers among them, or nothing but the numbers of the columns."""
    return list(first) == [str(i) for i in range(len(first))] or not any(_is_number(cell) for cell in first)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _releasing(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    pool = pa.default_memory_pool()
    for number, batch in enumerate(batches):
        if number % _RELEASE_EVERY == 0:
            pool.release_unused()
        yield batch
