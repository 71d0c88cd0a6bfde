"""A journal that somebody, or a disk, has touched: found out, and the record named."""

from __future__ import annotations

import re
import sqlite3
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.journal import Journal, JournalError, read
from tests.bus.records import EVERY_KIND, write


@pytest.fixture(scope="module")
def intact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of several rows, several records each."""
    return write(Journal(tmp_path_factory.mktemp("journal") / "intact.db"), EVERY_KIND, every=3).path


@pytest.fixture(scope="module")
def spare(intact: Path) -> Path:
    return intact.with_name("spare.db")


def record_at(first: int, bodies: bytes, position: int) -> int:
    """Which record the byte at ``position`` of a row belongs to."""
    return first + bodies[:position].count(b",\n")


@pytest.mark.property
@given(st.sampled_from(["bodies", "hashes"]), st.integers(0, 3), st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_of_the_chain_is_found_at_or_before_its_record(
    intact: Path, spare: Path, column: str, row: int, place: int, flip: int
) -> None:
    spare.write_bytes(intact.read_bytes())
    db = sqlite3.connect(spare)
    found = db.execute(
        f"SELECT first, CAST(bodies AS BLOB), CAST({column} AS BLOB) FROM chain ORDER BY first LIMIT 1 OFFSET ?", (row,)
    )
    first, bodies, content = found.fetchone()
    place %= len(content)
    damaged = bytearray(content)
    damaged[place] ^= flip
    kind = "TEXT" if column == "bodies" else "BLOB"
    with db:
        db.execute(f"UPDATE chain SET {column} = CAST(? AS {kind}) WHERE first = ?", (bytes(damaged), first))
    db.close()
    touched = record_at(first, bodies, place) if column == "bodies" else first + place // 32

    with pytest.raises(JournalError) as error:
        list(read(spare))

    named = re.search(r"record (-?\d+)", str(error.value))
    assert named is not None, error.value
    assert int(named[1]) <= touched


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
        ("a row claims more", "UPDATE chain SET count = 4 WHERE first = 3", "row of record 3"),
        ("hashes are missing", "UPDATE chain SET hashes = x'00' WHERE first = 6", "row of record 6"),
        ("the bodies are not text", "UPDATE chain SET bodies = x'00' WHERE first = 6", "record 6"),
        ("hashes are not bytes", "UPDATE chain SET hashes = 7 WHERE first = 6", "record 6"),
        ("another format", "UPDATE about SET value = '2'", "format 2; this build reads 1"),
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
        bodies, hashes = db.execute("SELECT bodies, hashes FROM chain WHERE first = 3").fetchone()
        one, two, three = bodies[1:-1].split(b",\n")
        db.execute(
            "UPDATE chain SET bodies = ?, hashes = ? WHERE first = 3",
            (b"[%s,\n%s,\n%s]" % (two, one, three), hashes[32:64] + hashes[:32] + hashes[64:]),
        )
    db.close()

    with pytest.raises(JournalError, match="breaks at record 3"):
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
