"""``argus check-strategy``: honest strategies are clean; each planted cheat is caught, and the bar is named."""

from __future__ import annotations

import gc
import random
import time
from pathlib import Path

import pytest

from daemon.app import Request
from daemon.cli import app, guarded
from daemon.errors import Usage
from daemon.proof.check_strategy import CUTS, Verdict, check, tables
from research.harness.market import write_funding
from strategies.load import BUILT_IN

T0, HOUR, BARS = 1_704_067_200, 3_600, 240
CHEATS = "tests.daemon.cheats:"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten days of invented hours that trend, chop and fall by turns, as a table."""
    return table(tmp_path_factory.mktemp("data") / "hours.csv", 11)


def table(path: Path, seed: int) -> Path:
    draw, price, lines = random.Random(seed), 100.0, ["ts,open,high,low,close,volume"]
    for n in range(BARS):
        drift, wild = [(0.004, 0.006), (0.0, 0.004), (-0.005, 0.03), (0.0, 0.001)][n // 60 % 4]
        before, price = price, price * (1 + draw.gauss(drift, wild))
        high, low = max(before, price) * 1.003, min(before, price) * 0.997
        lines.append(f"{T0 + n * HOUR},{before},{high},{low},{price},{draw.uniform(1, 9)}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def checked(
    use: str, data: Path, *, cuts: int = CUTS, elsewhere: bool = False, params: dict[str, str] | None = None
) -> Verdict:
    request = Request([data], [use], [params or {}], instrument="binance:BTC/USDT")
    return check(request, cuts=cuts, bars=BARS, elsewhere=elsewhere)


def found(verdict: Verdict) -> set[str]:
    return {finding.check for finding in verdict.findings}


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_strategy_of_ours_is_clean_at_fifty_cuts(name, data):
    verdict = checked(name, data)

    assert (verdict.cuts, verdict.findings) == (50, [])


def a_pair(use: str, data: Path, **params: object) -> Verdict:
    """Two tables, each read as its instrument's; a cut falls between the bars of both."""
    other = table(data.with_name("other.csv"), 12)
    named = tables([data, other], ["binance:BTC/USDT", "binance:ETH/USDT"])
    given = {"data": str(other)} if use.startswith(CHEATS) else {}
    request = Request([data, other], [use], [{"window": 10, **given, **params}], overrides=[named])
    return check(request, cuts=12 if given else CUTS, bars=300, elsewhere=False)


def carry(use: str, folder: Path) -> Verdict:
    """Two recordings of an invented market: the perpetual's marks and funding rates, and the spot market's trades."""
    spot, perp = folder / "spot.jsonl", folder / "perp.jsonl"
    write_funding(spot, perp, days=4, step_s=1_800)
    legs = {"perp": "binanceusdm:BTC/USDT:USDT", "hedge": "binance:BTC/USDT", "periods": 2}
    given = {"data": str(perp)} if use.startswith(CHEATS) else {}
    request = Request([spot, perp], [use], [legs | given])
    return check(request, cuts=12 if given else CUTS, bars=BARS * 10, elsewhere=False)


def test_a_pair_is_clean_at_fifty_cuts_over_two_tables(data):
    verdict = a_pair("pairs_trading", data)

    assert (verdict.findings, verdict.cuts, verdict.rows) == ([], 50, 300)
    assert verdict.orders >= 4


def test_funding_carry_is_clean_at_fifty_cuts_over_recordings_of_its_two_markets(tmp_path):
    verdict = carry("funding_carry", tmp_path)

    assert (verdict.findings, verdict.cuts) == ([], 50)
    assert verdict.rows == 3 * 4 * 48 - 3, "a trade of each market and a mark, every half hour"
    assert verdict.orders == 2, "in and out, both legs each time"


def test_a_pair_that_knows_how_its_second_leg_goes_on_is_caught(data):
    verdict = a_pair(CHEATS + "PairReadsTheOtherTomorrow", data)

    assert {"truncate", "scramble", "scale"} & found(verdict)
    assert all(finding.row is not None and "became" in finding.what for finding in verdict.findings)


def test_a_carry_that_knows_the_next_rate_is_caught(tmp_path):
    verdict = carry(CHEATS + "CarryReadsTheNextRate", tmp_path)

    assert {"truncate", "scramble", "scale"} & found(verdict)
    assert all(finding.row is not None and "became" in finding.what for finding in verdict.findings)


def test_each_table_is_named_or_none(data):
    with pytest.raises(Usage, match="2 instruments are named for 1 tables"):
        tables([data], ["binance:BTC/USDT", "binance:ETH/USDT"])


def test_an_honest_function_is_clean_and_did_something(data):
    verdict = checked(CHEATS + "honest", data)

    assert verdict.findings == []
    assert verdict.orders == BARS


@pytest.mark.parametrize(
    ("cheat", "checks"),
    [
        ("uses_the_forming_bar", {"scramble", "scale", "forming"}),
        ("centred_window", {"scramble", "scale", "forming"}),
        ("full_sample", {"scramble", "scale", "forming"}),
    ],
)
def test_a_function_that_sees_the_forming_bar_is_caught_and_the_bar_is_named(cheat, checks, data):
    verdict = checked(CHEATS + cheat, data, cuts=12)

    assert checks <= found(verdict)
    for finding in verdict.findings:
        assert finding.row is not None
        assert finding.time.startswith("20"), finding
        assert 0 <= finding.row < BARS
        assert "became" in finding.what


@pytest.mark.parametrize("cheat", ["ReadsTheNextBar", "ReadsACentredWindow", "ReadsTheWholeMean"])
def test_a_class_that_reads_the_data_itself_is_given_the_altered_data_and_caught(cheat, data):
    verdict = checked(CHEATS + cheat, data, cuts=6, params={"data": str(data)})

    assert {"truncate", "scramble", "scale"} & found(verdict)
    assert all(finding.row is not None and "became" in finding.what for finding in verdict.findings)


@pytest.mark.parametrize(
    ("cheat", "words"),
    [
        ("ReadsTheClock", "the wall clock: datetime.datetime.now at cheats.py:"),
        ("Times", "the wall clock: time.perf_counter at cheats.py:"),
        ("Draws", "unseeded randomness: random"),
        ("DrawsWithNumpy", "unseeded randomness: os.urandom at cheats.py:"),
        ("Writes", "a file write: open('/nowhere/at/x') at cheats.py:"),
        ("Connects", "the network: socket.getaddrinfo at cheats.py:"),
    ],
)
def test_what_a_callback_does_besides_answering_is_named_with_its_line_and_its_bar(cheat, words, data):
    verdict = checked(CHEATS + cheat, data, cuts=1)

    effects = [finding for finding in verdict.findings if finding.check == "effects"]
    assert [finding.row for finding in effects] == [29] * len(effects)
    assert any(finding.what.startswith(words) for finding in effects), effects


def test_a_seeded_generator_of_its_own_is_no_effect(data):
    assert checked(CHEATS + "DrawsOfItsOwn", data, cuts=1).clean


@pytest.mark.parametrize(
    ("cheat", "check", "row"),
    [("Fails", "runs", 29), ("KnowsTheDate", "later", 0), ("Remembers", "again", 50)],
)
def test_what_raises_reads_the_calendar_or_remembers_too_much_is_caught(cheat, check, row, data):
    verdict = checked(CHEATS + cheat, data, cuts=1)

    assert check in found(verdict)
    if cheat == "Fails":
        assert next(f.row for f in verdict.findings if f.check == "runs") == row


def test_what_another_process_would_answer_otherwise_is_caught(data):
    assert found(checked(CHEATS + "AsksAHash", data, cuts=1, elsewhere=True)) == {"again"}


def test_a_function_that_changes_its_frame_is_caught(data):
    verdict = checked(CHEATS + "alters_its_frame", data, cuts=2)

    assert [f.what for f in verdict.findings] == ["it changed the frame it was given"]


def test_the_command_exits_with_one_for_a_cheat_or_an_empty_file_and_two_for_wrong_words(data, outside, capsys):
    def run(*words: str) -> int:
        return guarded(lambda: app([*words]))

    (outside / "some.jsonl").write_text("")
    common = ["--data", str(data), "--cuts", "3", "--bars", "60"]
    assert run("check-strategy", CHEATS + "full_sample", *common) == 1
    assert "FAIL the future scrambled: row " in capsys.readouterr().out
    assert run("check-strategy", "ema_cross", "--data", "some.jsonl") == 1
    assert "some.jsonl is not a recording: it is empty" in capsys.readouterr().err
    two = ("--instrument", "binance:BTC/USDT", "--instrument", "binance:ETH/USDT")
    assert run("check-strategy", "ema_cross", *common, *two) == 2
    assert "2 instruments are named for 1 tables" in capsys.readouterr().err


def test_what_the_garbage_collector_calls_is_not_the_strategys_doing(data):
    def look(phase: str, info: object) -> None:
        time.perf_counter()

    gc.callbacks.append(look)
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        verdict = checked("momentum", data, cuts=1)
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(look)

    assert [f for f in verdict.findings if f.check == "effects"] == []
