"""A recording in pieces: when a new one begins, what is left after a crash, what becomes of the old ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bus.clock import DAY, HOUR, SECOND
from bus.inputs import Input
from daemon.live.recorder import Keeping, Recorder, RecorderFailed, pieces, prune, recording_of
from feeds.frames import Recording

NOON = 1_767_614_400 * SECOND


def read(session: Path) -> list[str]:
    return [item.raw for piece in pieces(session) for batch in Recording(piece).batches() for item in batch]


def line(text: str, ts: int = NOON) -> Input:
    return Input(text, ts, "binance/1")


def test_a_new_hour_begins_a_new_piece_and_so_does_a_full_one(tmp_path):
    recorder = Recorder(tmp_path, Keeping(piece_bytes=10))
    for text, ts in (
        ("a", NOON),
        ("b", NOON + HOUR - 1),
        ("c", NOON + HOUR),
        ("long enough", NOON + HOUR),
        ("d", NOON),
    ):
        recorder.write(line(text, ts))
    recorder.close()

    assert [piece.name for piece in pieces(tmp_path)] == [f"inputs-000{n}.jsonl.zst" for n in (1, 2, 3)]
    assert read(tmp_path) == ["a", "b", "c", "long enough", "d"]
    assert recording_of(tmp_path) == pieces(tmp_path)
    assert recording_of(pieces(tmp_path)[0]) == [pieces(tmp_path)[0]]


def test_pieces_past_the_ten_thousandth_keep_their_order(tmp_path):
    names = ("inputs-9999.jsonl.zst", "inputs-10000.jsonl.zst", "inputs-0001.jsonl.zst")
    for name in names:
        (tmp_path / name).touch()

    assert [piece.name for piece in pieces(tmp_path)] == [names[2], names[0], names[1]]


def test_what_was_flushed_is_there_though_nobody_closed_it(tmp_path):
    recorder = Recorder(tmp_path, Keeping())
    recorder.write(line("flushed"))
    recorder.flush()
    recorder.write(line("lost"))

    assert read(tmp_path) == ["flushed"]
    recorder.close()


def test_a_disk_without_room_is_said_once_and_from_then_on(tmp_path):
    recorder = Recorder(tmp_path, Keeping(spare_bytes=1 << 60))

    with pytest.raises(RecorderFailed, match="MiB are free"):
        recorder.write(line("a"))
    with pytest.raises(RecorderFailed, match="MiB are free"):
        recorder.write(line("b"))

    assert "MiB are free" in recorder.failed
    recorder.flush()
    assert pieces(tmp_path) == []


def sessions(root: Path, *ages: float) -> list[Path]:
    """Sessions with a recording of 100 bytes each, so many days old."""
    made = []
    for number, age in enumerate(ages):
        path = root / f"s{number}"
        path.mkdir()
        piece = path / "inputs-0001.jsonl.zst"
        piece.write_bytes(b"x" * 100)
        os.utime(piece, ns=(0, int(NOON - age * DAY)))
        (path / "journal.db").touch()
        made.append(path)
    return made


def test_old_recordings_go_and_their_journals_stay(tmp_path):
    old, young, present = sessions(tmp_path, 31, 29, 40)

    gone = prune(tmp_path, Keeping(days=30), NOON, frozenset({present.resolve()}))

    assert [piece.parent for piece in gone] == [old]
    assert (old / "journal.db").exists()
    assert pieces(young)
    assert pieces(present)


def test_over_the_budget_the_oldest_go_first(tmp_path):
    found = sessions(tmp_path, 3, 1, 2)

    gone = prune(tmp_path, Keeping(budget_bytes=200), NOON, frozenset())

    assert [piece.parent for piece in gone] == [found[0]]


@pytest.mark.parametrize("refused", ["stat", "unlink"])
def test_what_is_deleted_by_somebody_else_or_cannot_be_is_passed_over(tmp_path, monkeypatch, refused):
    """Two agents keep their sessions in one place and prune at the same time, or one session is another user's."""
    other, own = sessions(tmp_path, 50, 40)
    do = getattr(Path, refused)

    def refuse(path: Path, **more: Any) -> Any:
        if path.parent == other and path.name.startswith("inputs"):
            raise FileNotFoundError(2, "gone") if refused == "stat" else PermissionError(13, "not yours")
        return do(path, **more)

    monkeypatch.setattr(Path, refused, refuse)
    gone = prune(tmp_path, Keeping(days=30), NOON, frozenset())

    assert [piece.parent for piece in gone] == [own]
