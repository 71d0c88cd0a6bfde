"""The chain on disk: what is written is what is read, in whatever groups it was committed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal as D
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bus import Bus
from bus.events import RECORDS, BarsPassed, FeedOpened, Sheet
from bus.journal import GENESIS, PACK, Chain, Journal, JournalError, read
from tests.bus.records import (
    APPROVED,
    BTC,
    CONNECTED,
    DECIDED,
    EVERY_KIND,
    FILLED,
    FUNDED,
    GAP,
    HALTED,
    HEARERS,
    REFUSED,
    REJECTED,
    SUBMITTED,
    Passed,
    entries,
    put,
    write,
)

ROOT = Path(__file__).resolve().parents[2]


def test_every_record_is_read_back_as_the_event_it_was(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND)

    assert [entry.event() for entry in entries(journal)] == EVERY_KIND
    assert [entry.seq for entry in entries(journal)] == list(range(len(EVERY_KIND)))


def test_the_chain_is_what_its_description_says(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND)

    said = b""
    for seq, (entry, event) in enumerate(zip(entries(journal), EVERY_KIND, strict=True)):
        body = msgspec.json.encode([seq, type(event).__name__, event])
        said += body + b"\n"
        assert (entry.body, entry.hash) == (body, sha256(said).digest())
    assert journal.head == sha256(said).digest()


def test_the_head_of_a_chain_without_a_record_is_the_hash_of_nothing() -> None:
    assert Chain().head == GENESIS == sha256(b"").digest()


@pytest.mark.parametrize("every", [0, 1, 2, 5, 100])
def test_where_commits_fall_does_not_enter_the_chain(tmp_path: Path, every: int) -> None:
    one_by_one = write(Journal(tmp_path / "one.db"), EVERY_KIND, every=1)

    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND, every=every)

    assert (journal.head, journal.seq) == (one_by_one.head, one_by_one.seq)


def test_an_empty_commit_writes_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    journal.commit()
    journal.close()

    assert entries(journal) == []


def test_the_journal_hears_every_record_type() -> None:
    def failed(_handler: object, _event: object, error: Exception) -> None:
        raise error

    bus, chain = Bus(failed), Chain()
    chain.attach(bus)

    for event in EVERY_KIND:
        bus.publish(event)

    assert chain.pending == EVERY_KIND
    assert all(bus.wanted(record) for record in RECORDS.values())


# --- packed bars -----------------------------------------------------------------------------------------------


HELD = Passed(1).sheet


def passed(first: int, count: int, **changed: object) -> BarsPassed:
    """The record of ``count`` bars from number ``first``."""
    marks = [float(end) for end in range(first, first + count)]
    record = BarsPassed(first + count - 1, BTC.name, 1, first, count, HEARERS, [], [], HELD, marks)
    return msgspec.structs.replace(record, **changed)


def test_bars_are_packed_until_another_record_closes_the_pack(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Passed(1), Passed(2), CONNECTED, Passed(3)])

    assert [entry.event() for entry in entries(journal)] == [passed(1, 2), CONNECTED, passed(3, 1)]


def test_each_instrument_and_interval_has_a_row_of_its_own(tmp_path: Path) -> None:
    other, longer = Passed(1, "v:ETH/USDT"), Passed(2, interval=2)

    journal = write(Journal(tmp_path / "journal.db"), [Passed(1), other, Passed(2), longer])

    assert [entry.event() for entry in entries(journal)] == [
        passed(1, 2),
        passed(1, 1, instrument="v:ETH/USDT"),
        passed(2, 1, interval_ns=2),
    ]


def test_a_strategy_that_acts_ends_the_row_with_the_bar_it_acted_on(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Passed(1), Passed(2, acted=("t",)), Passed(3)])

    assert [entry.event() for entry in entries(journal)] == [passed(1, 2, acted=["t"]), passed(3, 1)]


def test_reasons_stand_by_their_bars_and_their_strategies(tmp_path: Path) -> None:
    said = Passed(2, reasons=(("t", "first thought"), ("t", "flat market")))

    journal = write(Journal(tmp_path / "journal.db"), [Passed(1), said, Passed(3)])

    (entry,) = entries(journal)
    assert entry.event() == passed(1, 3, reasons=[[], ["", "flat market", ""]])


@pytest.mark.parametrize(
    "next_bar", [Passed(3), Passed(2, sheet=Sheet(D(99))), Passed(2, sheet=None)], ids=["a gap", "a fill", "no price"]
)
def test_a_bar_that_does_not_continue_the_row_begins_another(tmp_path: Path, next_bar: Passed) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Passed(1), next_bar])

    assert [entry.event().count for entry in entries(journal)] == [1, 1]  # type: ignore[attr-defined]


def test_equity_at_a_bar_is_exact(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Passed(1), Passed(2)])

    (entry,) = entries(journal)
    assert list(entry.event().equity()) == [(1, D("100.50")), (2, D("101.00"))]  # type: ignore[attr-defined]


def test_a_pack_holds_256_bars_at_most(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Passed(n) for n in range(1, 2 * PACK + 2)])

    lengths = [entry.event().count for entry in entries(journal)]  # type: ignore[attr-defined]

    assert (PACK, lengths) == (256, [256, 256, 1])


def test_an_open_pack_waits_through_a_commit_and_is_written_at_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    put(journal, CONNECTED)
    put(journal, Passed(1))
    journal.commit()
    assert len(entries(journal)) == 1

    put(journal, Passed(2))
    journal.close()

    assert entries(journal)[1].event() == passed(1, 2)


bars = st.builds(
    Passed,
    end=st.just(0),
    instrument=st.sampled_from([BTC.name, "v:ETH/USDT"]),
    acted=st.sampled_from([(), (), (), ("s",), ("t", "s")]),
    reasons=st.sampled_from([(), (), (("s", "because"),), (("s", "so"), ("t", "or so"))]),
    sheet=st.sampled_from([HELD, HELD, HELD, Sheet(D(7), ((BTC.name, D(1)),)), None]),
    interval=st.sampled_from([1, 1, 2]),
)
runs = st.lists(st.tuples(st.one_of(bars, st.none()), st.integers(1, 300)), max_size=12)


@pytest.mark.property
@given(runs, st.lists(st.integers(0, 900), max_size=12))
def test_packing_does_not_depend_on_where_commits_fall_and_loses_nothing(runs, commits: list[int]) -> None:
    whole, parts, lines = Chain(), Chain(), b""
    events: list[object] = []
    for bar, count in runs:
        for _ in range(count if bar is not None else 1):
            now = len(events)
            if bar is None:
                events.append(FeedOpened(now, "market"))
            else:
                events.append(msgspec.structs.replace(bar, end=now * bar.interval))

    for event in events:
        put(whole, event)
    for number, event in enumerate(events):
        if number in commits:
            lines += parts.seal()
        put(parts, event)
    lines += parts.seal(last=True)

    assert lines == whole.seal(last=True)
    assert (parts.head, parts.seq) == (whole.head, whole.seq)
    assert parts.pending == []
    assert unpacked(lines.splitlines()) == sorted((bar_of(event) for event in events), key=repr)


def bar_of(event: object) -> tuple[object, ...]:
    match event:
        case Passed():
            said = dict(event.reasons)
            reasons = [said.get(name, "") for name in HEARERS]
            return event.instrument, event.interval, event.end, sorted(event.acted), reasons, event.marks
        case FeedOpened():
            return ("", 0, event.ns, [], [], [])
    raise AssertionError(event)


def unpacked(bodies: list[bytes]) -> list[tuple[object, ...]]:
    """Every bar that the records hold, one by one."""
    found: list[tuple[object, ...]] = []
    for body in bodies:
        _, name, fields = msgspec.json.decode(body)
        if name != "BarsPassed":
            found.append(("", 0, fields[0], [], [], []))
            continue
        record = msgspec.json.decode(body, type=tuple[int, str, BarsPassed])[2]
        assert 1 <= record.count <= PACK
        for index in range(record.count):
            reasons = [said[index] if said else "" for said in record.reasons] or [""] * len(HEARERS)
            acted = sorted(record.acted) if index == record.count - 1 else []
            marks = record.marks[index : index + 1] if record.sheet is not None else []
            end = record.first_end_ns + index * record.interval_ns
            found.append((record.instrument, record.interval_ns, end, acted, reasons, marks))
    return sorted(found, key=repr)


# --- views -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("view", "event"),
    [
        ("decisions", DECIDED),
        ("approvals", APPROVED),
        ("refusals", REFUSED),
        ("submissions", SUBMITTED),
        ("fills", FILLED),
        ("rejections", REJECTED),
        ("funding", FUNDED),
        ("gaps", GAP),
        ("states", HALTED),
    ],
)
def test_a_view_shows_the_records_of_its_kind_by_field(tmp_path: Path, view: str, event) -> None:
    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND, every=3)

    with sqlite3.connect(journal.path) as db:
        cursor = db.execute(f"SELECT * FROM {view}")
        (row,) = [dict(zip([c[0] for c in cursor.description], r, strict=True)) for r in cursor]
    db.close()

    fields = msgspec.to_builtins(event)
    assert row.pop("seq") == EVERY_KIND.index(event)
    for name, value in zip(event.__struct_fields__, fields, strict=True):
        shown = msgspec.json.decode(row[name]) if isinstance(value, list) else row[name]
        assert shown == value


def test_the_view_of_bars_shows_the_packs(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Passed(1), Passed(2)])

    with sqlite3.connect(journal.path) as db:
        rows = db.execute("SELECT seq, ns, count, sheet, marks FROM bars").fetchall()
    db.close()

    assert rows == [(0, 2, 2, '["100",[["' + BTC.name + '","0.5"]]]', "[1.0,2.0]")]


# --- the file --------------------------------------------------------------------------------------------------


def test_a_journal_is_never_continued_by_another_run(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND)
    before = journal.path.read_bytes()

    with pytest.raises(JournalError, match="already exists"):
        Journal(journal.path)

    assert journal.path.read_bytes() == before


def test_closing_leaves_one_self_contained_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    put(journal, CONNECTED)

    assert journal.close()
    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


def test_somebody_who_reads_does_not_keep_a_journal_from_closing(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    put(journal, CONNECTED)
    journal.commit()
    reader = sqlite3.connect(journal.path)
    cursor = reader.execute("SELECT * FROM chain")
    cursor.fetchone()
    put(journal, GAP)

    assert not journal.close(), "its bytes are not final"
    assert [entry.event() for entry in entries(journal)] == [CONNECTED, GAP]
    cursor.close()
    reader.close()
    assert [entry.event() for entry in entries(journal)] == [CONNECTED, GAP]


def test_a_reading_given_up_may_be_closed_by_another_thread(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND)
    reading = read(journal.path)
    next(reading)

    with ThreadPoolExecutor(1) as other:
        other.submit(reading.close).result()  # type: ignore[attr-defined]  # what a collector does to a generator


def test_what_was_committed_is_readable_while_the_journal_is_open(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    for event in EVERY_KIND[:5]:
        put(journal, event)
    journal.commit()
    for event in EVERY_KIND[5:]:
        put(journal, event)

    assert [entry.event() for entry in entries(journal)] == EVERY_KIND[:5]


KILLED = """
import os, sys
from pathlib import Path
from bus import money
from bus.journal import Journal
from tests.bus.records import EVERY_KIND
money.install()
journal = Journal(Path(sys.argv[1]))
for event in EVERY_KIND[:7]:
    journal.pending.append(event)
    journal.commit()
journal.pending.extend(EVERY_KIND[7:])
os._exit(9)
"""


def test_after_a_kill_what_was_committed_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"

    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=ROOT, check=False)

    assert killed.returncode == 9
    assert [entry.event() for entry in read(path)] == EVERY_KIND[:7]
