"""The calibration table against its definitions, worked out the long way."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.calibration import FOLD, Calibration

NAN = math.nan
BTC = ("v:BTC/USDT", 60)


def table_of(
    rows: Sequence[tuple[str, Sequence[float], float]], horizon: int = 1, weight: float = 1.0
) -> dict[str, Any]:
    """Bars as (regime, votes, close) put through a calibration."""
    count = len(rows[0][1])
    calibration = Calibration([f"v{i}" for i in range(count)], horizon)
    for regime, votes, close in rows:
        calibration.note(BTC, regime, votes, [weight] * count, close)
    return calibration.table()


def test_a_vote_is_held_to_where_the_price_went():
    rows = [("", [1.0, -0.5], 100.0), ("", [1.0, -0.5], 101.0), ("", [0.0, NAN], 100.5), ("", [1.0, 1.0], 100.5)]

    whole = table_of(rows)["all"]

    assert (whole["bars"], whole["scored"]) == (3, 2)  # the third bar went nowhere
    sure, unsure = whole["voters"]["v0"], whole["voters"]["v1"]
    assert (sure["bars"], sure["votes"], sure["hit_rate"], sure["brier"]) == (3, 2, 0.5, 0.5)
    assert (unsure["bars"], unsure["votes"], unsure["hit_rate"]) == (2, 2, 0.5)
    assert unsure["brier"] == pytest.approx((0.75**2 + 0.25**2) / 2)


def test_the_horizon_is_in_bars_of_the_series():
    rows = [("", [1.0], close) for close in (100.0, 99.0, 101.0)]

    assert table_of(rows, horizon=2)["all"]["voters"]["v0"]["hit_rate"] == 1.0


def test_each_regime_has_a_table_of_its_own_and_they_add_up():
    rows = [("CALM" if n % 3 else "PANIC", [(-1.0) ** n, 0.3], 100.0 + n % 4) for n in range(40)]

    table = table_of(rows)

    assert sorted(table["regimes"]) == ["CALM", "PANIC"]
    parts = [table["regimes"][name]["voters"]["v0"] for name in ("CALM", "PANIC")]
    assert sum(part["votes"] for part in parts) == table["all"]["voters"]["v0"]["votes"]


def test_voters_who_say_the_same_are_one_and_strangers_are_many():
    same = [("", [v, v, v], 100.0 + n) for n, v in enumerate([1.0, -1.0] * 8)]
    apart = [("", [(1.0, -1.0)[n & 1], (1.0, -1.0)[n >> 1 & 1]], 100.0 + n) for n in range(17)]

    alike, strangers = table_of(same)["all"], table_of(apart)["all"]

    assert alike["effective_voters"] == pytest.approx(1.0)
    assert alike["voters"]["v0"]["correlation"] == pytest.approx(1.0)
    assert strangers["effective_voters"] == pytest.approx(2.0)
    assert strangers["voters"]["v0"]["correlation"] == pytest.approx(0.0, abs=1e-9)


def test_who_helps_contributes_and_who_harms_takes_away():
    rows = [("", [1.0, -1.0, 0.0], 100.0 + n) for n in range(10)]

    voters = table_of(rows)["all"]["voters"]

    assert voters["v0"]["contribution"] > 0 > voters["v1"]["contribution"]


def test_nothing_to_say_is_no_figure():
    whole = table_of([("", [NAN, NAN], 100.0), ("", [NAN, NAN], 101.0)])["all"]

    assert (whole["hit_rate"], whole["effective_voters"], whole["voters"]["v0"]["brier"]) == (None, None, None)
    assert Calibration(["v0"], 1).table() == {"horizon_bars": 1, "all": None, "regimes": {}}


# --- the long way ----------------------------------------------------------------------------------------------

_votes = st.lists(st.sampled_from([-1.0, -0.4, 0.0, 0.3, 1.0, NAN]), min_size=3, max_size=3)
_rows = st.lists(st.tuples(st.sampled_from(["A", "B"]), _votes, st.sampled_from([99.0, 100.0, 101.0])), min_size=2)


def pearson(pairs: Sequence[tuple[float, float]]) -> float | None:
    n = len(pairs)
    if n < 2:
        return None
    mx, my = sum(x for x, _ in pairs) / n, sum(y for _, y in pairs) / n
    sx, sy = (sum((p[k] - m) ** 2 for p in pairs) for k, m in ((0, mx), (1, my)))
    if sx < 1e-12 or sy < 1e-12:
        return None
    return sum((x - mx) * (y - my) for x, y in pairs) / math.sqrt(sx * sy)


@pytest.mark.property
@given(_rows)
def test_the_table_is_what_its_definitions_say(rows):
    whole = table_of(rows)["all"]

    scored = [(votes, (after > close) - (after < close)) for (_, votes, close), (_, _, after) in pairwise(rows)]
    for i in range(3):
        forecasts = [(v[i], went) for v, went in scored if went and not math.isnan(v[i]) and v[i]]
        said = whole["voters"][f"v{i}"]
        assert said["votes"] == len(forecasts)
        if forecasts:
            hits = sum((v > 0) is (went > 0) for v, went in forecasts)
            brier = sum(((1 + v) / 2 - (went > 0)) ** 2 for v, went in forecasts)
            assert said["hit_rate"] == pytest.approx(hits / len(forecasts))
            assert said["brier"] == pytest.approx(brier / len(forecasts))
        others = (pearson([(v[i], v[j]) for v, _ in scored if not math.isnan(v[i] + v[j])]) for j in range(3) if j != i)
        known = [r for r in others if r is not None]
        if known:
            assert said["correlation"] == pytest.approx(sum(known) / len(known), abs=1e-6)
        else:
            assert said["correlation"] is None
    assert whole["effective_voters"] is None or 1.0 - 1e-9 <= whole["effective_voters"] <= 3.0 + 1e-9


def test_looking_does_not_change_what_is_seen_later():
    rows = [("", [(1.0, 0.2, -1.0)[n % 3], 0.5], 100.0 + (n * 7) % 5) for n in range(FOLD * 2 + 10)]
    calm, curious = Calibration(["a", "b"], 1), Calibration(["a", "b"], 1)
    for n, (regime, votes, close) in enumerate(rows):
        for one in (calm, curious):
            one.note(BTC, regime, votes, [1.0, 2.0], close)
        if n % 50 == 0:
            curious.table()

    seen, other = calm.table()["all"], curious.table()["all"]

    assert seen["voters"]["a"]["hit_rate"] == other["voters"]["a"]["hit_rate"]
    assert seen["brier"] == pytest.approx(other["brier"])


def test_votes_not_scored_yet_outlive_a_restart_by_the_voters_and_the_horizon_there_are_then():
    before = Calibration(["a", "b"], 3)
    for close, votes in ((100.0, [1.0, NAN]), (101.0, [0.5, 0.2]), (99.0, [-1.0, 0.0])):
        assert before.note(BTC, "CALM", votes, [2.0, 1.0], close) is None

    after = Calibration(["new", "a"], 1)
    after.restore(json.loads(json.dumps(before.state())))
    outcome = after.note(BTC, "PANIC", [NAN, 1.0], [1.0, 2.0], 100.0)

    assert outcome is not None
    assert (outcome.regime, outcome.went) == ("CALM", 1), "99 became 100; what was cast before has been passed"
    assert math.isnan(outcome.votes[0])
    assert (outcome.votes[1], list(outcome.weights)) == (-1.0, [0.0, 2.0])
