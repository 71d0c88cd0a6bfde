"""``argus why``: what was decided at a bar, by whom and against what; and that the change it names does flip it."""

from __future__ import annotations

import asyncio
import csv
import math
import random
from pathlib import Path

import pytest

from daemon.proof import telling, why
from daemon.proof.again import Again, reopen
from daemon.proof.bars import bars_of, choose
from daemon.proof.changes import Changes
from daemon.proof.probe import Key
from daemon.proof.verify import verify
from daemon.session import Session
from tests.acceptance import tape
from tests.acceptance.command import argus, journal, replay
from tests.daemon.live_world import Market, World, records

pytestmark = pytest.mark.forks

DRAWN = 2
CROSS = ("--strategy", "ema_cross", "--params", "fast=3,slow=8")
VOTERS = (*CROSS, *("--strategy", "ema_cross", "--params", "fast=5,slow=13"), *CROSS[:3], "fast=8,slow=21")
NAME = "binance:BTC/USDT"


def bars(path: Path, count: int = 160, seed: int = 5) -> Path:
    """A walk of hourly bars, as a table."""
    walk, close = random.Random(seed), 20_000.0
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("ts", "open", "high", "low", "close", "volume"))
        for n in range(count):
            opened, close = close, round(close * math.exp(walk.gauss(0.0, 0.01)), 2)
            high, low = max(opened, close) + 10, min(opened, close) - 10
            rows.writerow((1_700_000_000 - 1_700_000_000 % 3_600 + n * 3_600, opened, high, low, close, 5.0))
    return path


SESSIONS = {
    "one strategy, limits that refuse some": (*CROSS, "--set", "limits.max_notional=999.9"),
    "a council of three": (*VOTERS, "--set", "council.mode=council", "--set", "journal.holds=true"),
    "two strategies, each for itself": (*CROSS, "--strategy", "stub"),
}


@pytest.fixture(scope="module", params=SESSIONS)
def session(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("why")
    words = SESSIONS[request.param]
    replay(bars(folder / "bars_1h.csv"), "--instrument", NAME, "--interval", "1h", *words, "--out", folder / "session")
    return Path(folder / "session")


@pytest.fixture(scope="module")
def council(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("council")
    words = SESSIONS["a council of three"]
    replay(bars(folder / "bars_1h.csv"), "--instrument", NAME, "--interval", "1h", *words, "--out", folder / "session")
    return Path(folder / "session")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Bars built from recorded trades, each in the middle of the delivery of the trade that closed it."""
    folder = tmp_path_factory.mktemp("recorded")
    recording = tape.write(folder / "a.jsonl", tape.synthetic(1.0))
    replay(recording, "--interval", "1s", *CROSS, "--out", folder / "session")
    return Path(folder / "session")


def drawn(again: Again, session: Path, count: int = DRAWN) -> list[Key]:
    """Bars drawn from all, and as many from those on which something was decided."""
    (series,) = bars_of(again).items()
    (name, length), ends = series
    acted = {record["ns"] for record in journal(session, "Decision", "OrderRefused")} & set(ends)
    lots = random.Random(11)
    chosen = lots.sample(sorted(ends), min(count, len(ends))) + lots.sample(sorted(acted), min(count, len(acted)))
    return [(name, length, end) for end in dict.fromkeys(chosen[: 2 * count])]


def test_running_the_bar_again_with_the_change_flips_the_decision(session):
    again = reopen(Session.open(session))
    keys = drawn(again, session)

    found = why.explain(again, keys)

    assert set(found) == set(keys)
    for key, one in found.items():
        base = why.run_with(again, key, why.UNCHANGED)
        assert (base.outcome, base.bar) == (one.facts.outcome, one.facts.bar)
        flip = one.flips[0]
        outcome = why.run_with(again, key, flip.changes).outcome
        assert outcome == flip.outcome != base.outcome, (key, flip)


def test_what_is_told_is_what_the_journal_says(session):
    again = reopen(Session.open(session))
    decided: dict[int, list[str]] = {}
    for record in journal(session, "Decision"):
        decided.setdefault(record["ns"], []).append(record["intent_id"])
    approved = {record["order"]["intent_id"] for record in journal(session, "OrderApproved")}

    for key in drawn(again, session, 3):
        said = telling.document(again.trading.council.mode, why.run_with(again, key, why.UNCHANGED), None)

        ids = decided.get(key[2], [])
        assert [gate["intent_id"] for gate in said["gates"]] == ids
        assert [order["intent_id"] for order in said["orders"]] == [id for id in ids if id in approved]
        assert (said["decision"] == "HOLD") is not bool(said["orders"])
        assert (said["blocker"] is None) is bool(said["orders"])


@pytest.mark.skipif(not why.CAN_FORK, reason="there is no fork here to compare with")
def test_with_and_without_fork_the_same_is_found(council):
    again = reopen(Session.open(council))
    key = min(drawn(again, council))

    forked, alone = (why.explain(again, [key], fork=fork)[key] for fork in (True, False))

    assert forked.flips == alone.flips
    assert forked.facts.outcome == alone.facts.outcome


def test_a_bar_built_from_trades_is_asked_about_like_any_other(recorded):
    again = reopen(Session.open(recorded))
    keys = drawn(again, recorded, 3)

    found = why.explain(again, keys)

    for key, one in found.items():
        assert why.run_with(again, key, one.flips[0].changes).outcome == one.flips[0].outcome
    decided = {record["ns"] for record in journal(recorded, "Decision")}
    assert any(one.facts.approved for one in found.values()) is bool(
        decided & {one.facts.bar.local_ns for one in found.values()}
    )


# --- the command -----------------------------------------------------------------------------------------------


def test_every_voter_and_every_gate_is_told_with_numbers(council):
    ns = journal(council, "OrderApproved")[-1]["ns"]

    said = argus("why", "BTC-USDT", ns, "--session", council, "--json").summary

    assert (said["instrument"], said["interval_s"], said["mode"]) == (NAME, 3600.0, "council")
    assert [vote["strategy"] for vote in said["votes"]] == ["ema_cross", "ema_cross.2", "ema_cross.3"]
    assert said["council"]["needed"] == 0.6
    assert len(said["council"]["ballots"]) == 3
    (gate,) = said["gates"]
    assert [check["rule"] for check in gate["checks"]][:3] == ["max_notional", "max_position", "symbol_position"]
    assert all(check["passed"] for check in gate["checks"])
    assert set(said["regime"]["features"]) >= {"atr_pct", "strength"}
    assert said["decision"] in ("ENTER_LONG", "EXIT_LONG")
    assert said["blocker"] is None
    assert said["nearest"]["what_if"]
    assert "81.9%" in said["searched"]


def test_the_change_it_names_can_be_tried(council):
    first = argus("why", NAME, "--session", council, "--json").summary
    words = [word for text in first["nearest"]["what_if"] for word in ("--what-if", text)]

    said = argus("why", NAME, "--session", council, *words, "--json").summary

    assert (said["flipped"], said["was"], said["changes"]) == (True, first["decision"], None)
    assert said["what_if"] == first["nearest"]["what_if"]


def test_a_refusal_names_the_rule_its_numbers_and_the_limit_that_would_do(tmp_path):
    table = bars(tmp_path / "bars_1h.csv")
    words = ("--instrument", NAME, "--interval", "1h", *CROSS, "--out", tmp_path / "s")
    replay(table, *words, "--set", "limits.max_notional=900", "--set", "limits.max_position=950")
    ns = journal(tmp_path / "s", "OrderRefused")[0]["ns"]

    said = argus("why", "btcusdt", ns, "--session", tmp_path / "s", "--json")

    found = said.summary
    assert found["decision"] == "HOLD"
    assert found["blocker"]["rule"] == "max_notional"
    assert "FAIL max_notional" in said.out
    limits = next(change["what_if"] for change in found["changes"] if not change["what_if"][0].startswith("close"))
    assert [text.partition("=")[0] for text in limits] == ["limits.max_notional", "limits.max_position"]
    tried = argus(
        "why", NAME, ns, "--session", tmp_path / "s", "--json", *[w for t in limits for w in ("--what-if", t)]
    )
    assert (tried.summary["flipped"], tried.summary["decision"]) == (True, "ENTER_LONG")


def test_where_nothing_would_have_changed_it_that_is_said_with_the_range(tmp_path):
    table = bars(tmp_path / "bars_1h.csv", 30)
    replay(table, "--instrument", NAME, "--interval", "1h", "--strategy", "stub", "--out", tmp_path / "s")

    said = argus("why", NAME, "--session", tmp_path / "s", "--json")

    assert (said.summary["nearest"], said.summary["changes"]) == (None, [])
    assert said.summary["blocker"] == {"stage": "strategies", "rule": "HOLD", "reason": "stub: stub"}
    assert "nothing that was tried: " in said.out
    assert "81.9%" in said.summary["searched"]


def test_off_is_what_stands_in_the_way_where_routing_is_off(tmp_path):
    table = bars(tmp_path / "bars_1h.csv", 60)
    words = ("--instrument", NAME, "--interval", "1h", *CROSS, "--set", "council.mode=off", "--out", tmp_path / "s")
    replay(table, *words)
    ns = journal(tmp_path / "s", "IntentLogged")[0]["ns"]

    found = argus("why", NAME, ns, "--session", tmp_path / "s", "--json").summary

    assert found["blocker"]["stage"] == "routing"
    assert found["changes"][0]["what_if"] in (["council.mode=solo"], ["close=" + found["changes"][0]["what_if"][0][6:]])
    assert ["council.mode=solo"] in [change["what_if"] for change in found["changes"]]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("ETH-USDT",), "none of the instruments"),
        ((NAME, "noon"), "TIME is"),
        ((NAME, "2031-01-01"), "no bar of"),
        ((NAME, "--interval", "5m"), "not of 300s"),
        ((NAME, "--what-if", "close=cheap"), "takes a price"),
        ((NAME, "--what-if", "venue.queue=cancels_pro_rata"), "takes close=, market="),
        ((NAME, "--what-if", "council.mode=solo"), "replay the session"),
    ],
)
def test_what_makes_no_sense_is_said_so(council, words, expected):
    said = argus("why", *words, "--session", council)

    assert said.code == 2
    assert expected in said.err


def test_a_setting_out_of_bounds_is_refused_as_a_config_is(council):
    said = argus("why", NAME, "--session", council, "--what-if", "limits.max_notional=-5")

    assert (said.code, "limits.max_notional" in said.err) == (4, True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 9), ("1970-01-01T05:00", 5), ("1970-01-01T05:59:59", 5), ("1970-01-01T07:00+02:00", 5),
        ("04:30", 4), ("18000000000000", 5), ("09:00", 9), ("1970-01-01T09:59", 9),
    ],
)  # fmt: skip
def test_the_bar_meant_is_the_last_that_had_closed(text, expected):
    hour = 3_600 * 10**9
    ends = {(NAME, hour): [n * hour for n in range(1, 10)]}

    assert choose(ends, NAME, text, None) == (NAME, hour, expected * hour)


def test_changes_are_written_as_they_are_tried():
    assert Changes(1.5, ("limits.max_notional=5",)).words() == ["limits.max_notional=5", "close=1.5"]


# --- live sessions ---------------------------------------------------------------------------------------------

LIVE_COUNCIL = """
[trading.bars]
intervals = ["1s"]
[trading.council]
mode = "council"
threshold = 0.5
[[trading.strategies]]
use = "ema_cross"
name = "quick"
params = { fast = 2, slow = 4 }
[[trading.strategies]]
use = "ema_cross"
name = "slow"
params = { fast = 3, slow = 6 }
"""


async def two_sessions(folder: Path) -> tuple[Path, Path]:
    """One, and the one that continues it; both verified."""
    items = list(Market(60).lines())
    world = World(folder, iter(items[: len(items) // 3]), config_text=LIVE_COUNCIL)
    first = await world.run_through()
    opened = [item for item in items if item.kind == "connect"]
    world.items = iter([*opened, *items[len(items) // 3 :]])
    second = await world.run_through()
    for ended in (first, second):
        assert (await verify(Session.open(ended.session))).equal
    return first.session, second.session


def test_a_live_session_and_the_one_that_continues_it_are_asked_like_any_other(tmp_path):
    first, second = asyncio.run(two_sessions(tmp_path))

    ids = [r["intent_id"] for session in (first, second) for r in records(session, "Decision")]
    assert ids == [f"council-{n + 1}" for n in range(len(ids))]
    assert all(records(session, "Decision") for session in (first, second))
    for session in (first, second):
        ns = records(session, "Decision")[-1]["ns"]
        said = argus("why", NAME, ns, "--session", session, "--json").summary
        assert (said["mode"], said["gates"][-1]["strategy"]) == ("council", "council")
    assert said["blocker"]["rule"] == "no_market"  # its book never became whole
    assert said["nearest"]["steps"][0]["setting"] == "market"
    said = argus("why", NAME, records(first, "OrderApproved")[-1]["ns"], "--session", first, "--json").summary
    flip = [word for text in said["nearest"]["what_if"] for word in ("--what-if", text)]
    assert argus("why", NAME, said["time"], "--session", first, *flip, "--json").summary["flipped"]
    left = argus("council", second, "--json").summary
    (second / "council.json").unlink()
    assert argus("council", second, "--json").summary == left
