"""Coinbase's market as the venue knows it: books, trades and candles of its products, and the events it makes of them.

A tape tells what happened; here the market keeps it, and tells it in the venue's events, ready to be numbered for each
connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from heapq import nlargest, nsmallest
from typing import Any, NamedTuple, Protocol

import orjson

from bus.clock import NEVER, SECOND
from feeds.coinbase.rfc3339 import nanoseconds
from sandbox.candles import MINUTE_MS, Candles, Past, floor, text, units
from sandbox.listing import Terms
from sandbox.venue import MS

CANDLE_MS = 5 * MINUTE_MS
CANDLES_KEPT, TRADES_KEPT = 100, 100  # in a snapshot
TICK_OFFSET = 20 * MS
BATCH_S = 5  # between ticker batches


class Event(NamedTuple):
    """Something that happened to a product: an event of channel ``level2``, ``market_trades`` or ``ticker``."""

    ns: int
    product: str
    channel: str
    body: dict[str, Any]


class ProductTape(Protocol):
    products: Sequence[str]

    def begin(self, now_ns: int, *, listening: bool) -> None: ...
    def due(self) -> int: ...
    def told(self, until_ns: int) -> Iterator[Event]: ...
    def opening(self, product: str) -> Iterator[Event]:
        """What a product begins with: the snapshots of its book and its trades."""
        ...

    def terms(self, product: str) -> Terms: ...
    def listed(self, product: str) -> dict[str, Any] | None: ...
    def past(self, product: str) -> Past | None: ...


class Product:
    """What is kept of one product. Of its trades the newest come first, as the venue has them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bids: dict[str, str] = {}
        self.asks: dict[str, str] = {}
        self.booked_ns = 0  # 0 while there is no book
        self.trades: deque[dict[str, Any]] = deque(maxlen=TRADES_KEPT)
        self.candles = Candles()
        self.traded = False  # since candles were last told
        self.ticker: dict[str, Any] = {}

    def hear(self, event: Event) -> None:
        if event.channel == "level2":
            if event.body["type"] == "snapshot":
                self.bids.clear()
                self.asks.clear()
            self.booked_ns = event.ns
            for level in event.body["updates"]:
                side = self.bids if level["side"] == "bid" else self.asks
                if float(level["new_quantity"]):
                    side[level["price_level"]] = level["new_quantity"]
                else:
                    side.pop(level["price_level"], None)
        elif event.channel == "ticker":
            self.ticker = event.body["tickers"][0]
        else:
            for trade in reversed(event.body["trades"]):
                self._trade(trade, event.ns)

    def _trade(self, trade: dict[str, Any], ns: int) -> None:
        self.trades.appendleft(trade)
        self.traded = True
        paid, size = units(trade["price"]), units(trade["size"])
        self.candles.trade(milliseconds(trade["time"]), int(trade["trade_id"]), paid, size, trade["side"] == "SELL")

    def best(self, limit: int) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        bids = [(price, self.bids[price]) for price in nlargest(limit, self.bids, key=float)]
        asks = [(price, self.asks[price]) for price in nsmallest(limit, self.asks, key=float)]
        return bids, asks


class ProductMarket:
    """A tape, and what the venue makes of it. ``wanted`` says which channels of which products anybody listens to."""

    def __init__(self, tape: ProductTape, wanted: Mapping[str, object], now_ns: int) -> None:
        self.tape = tape
        self.products = {name: Product(name) for name in tape.products}
        self._wanted = wanted
        self._tick_due = now_ns - now_ns % SECOND + TICK_OFFSET
        self._began_ns = now_ns
        self._opened: set[str] = set()

    def begin(self, now_ns: int, *, listening: bool) -> None:
        self.tape.begin(now_ns, listening=listening)
        for product in self.products.values():
            product.candles.past = self.tape.past(product.name)
            if product.name not in self._opened:
                for event in self.tape.opening(product.name):
                    self._opened.add(product.name)
                    product.hear(event)

    def due(self) -> int:
        return min(self._tick_due, self.tape.due())

    def over(self) -> bool:
        """Whether nothing will happen any more."""
        return self.tape.due() >= NEVER

    def advance(self, until_ns: int) -> Iterator[tuple[int, str, str]]:
        """(when, channel:product, event) of everything sent up to and including ``until_ns``."""
        while self._tick_due <= until_ns:
            yield from self._happen(self._tick_due - 1)
            yield from self._second(self._tick_due)
            self._tick_due += SECOND
        yield from self._happen(until_ns)

    def snapshot(self, channel: str, name: str, ns: int) -> str | None:
        """What a new subscriber hears first; None where there is nothing to say yet, or ever."""
        product = self.products.get(name)
        body: dict[str, Any] | None = None
        match channel:
            case "level2" if product is not None and product.booked_ns:
                time = rfc3339(product.booked_ns)
                levels = [
                    {"side": side, "event_time": time, "price_level": price, "new_quantity": size}
                    for side, several in zip(("bid", "offer"), product.best(1 << 30), strict=True)
                    for price, size in several
                ]
                body = {"type": "snapshot", "product_id": name, "updates": levels}
            case "market_trades" if product is not None:
                body = {"type": "snapshot", "trades": list(product.trades)}
            case "ticker" | "ticker_batch" if product is not None and (ticker := self.ticker(product, ns)):
                body = {"type": "snapshot", "tickers": [ticker]}
            case "candles" if product is not None:
                start = floor(ns // MS, CANDLE_MS)
                first = start - (CANDLES_KEPT - 1) * CANDLE_MS
                rows = product.candles.rows(CANDLE_MS, first, start, CANDLES_KEPT)
                body = {"type": "snapshot", "candles": [_candle(row, name) for row in rows]}
            case "status":
                body = {"type": "snapshot", "products": [self.listing(each) for each in self.products]}
        return None if body is None else _json(body)

    def listing(self, name: str) -> dict[str, Any]:
        product, terms = self.products[name], self.tape.terms(name)
        listed = self.tape.listed(name) or {
            "product_id": name,
            "base_increment": f"{terms.lot:f}",
            "quote_increment": f"{terms.tick:f}",
            "price_increment": f"{terms.tick:f}",
            "quote_min_size": f"{terms.min_notional:f}",
            "quote_max_size": "150000000",
            "base_min_size": f"{terms.lot:f}",
            "base_max_size": f"{terms.max_size:f}",
            "base_name": terms.base,
            "quote_name": terms.quote,
            "base_currency_id": terms.base,
            "quote_currency_id": terms.quote,
            "base_display_symbol": terms.base,
            "quote_display_symbol": terms.quote,
            "product_type": "SPOT",
            "status": "online",
            "is_disabled": False,
            "trading_disabled": False,
            "cancel_only": False,
            "limit_only": False,
            "post_only": False,
            "auction_mode": False,
            "view_only": False,
            "alias": "",
            "alias_to": [],
            "display_name": name,
        }
        price = product.trades[0]["price"] if product.trades else listed.get("price", "")
        return {**listed, "price": price}

    def ticker(self, product: Product, ns: int) -> dict[str, Any]:
        """The last one told; before that, one made of what is known. Empty without a trade."""
        return product.ticker or (self.summary(product, ns) if product.trades else {})

    def summary(self, product: Product, ns: int) -> dict[str, Any]:
        day = product.candles.day(ns // MS)
        bids, asks = product.best(1)
        (bid, bid_size), (ask, ask_size) = (bids or [("", "")])[0], (asks or [("", "")])[0]
        return {
            "type": "ticker",
            "product_id": product.name,
            "price": product.trades[0]["price"],
            "volume_24_h": text(day.volume),
            "low_24_h": text(day.low),
            "high_24_h": text(day.high),
            "low_52_w": text(day.low),
            "high_52_w": text(day.high),
            "price_percent_chg_24_h": f"{100 * (day.close - day.open) / day.open:.8f}" if day.open else "0",
            "best_bid": bid,
            "best_ask": ask,
            "best_bid_quantity": bid_size,
            "best_ask_quantity": ask_size,
        }

    def _happen(self, until_ns: int) -> Iterator[tuple[int, str, str]]:
        for event in self.tape.told(until_ns):
            product = self.products[event.product]
            if event.channel == "ticker" and not event.body["tickers"]:  # the tape leaves it to us
                if f"ticker:{product.name}" not in self._wanted:
                    continue
                event.body["tickers"] = [self.summary(product, event.ns)]
            product.hear(event)
            yield event.ns, f"{event.channel}:{event.product}", _json(event.body)

    def _second(self, ns: int) -> Iterator[tuple[int, str, str]]:
        elapsed = ns - self._began_ns
        heartbeat = {"current_time": _as_go_prints(ns, elapsed), "heartbeat_counter": elapsed // SECOND}
        yield ns, "heartbeats:heartbeats", _json(heartbeat)
        for product in self.products.values():
            if product.traded and f"candles:{product.name}" in self._wanted:
                product.traded = False
                start = floor(ns // MS, CANDLE_MS)
                row = product.candles.at(start, CANDLE_MS).row(CANDLE_MS)
                yield (
                    ns,
                    f"candles:{product.name}",
                    _json({"type": "update", "candles": [_candle(row, product.name)]}),
                )
            if ns // SECOND % BATCH_S == 0 and f"ticker_batch:{product.name}" in self._wanted and product.trades:
                whole = self.summary(product, ns)
                tickers = [{key: value for key, value in whole.items() if not key.startswith("best_")}]
                yield ns, f"ticker_batch:{product.name}", _json({"type": "update", "tickers": tickers})


def rfc3339(ns: int) -> str:
    """As Go prints a time: up to nine places, without trailing zeros."""
    seconds, part = divmod(ns, SECOND)
    fraction = f".{part:09d}".rstrip("0") if part else ""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}{fraction}Z"


def milliseconds(time: str) -> int:
    return nanoseconds(time) // MS


def _as_go_prints(ns: int, since_ns: int) -> str:
    seconds, part = divmod(ns, SECOND)
    time = f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}.{part:09d}"
    return f"{time} +0000 UTC m=+{since_ns / SECOND:.9f}"


def _candle(row: list[Any], product: str) -> dict[str, str]:
    start_ms, opened, high, low, close, volume = row[:6]
    return {
        "start": str(start_ms // 1_000),
        "high": high,
        "low": low,
        "open": opened,
        "close": close,
        "volume": volume,
        "product_id": product,
    }


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
