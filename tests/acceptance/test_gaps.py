"""Where an update of the book is missing, nothing is filled until a new snapshot says what the book is."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import tape
from tests.acceptance.command import argus, journal
from tests.acceptance.rebuild import Book

TRADING = ("--strategy", "ema_cross", "--params", "fast=5,slow=20")
SEED = 20_240_808
LARGE = ("--set", "limits.max_notional=100000", "--set", "limits.max_position=100000")


def without(lines: tape.Lines, diff: int) -> tuple[tape.Lines, dict[str, Any]]:
    """The recording without its ``diff``-th depth update, and that update."""
    at = tape.diffs(lines)[diff]
    return lines[:at] + lines[at + 1 :], tape.payload(lines[at])


def droppable(lines: tape.Lines) -> range:
    """Diffs after the bridging one and before the last."""
    return range(tape.bridging(lines) + 1, len(tape.diffs(lines)) - 1)


def book_after(lines: tape.Lines, diff: int) -> Book:
    """The true book after the ``diff``-th update of the whole recording."""
    book = Book()
    snapshot, after = tape.snapshot_at(lines), tape.diffs(lines)[diff]
    for at in sorted([*tape.diffs(lines)[: diff + 1], *([snapshot] if snapshot < after else [])]):
        if at == snapshot:
            book.snapshot(tape.reply(lines[at]))
        else:
            book.diff(tape.payload(lines[at]))
    return book


RESTING = """
from decimal import Decimal
from bus.events import Intent
from bus.values import Action
from strategies.port import Strategy


class Resting(Strategy):
    \"\"\"Keeps an order beside the market at all times.\"\"\"

    def on_trade(self, trade, view):
        if view.open_orders(trade.instrument):
            return None
        held = view.position(trade.instrument) > Decimal("0.005")  # a fee in base leaves a little less than was bought
        limit = Decimal(repr(trade.price)) + (1 if held else -1)
        return Intent(trade.instrument, Action.EXIT_LONG if held else Action.BUY, Decimal("0.01"), limit=limit)
"""


def traded(path: Path, session: Path) -> tuple[dict[str, Any], list[dict[str, Any]], str]:
    said = argus("replay", path, *TRADING, "--out", session, "--json")
    assert said.code == 0, said.err
    return said.summary, journal(session), said.err


def assert_silent_after_the_gap(lines: tape.Lines, diff: int, tmp_path: Path) -> None:
    cut, missing = without(lines, diff)
    path = tape.write(tmp_path / f"without-{diff}.jsonl", cut)

    summary, records, warnings = traded(path, tmp_path / f"session-{diff}")

    gaps = [record for record in records if record["type"] == "DataGap"]
    assert (summary["gaps"], len(gaps), summary["unparsed"]) == (1, 1, 0)
    assert (gaps[0]["first_missing"], gaps[0]["last_missing"]) == (missing["U"], missing["u"])
    assert "1 data gap" in warnings
    after = records[gaps[0]["seq"] + 1 :]
    kinds = {record["type"] for record in after}
    assert "BookInvalidated" in kinds
    assert not kinds & {"OrderFilled", "OrderApproved", "BookRestored"}
    assert all(fill["source"] == "book" for fill in records if fill["type"] == "OrderFilled")


@pytest.mark.shared
@pytest.mark.parametrize("draw", range(5))
def test_after_one_missing_diff_of_the_capture_nothing_fills_again(capture, draw, tmp_path):
    diff = random.Random(SEED + draw).choice(droppable(capture))

    assert_silent_after_the_gap(capture, diff, tmp_path)


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_after_one_missing_diff_of_an_invented_market_nothing_fills_again(market, place, tmp_path):
    may = droppable(market)

    assert_silent_after_the_gap(
        market, {"first": may[0], "middle": may[len(may) // 2], "last": may[-1]}[place], tmp_path
    )


def spliced(lines: tape.Lines, diff: int, later: int) -> tape.Lines:
    """Without ``diff``, but with a snapshot of the book as it was ``later`` updates after it."""
    true = book_after(lines, diff + later)
    at = tape.diffs(lines)[diff + later]
    heard_ns = tape.received_ns(lines[at])
    snapshot = tape.snapshot_line(true.bids, true.asks, true.id, heard_ns, "BTCUSDT")
    cut, _ = without([*lines[: at + 1], snapshot, *lines[at + 1 :]], diff)
    return cut


def assert_trading_resumes(lines: tape.Lines, diff: int, later: int, tmp_path: Path) -> None:
    summary, records, _ = traded(
        tape.write(tmp_path / "spliced.jsonl", spliced(lines, diff, later)), tmp_path / "session"
    )

    gap = next(record for record in records if record["type"] == "DataGap")
    restored = next(record for record in records[gap["seq"] :] if record["type"] == "BookRestored")
    fills = [record for record in records if record["type"] == "OrderFilled" and record["seq"] > gap["seq"]]
    assert summary["gaps"] == 1
    assert len(fills) >= 5
    assert all(fill["seq"] > restored["seq"] for fill in fills)


@pytest.mark.shared
def test_with_a_second_snapshot_of_the_capture_trading_resumes(capture, tmp_path):
    assert_trading_resumes(capture, 1_500, 600, tmp_path)


def test_with_a_second_snapshot_of_an_invented_market_trading_resumes(market, tmp_path):
    assert_trading_resumes(market, 100, 100, tmp_path)


def test_after_the_second_snapshot_the_book_is_the_one_that_never_missed_anything(market, tmp_path):
    """Orders that arrive after it fill as in the whole recording."""
    whole = tape.write(tmp_path / "whole.jsonl", market)
    # One order, on its way for 40 s: decided before the gap, filled after the snapshot, deep into the book.
    late = (
        "--strategy",
        "buy_and_hold",
        "--params",
        "exposure=0.95",
        "--set",
        "venue.entry={model='fixed',ms=40000}",
        *LARGE,
    )

    sessions = []
    for path in (whole, tape.write(tmp_path / "spliced.jsonl", spliced(market, 100, 100))):
        said = argus("replay", path, *late, "--out", tmp_path / path.stem, "--json")
        assert said.code == 0, said.err
        fills = journal(tmp_path / path.stem, "OrderFilled")
        sessions.append([(fill["price"], fill["size"]) for fill in fills])

    assert len(sessions[0]) >= 5
    assert sessions[0] == sessions[1]


def test_what_rests_in_a_book_with_a_gap_is_not_filled_by_the_trades_that_go_on(market, tmp_path):
    strategy = tmp_path / "resting.py"
    strategy.write_text(RESTING)
    words = ("--strategy", strategy, "--set", "venue.entry={model='fixed',ms=1}")
    diff = droppable(market)[200]

    found = {}
    for name, lines in (("whole", market), ("cut", without(market, diff)[0])):
        said = argus(
            "replay", tape.write(tmp_path / f"{name}.jsonl", lines), *words, "--out", tmp_path / name, "--json"
        )
        assert said.code == 0, said.err
        found[name] = journal(tmp_path / name)

    gap = next(record for record in found["cut"] if record["type"] == "DataGap")
    late = {name: fills_after(records, gap["ns"]) for name, records in found.items()}
    before = found["cut"][: gap["seq"]]
    accepted = {record["client_id"] for record in before if record["type"] == "OrderAccepted"}
    assert accepted - {record["client_id"] for record in before if record.get("leaves") == "0"}  # one rests
    assert late["whole"]
    assert late["cut"] == []


def fills_after(records: list[dict[str, Any]], ns: int) -> list[dict[str, Any]]:
    return [record for record in records if record["type"] == "OrderFilled" and record["ns"] > ns]


def test_a_gap_and_a_repeated_trade_are_warned_of_with_their_lines(market, tmp_path):
    lines = list(market)
    dropped, repeated = tape.diffs(lines)[100], tape.trades(lines)[200]
    lines.insert(repeated + 1, lines[repeated])
    del lines[dropped if dropped < repeated else dropped + 1]
    path = tape.write(tmp_path / "odd.jsonl", lines)

    said = argus("replay", path, "--out", tmp_path / "odd", "--json")

    late = next(at for at in tape.diffs(lines) if at >= dropped) + 1  # the first diff after the hole, lines from 1
    assert said.code == 0
    assert f"odd.jsonl:{late}: binance:BTC/USDT: depth ids" in said.err.replace("\n", "")
    assert "1 duplicates, 0 late" in said.err.replace("\n", "")
