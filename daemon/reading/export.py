"""The files a person or another program reads beside a journal, all rebuilt from it: ``argus export``.

One pass. What grows with the session (orders, trades, account, events) is written as it is read, so memory holds open
orders and open lots only. ``orders.csv`` lists orders as they ended and, last, those that never did. A file appears
whole or not at all: each is written beside its place and renamed over it.

Only the curve of equity between fills comes from elsewhere: from ``curve.json``, where the session left one.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, TextIO

import msgspec
import orjson

from bus import journal, money
from bus.events import (
    BarsPassed,
    BookInvalidated,
    BookRestored,
    DataGap,
    FeedLost,
    FeedOpened,
    FeedRetired,
    FundingPaid,
    InputFaulted,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    PartFailed,
    Record,
    SessionClosed,
    SessionOpened,
    SourceSwitched,
    StrategyQuarantined,
    StreamFresh,
    StreamStale,
    TradingStateChanged,
)
from bus.journal import Entry
from bus.values import Instrument
from daemon.reading import narrative, snapshots
from daemon.reading.digest import Reading, iso
from daemon.reading.fold import Account, Change, OrderLife, text_of
from daemon.reading.snapshots import CortexHistory
from daemon.session import Session, SessionError, replace_file

CURVE = "curve.json"
CORTEX = "cortex.jsonl"

ORDERS = (
    *("client_id", "intent_id", "strategy", "instrument", "side", "type", "tif", "size", "price", "stop", "trail"),
    *(
        "post_only",
        "reduce_only",
        "state",
        "filled",
        "average_price",
        "fees",
        "submitted",
        "accepted",
        "done",
        "reason",
    ),
)
TRADES = ("time", *(name.removesuffix("_ns") for name in OrderFilled.__struct_fields__[1:]))
ACCOUNT = ("time", "cause", "id", "asset", "change", "balance")
POSITIONS = ("instrument", "size", "inventory", "average_entry", "asset", "realised", "funding", "fees")
EQUITY = ("ts", "equity")

EVENTS = frozenset(
    cls.__name__
    for cls in (
        *(TradingStateChanged, OrderRefused, OrderRejected, StrategyQuarantined, PartFailed),
        *(DataGap, FeedOpened, FeedLost, BookInvalidated, BookRestored, InputFaulted),
        *(FeedRetired, SourceSwitched, StreamStale, StreamFresh),
    )
)
"""The records that ``state.jsonl`` repeats."""


def export(session: Session) -> list[Path]:
    """Write every projection of the session's journal; returns the files.

    Raises JournalError, FoldError, SessionError.
    """
    reading = Reading()
    curve = read_curve(session)
    with ExitStack() as files:

        def table(name: str, columns: Iterable[str]) -> Any:
            return _table(files.enter_context(_replacing(session.path / name)), columns)

        orders, trades = table("orders.csv", ORDERS), table("trades.csv", TRADES)
        account, equity = table("account.csv", ACCOUNT), EquityRows(table("flight_recorder.csv", EQUITY))
        events = files.enter_context(_replacing(session.path / "state.jsonl"))
        mode = str(session.manifest.get("mode"))
        said, history = files.enter_context(_replacing(session.path / CORTEX)), CortexHistory(mode, reading, curve)
        for entry in journal.read(session.journal):
            event = entry.event()
            changes, ended = reading.note(entry, event)
            if changes:
                account.writerows(_account_rows(event, changes))
            if ended is not None:
                orders.writerow(_order_row(ended, reading.account.instruments))
            if type(event) is OrderFilled:
                trades.writerow(_trade_row(event))
            if entry.type in EVENTS:
                events.write(_line(entry, event))
            said.writelines(orjson.dumps(line).decode() + "\n" for line in history.note(event))
            if curve is None:
                equity.note(event, reading.account)
        orders.writerows(_order_row(life, reading.account.instruments) for life in reading.orders.unfinished())
        if curve is not None:
            for ns, value in zip(curve["t_ns"], curve["equity"], strict=True):
                equity.point(ns, None if value is None else money.from_float(round(value, 8)))
        positions = table("positions.csv", POSITIONS)
        positions.writerows(_position_rows(reading.account))
    stood = snapshots.Stood(
        reading.equity(), equity.peak, reading.digest.band, reading.differences() == [], reading.account.asset
    )
    documents = {
        "state.json": _json(snapshots.state(reading)),
        "portfolio_state.json": _json(snapshots.portfolio_state(reading)),
        "cortex.json": _json(
            snapshots.cortex(mode, snapshots.last_said(reading.digest), stood, snapshots.uses_of(reading.digest))
        ),
        "session.md": narrative.session_md(session, reading).encode(),
    }
    for name, content in documents.items():
        replace_file(session.path / name, content)
    names = (
        "orders.csv",
        "trades.csv",
        "positions.csv",
        "account.csv",
        "flight_recorder.csv",
        "state.jsonl",
        CORTEX,
        *documents,
    )
    return [session.path / name for name in names]


def read_curve(session: Session) -> dict[str, Any] | None:
    """The sampled curve, or None where the session was ended before it could leave one."""
    path = session.path / CURVE
    try:
        curve: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise SessionError(
            f"{path} is not readable: {error}; without the file, the curve is made from fills"
        ) from error
    return curve


class EquityRows:
    """The rows of the equity curve as they come, with the last of them and the highest."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows
        self.peak: Decimal | None = None

    def note(self, event: Record, account: Account) -> None:
        """Where no curve was sampled: equity at fills, by the prices of fills, and where the journal itself says it."""
        match event:
            case SessionOpened() | OrderFilled() | FundingPaid():
                self.point(event.ns, account.equity())
            case BarsPassed():
                for ns, value in event.equity():
                    self.point(ns, value)
            case SessionClosed():
                self.point(event.ns, account.equity(event.marks))

    def point(self, ns: int, value: Decimal | None) -> None:
        if value is not None:
            self._rows.writerow((iso(ns), money.plain(value)))
            self.peak = value if self.peak is None else max(self.peak, value)


def _order_row(life: OrderLife, instruments: Mapping[str, Instrument]) -> tuple[object, ...]:
    terms = life.terms
    known = instruments.get(terms.instrument)
    return (
        life.client_id,
        *(terms.intent_id, terms.strategy, terms.instrument, terms.side.value, terms.type.value, terms.tif.value),
        *map(_cell, (life.size, life.price, terms.stop, terms.trail, terms.post_only, terms.reduce_only)),
        life.state.value if life.state is not None else "approved",
        *map(_cell, (life.filled, life.average_price(known) if known is not None else None)),
        text_of(life.fees),
        *(iso(ns) if ns else "" for ns in (life.submitted_ns, life.accepted_ns, life.done_ns)),
        life.reason,
    )


def _trade_row(fill: OrderFilled) -> list[object]:
    values = ((name, getattr(fill, name)) for name in OrderFilled.__struct_fields__)
    return [iso(value) if name.endswith("ns") else _cell(value) for name, value in values]


def _account_rows(event: Record, changes: Iterable[Change]) -> Iterator[tuple[object, ...]]:
    match event:
        case OrderFilled():
            cause, id = "fill", event.fill_id
        case FundingPaid():
            cause, id = "funding", event.instrument
        case _:
            cause, id = "opening", ""
    for change in changes:
        yield iso(event.ns), cause, id, change.asset, money.plain(change.amount), money.plain(change.balance)


def _position_rows(account: Account) -> Iterator[tuple[object, ...]]:
    for name, position in account.positions.items():
        amounts = map(_cell, (position.size, position.inventory, position.average_entry))
        results = map(_cell, (position.realised, position.funding))
        yield name, *amounts, position.asset, *results, text_of(position.fees)


def _line(entry: Entry, event: Record) -> str:
    fields = msgspec.structs.asdict(event)
    fields.pop("ns")
    if "checks" in fields:
        fields["checks"] = [msgspec.structs.asdict(check) for check in fields["checks"]]
    line = {"seq": entry.seq, "time": iso(event.ns), "event": entry.type, **fields}
    return msgspec.json.encode(line).decode() + "\n"


def _cell(value: object) -> object:
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case Decimal():
            return money.plain(value)
    return getattr(value, "value", value)  # an enum's word


def _json(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2) + b"\n"


def _table(file: TextIO, columns: Iterable[str]) -> Any:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    return writer


@contextmanager
def _replacing(path: Path) -> Iterator[TextIO]:
    """``session.replace_file`` for what is too long to hold: written beside, flushed to disk, renamed over."""
    beside = path.with_name(path.name + ".tmp")
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
