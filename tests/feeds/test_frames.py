"""Recordings: what is written reads back, and a damaged file gives up everything but the damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bus.inputs import CONNECT, KINDS, META, Input
from feeds import frames
from feeds.frames import NotARecording, Recording, RecordingWriter

ITEMS = [
    Input(raw="", kind=META, note="what was asked for"),
    Input(raw="", ts=5, conn="ws", kind=CONNECT, url="wss://example.test"),
    *(Input(raw=f'{{"n":{n}}}', ts=10 + n, conn="ws") for n in range(40)),
]


def text_of(items: list[Input]) -> bytes:
    return b"".join(msgspec.json.encode(item) + b"\n" for item in items)


def read(path: Path) -> tuple[list[Input], list[tuple[int, str, str]]]:
    bad: list[tuple[int, str, str]] = []
    items = [item for batch in Recording(path, lambda *line: bad.append(line)).batches() for item in batch]
    return items, bad


def file(folder: Path, data: bytes, name: str = "a.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


HALF = len(ITEMS) // 2


@pytest.mark.parametrize(
    ("story", "data"),
    [
        ("plain", text_of(ITEMS)),
        ("plain with a byte order mark", b"\xef\xbb\xbf" + text_of(ITEMS)),
        ("plain without a last line end", text_of(ITEMS).rstrip()),
        ("carriage returns and empty lines", text_of(ITEMS).replace(b"\n", b"\r\n\r\n")),
        ("extra keys", text_of(ITEMS).replace(b'{"raw"', b'{"extra":[1],"raw"')),
        ("gzip", gzip.compress(text_of(ITEMS))),
        ("gzip in two members", gzip.compress(text_of(ITEMS[:HALF])) + gzip.compress(text_of(ITEMS[HALF:]))),
        ("zstandard", zstandard.compress(text_of(ITEMS))),
        (
            "zstandard in two frames",
            zstandard.compress(text_of(ITEMS[:HALF])) + zstandard.compress(text_of(ITEMS[HALF:])),
        ),
    ],
)
def test_every_form_of_a_recording_reads_the_same(tmp_path, story, data):
    items, bad = read(file(tmp_path, data))

    assert (items, bad) == (ITEMS, []), story


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"not json", "malformed"),
        (b'{"ts":1}', "raw"),
        (b'{"raw":"x"}', "no time"),
        (b'{"raw":"x","ts":null}', "no time"),
        (b'{"raw":"x","ts":-1}', ">= 0"),
        (b'{"raw":"x","ts":99999999999999999999}', "<= 9223372036854775807"),
        (b'{"raw":"x","ts":1.5}', "float"),
        (b'{"raw":"x","ts":"1"}', "str"),
        (b'{"raw":1,"ts":1}', "int"),
        (b'{"raw":"\xff","ts":1}', "utf-8"),
        (b'{"raw":"x","ts":1,"deep":' + b"[" * 100_000, "recursion"),
        (b"\x00\x00\x00", "malformed"),
    ],
)
def test_a_line_that_cannot_be_read_is_named_and_the_others_are_kept(tmp_path, line, why):
    path = file(tmp_path, text_of(ITEMS[:3]) + b"\n" + line + b"\n" + text_of(ITEMS[3:]))

    items, bad = read(path)

    assert items == ITEMS
    assert [number for number, _, _ in bad] == [5]
    assert why in bad[0][2]


def test_a_torn_last_line_is_reported_and_the_rest_is_kept(tmp_path):
    items, bad = read(file(tmp_path, text_of(ITEMS)[:-10]))

    assert items == ITEMS[:-1]
    assert [number for number, _, _ in bad] == [len(ITEMS)]


def test_bad_lines_before_the_first_good_one_are_reported_too(tmp_path):
    items, bad = read(file(tmp_path, b'torn"}\n' + text_of(ITEMS)))

    assert items == ITEMS
    assert [number for number, _, _ in bad] == [1]


@pytest.mark.parametrize("compress", [zstandard.compress, gzip.compress])
def test_garbage_after_the_end_costs_nothing_but_a_report(tmp_path, compress):
    items, bad = read(file(tmp_path, compress(text_of(ITEMS)) + b"garbage after the end"))

    assert items == ITEMS
    assert [(number, "damaged" in why) for number, _, why in bad] == [(len(ITEMS) + 1, True)]


@pytest.mark.property
@pytest.mark.parametrize("compress", [zstandard.compress, gzip.compress, bytes])
@given(data=st.data())
def test_a_file_cut_anywhere_gives_up_its_beginning(tmp_path_factory, compress, data):
    whole = compress(text_of(ITEMS[:5])) + compress(text_of(ITEMS[5:]))
    path = file(tmp_path_factory.mktemp("cut"), whole[: data.draw(st.integers(1, len(whole)))])

    try:
        items, bad = read(path)
    except NotARecording:
        items, bad = [], []

    assert items == ITEMS[: len(items)]
    assert len(bad) <= 1


@pytest.mark.property
@pytest.mark.parametrize("compress", [zstandard.compress, gzip.compress, bytes])
@given(at=st.integers(0, 10_000), value=st.integers(1, 255))
def test_a_flipped_byte_never_raises_and_never_invents_order(tmp_path_factory, compress, at, value):
    whole = bytearray(compress(text_of(ITEMS[:5])) + compress(text_of(ITEMS[5:])))
    whole[at % len(whole)] ^= value
    path = file(tmp_path_factory.mktemp("flip"), bytes(whole))

    try:
        items, _ = read(path)
    except NotARecording:
        items = []

    assert len(items) <= len(ITEMS) + 1  # a flipped byte may become a line end inside a line


def test_everything_before_the_damage_in_a_block_is_kept(tmp_path):
    compressor = zstandard.ZstdCompressor().compressobj()
    first = compressor.compress(text_of(ITEMS)) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    items, bad = read(file(tmp_path, first + b"\xff" * 50))

    assert items == ITEMS
    assert len(bad) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
        b"Dear diary,\nnothing was recorded today.\n",
        b'{"price": 1}\n{"price": 2}\n',
        b"[1, 2]\n" * 5_000,
        gzip.compress(b"hello\n", mtime=0),
        b"\x28\xb5\x2f\xfd",
    ],
)
def test_a_file_without_one_recorded_line_is_refused(tmp_path, data):
    path = file(tmp_path, data)

    with pytest.raises(NotARecording, match="is not a recording"):
        read(path)


def test_an_item_of_the_current_batch_can_be_located(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "_BLOCK", 300)
    recording = Recording(file(tmp_path, b"\n" + text_of(ITEMS)[:-40] + b"\n" + text_of(ITEMS)))

    located = {item.ts: recording.locate(item) for batch in recording.batches() for item in batch[::-1]}

    # One empty line first; the torn line is at the end of the first copy.
    assert [located[item.ts] for item in ITEMS] == [len(ITEMS) + 2 + n for n in range(len(ITEMS))]


def test_progress_ends_at_one(tmp_path):
    recording = Recording(file(tmp_path, zstandard.compress(text_of(ITEMS))))
    before = recording.progress()

    list(recording.batches())

    assert (before, recording.progress()) == (0.0, 1.0)


def test_flushed_lines_can_be_read_while_the_writer_goes_on(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    with RecordingWriter(path) as writer:
        for item in ITEMS[:HALF]:
            writer.write(item)
        writer.flush()
        items, _ = read(path)
        for item in ITEMS[HALF:]:
            writer.write(item)

    assert items == ITEMS[:HALF]
    assert read(path) == (ITEMS, [])


def test_a_recording_is_never_written_over(tmp_path):
    path = tmp_path / "a.jsonl.zst"
    RecordingWriter(path).close()

    with pytest.raises(FileExistsError):
        RecordingWriter(path)


_text = st.text(max_size=30) | st.sampled_from(["\x00", "\u2028\n\r", "\ufeff", '"\\', "\U0010ffff", "\x85 é 漢 😀"])
_inputs = st.builds(
    Input,
    raw=_text,
    ts=st.integers(0, (1 << 63) - 1),
    conn=st.none() | _text,
    kind=st.none() | st.sampled_from(sorted(KINDS)),
    url=st.none() | _text,
    enc=st.none() | _text,
    note=st.none() | _text,
)


@pytest.mark.property
@given(items=st.lists(st.tuples(_inputs, st.booleans()), min_size=1, max_size=20))
def test_what_is_written_reads_back_identical(tmp_path_factory, items):
    path = tmp_path_factory.mktemp("writer") / "a.jsonl.zst"
    with RecordingWriter(path) as writer:
        for item, flushed in items:
            writer.write(item)
            if flushed:
                writer.flush()

    assert read(path) == ([item for item, _ in items], [])
