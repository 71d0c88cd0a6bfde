"""Every drawn bar of three sessions has a nearest change, and running the session again with it flips the decision.

One strategy on hours of bitcoin with limits that refuse a third of its entries and leave dust of its exits; a council
of five on ether, with gates; and seconds built from a captured recording, with the rules that ask the book. The whole
campaign is 200 bars of each (`make why`, some minutes); otherwise a few of the third.
"""

from __future__ import annotations

import os
import random
from bisect import bisect_right
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from daemon.proof import telling, why
from daemon.proof.again import Again, reopen
from daemon.proof.bars import bars_of
from daemon.proof.changes import parse
from daemon.proof.probe import Key
from daemon.session import Session
from tests.acceptance.command import argus, journal, replay

pytestmark = [
    pytest.mark.forks,
    pytest.mark.shared,
    pytest.mark.skipif("ARGUS_CAMPAIGN" not in os.environ, reason="minutes of asking; make why"),
]

BARS, PARTS = 200, 10
"""How many of each session, and in how many parts, one of each asked about on the command line too."""


def hours(table: str) -> Callable[[Path, Path], tuple[object, ...]]:
    """3,000 hours of a table of bars: a run up to any of them is short."""

    def cut(shared: Path, folder: Path) -> tuple[object, ...]:
        import pyarrow.parquet

        file = folder / "bars_1h.parquet"
        pyarrow.parquet.write_table(pyarrow.parquet.read_table(shared / "bars" / table).slice(9_000, 3_000), file)
        return (file, "--interval", "1h", "--instrument")

    return cut


def recorded(shared: Path, _: Path) -> tuple[object, ...]:
    return (shared / "wss/binance_spot/btcusdt_20240808_20240809.jsonl.zst", "--interval", "1s")


def limits(**values: object) -> tuple[str, ...]:
    return tuple(word for name, value in values.items() for word in ("--set", f"limits.{name}={value}"))


ONE = limits(
    max_notional="999.9", cooldown_s=10_800, max_daily_loss_bps=2, min_atr=0.004, max_var=0.002, max_gross=0.02,
    max_money_at_risk="199.99", budgets="{momentum = 1000.5}", min_notional=10,
)  # fmt: skip
FIVE = ("momentum", "macd", "rsi", "mean_reversion", "regime_trend_v1")
GATES = limits(max_notional=5_000, cooldown_s=7_200, max_es=0.004, max_atr=0.02)
BOOK = limits(
    max_spread_bps=0.5, max_impact_bps=0.3, cooldown_s=8, max_position=1_000, min_notional=20,
    order_rate="{orders = 1, per_s = 4}",
)  # fmt: skip
COUNCIL = ("--set", "council.mode=council", "--set", "council.threshold=0.4", "--set", "journal.holds=true")
SESSIONS = {
    "one strategy and its limits": (
        hours("binance_btcusdt_1h_2021_2023.parquet"),
        ("binance:BTC/USDT", "--strategy", "momentum", "--params", "fast=8,slow=24", *ONE),
    ),
    "a council of five": (
        hours("binance_ethusdt_1h_2021_2023.parquet"),
        ("binance:ETH/USDT", *(word for name in FIVE for word in ("--strategy", name)), *GATES, *COUNCIL),
    ),
    "seconds of a recording": (recorded, ("--strategy", "ema_cross", "--params", "fast=3,slow=8", *BOOK)),
}


@pytest.fixture(scope="module", params=SESSIONS)
def session(request, recordings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("campaign")
    data, words = SESSIONS[request.param]
    replay(*data(recordings, folder), *words, "--out", folder / "session")
    return Path(folder / "session")


def drawn(again: Again, session: Path) -> list[Key]:
    """Three in four from all bars, one in four from those on which something was asked of the gate."""
    (series,) = bars_of(again).items()
    (instrument, length), ends = series
    lots, asked = random.Random(11), {bar_at(ends, record["ns"]) for record in journal(session, "Decision")}
    few = lots.sample(sorted(asked), min(BARS // 4, len(asked)))
    chosen = lots.sample(sorted(set(ends) - set(few)), BARS - len(few)) + few
    return [(instrument, length, end) for end in chosen]


def bar_at(ends: Sequence[int], ns: int) -> int:
    """The bar that had just closed: one that is built of trades closes a little after its end."""
    return ends[bisect_right(ends, ns) - 1]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_drawn_bar_has_a_nearest_change_that_flips_it(session, part):
    again = reopen(Session.open(session))
    keys = drawn(again, session)[part::PARTS]

    found = why.explain(again, keys)

    left, kinds = [], list[str]()
    for key in keys:
        said = telling.document(again.trading.council.mode, found[key].facts, found[key].flips)
        assert said["regime"] is not None
        assert {vote["strategy"] for vote in said["votes"]} == {entry.name for entry in again.trading.strategies}
        assert all(gate["checks"] for gate in said["gates"])
        assert (said["blocker"] is None) is bool(said["orders"])
        if said["nearest"] is None:
            left.append((key, said["blocker"]))
            continue
        outcome = why.run_with(again, key, parse(said["nearest"]["what_if"], again.trading)).outcome
        assert outcome == said["nearest"]["orders"] != found[key].facts.outcome, (key, said["nearest"])
        kinds.append("+".join(sorted(step["setting"] for step in said["nearest"]["steps"])))
    print(f"\n{again.trading.strategies[0].name}: {len(kinds)} of {len(keys)} flip: {sorted(kinds)}")
    assert (left, len(keys)) == ([], BARS // PARTS)

    assert_told_and_tried_on_the_command_line(keys[0], session)


def assert_told_and_tried_on_the_command_line(key: Key, session: Path) -> None:
    words = (key[0], key[2], "--session", session, "--json")
    first = argus("why", *words).summary
    tried = argus("why", *words, *(word for text in first["nearest"]["what_if"] for word in ("--what-if", text)))
    assert (tried.summary["flipped"], tried.summary["was"]) == (True, first["decision"])
