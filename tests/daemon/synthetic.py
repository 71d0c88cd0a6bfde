"""Small sessions on disk, told record by record through the real bus and journal. Everything in them is made up."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from bus.bus import Bus
from bus.clock import SECOND
from bus.events import (
    Decision,
    FundingPaid,
    Intent,
    OrderAccepted,
    OrderApproved,
    OrderFilled,
    OrderSubmitted,
    Record,
    SessionClosed,
    SessionOpened,
)
from bus.journal import FORMAT, Journal
from bus.values import Action, Instrument, Kind, Liquidity, MatchSource, Order, OrderType, Side
from daemon.session import Session

D = Decimal
START = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z

SPOT = Instrument("test:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT", lot=D("0.001"))
PERP = Instrument("test:ETH/USDT:USDT", "ETHUSDT", "ETH", "USDT", "USDT", kind=Kind.LINEAR, lot=D("0.01"))
COIN = Instrument(
    "test:BTC/USD:BTC", "BTCUSD_PERP", "BTC", "USD", "BTC", kind=Kind.INVERSE, lot=D(1), multiplier=D(100)
)
INSTRUMENTS = [SPOT, PERP, COIN]
STRATEGIES = [
    {"name": "trend", "use": "ema_cross"},
    {"name": "mine", "use": "my.signals:generate_intent"},
]


class Story:
    """A session told as it would have happened; each record is a second after the one before."""

    def __init__(self, path: Path, *, cash: dict[str, Decimal] | None = None, **manifest: Any) -> None:
        said = {
            "mode": "replay",
            "build": {"version": "0.1.0", "sha256": "ab" * 32},
            "seed": 7,
            "data": [{"path": "made/up.jsonl", "sha256": "cd" * 32, "venue": "test", "kind": "recording"}],
            "synthetic": False,
            "synthetic_by": None,
            "started": "2026-01-02T00:00:00+00:00",
            "ended": None,
            "reason": None,
            "exit_code": None,
            "models": ["entry: uniform (low_ms 50, high_ms 200)", "slippage: walk the book"],
        }
        self.session = Session.create(path, {**said, **manifest})
        self.journal = Journal(self.session.journal)
        self.bus = Bus(self._failed)
        self.journal.attach(self.bus)
        self.now = START
        self.fills = 0
        opening = {"USDT": D(100_000)} if cash is None else cash
        trading = {"asset": "USDT", "strategies": STRATEGIES}
        self.tell(SessionOpened(self.now, FORMAT, trading, INSTRUMENTS, opening, 7))

    def tell(self, *events: Record) -> None:
        for event in events:
            self.bus.publish(event)
        self.now += SECOND

    def order(
        self, intent_id: str, side: Side, size: str, price: str | None = None, instrument: Instrument = SPOT
    ) -> str:
        """An order as far as the venue's acceptance; returns its client id."""
        client_id = f"c-{intent_id}"
        type = OrderType.MARKET if price is None else OrderType.LIMIT
        limit = None if price is None else D(price)
        action = Action.BUY if side is Side.BUY else Action.SELL
        intent = Intent(instrument.name, action, size=D(size), limit=limit, reason="because")
        order = Order(intent_id, "trend", instrument.name, side, type, D(size), limit)
        self.tell(Decision(self.now, intent_id, "trend", intent))
        self.tell(OrderApproved(self.now, order, 100.0))
        self.tell(OrderSubmitted(self.now, client_id, intent_id))
        self.tell(OrderAccepted(self.now, client_id, f"v-{intent_id}", self.now))
        return client_id

    def fill(
        self,
        client_id: str,
        side: Side,
        size: str,
        price: str,
        *,
        fee: str = "0",
        fee_asset: str = "USDT",
        leaves: str = "0",
        instrument: Instrument = SPOT,
    ) -> None:
        self.fills += 1
        self.tell(
            OrderFilled(
                self.now,
                client_id,
                client_id.removeprefix("c-"),
                "trend",
                instrument.name,
                f"f{self.fills}",
                side,
                D(price),
                D(size),
                D(fee),
                fee_asset,
                Liquidity.TAKER,
                self.now,
                D(leaves),
                MatchSource.BOOK,
                "WalkTheBook",
            )
        )

    def trade(self, side: Side, size: str, price: str, **rest: Any) -> None:
        """A market order that fills at once."""
        client_id = self.order(f"trend-{self.fills + 1}", side, size, instrument=rest.get("instrument", SPOT))
        self.fill(client_id, side, size, price, **rest)

    def funding(self, amount: str, instrument: Instrument = PERP) -> None:
        self.tell(FundingPaid(self.now, instrument.name, D("0.0001"), D(100), D(1), D(amount), instrument.settle))

    def close(self, equity: str, cash: dict[str, str], marks: dict[str, str] | None = None) -> Session:
        """End cleanly, as the session says it stood."""
        held = {asset: D(amount) for asset, amount in cash.items()}
        prices = {name: D(price) for name, price in (marks or {}).items()}
        self.tell(SessionClosed(self.now, D(equity), "USDT", held, prices))
        return self.leave(reason="end of data", exit_code=0, inputs=1234, ended="2026-01-02T00:00:05+00:00")

    def leave(self, **manifest: Any) -> Session:
        """Let go of the journal without a closing record, as a killed process does, or after one."""
        self.journal.close()
        self.session.manifest.update(manifest)
        self.session.write()
        return Session.open(self.session.path)

    def _failed(self, _handler: object, _event: object, error: Exception) -> None:
        raise error


def write_curve(
    session: Session, equity: list[float | None], prices: dict[str, list[float | None]] | None = None
) -> None:
    curve = {
        "asset": "USDT",
        "step_ns": SECOND,
        "t_ns": [START + i * SECOND for i in range(len(equity))],
        "equity": equity,
        "gross": [0.0] * len(equity),
        "prices": prices or {},
    }
    (session.path / "curve.json").write_bytes(orjson.dumps(curve))


def a_round_trip(path: Path, **manifest: Any) -> Session:
    """Buy 2 at 100 and sell 2 at 110, a fee of 1 each time."""
    story = Story(path, **manifest)
    story.trade(Side.BUY, "2", "100", fee="1")
    story.trade(Side.SELL, "2", "110.50", fee="1")
    return story.close("100019", {"USDT": "100019", "BTC": "0"}, {SPOT.name: "110"})


def rows(session: Session, name: str) -> list[dict[str, str]]:
    with (session.path / name).open(newline="") as file:
        return list(csv.DictReader(file))


def document(session: Session, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((session.path / name).read_text())
    return loaded
