"""The commands on a small session: what each prints, and what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bus.events import RECORDS
from daemon.cli import parse_params, parse_speed
from daemon.errors import Usage
from tests.acceptance import tape
from tests.acceptance.command import Said, argus, journal, replay

TRADING = ("--strategy", "ema_cross", "--params", "fast=5,slow=20")
SUMMARY = {
    *("session", "frames", "unparsed", "ignored", "gaps", "trades", "quotes", "depth_updates", "bars", "intents"),
    *("orders", "refused", "fills", "fees", "equity_start", "equity_end", "max_drawdown", "journal_records"),
    *("journal_head", "wall_s", "frames_per_s"),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    return tape.write(tmp_path_factory.mktemp("market") / "a.jsonl", tape.synthetic(0.5))


@pytest.fixture(scope="module")
def said(tmp_path_factory, recording) -> Said:
    return argus("replay", recording, *TRADING, "--out", tmp_path_factory.mktemp("done") / "session", "--json")


@pytest.fixture(scope="module")
def session(said) -> Path:
    return Path(said.summary["session"])


# --- replay ----------------------------------------------------------------------------------------------------


def test_a_replay_ends_stdout_with_one_object_of_everything_asked_for(said):
    assert said.code == 0
    assert said.summary.keys() >= SUMMARY
    assert len(said.out.splitlines()) == 1


def test_the_summary_agrees_with_the_journal(said, session):
    records = journal(session)
    count = {kind: sum(record["type"] == kind for record in records) for kind in RECORDS}

    summary = said.summary
    assert summary["journal_records"] == len(records)
    assert summary["journal_head"] == records[-1]["hash"]
    assert (summary["fills"], summary["orders"]) == (count["OrderFilled"], count["OrderSubmitted"])
    assert (summary["intents"], summary["refused"]) == (count["Decision"], count["OrderRefused"])
    assert summary["equity_end"] == records[-1]["equity"]


def test_without_a_config_the_terms_are_told_before_the_result(said):
    assert "account: 100000 USDT" in said.err
    assert "seed 7" in said.err
    assert "limits: 10000 an order" in said.err
    assert "walk the book" in said.err


def test_without_json_the_result_is_for_people(recording, tmp_path):
    said = argus("replay", recording, "--out", tmp_path / "session")

    assert "SYNTHETIC" in said.out
    assert "journal" in said.out
    with pytest.raises(json.JSONDecodeError):
        json.loads(said.out.splitlines()[-1])


def test_without_a_strategy_nothing_is_wanted(recording, tmp_path):
    summary = replay(recording, "--out", tmp_path / "session")

    assert (summary["intents"], summary["fills"], summary["equity_end"]) == (0, 0, summary["equity_start"])
    (root,) = journal(tmp_path / "session", "SessionOpened")
    assert [entry["use"] for entry in root["trading"]["strategies"]] == ["stub"]


@pytest.mark.parametrize(
    "params", ["fast=5,slow=20,size=0.01", ' {"fast": 5, "slow": 20, "size": "0.01"}', "fast=5, slow = 20 ,size=0.01"]
)
def test_parameters_are_pairs_or_an_object(recording, tmp_path, params):
    replay(recording, "--strategy", "ema_cross", "--params", params, "--out", tmp_path / "session")

    bought = [r["order"]["size"] for r in journal(tmp_path / "session", "OrderApproved") if r["order"]["side"] == "buy"]
    assert bought
    assert set(bought) == {"0.01"}


def test_each_strategy_takes_its_own_parameters_in_order(recording, tmp_path):
    words = (
        "--strategy",
        "ema_cross",
        "--params",
        "fast=2,slow=9",
        "--strategy",
        "ema_cross",
        "--params",
        "fast=3,slow=8",
    )

    replay(recording, *words, "--out", tmp_path / "session")

    (root,) = journal(tmp_path / "session", "SessionOpened")
    entries = [(entry["name"], entry["params"]["fast"]) for entry in root["trading"]["strategies"]]
    assert entries == [("ema_cross", "2"), ("ema_cross.2", "3")]


def test_settings_are_set_one_by_one(recording, tmp_path):
    words = ("--set", "sizing.notional=500", "--set", "trading.limits.max_notional=600", "--set", "cash={USDT=2000}")

    summary = replay(recording, *TRADING, *words, "--seed", "11", "--out", tmp_path / "session")

    (root,) = journal(tmp_path / "session", "SessionOpened")
    trading = root["trading"]
    assert (trading["sizing"]["notional"], trading["limits"]["max_notional"]) == ("500", "600")
    assert (trading["cash"], trading["seed"], root["opening"]) == ({"USDT": "2000"}, 11, {"USDT": "2000"})
    assert summary["equity_start"] == "2000"


def test_a_config_file_is_read_and_flags_are_laid_over_it(recording, tmp_path):
    config = tmp_path / "argus.toml"
    config.write_text('[trading]\nseed = 3\n[trading.sizing]\nnotional = 700\n[[trading.strategies]]\nuse = "stub"\n')

    said = argus("replay", recording, "--config", config, "--seed", "4", "--out", tmp_path / "session", "--json")

    (root,) = journal(tmp_path / "session", "SessionOpened")
    assert (root["seed"], root["trading"]["sizing"]["notional"]) == (4, "700")
    assert "account:" not in said.err


def test_another_seed_is_another_latency_and_nothing_else(recording, tmp_path):
    replay(recording, *TRADING, "--seed", "1", "--out", tmp_path / "one")
    replay(recording, *TRADING, "--seed", "2", "--out", tmp_path / "two")

    one, two = (journal(tmp_path / name, "Decision") for name in ("one", "two"))
    assert [r["ns"] for r in one] == [r["ns"] for r in two]
    arrivals = [[r["arrival_ns"] for r in journal(tmp_path / name, "OrderAccepted")] for name in ("one", "two")]
    assert arrivals[0] != arrivals[1]


def test_a_strategy_from_a_file_of_yours_trades(recording, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from bus.events import Intent\nfrom bus.values import Action\nfrom strategies.port import Strategy\n\n\n"
        "class Mine(Strategy):\n    def __init__(self, size: float = 0.01) -> None:\n        self.left = [size]\n\n"
        "    def on_trade(self, trade, view):\n"
        "        return Intent(trade.instrument, Action.BUY, self.left.pop()) if self.left else None\n"
    )

    summary = replay(recording, "--strategy", mine, "--params", "size=0.02", "--out", tmp_path / "session")

    assert (summary["intents"], summary["orders"]) == (1, 1)
    assert sum(float(fill["size"]) for fill in journal(tmp_path / "session", "OrderFilled")) == pytest.approx(0.02)


def test_a_generate_intent_function_trades_on_closed_bars(recording, tmp_path):
    pytest.importorskip("pandas")
    mine = tmp_path / "signals.py"
    mine.write_text(
        "def generate_intent(df, ctx, *, closed_only=True):\n"
        "    up = len(df) > 1 and df['close'].iloc[-1] > df['close'].iloc[-2]\n"
        "    return {'action': 'ENTER_LONG' if up else 'FLAT', 'reason': 'last two closes', 'meta': {}}\n"
    )

    summary = replay(recording, "--strategy", mine, "--interval", "1s", "--out", tmp_path / "session")

    assert summary["fills"] > 0


def test_two_files_are_one_line_of_inputs(recording, tmp_path):
    eth = tape.write(tmp_path / "eth.jsonl", tape.synthetic(0.5, symbols=("ETHUSDT",)))
    alone = [replay(path, "--out", tmp_path / f"alone {n}") for n, path in enumerate((recording, eth))]

    both = replay(recording, eth, *TRADING, "--out", tmp_path / "both")

    for name in ("frames", "trades", "quotes", "depth_updates"):
        assert both[name] == alone[0][name] + alone[1][name]
    records = journal(tmp_path / "both")
    assert records[0]["ns"] == min(
        tape.received_ns(line) for line in tape.synthetic(0.1)[1:]
    )  # not 0: headings are untimed
    assert [r["ns"] for r in records] == sorted(r["ns"] for r in records)
    assert {r["instrument"] for r in records if r["type"] == "OrderFilled"} == {"binance:BTC/USDT", "binance:ETH/USDT"}
    assert argus("verify", tmp_path / "both").code == 0


def test_a_bad_frame_in_one_of_two_files_is_named_by_its_own_line(recording, tmp_path):
    lines = tape.synthetic(0.5, symbols=("ETHUSDT",))
    bad = len(lines) - 3
    lines[bad] = b'{"ts":%d,"conn":"spot","raw":"nonsense"}' % tape.received_ns(lines[bad])
    eth = tape.write(tmp_path / "eth.jsonl", lines)

    said = argus("replay", recording, eth, "--out", tmp_path / "session", "--json")

    assert (said.code, said.summary["unparsed"]) == (0, 1)
    assert f"eth.jsonl:{bad + 1}: " in said.err


# --- tables ----------------------------------------------------------------------------------------------------


def table_of(lines: tape.Lines) -> list[dict[str, Any]]:
    public = [tape.payload(lines[at]) for at in tape.trades(lines)]
    return [{"ts": t["T"], "price": float(t["p"]), "size": float(t["q"])} for t in public]


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def csv(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("ts,price,size\n" + "".join(f"{r['ts']},{r['price']},{r['size']}\n" for r in rows))
    return path


@pytest.mark.parametrize(("write", "name"), [(parquet, "t.parquet"), (csv, "t.csv")])
def test_a_table_of_trades_is_traded_like_a_recording(recording, tmp_path, write, name):
    rows = table_of(recording.read_bytes().splitlines())
    path = write(tmp_path / name, rows)

    summary = replay(path, "--instrument", "binance:BTC/USDT", *TRADING, "--out", tmp_path / "session")

    assert (summary["frames"], summary["trades"], summary["unparsed"]) == (len(rows), len(rows), 0)
    assert summary["fills"] >= 10
    assert {fill["source"] for fill in journal(tmp_path / "session", "OrderFilled")} == {"trade"}
    assert argus("verify", tmp_path / "session").code == 0


def test_the_same_trades_as_parquet_and_as_csv_are_the_same_session(recording, tmp_path):
    rows = table_of(recording.read_bytes().splitlines())
    words = ("--instrument", "binance:BTC/USDT", *TRADING, "--out")

    heads = {
        replay(write(tmp_path / name, rows), *words, tmp_path / f"{name} session")["journal_head"]
        for write, name in ((parquet, "t.parquet"), (csv, "t.csv"))
    }

    assert len(heads) == 1


def test_a_table_of_bars_fills_at_the_next_open(tmp_path):
    opens = [100, 101, 102, 103, 104, 105, 104, 103, 102, 101, 100, 99]
    rows = [f"{1_700_000_000 + 60 * n},{p},{p + 2},{p - 2},{p + 0.5},10" for n, p in enumerate(opens)]
    path = tmp_path / "bars.csv"
    path.write_text("\n".join(["open_time,open,high,low,close,volume", *rows]) + "\n")

    words = ("--instrument", "binance:BTC/USDT", "--strategy", "ema_cross", "--params", "fast=1,slow=3")
    summary = replay(path, *words, "--out", tmp_path / "session")

    fills = journal(tmp_path / "session", "OrderFilled")
    assert summary["fills"] == len(fills) > 0
    assert all(float(fill["price"]) in opens for fill in fills)
    assert {(fill["source"], fill["model"]) for fill in fills} == {("bar", "NextOpen")}


def test_a_configured_table_is_read_by_its_pattern(tmp_path):
    path = tmp_path / "btc_1m.csv"
    path.write_text("when,a,b,c,d\n" + "".join(f"{1_700_000_000 + 60 * n},10,12,9,11\n" for n in range(5)))
    config = tmp_path / "argus.toml"
    config.write_text(
        '[[process.tables]]\nmatch = "*_1m.csv"\ninstrument = "binance:BTC/USDT"\ncontent = "bars"\ninterval = "1m"\n'
        'stamp = "end"\n[process.tables.columns]\nts = "when"\nopen = "a"\nhigh = "b"\nlow = "c"\nclose = "d"\n'
    )

    summary = replay(path, "--config", config, "--out", tmp_path / "session")

    assert (summary["bars"], summary["unparsed"]) == (5, 0)


# --- what was written ------------------------------------------------------------------------------------------


def test_every_journal_line_has_its_place_time_type_hash_and_fields(session):
    records = journal(session)

    assert [record["seq"] for record in records] == list(range(len(records)))
    for record in records:
        assert len(record["hash"]) == 64
        assert record["ns"] > 0
        fields = [name for name in RECORDS[record["type"]].__struct_fields__ if name != "ns"]
        assert list(record) == ["seq", "ns", "type", "hash", *fields]


def test_a_journal_can_be_read_by_type(session):
    fills = journal(session, "OrderFilled")
    both = journal(session, "OrderFilled", "OrderAccepted")

    assert fills
    assert {record["type"] for record in both} == {"OrderFilled", "OrderAccepted"}
    wanted = {"arrival_ns", "price", "size", "fee", "fee_asset", "liquidity"}
    assert all(wanted <= fill.keys() for fill in fills)
    assert all(isinstance(fill["price"], str) and isinstance(fill["fee"], str) for fill in fills)


def test_a_journal_for_people_is_a_line_a_record(session):
    said = argus("journal", session, "--type", "OrderFilled")

    assert len(said.out.splitlines()) == len(journal(session, "OrderFilled"))
    assert "liquidity=taker" in said.out


def test_export_rebuilds_what_was_deleted(recording, tmp_path):
    replay(recording, *TRADING, "--out", tmp_path / "session")
    before = {
        p.name: p.read_bytes() for p in (tmp_path / "session").iterdir() if p.suffix in (".csv", ".json", ".jsonl")
    }
    kept = {"manifest.json", "curve.json"}
    for name in before.keys() - kept:
        (tmp_path / "session" / name).unlink()

    said = argus("export", tmp_path / "session", "--json")

    assert said.code == 0
    assert {Path(path).name for path in said.summary["files"]} >= before.keys() - kept
    assert {name: (tmp_path / "session" / name).read_bytes() for name in before} == before


def test_a_report_is_one_page_that_needs_no_network(recording, tmp_path):
    pytest.importorskip("plotly")
    replay(recording, *TRADING, "--out", tmp_path / "session")

    said = argus("report", tmp_path / "session", "--json")

    page = Path(said.summary["report"]).read_text("utf-8")
    assert said.code == 0
    assert "<script src=" not in page
    assert "SYNTHETIC" in page
    assert (tmp_path / "session" / "session.md").is_file()


# --- events and doctor -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "counted"),
    [("Trade", "trades"), ("Quote", "quotes"), ("BookUpdate", "depth_updates"), ("Kline", "klines")],
)
def test_events_of_each_type_are_as_many_as_the_summary_counts(recording, said, kind, counted):
    events = argus("events", recording, "--type", kind, "--json").lines

    assert {event["type"] for event in events} == {kind}
    assert len(events) == said.summary[counted] > 0


@pytest.mark.parametrize("kind", ["BookSnapshot", "BookRestored", "FeedOpened"])
def test_events_that_come_once_are_printed_once(recording, kind):
    assert [event["type"] for event in argus("events", recording, "--type", kind, "--json").lines] == [kind]


def test_events_without_a_type_are_all_of_them_in_order(recording):
    events = argus("events", recording, "--interval", "5s", "--json").lines

    assert {event["type"] for event in events} >= {
        "FeedOpened",
        "Trade",
        "Quote",
        "BookSnapshot",
        "BookUpdate",
        "Bar",
        "Kline",
    }
    heard = [event["local_ns"] if "local_ns" in event else event["ns"] for event in events if event["type"] != "Bar"]
    assert heard == sorted(heard)


def test_events_for_people_are_a_line_each(recording):
    said = argus("events", recording, "--type", "BookSnapshot")

    assert (said.code, said.out.count("\n")) == (0, 1)
    assert said.out.startswith("BookSnapshot instrument=binance:BTC/USDT")


def test_the_doctor_finds_this_installation_sound(outside):
    said = argus("doctor", "--json")

    assert said.code == 0
    assert said.summary["ok"] is True
    assert {finding[0] for finding in said.summary["findings"]} >= {"python", "packages", "sqlite"}
    assert all(finding[1] in ("ok", "warn") for finding in said.summary["findings"])


def test_the_demo_ends_with_a_report(outside):
    said = argus("demo", "--for", "4", "--json")

    assert said.code == 0
    assert "SYNTHETIC" in said.out
    for name in ("report.html", "session.md"):
        assert "SYNTHETIC" in (outside / said.summary["session"] / name).read_text("utf-8")
    assert said.summary["inputs"] > 1_000
    assert said.summary["journal_records"] > 5
    assert argus("verify", outside / said.summary["session"]).code == 0


# --- words -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1,b=x y", {"a": "1", "b": "x y"}),
        ("a=b=c", {"a": "b=c"}),
        ("", {}),
        ('{"a": [1, 2], "b": null}', {"a": [1, 2], "b": None}),
    ],
)
def test_params_are_read_as_written(text, expected):
    assert parse_params(text) == expected


@pytest.mark.parametrize("text", ["a", "=1", "{", "a=1,b"])
def test_params_that_are_neither_are_refused(text):
    with pytest.raises(Usage):
        parse_params(text)


@pytest.mark.parametrize(("text", "expected"), [("max", None), ("1", 1.0), ("10x", 10.0), ("0.5", 0.5)])
def test_a_speed_is_max_or_a_number_of_times_real_time(text, expected):
    assert parse_speed(text) == expected
