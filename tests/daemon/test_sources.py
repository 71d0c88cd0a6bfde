"""Several files are one line of inputs: in an order that follows from the files alone, each line still traceable."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.inputs import META, Input
from config.schema import TableFile
from daemon.intake import Intake
from daemon.models import table_spec
from daemon.sources import BadSource, FrameSource, RowSource, Source, look_at, merged, protocol_of
from feeds import frames
from feeds.columns import Content
from feeds.port import Counts
from feeds.table import Stamp, TableSpec

T0 = 1_700_000_000 * SECOND


class Tape:
    """A source in memory, handing out what it holds ``size`` items at a time."""

    def __init__(self, items: Sequence[Input], size: int) -> None:
        self.path = Path("tape.jsonl")
        self.counts = Counts()
        self.bad: list[Any] = []
        self.bad_lines = 0
        self.bars_only = False
        self.venue = "binance"
        self.synthetic = ""
        self._items = iter(items)
        self._size = size
        self.under_way: Sequence[Input] = ()

    def batches(self) -> Iterator[Sequence[Input]]:
        while batch := list(islice(self._items, self._size)):
            self.under_way = batch
            yield batch

    def time(self, item: Input) -> int | None:
        return item.ts

    def accept(self, intake: Intake, batch: Sequence[Any]) -> None: ...

    def reject(self, item: Input, reason: str) -> None: ...

    def line_of(self, item: Input) -> int:
        return 0

    def progress(self) -> float:
        return 0.0


def inputs_at(times: Sequence[int | None]) -> list[Input]:
    return [Input(raw=str(n), ts=ts, kind=META if ts is None else None) for n, ts in enumerate(times)]


def recording(path: Path, times: Sequence[int | None]) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in inputs_at(times)))
    return path


def naive_order(files: Sequence[Sequence[int | None]]) -> list[tuple[int, str]]:
    """(position, line) of every item, by (time clamped to the file's running maximum, position, line)."""
    lines = []
    for position, times in enumerate(files):
        latest = next((ns for ns in times if ns is not None), 0)
        for number, ns in enumerate(times):
            latest = max(latest, ns or 0)
            lines.append((latest, position, number))
    return [(position, str(number)) for _, position, number in sorted(lines)]


Times = st.lists(st.none() | st.integers(1, 20), min_size=1, max_size=12)


@pytest.mark.property
@given(files=st.lists(Times, min_size=1, max_size=4))
def test_files_merge_by_time_then_position_then_line(files):
    # A file read in one piece: the naive twin knows all of its times before the first line is placed, and so do we.
    tapes: list[Source] = [Tape(inputs_at(times), 100) for times in files]

    order = [(tapes.index(source), item.raw) for source, batch in merged(tapes) for item in batch]

    assert order == naive_order(files)


@pytest.mark.property
@given(files=st.lists(st.lists(st.integers(1, 20), min_size=1, max_size=12), min_size=1, max_size=4), data=st.data())
def test_the_order_is_the_same_however_much_is_read_at_a_time(files, data):
    tapes: list[Source] = [Tape(inputs_at(times), data.draw(st.integers(1, 5))) for times in files]

    order = [(tapes.index(source), item.raw) for source, batch in merged(tapes) for item in batch]

    assert order == naive_order(files)


@pytest.mark.property
@given(files=st.lists(Times, min_size=2, max_size=3), size=st.integers(1, 4))
def test_a_batch_is_always_a_piece_of_what_its_source_has_just_read(files, size):
    tapes = [Tape(inputs_at(times), size) for times in files]

    for source, batch in merged(list[Source](tapes)):
        assert isinstance(source, Tape)
        assert {item.raw for item in batch} <= {item.raw for item in source.under_way}


def test_a_line_that_two_files_pass_by_is_rejected_under_its_own_number(tmp_path, monkeypatch):
    # Blocks of a few lines, so that every file is read in many pieces and most rejected lines end one.
    monkeypatch.setattr(frames, "_BLOCK", 64)
    paths = [recording(tmp_path / f"{n}.jsonl", [T0 + 2 * i + n for i in range(40)]) for n in range(2)]
    known = lambda venue, symbol: None  # noqa: E731  # nothing is listed here
    sources = [FrameSource(path, "binance", protocol_of("binance", known), "") for path in paths]

    for source, batch in merged(list[Source](sources)):
        for item in batch:
            source.reject(item, "said so")

    assert [[bad.line for bad in source.bad] for source in sources] == [list(range(1, 41))] * 2


def test_a_heading_without_a_time_does_not_pull_its_file_to_the_front():
    early, late = Tape(inputs_at([10, 11]), 5), Tape(inputs_at([None, 20]), 5)

    order = [(source is late, item.raw) for source, batch in merged([late, early]) for item in batch]

    assert order == [(False, "0"), (False, "1"), (True, "0"), (True, "1")]


def test_a_recording_and_a_table_merge_by_the_time_they_were_heard(tmp_path):
    frames_ = recording(tmp_path / "a.jsonl", [T0 + SECOND, T0 + 3 * SECOND])
    table = tmp_path / "b.csv"
    table.write_text(f"ts,price,size\n{T0},100,1\n{T0 + 2 * SECOND},101,1\n{T0 + 3 * SECOND},102,1\n")
    known = lambda venue, symbol: None  # noqa: E731
    sources: list[Source] = [
        FrameSource(frames_, "binance", protocol_of("binance", known), ""),
        RowSource(table, TableSpec("binance:BTC/USDT")),
    ]

    heard = [(source is sources[1], source.time(item)) for source, batch in merged(sources) for item in batch]

    assert heard == [
        (True, T0),
        (False, T0 + SECOND),
        (True, T0 + 2 * SECOND),
        (False, T0 + 3 * SECOND),
        (True, T0 + 3 * SECOND),
    ]


def test_a_table_of_bars_says_that_it_can_tell_nothing_finer(tmp_path):
    bars, trades = tmp_path / "bars.csv", tmp_path / "trades.csv"
    bars.write_text(f"open_time,open,high,low,close,volume\n{T0},1,2,1,2,5\n{T0 + 60 * SECOND},2,3,2,3,5\n")
    trades.write_text(f"ts,price,size\n{T0},100,1\n")

    assert RowSource(bars, TableSpec("binance:BTC/USDT")).bars_only
    assert not RowSource(trades, TableSpec("binance:BTC/USDT")).bars_only


@pytest.mark.parametrize(("written", "stamp"), [("start", Stamp.OPEN), ("end", Stamp.END)])
def test_a_configured_table_is_read_as_the_config_says(written, stamp):
    entry = TableFile(match="*_1h.csv", instrument="binance:BTC/USDT", content="bars", interval="1h", stamp=written)

    spec = table_spec(Path("data/btc_1h.csv"), [entry], [], "", "USDT")

    assert (spec.content, spec.stamp, spec.interval_ns) == (Content.BARS, stamp, 3_600 * SECOND)


def test_a_bad_row_is_kept_with_its_number(tmp_path):
    table = tmp_path / "t.csv"
    table.write_text(f"ts,price,size\n{T0},100,1\n{T0},cheap,1\n{T0},101,1\n")
    source = RowSource(table, TableSpec("binance:BTC/USDT"))
    clock, bus = Clock(), Bus(lambda handler, event, error: None)

    for batch in source.batches():
        source.accept(Intake(clock, bus, lambda item, reason: None), batch)

    assert (source.bad_lines, [bad.line for bad in source.bad], source.counts.trades) == (1, [2], 2)


# --- whose recording is it -------------------------------------------------------------------------------------


def at(path: Path, *items: Input) -> Path:
    path.write_bytes(b"".join(msgspec.json.encode(item) + b"\n" for item in items))
    return path


def test_the_venue_comes_from_the_lines_and_not_from_the_name(tmp_path):
    path = at(tmp_path / "coinbase.jsonl", Input("", T0, "ws", "connect", "wss://fstream.binance.com/stream"))

    assert look_at(path, None) == ("binanceusdm", "")


def test_a_recording_that_does_not_say_its_venue_needs_to_be_told(tmp_path):
    path = at(tmp_path / "binance.jsonl", Input("[]", T0))

    assert look_at(path, "coinbase") == ("coinbase", "")
    with pytest.raises(BadSource, match="--venue"):
        look_at(path, None)


def test_a_generated_recording_says_so(tmp_path):
    note = "SYNTHETIC: made up"
    path = at(
        tmp_path / "a.jsonl",
        Input("{}", None, kind=META, note=note),
        Input("", T0, "ws", "connect", "wss://stream.binance.com:9443/stream"),
    )

    assert look_at(path, None) == ("binance", note)


def test_a_venue_that_nobody_can_read_is_named_with_those_that_can_be(tmp_path):
    path = at(tmp_path / "a.jsonl", Input("[]", T0))

    with pytest.raises(BadSource, match=r"'kraken'.*coinbase"):
        look_at(path, "kraken")
