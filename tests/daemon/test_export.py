"""The tables that ``argus export`` makes of a journal: orders, trades, equity."""

from __future__ import annotations

import sqlite3

import pytest

from bus.clock import SECOND
from bus.events import (
    BarsPassed,
    CancelRejected,
    CancelRequested,
    OrderApproved,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    Sheet,
)
from bus.journal import JournalError
from bus.values import Order, OrderType, Side
from daemon.reading.digest import iso
from daemon.reading.export import export
from daemon.session import SessionError
from tests.daemon.synthetic import (
    SPOT,
    START,
    D,
    Story,
    a_round_trip,
    document,
    rows,
    write_curve,
)

BUY, SELL = Side.BUY, Side.SELL


# --- files -----------------------------------------------------------------------------------------------------


def test_every_projection_is_written_and_nothing_else_is_left_behind(tmp_path):
    session = a_round_trip(tmp_path / "s")

    written = export(session)

    assert {path.name for path in written} == {
        *("orders.csv", "trades.csv", "positions.csv", "account.csv", "flight_recorder.csv"),
        *("state.jsonl", "state.json", "portfolio_state.json", "cortex.json", "cortex.jsonl", "session.md"),
    }
    assert {path.name for path in session.path.iterdir()} == {path.name for path in written} | {
        "manifest.json",
        "journal.db",
    }


def test_exporting_again_gives_the_same_bytes(tmp_path):
    session = a_round_trip(tmp_path / "s")
    first = {path.name: path.read_bytes() for path in export(session)}

    again = {path.name: path.read_bytes() for path in export(session)}

    assert again == first


def test_a_damaged_journal_leaves_the_old_files_as_they_were(tmp_path):
    session = a_round_trip(tmp_path / "s")
    before = {path.name: path.read_bytes() for path in export(session)}
    with sqlite3.connect(session.journal) as db:
        db.execute("UPDATE chain SET lines = CAST(replace(lines, '110.5', '910.5') AS BLOB)")
    db.close()

    with pytest.raises(JournalError, match="chain breaks"):
        export(session)

    assert {path.name: path.read_bytes() for path in session.path.iterdir() if path.name in before} == before
    assert not list(session.path.glob("*.tmp"))


# --- orders and trades -----------------------------------------------------------------------------------------


def test_an_order_is_one_row_with_its_whole_life(tmp_path):
    story = Story(tmp_path / "s")
    client_id = story.order("trend-1", BUY, "3", "101")
    story.fill(client_id, BUY, "1", "100", fee="0.1", leaves="2")
    story.fill(client_id, BUY, "2", "101", fee="0.002", fee_asset="BTC")
    session = story.leave()

    export(session)

    assert rows(session, "orders.csv") == [
        {
            "client_id": "c-trend-1",
            "intent_id": "trend-1",
            "strategy": "trend",
            "instrument": SPOT.name,
            "side": "buy",
            "type": "limit",
            "tif": "gtc",
            "size": "3",
            "price": "101",
            "stop": "",
            "trail": "",
            "post_only": "false",
            "reduce_only": "false",
            "state": "filled",
            "filled": "3",
            "average_price": "100.666666666666666667",
            "fees": "0.002 BTC; 0.1 USDT",
            "submitted": "2026-01-01T00:00:03.000000000Z",
            "accepted": "2026-01-01T00:00:04.000000000Z",
            "done": "2026-01-01T00:00:06.000000000Z",
            "reason": "",
        }
    ]


@pytest.mark.parametrize(
    ("story", "records", "state", "reason"),
    [
        ("nothing more came", lambda ns: [], "open", ""),
        ("asked to cancel", lambda ns: [CancelRequested(ns, "i", "trend", "bored")], "cancelling", ""),
        (
            "the cancel overtook the order",
            lambda ns: [
                CancelRequested(ns, "i", "trend", "bored"),
                CancelRejected(ns, "c-i", "-2011", "unknown order"),
            ],
            "open",
            "",
        ),
        (
            "cancelled",
            lambda ns: [CancelRequested(ns, "i", "trend", "bored"), OrderCancelled(ns, "c-i", "bored")],
            "cancelled",
            "bored",
        ),
        ("its time ran out", lambda ns: [OrderExpired(ns, "c-i", "ioc")], "expired", "ioc"),
        (
            "the venue refused it",
            lambda ns: [OrderRejected(ns, "c-i", "-1013", "LOT_SIZE")],
            "rejected",
            "-1013 LOT_SIZE",
        ),
        (
            "the answer to a lost race changes nothing",
            lambda ns: [OrderCancelled(ns, "c-i", "bored"), CancelRejected(ns, "c-i", "-2011", "unknown order")],
            "cancelled",
            "bored",
        ),
    ],
)
def test_where_an_order_stands_at_the_end(tmp_path, story, records, state, reason):
    told = Story(tmp_path / "s")
    told.order("i", BUY, "1", "100")
    told.tell(*records(told.now))
    session = told.leave()

    export(session)

    assert [(row["state"], row["reason"]) for row in rows(session, "orders.csv")] == [(state, reason)], story


def test_a_replaced_order_shows_its_last_terms(tmp_path):
    story = Story(tmp_path / "s")
    story.order("i", BUY, "1", "100")
    story.tell(OrderReplaced(story.now, "c-i", D("99.5"), D("2"), story.now))
    session = story.leave()

    export(session)

    assert [(row["price"], row["size"]) for row in rows(session, "orders.csv")] == [("99.5", "2")]


def test_orders_are_listed_as_they_ended_and_open_ones_last(tmp_path):
    story = Story(tmp_path / "s")
    story.order("slow", BUY, "1", "90")
    story.order("second", BUY, "1", "100")
    story.order("first", BUY, "1", "100")
    story.fill("c-first", BUY, "1", "100")
    story.fill("c-second", BUY, "1", "100")
    story.tell(OrderApproved(story.now, Order("late", "trend", SPOT.name, BUY, OrderType.MARKET, D(1)), 100.0))
    session = story.leave()

    export(session)

    assert [(row["intent_id"], row["state"]) for row in rows(session, "orders.csv")] == [
        ("first", "filled"),
        ("second", "filled"),
        ("slow", "open"),
        ("late", "approved"),  # the process died before it was handed over
    ]


def test_trades_hold_every_field_of_a_fill_and_times_in_words(tmp_path):
    session = a_round_trip(tmp_path / "s")

    export(session)

    trade = rows(session, "trades.csv")[1]
    assert trade["time"] == trade["arrival"] == "2026-01-01T00:00:10.000000000Z"
    assert (trade["side"], trade["price"], trade["size"], trade["fee"]) == ("sell", "110.5", "2", "1")
    assert (trade["liquidity"], trade["source"], trade["model"]) == ("taker", "book", "WalkTheBook")
    assert len(trade) == len(OrderFilled.__struct_fields__)


def test_money_is_never_written_with_an_exponent(tmp_path):
    story = Story(tmp_path / "s", cash={"USDT": D("1E+6")})
    story.trade(BUY, "0.00000001", "100", fee="1E-10", fee_asset="BTC")
    session = story.leave()

    export(session)

    assert rows(session, "account.csv")[0]["balance"] == "1000000"
    assert rows(session, "positions.csv")[0]["size"] == "0.00000001"
    assert rows(session, "positions.csv")[0]["fees"] == "0.0000000001 BTC"


# --- the equity curve ------------------------------------------------------------------------------------------


def test_the_flight_recorder_is_the_sampled_curve_where_there_is_one(tmp_path):
    session = a_round_trip(tmp_path / "s")
    write_curve(session, [100_000.0, None, 100_019.000000000001])

    export(session)

    assert rows(session, "flight_recorder.csv") == [
        {"ts": "2026-01-01T00:00:00.000000000Z", "equity": "100000"},
        {"ts": "2026-01-01T00:00:02.000000000Z", "equity": "100019"},
    ]


def test_a_killed_session_has_a_curve_of_its_fills(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(BUY, "2", "100", fee="1")
    sheet = Sheet(D(99_801), ((SPOT.name, D(2)),))
    story.tell(BarsPassed(story.now, SPOT.name, SECOND, story.now - SECOND, 2, ["s"], [], [], sheet, [100.0, 100.5]))
    story.trade(SELL, "2", "110", fee="1")
    session = story.leave()

    export(session)

    assert [row["equity"] for row in rows(session, "flight_recorder.csv")] == [
        "100000",
        "99999",
        "100001",
        "100002",
        "100018",
    ]
    assert "It did not get to say how it ended" in (session.path / "session.md").read_text()
    assert document(session, "state.json")["equity"] == "100018"


def test_a_curve_that_cannot_be_read_is_named(tmp_path):
    session = a_round_trip(tmp_path / "s")
    (session.path / "curve.json").write_text("{")

    with pytest.raises(SessionError, match=r"curve\.json is not readable"):
        export(session)


def test_a_session_without_a_single_trade_exports_empty_tables(tmp_path):
    session = Story(tmp_path / "s").close("100000", {"USDT": "100000"})

    export(session)

    assert [rows(session, name) for name in ("orders.csv", "trades.csv", "positions.csv")] == [[], [], []]
    assert document(session, "state.json")["equity"] == "100000"
    assert document(session, "cortex.json")["intent_action"] == "HOLD"


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "1970-01-01T00:00:00.000000000Z"), (START + 1, "2026-01-01T00:00:00.000000001Z")]
)
def test_times_are_iso_8601_utc_to_the_nanosecond(ns, text):
    assert iso(ns) == text
