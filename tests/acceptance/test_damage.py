"""Damaged recordings: whatever can be read is kept, what cannot is counted and named by its line, and nobody panics."""

from __future__ import annotations

import json
import random
import re

import pytest

from tests.acceptance import tape
from tests.acceptance.command import Said, argus, journal

TRADING = ("--strategy", "ema_cross", "--params", "fast=5,slow=20")
COUNTED = ("frames", "trades", "quotes", "depth_updates", "unparsed", "duplicates", "gaps")


def replayed(path, tmp_path) -> Said:
    said = argus("replay", path, *TRADING, "--out", tmp_path / "session", "--json")
    assert said.code == 0, said.err
    assert set(COUNTED) <= set(said.summary)
    return said


def counted(said: Said) -> dict[str, int]:
    return {name: said.summary[name] for name in COUNTED}


def counts_of(lines: tape.Lines) -> dict[str, int]:
    """What a whole recording of these lines holds."""
    held = {"trades": tape.trades(lines), "quotes": tape.quotes(lines), "depth_updates": tape.diffs(lines)}
    counts = {name: len(found) for name, found in held.items()}
    frames = sum(b'"kind"' not in line for line in lines)
    return {"frames": frames, **counts, "unparsed": 0, "duplicates": 0, "gaps": 0}


def warned_lines(said: Said) -> list[int]:
    """The line numbers on stderr: ``file:line: reason``."""
    return [int(number) for number in re.findall(r"\.(?:jsonl|zst|gz):(\d+): ", said.err)]


def test_an_undamaged_recording_warns_of_nothing(market, tmp_path):
    said = replayed(tape.write(tmp_path / "a.jsonl", market), tmp_path)

    assert counted(said) == counts_of(market)
    assert warned_lines(said) == []


def test_a_recording_cut_in_the_middle_of_a_line_keeps_every_line_before_it(market, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n".join(market[:5_000]) + b"\n" + market[5_000][:40])

    said = replayed(path, tmp_path)

    assert counted(said) == {**counts_of(market[:5_000]), "unparsed": 1}
    assert warned_lines(said) == [5_001]


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_a_compressed_recording_cut_anywhere_keeps_what_can_be_decompressed(market, tmp_path, part):
    whole = tape.compressed(tmp_path / "whole.jsonl.zst", market).read_bytes()
    path = tmp_path / "a.jsonl.zst"
    path.write_bytes(whole[: int(len(whole) * part)])

    said = replayed(path, tmp_path)

    (line,) = warned_lines(said)
    assert counted(said) == {**counts_of(market[: line - 1]), "unparsed": 1}
    assert line > len(market) * (part - 0.25)


GARBAGE = [
    b"what is this",
    b"",
    b"{}",
    b'{"ts":"soon","raw":"{}"}',
    b"\x00\xff\xfe binary \x80",
    b'{"ts":%d,"conn":"spot","raw":"{\\"stream\\":\\"btcusdt@trade\\",\\"data\\":{}}"}',
    b'{"ts":%d,"conn":"spot","raw":"{\\"stream\\":\\"btcusdt@unheard\\",\\"data\\":{\\"e\\":\\"unheard\\"}}"}',
    b'{"ts":%d,"conn":"spot","raw":"not json"}',
    b"[" * 5_000,
]


def test_garbage_between_the_lines_is_named_and_changes_nothing_else(market, tmp_path):
    chance = random.Random(8)
    places = sorted(chance.sample(range(10, len(market)), len(GARBAGE)))
    lines = list(market)
    for place, garbage in reversed(list(zip(places, GARBAGE, strict=True))):
        heard_ns = tape.received_ns(market[place - 1])
        lines.insert(place, garbage % heard_ns if b"%d" in garbage else garbage)
    expected = [place + 1 + n for n, (place, garbage) in enumerate(zip(places, GARBAGE, strict=True)) if garbage]

    said = replayed(tape.write(tmp_path / "a.jsonl", lines), tmp_path)
    clean = argus("replay", tape.write(tmp_path / "b.jsonl", market), *TRADING, "--out", tmp_path / "clean", "--json")

    rejected = [json.loads(line) for line in (tmp_path / "session" / "rejected.jsonl").read_text().splitlines()]
    assert [bad["line"] for bad in rejected] == expected
    assert warned_lines(said) == expected[:5]
    assert f"{len(expected)} in all" in said.err
    assert said.summary["unparsed"] == len(expected)
    kept = ("trades", "quotes", "depth_updates", "gaps", "fills", "equity_end", "journal_head")
    assert {name: said.summary[name] for name in kept} == {name: clean.summary[name] for name in kept}


@pytest.mark.parametrize("stream", ["trades", "quotes", "depth_updates"])
def test_lines_that_come_twice_are_told_once(market, tmp_path, stream):
    at = {"trades": tape.trades, "quotes": tape.quotes, "depth_updates": tape.diffs}[stream](market)[300]
    lines = [*market[: at + 1], market[at], *market[at + 1 :]]

    said = replayed(tape.write(tmp_path / "a.jsonl", lines), tmp_path)

    told = counts_of(market)
    assert said.summary["gaps"] == 0
    assert said.summary["duplicates"] == 1
    assert said.summary["trades"] == told["trades"]


def test_two_diffs_in_the_wrong_order_are_a_gap_and_every_line_is_kept(market, tmp_path):
    first, second = tape.diffs(market)[200:202]
    lines = list(market)
    lines[first], lines[second] = lines[second], lines[first]

    said = replayed(tape.write(tmp_path / "a.jsonl", lines), tmp_path)

    (gap,) = journal(tmp_path / "session", "DataGap")
    missing = tape.payload(market[first])
    assert (gap["first_missing"], gap["last_missing"]) == (missing["U"], missing["u"])
    assert said.summary["gaps"] == 1
    assert {**counted(said), "gaps": 0, "duplicates": 0} == counts_of(market)
    assert all(fill["ns"] < gap["ns"] for fill in journal(tmp_path / "session", "OrderFilled"))


def test_lines_shuffled_in_small_groups_never_stop_a_replay_or_turn_time_back(market, tmp_path):
    chance = random.Random(4)
    lines = list(market)
    for start in range(10, len(lines) - 5, 50):
        group = lines[start : start + 5]
        chance.shuffle(group)
        lines[start : start + 5] = group

    said = replayed(tape.write(tmp_path / "a.jsonl", lines), tmp_path)

    times = [record["ns"] for record in journal(tmp_path / "session")]
    assert times == sorted(times)
    assert said.summary["frames"] == counts_of(market)["frames"]


def test_without_a_snapshot_there_is_no_book_and_no_fill(market, tmp_path):
    at = tape.snapshot_at(market)

    said = replayed(tape.write(tmp_path / "a.jsonl", [*market[:at], *market[at + 1 :]]), tmp_path)

    assert counted(said) == counts_of(market)
    assert (said.summary["intents"] > 0, said.summary["orders"], said.summary["fills"]) == (True, 0, 0)
    (invalid,) = journal(tmp_path / "session", "BookInvalidated")
    assert invalid["reason"] == "no snapshot yet"
    rules = {refusal["rule"] for refusal in journal(tmp_path / "session", "OrderRefused")}
    assert rules == {"no_market"}
