"""A venue in a box: clock, bus, market, exchange, all it published, and short words for what happens there."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from bus.bus import Bus
from bus.clock import Clock
from bus.events import (
    Bar,
    BookInvalidated,
    BookSnapshot,
    BookUpdate,
    CancelRejected,
    FundingPaid,
    MarkPrice,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderTriggered,
    Quote,
    Record,
    ReplaceRejected,
    Trade,
)
from bus.market import Market
from bus.money import plain
from bus.rng import Draws
from bus.values import Instrument, Kind, Order, OrderType, Side, TimeInForce
from sim.exchange import Exchange
from sim.latency import FixedLatency
from sim.models import Models

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK, GTD = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD
MARKET, LIMIT, STOP = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP
STOP_LIMIT, TRAILING_STOP = OrderType.STOP_LIMIT, OrderType.TRAILING_STOP

REPORTS = (
    OrderAccepted,
    OrderTriggered,
    OrderFilled,
    OrderCancelled,
    OrderExpired,
    OrderRejected,
    OrderReplaced,
    CancelRejected,
    ReplaceRejected,
    FundingPaid,
)
SPOT = Instrument("binance:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT", tick=D("0.01"), lot=D("0.001"))
LINEAR = Instrument(
    "binanceusdm:BTC/USDT:USDT", "BTCUSDT", "BTC", "USDT", "USDT", kind=Kind.LINEAR, tick=D("0.01"), lot=D("0.001")
)
INVERSE = Instrument(
    "binancecoinm:BTC/USD:BTC", "BTCUSD_PERP", "BTC", "USD", "BTC", kind=Kind.INVERSE, lot=D(1), multiplier=D(100)
)
RICH = {"USDT": D(1_000_000), "BTC": D(1_000)}


def raise_it(_handler: object, _event: object, error: Exception) -> None:
    raise error


def instant(**others: Any) -> Models:
    return Models(**{"entry": FixedLatency(0), "cancel": FixedLatency(0), **others})


class Venue:
    """Feeding it an event advances time by a millisecond, like a frame that is accepted."""

    def __init__(
        self,
        models: Models | None = None,
        instrument: Instrument = SPOT,
        balances: Mapping[str, Decimal] = RICH,
        seed: int = 1,
    ) -> None:
        self.clock = Clock(1_000_000_000)
        self.bus = Bus(raise_it)
        self.market = Market([instrument])
        self.market.attach(self.bus)
        self.instrument = instrument
        self.exchange = Exchange(self.clock, self.bus, self.market, Draws(seed), models or instant(), balances)
        self.exchange.attach(self.bus)
        self.heard: list[Record] = []
        for kind in REPORTS:
            self.bus.subscribe(kind, self.heard.append)
        self._count = 0

    # --- the market ---

    def feed(self, event: object) -> None:
        self.clock.turn(self.clock.now + 1_000_000)
        self.bus.publish(event)
        self.clock.turn(self.clock.now)

    def book(self, bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
        self.feed(BookSnapshot(self.instrument.name, bids, asks, 1, self.clock.now, self.clock.now))

    def update(self, bids: list[tuple[float, float]], asks: list[tuple[float, float]]) -> None:
        self.feed(BookUpdate(self.instrument.name, bids, asks, 2, self.clock.now, self.clock.now))

    def invalidate(self) -> None:
        self.feed(BookInvalidated(self.clock.now, self.instrument.name, "gap"))

    def quote(self, bid: float, ask: float, bid_size: float = 1.0, ask_size: float = 1.0) -> None:
        self.feed(Quote(self.instrument.name, bid, bid_size, ask, ask_size, 0, self.clock.now, self.clock.now))

    def trade(self, price: float, size: float = 1.0, taker: Side = SELL, *, ago_ns: int = 0) -> None:
        """A trade that happened ``ago_ns`` ago by the venue's clock."""
        now = self.clock.now
        self.feed(Trade(self.instrument.name, price, size, taker, 0, now - ago_ns, now))

    def bar(self, o: float, h: float, low: float, c: float, *, began_ago_ns: int = 0) -> None:
        """A minute's bar that starts now, or began a little ago, and is heard when it ends."""
        start = self.clock.now - began_ago_ns
        self.clock.turn(start + 60_000_000_000)
        now = self.clock.now
        self.bus.publish(Bar(self.instrument.name, now - start, start, now, o, h, low, c, 1.0, 1, True, False, now))
        self.clock.turn(now)

    def mark(self, mark: float, rate: float, funding_ns: int) -> None:
        self.feed(MarkPrice(self.instrument.name, mark, mark, rate, funding_ns, 0, self.clock.now))

    # --- we ---

    def order(self, side: Side, kind: OrderType, size: str, price: str | None = None, **terms: Any) -> str:
        """Send an order and let everything due now happen; returns its client id."""
        self._count += 1
        client_id: str = terms.pop("client_id", f"c{self._count}")
        for name in ("stop", "trail"):
            if name in terms:
                terms[name] = D(terms[name])
        intent = terms.pop("intent", f"s.{client_id}")
        limit = D(price) if price is not None else None
        order = Order(intent, "s", self.instrument.name, side, kind, D(size), limit, **terms)
        self.exchange.submit(client_id, order)
        self.clock.turn(self.clock.now)
        return client_id

    def cancel(self, client_id: str) -> None:
        self.exchange.cancel(client_id)
        self.clock.turn(self.clock.now)

    def replace(self, client_id: str, price: str, size: str) -> None:
        self.exchange.replace(client_id, D(price), D(size))
        self.clock.turn(self.clock.now)

    # --- what came of it ---

    def fills(self, client_id: str | None = None) -> list[tuple[str, str]]:
        """(price, size) of each fill, as text."""
        return [
            (plain(e.price), plain(e.size))
            for e in self.heard
            if isinstance(e, OrderFilled) and client_id in (None, e.client_id)
        ]

    def last_fill(self) -> OrderFilled:
        return [e for e in self.heard if isinstance(e, OrderFilled)][-1]

    def story(self, client_id: str | None = None) -> str:
        """What was reported, in one line: ``accepted, 1@100, expired``."""
        return ", ".join(
            _word(e) for e in self.heard if client_id is None or getattr(e, "client_id", None) == client_id
        )


def _word(event: Record) -> str:
    if isinstance(event, OrderFilled):
        return f"{plain(event.size)}@{plain(event.price)}"
    if isinstance(event, OrderRejected | CancelRejected | ReplaceRejected):
        return f"{_NAMES[type(event)]} {event.code}"
    return _NAMES[type(event)]


_NAMES: dict[type, str] = {
    OrderAccepted: "accepted",
    OrderTriggered: "triggered",
    OrderCancelled: "cancelled",
    OrderExpired: "expired",
    OrderRejected: "rejected",
    OrderReplaced: "replaced",
    CancelRejected: "cancel rejected",
    ReplaceRejected: "replace rejected",
    FundingPaid: "funding",
}
