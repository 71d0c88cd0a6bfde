"""A session with a council: it is made again record by record, and its voters are held to what they said."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest

from tests.acceptance import tape
from tests.acceptance.command import argus, journal, replay

pytest.importorskip("plotly")

VOTERS = (
    *("--strategy", "ema_cross", "--params", "fast=3,slow=8"),
    *("--strategy", "ema_cross", "--params", "fast=5,slow=13"),
    *("--strategy", "ema_cross", "--params", "fast=8,slow=21"),
)
COUNCIL = ("--interval", "1s", *VOTERS, "--set", "council.mode=council", "--set", "journal.holds=true")
LEARNING = ("--set", "council.feedback.rule=hedge", "--set", "council.feedback.every_bars=5")
EAGER = ("--set", "council.feedback.min_votes=1", "--set", 'council.voters={"ema_cross" = 2}')


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return tape.write(tmp_path_factory.mktemp("market") / "a.jsonl", tape.synthetic(1.5))


@pytest.fixture(scope="module")
def session(tmp_path_factory, recording) -> Path:
    out: Path = tmp_path_factory.mktemp("done") / "session"
    assert replay(recording, *COUNCIL, *LEARNING, *EAGER, "--out", out)["fills"] >= 2
    return out


def test_it_is_made_again_record_by_record(session):
    assert {"CouncilVoted", "WeightChanged", "Decision", "BarsPassed"} <= {one["type"] for one in journal(session)}

    assert argus("verify", session).code == 0


def test_every_decision_is_the_council_s_and_follows_its_vote(session):
    records = journal(session)

    for before, record in pairwise(records):
        if record["type"] == "Decision":
            assert record["strategy"] == "council"
            assert (before["type"], before["action"]) == ("CouncilVoted", record["intent"]["action"])


def test_every_answer_of_every_voter_is_in_the_journal(session, recording, tmp_path):
    """What the same strategies decide each for itself is what they voted."""
    replay(recording, "--interval", "1s", *VOTERS, "--out", tmp_path / "solo")
    alone = [(d["strategy"], d["ns"], d["intent"]["action"]) for d in journal(tmp_path / "solo", "Decision")]

    votes = [
        (ballot["voter"], record["ns"], ballot["answer"])
        for record in journal(session, "CouncilVoted")
        for ballot in record["ballots"]
        if ballot["answer"] is not None
    ]

    assert sorted(votes) == sorted(alone)


def test_the_table_is_printed_and_comes_out_the_same_when_it_is_made_again(session, tmp_path):
    copy = Path(shutil.copytree(session, tmp_path / "copy"))
    (copy / "council.json").unlink()

    left, again = argus("council", session, "--json"), argus("council", copy, "--json")

    assert left.code == again.code == 0
    assert left.summary == again.summary == json.loads((session / "council.json").read_text())
    assert "as good as" in left.out
    assert set(left.summary["all"]["voters"]) == {"ema_cross", "ema_cross.2", "ema_cross.3"}
    assert left.summary["weights"]["ema_cross"] != 2.0


def test_the_report_shows_it(session):
    assert argus("report", session).code == 0

    page = (session / "report.html").read_text()

    assert "Council, all bars" in page
    assert "ema_cross.3" in page


def test_where_nobody_voted_there_is_no_table(recording, tmp_path):
    replay(recording, *VOTERS, "--out", tmp_path / "solo")

    said = argus("council", tmp_path / "solo")

    assert (said.code, "mode solo" in said.err) == (2, True)


def test_off_writes_down_every_intent_and_routes_none(recording, tmp_path):
    summary = replay(recording, "--interval", "1s", *VOTERS, "--set", "council.mode=off", "--out", tmp_path / "off")

    logged = journal(tmp_path / "off", "IntentLogged")

    assert summary["intents"] == len(logged) > 0
    assert {one["why"] for one in logged} == {"routing is off"}
    assert (summary["orders"], summary["refused"], summary["fills"]) == (0, 0, 0)
    assert argus("verify", tmp_path / "off").code == 0


def test_a_strategy_may_not_take_the_council_s_name(recording, tmp_path):
    (tmp_path / "c.toml").write_text(
        'trading.council.mode = "council"\ntrading.strategies = [{ use = "stub", name = "council" }]\n'
    )

    said = argus("replay", recording, "--config", tmp_path / "c.toml", "--out", tmp_path / "s")

    assert (said.code, "council" in said.err) == (4, True)
