"""``argus verify`` makes every record again, and names the first that does not come out as it was written."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.acceptance import tape
from tests.acceptance.command import Said, argus, journal, replay

TRADING = ("--strategy", "ema_cross", "--params", "fast=5,slow=20")


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return tape.write(tmp_path_factory.mktemp("market") / "a.jsonl", tape.synthetic(0.5))


@pytest.fixture(scope="module")
def session(tmp_path_factory, recording) -> Path:
    out = tmp_path_factory.mktemp("done") / "session"
    assert replay(recording, *TRADING, "--out", out)["fills"] >= 20
    return Path(out)


@pytest.fixture
def copy(session, tmp_path) -> Path:
    return Path(shutil.copytree(session, tmp_path / "copy"))


def named(said: Said) -> int:
    """The number of the first differing record."""
    assert said.code == 1
    found = re.search(r"record (\d+)", said.out)
    assert found is not None, said.out
    return int(found[1])


# --- sessions that verify --------------------------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("words", "fills"),
    [
        pytest.param(("--params", "fast=50,slow=200"), 60, id="on trades"),
        pytest.param(("--params", "fast=5,slow=20", "--interval", "1s"), 10, id="on 1 s bars"),
    ],
)
def test_a_session_of_the_capture_is_made_again_record_by_record(recordings, tmp_path, words, fills):
    summary = replay(recordings / tape.CAPTURE, "--strategy", "ema_cross", *words, "--out", tmp_path / "session")

    said = argus("verify", tmp_path / "session", "--json")

    assert summary["fills"] >= fills
    assert (said.code, said.err) == (0, "")
    assert said.summary == {"equal": True, "same": summary["journal_records"], "difference": "", "notes": []}


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(TRADING, id="on trades"),
        pytest.param((*TRADING, "--interval", "1s"), id="on bars"),
        pytest.param((*TRADING, "--set", "journal.holds=true", "--interval", "1s"), id="with packed holds"),
        pytest.param((*TRADING, "--strategy", "stub", "--seed", "99"), id="two strategies"),
    ],
)
def test_a_session_of_an_invented_market_is_made_again_record_by_record(recording, tmp_path, words):
    summary = replay(recording, *words, "--out", tmp_path / "session")

    said = argus("verify", tmp_path / "session", "--json")

    assert said.code == 0, said.out
    assert said.summary["same"] == summary["journal_records"]


WRITTEN = """
[trading]
cash = {{ USDT = {cash} }}
sizing = {{ notional = {notional} }}
[[trading.instruments]]
name = "binance:BTC/USDT"
symbol = "BTCUSDT"
base = "BTC"
quote = "USDT"
settle = "USDT"
tick = {tick}
lot = {lot}
maker_fee = {maker}
taker_fee = {taker}
"""
PLAIN = {"cash": "10000", "notional": "500", "tick": "0.1", "lot": "0.001", "maker": "0", "taker": "0.001"}


def test_however_amounts_are_written_the_journal_is_the_same_and_verifies(recording, tmp_path):
    """Cut from a market's own terms, or typed with zeros: 0.0 and "0.10" are 0 and 0.1, not other numbers of digits."""
    unlike = {
        "cash": "10000.0",
        "notional": '"500.00"',
        "tick": '"0.10"',
        "lot": "1e-3",
        "maker": "0.0",
        "taker": '"1E-3"',
    }
    heads = []
    for name, written in (("plain", PLAIN), ("unlike", unlike)):
        (tmp_path / f"{name}.toml").write_text(WRITTEN.format(**written))
        words = (*TRADING, "--config", tmp_path / f"{name}.toml", "--out", tmp_path / name)
        summary = replay(recording, *words)
        assert summary["fills"] > 0
        heads.append(summary["journal_head"])

        assert argus("verify", tmp_path / name).code == 0

    assert heads[0] == heads[1]


def test_a_session_verifies_again_after_its_readable_files_were_rebuilt(copy):
    assert argus("export", copy).code == argus("report", copy).code == 0

    assert argus("verify", copy).code == 0


def test_a_recording_that_moved_can_be_named(copy, recording, tmp_path):
    moved = shutil.copy(recording, tmp_path / "elsewhere.jsonl")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["data"][0]["path"] = str(tmp_path / "gone.jsonl")
    (copy / "manifest.json").write_text(json.dumps(manifest))

    without, with_data = argus("verify", copy), argus("verify", copy, "--data", moved)

    assert (without.code, "--data" in without.err) == (2, True)
    assert with_data.code == 0


# --- one digit of the recording --------------------------------------------------------------------------------


def test_one_changed_price_digit_is_found_at_the_decision_it_unmakes(copy, recording, tmp_path):
    decisions = journal(copy, "Decision")
    decision = decisions[len(decisions) // 2]
    lines = recording.read_bytes().splitlines()
    at = next(at for at in tape.trades(lines) if tape.received_ns(lines[at]) == decision["ns"])
    price = tape.payload(lines[at])["p"]
    away = "0" if decision["intent"]["action"] == "ENTER_LONG" else "2"  # 61,000 becomes 60,000 or 62,000
    lines[at] = lines[at].replace(price.encode(), (price[0] + away + price[2:]).encode())
    changed = tape.write(tmp_path / "changed.jsonl", lines)

    said = argus("verify", copy, "--data", changed)

    assert named(said) == decision["seq"]
    assert f'written:    [{decision["seq"]},"Decision"' in said.out
    assert "made again:" in said.out
    assert "refused" in said.err


def test_a_changed_recording_is_refused_even_where_it_changes_no_record(copy, recording, tmp_path):
    changed = tape.write(tmp_path / "changed.jsonl", [*recording.read_bytes().splitlines(), b""])

    said = argus("verify", copy, "--data", changed)

    assert (said.code, "sha256" in said.err, "not what the session read" in said.out) == (1, True, True)


# --- one parameter ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(lambda m: m["config"]["trading"]["strategies"][0]["params"].update(fast="6"), 0, id="strategy's"),
        pytest.param(lambda m: m["config"]["trading"].update(seed=8), 0, id="seed"),
        pytest.param(lambda m: m["config"]["trading"]["limits"].update(max_notional="9999"), 0, id="limit"),
        pytest.param(lambda m: m["config"]["trading"]["venue"]["entry"].update(low_ms=51.0), 0, id="latency"),
    ],
)
def test_one_changed_parameter_is_found_at_the_root(copy, change, expected):
    manifest = json.loads((copy / "manifest.json").read_text())
    change(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))

    assert named(argus("verify", copy)) == expected


# --- one byte of the journal -----------------------------------------------------------------------------------


def flipped(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x01
    path.write_bytes(content)


def test_one_flipped_byte_of_any_record_is_found_at_that_record(session, tmp_path):
    content = (session / "journal.db").read_bytes()
    records = journal(session)
    chance = random.Random(5)
    for number in chance.sample(range(len(records)), 12):
        copy = shutil.copytree(session, tmp_path / str(number))
        start = content.index(b'[%d,"%s"' % (number, records[number]["type"].encode()))
        flipped(copy / "journal.db", start + chance.randrange(20))

        said = argus("verify", copy)

        assert named(said) in (number, number - 1), said.out  # the byte may be the mark between two records


def test_no_flipped_byte_anywhere_in_the_file_goes_unnoticed(session, tmp_path):
    size = (session / "journal.db").stat().st_size
    chance = random.Random(6)
    for at in (0, 20, 100, size - 1, *(chance.randrange(size) for _ in range(12))):
        copy = shutil.copytree(session, tmp_path / "copy")
        flipped(copy / "journal.db", at)

        said = argus("verify", copy)

        assert said.code == 1, f"byte {at}: {said}"
        shutil.rmtree(copy)


def test_a_touched_hash_names_its_row_once_all_its_records_were_the_same(session, tmp_path):
    copy = shutil.copytree(session, tmp_path / "copy")
    db = sqlite3.connect(copy / "journal.db")
    with db:
        first, count = db.execute("SELECT first, count FROM chain ORDER BY first DESC LIMIT 1").fetchone()
        db.execute("UPDATE chain SET hash = zeroblob(32) WHERE first = ?", (first,))
    db.close()

    said = argus("verify", copy)

    last = first + count - 1
    assert f"the chain breaks in the row of records {first} to {last}: its hash does not fit" in said.out
    assert said.code == 1


def test_a_journal_that_was_cut_short_is_told_from_one_of_a_cut_session(session, tmp_path):
    copy = shutil.copytree(session, tmp_path / "copy")
    db = sqlite3.connect(copy / "journal.db")
    with db:
        db.execute("DELETE FROM chain WHERE first = (SELECT max(first) FROM chain)")
    db.close()

    said = argus("verify", copy)

    assert "was made again but never written" in said.out
    assert named(said) > 0
