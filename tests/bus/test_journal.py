"""The chain on disk: what is written is what is read, in whatever groups it was committed."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.bus import Bus
from bus.events import RECORDS, DecisionsHeld, EquityMarked, FeedOpened
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
    REFUSED,
    REJECTED,
    SUBMITTED,
    Held,
    Worth,
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

    head = GENESIS
    for seq, (entry, event) in enumerate(zip(entries(journal), EVERY_KIND, strict=True)):
        body = msgspec.json.encode([seq, type(event).__name__, event])
        head = sha256(head + body).digest()
        assert (entry.body, entry.hash) == (body, head)
    assert journal.head == head


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


def test_bars_are_packed_until_another_record_closes_the_pack(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Held(1), Held(2), CONNECTED, Held(3)])

    assert [entry.event() for entry in entries(journal)] == [
        DecisionsHeld(2, "s", BTC.name, [1, 2], ["reason 1", "reason 2"]),
        CONNECTED,
        DecisionsHeld(3, "s", BTC.name, [3], ["reason 3"]),
    ]


def test_each_strategy_instrument_and_the_equity_have_a_pack_of_their_own(tmp_path: Path) -> None:
    events = [Held(1), Worth(1), Held(1, "t"), Held(1, instrument="v:ETH/USDT"), Held(2), Worth(2)]

    journal = write(Journal(tmp_path / "journal.db"), events)

    packed = [entry.event() for entry in entries(journal)]
    assert [(type(p).__name__, getattr(p, "strategy", ""), getattr(p, "instrument", "")) for p in packed] == [
        ("DecisionsHeld", "s", BTC.name),
        ("DecisionsHeld", "t", BTC.name),
        ("DecisionsHeld", "s", "v:ETH/USDT"),
        ("EquityMarked", "", ""),
    ]
    assert packed[3] == EquityMarked(2, [1, 2], [Worth(1).equity, Worth(2).equity])


def test_a_pack_holds_256_bars_at_most(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Held(n) for n in range(2 * PACK + 1)])

    lengths = [len(entry.event().bar_ends) for entry in entries(journal)]  # type: ignore[attr-defined]

    assert (PACK, lengths) == (256, [256, 256, 1])


def test_an_open_pack_waits_through_a_commit_and_is_written_at_the_end(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    put(journal, CONNECTED)
    put(journal, Held(1))
    journal.commit()
    assert len(entries(journal)) == 1

    put(journal, Held(2))
    journal.close()

    assert entries(journal)[1].event() == DecisionsHeld(2, "s", BTC.name, [1, 2], ["reason 1", "reason 2"])


bars = st.one_of(
    st.tuples(st.just("held"), st.sampled_from("st"), st.sampled_from([BTC.name, "v:ETH/USDT"])),
    st.tuples(st.just("worth"), st.just(""), st.just("")),
)
runs = st.lists(
    st.one_of(
        st.tuples(bars, st.integers(1, 300)),  # so that some packs fill up
        st.tuples(st.tuples(st.just("other"), st.just(""), st.just("")), st.just(1)),
    ),
    max_size=12,
)


@pytest.mark.property
@given(runs, st.lists(st.integers(0, 900), max_size=12))
def test_packing_does_not_depend_on_where_commits_fall(runs, commits: list[int]) -> None:
    whole, parts, bodies, hashes = Chain(), Chain(), list[bytes](), list[bytes]()
    events: list[object] = []
    for (what, strategy, instrument), count in runs:
        for _ in range(count):
            ns = len(events)
            kinds = {"held": Held(ns, strategy, instrument), "worth": Worth(ns)}
            events.append(kinds.get(what, FeedOpened(ns, "market")))

    for event in events:
        put(whole, event)
    for number, event in enumerate(events):
        if number in commits:
            some = parts.seal()
            bodies, hashes = bodies + some[0], hashes + some[1]
        put(parts, event)
    rest = parts.seal(last=True)
    bodies, hashes = bodies + rest[0], hashes + rest[1]

    assert (bodies, hashes) == whole.seal(last=True)
    assert (parts.head, parts.seq) == (whole.head, whole.seq)
    assert parts.pending == []
    assert unpacked(bodies) == sorted(map(bar_of, events))


def bar_of(event: object) -> tuple[object, ...]:
    match event:
        case Held():
            return event.ns, event.strategy, event.instrument, event.reason
        case Worth():
            return event.ns, "", "", str(event.equity)
        case FeedOpened():
            return event.ns, "", "", event.conn
    raise AssertionError(event)


def unpacked(bodies: list[bytes]) -> list[tuple[object, ...]]:
    """Every bar that the records hold, one by one."""
    bars: list[tuple[object, ...]] = []
    for body in bodies:
        _, name, fields = msgspec.json.decode(body)
        if name == "DecisionsHeld":
            assert len(fields[3]) <= PACK
            bars += [(end, fields[1], fields[2], reason) for end, reason in zip(fields[3], fields[4], strict=True)]
        elif name == "EquityMarked":
            bars += [(ns, "", "", equity) for ns, equity in zip(fields[1], fields[2], strict=True)]
        else:
            bars.append((fields[0], "", "", fields[1]))
    return sorted(bars)


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


def test_the_equity_view_shows_the_packs(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), [Worth(1), Worth(2)])

    with sqlite3.connect(journal.path) as db:
        rows = db.execute("SELECT seq, ns, equity FROM equity").fetchall()
    db.close()

    assert [(seq, ns, msgspec.json.decode(equity)) for seq, ns, equity in rows] == [(0, 2, ["0.25", "0.5"])]


# --- the file --------------------------------------------------------------------------------------------------


def test_a_journal_is_never_continued_by_another_run(tmp_path: Path) -> None:
    journal = write(Journal(tmp_path / "journal.db"), EVERY_KIND)
    before = journal.path.read_bytes()

    with pytest.raises(JournalError, match="already exists"):
        Journal(journal.path)

    assert journal.path.read_bytes() == before


def test_closing_leaves_one_self_contained_file(tmp_path: Path) -> None:
    write(Journal(tmp_path / "journal.db"), EVERY_KIND)

    assert [path.name for path in tmp_path.iterdir()] == ["journal.db"]


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
