"""A journal that somebody, or a disk, has touched: found out, and the row named."""

from __future__ import annotations

import re
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.journal import Journal, JournalError, RowDamaged, read
from tests.bus.records import EVERY_KIND, write


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of several rows, several records each."""
    return write(Journal(tmp_path_factory.mktemp("journal") / "intact.db"), EVERY_KIND, every=3).path


@pytest.fixture(scope="module")
def spare(intact: Path) -> Path:
    return intact.with_name("spare.db")


@pytest.mark.property
@given(st.sampled_from(["lines", "hash"]), st.integers(0, 3), st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_of_the_chain_is_found_and_nothing_of_its_row_is_read(
    intact: Path, spare: Path, column: str, row: int, place: int, flip: int
) -> None:
    spare.write_bytes(intact.read_bytes())
    db = sqlite3.connect(spare)
    found = db.execute(f"SELECT first, count, {column} FROM chain ORDER BY first LIMIT 1 OFFSET ?", (row,))
    first, count, content = found.fetchone()
    place %= len(content)
    damaged = bytearray(content)
    damaged[place] ^= flip
    with db:
        db.execute(f"UPDATE chain SET {column} = ? WHERE first = ?", (bytes(damaged), first))
    db.close()

    records = []
    with pytest.raises(RowDamaged, match=f"row of records {first} to {first + count - 1}: its hash does not fit"):
        records += [entry.event() for entry in read(spare)]

    assert records == []


@pytest.mark.property
@given(st.integers(0, 10**9), st.integers(1, 255))
def test_a_flipped_byte_of_the_file_is_found_or_changes_nothing_but_the_hash_of_the_file(
    intact: Path, spare: Path, place: int, flip: int
) -> None:
    content = bytearray(intact.read_bytes())
    content[place % len(content)] ^= flip
    spare.write_bytes(content)
    for leftover in ("-wal", "-shm", "-journal"):
        spare.with_name(spare.name + leftover).unlink(missing_ok=True)

    try:
        records = [entry.event() for entry in read(spare)]
    except JournalError:
        return

    assert records == EVERY_KIND[: len(records)]
    assert sha256(content).digest() != sha256(intact.read_bytes()).digest()


@pytest.mark.parametrize(
    ("story", "damage", "says"),
    [
        ("a row is gone", "DELETE FROM chain WHERE first = 3", "record 3: the next row starts at record 6"),
        ("a row has moved", "UPDATE chain SET first = 4 WHERE first = 3", "record 3"),
        ("a row claims more", "UPDATE chain SET count = 4 WHERE first = 3", "records 3 to 6: it holds 3 records"),
        ("a count is no number", "UPDATE chain SET count = 'x' WHERE first = 3", "records 3 to 3: it holds 3 records"),
        (
            "the hash is missing",
            "UPDATE chain SET hash = x'00' WHERE first = 6",
            "records 6 to 8: its hash does not fit",
        ),
        ("the lines are gone", "UPDATE chain SET lines = x'' WHERE first = 6", "records 6 to 8: its hash does not fit"),
        ("the lines are not bytes", "UPDATE chain SET lines = 7 WHERE first = 6", "records 6 to 8: it holds no lines"),
        ("the hash is not bytes", "UPDATE chain SET hash = 7 WHERE first = 6", "records 6 to 8: its hash does not fit"),
        ("another format", "UPDATE about SET value = '1'", "format 1; this build reads 2"),
        ("no format", "DELETE FROM about", "format None"),
        ("no chain", "DROP TABLE chain", "damaged at record 0"),
    ],
)
def test_a_touched_journal_says_what_is_wrong(intact: Path, tmp_path: Path, story: str, damage: str, says: str) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(intact.read_bytes())
    with sqlite3.connect(path) as db:
        db.execute(damage)
    db.close()

    with pytest.raises(JournalError, match=re.escape(says)):
        list(read(path))


def test_records_in_another_order_do_not_chain(intact: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.db"
    path.write_bytes(intact.read_bytes())
    with sqlite3.connect(path) as db:
        (lines,) = db.execute("SELECT lines FROM chain WHERE first = 3").fetchone()
        one, two, three = lines.splitlines()
        db.execute("UPDATE chain SET lines = ? WHERE first = 3", (b"%s\n%s\n%s\n" % (two, one, three),))
    db.close()

    with pytest.raises(RowDamaged) as error:
        list(read(path))

    assert error.value.bodies == [two, one, three]


def test_a_row_that_was_forged_whole_breaks_the_next(intact: Path, tmp_path: Path) -> None:
    path = tmp_path / "forged.db"
    path.write_bytes(intact.read_bytes())
    running = sha256()
    with sqlite3.connect(path) as db:
        for first, lines in db.execute("SELECT first, lines FROM chain ORDER BY first").fetchall()[:2]:
            forged = lines.replace(b'"v:BTC/USDT"', b'"v:BTC/USDC"')
            running.update(forged)
            db.execute("UPDATE chain SET lines = ?, hash = ? WHERE first = ?", (forged, running.digest(), first))
    db.close()

    with pytest.raises(RowDamaged, match="records 6 to 8: its hash does not fit"):
        list(read(path))


@pytest.mark.parametrize(
    ("name", "content"), [("missing.db", None), ("text.db", b"not a database" * 100), ("empty.db", b"")]
)
def test_what_is_not_a_journal_is_refused_in_words(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(JournalError, match=name):
        list(read(path))


def test_a_record_of_a_later_build_is_named(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND)
    entry = next(iter(read(journal.path)))

    with pytest.raises(JournalError, match="record 0"):
        type(entry)(entry.seq, "FromTheFuture", entry.body, entry.hash).event()
    with pytest.raises(JournalError, match="record 0"):
        type(entry)(entry.seq, "OrderFilled", entry.body, entry.hash).event()
