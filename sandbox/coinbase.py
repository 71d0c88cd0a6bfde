"""Coinbase Advanced Trade's public side: channels, each message numbered on its connection, and the product lists.

docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from bus.clock import NEVER, SECOND
from sandbox.candles import MINUTE_MS
from sandbox.clock import Clock
from sandbox.dialect import Answer, Dialect, Limits
from sandbox.faults import Faults
from sandbox.products import Product, ProductMarket, ProductTape, rfc3339
from sandbox.venue import MS
from sandbox.wire import Connection, frame

LIMITS = Limits(8, 1 << 20, 8, SECOND, 600, 0, 0, NEVER, 5 * SECOND, by_address=True)
CHANNELS = ("level2", "market_trades", "ticker", "ticker_batch", "candles", "heartbeats", "status")
_SENT_AS = {"level2": "l2_data"}
_OF_NO_PRODUCT = ("heartbeats", "status")
_GRANULARITIES = {
    "ONE_MINUTE": 1,
    "FIVE_MINUTE": 5,
    "FIFTEEN_MINUTE": 15,
    "THIRTY_MINUTE": 30,
    "ONE_HOUR": 60,
    "TWO_HOUR": 120,
    "FOUR_HOUR": 240,
    "SIX_HOUR": 360,
    "ONE_DAY": 1_440,
}
_CANDLES_MAX = 350
LIMIT = 100
_ROOT = "/api/v3/brokerage/"


class Coinbase(Dialect):
    market: ProductMarket

    def __init__(self, tape: ProductTape, clock: Clock, faults: Faults) -> None:
        super().__init__("coinbase", LIMITS, clock, faults)
        self.market = ProductMarket(tape, self.hub, clock.read())
        self._owed: set[tuple[Connection, str]] = set()  # who subscribed to a frozen stream, and heard nothing yet

    # --- sockets ---

    def hear(self, connection: Connection, text: str) -> None:
        try:
            request = orjson.loads(text)
        except orjson.JSONDecodeError:
            request = None
        why = self._objection(request)
        if why:
            connection.send(frame(orjson.dumps({"type": "error", "message": why})))
            return
        channel, names = request["channel"], request.get("product_ids") or []
        if channel in _OF_NO_PRODUCT:
            names = [channel]
        now = self.clock.read()
        self.market.begin(now, listening=request["type"] == "subscribe")
        for name in names:
            stream = f"{channel}:{name}"
            if request["type"] == "unsubscribe":
                self.unsubscribe(connection, stream)
            elif stream not in connection.streams:
                self.subscribe(connection, stream, stream)
                if self.faults.on_streams and self.faults.silences(connection, stream, now):
                    self._owed.add((connection, stream))  # whatever he hears, once it goes on, that comes first
                else:
                    self._begin(connection, stream, now)
        held: dict[str, list[str]] = {}
        for stream in connection.streams:
            of, _, product = stream.partition(":")
            held.setdefault(of, []).append(product)
        connection.send(frame(self._numbered(connection, "subscriptions", _json({"subscriptions": held}), now)))

    def _objection(self, request: Any) -> str:
        if not isinstance(request, dict):
            return "failure to parse message"
        if request.get("type") not in ("subscribe", "unsubscribe"):
            return f"unknown type: {request.get('type')}"
        channel, products = request.get("channel"), request.get("product_ids") or []
        if channel not in CHANNELS:
            return f"unknown channel: {channel}"
        if not isinstance(products, list):
            return "product_ids must be a list"
        if channel in _OF_NO_PRODUCT:
            return ""
        unknown = [str(name) for name in products if not isinstance(name, str) or name not in self.market.products]
        if unknown or not products:
            return f"unknown products: {', '.join(unknown)}" if unknown else "product_ids required"
        return ""

    def unsubscribe(self, connection: Connection, name: str) -> None:
        self._owed.discard((connection, name))
        super().unsubscribe(connection, name)

    def publish(self, ns: int, stream: str, data: str) -> None:
        for connection, _ in self.hub.get(stream, ()):
            if self.faults.on_streams and self.faults.silences(connection, stream, ns):
                continue  # what is never said has no number
            if self._owed and (connection, stream) in self._owed:
                self._begin(connection, stream, ns)  # this is in it
            else:
                self._say(connection, stream, data, ns)

    def _begin(self, connection: Connection, stream: str, ns: int) -> None:
        self._owed.discard((connection, stream))
        channel, _, name = stream.partition(":")
        if (snapshot := self.market.snapshot(channel, name, ns)) is not None:
            self._say(connection, stream, snapshot, ns)

    def _say(self, connection: Connection, stream: str, event: str, ns: int) -> None:
        channel = stream.partition(":")[0]
        self.pass_on(connection, stream, self._numbered(connection, _SENT_AS.get(channel, channel), event, ns), ns)

    def _numbered(self, connection: Connection, channel: str, event: str, ns: int) -> bytes:
        number = connection.sequence
        connection.sequence = number + 1
        head = f'{{"channel":"{channel}","timestamp":"{rfc3339(ns)}","sequence_num":{number}'
        return f'{head},"events":[{event}]}}'.encode()

    # --- REST ---

    def rest(self, path: str, query: Mapping[str, str]) -> Answer:
        now = self.clock.read()
        match path:
            case "/v2/time":
                return Answer(200, {"data": {"iso": rfc3339(now), "epoch": now // SECOND}})
            case "/v2/currencies" | "/v2/currencies/crypto":
                return Answer(200, {"data": []})
            case "/v2/exchange-rates":
                return Answer(200, {"data": {"currency": "USD", "rates": {}}})
        parts = path.removeprefix(_ROOT).removeprefix("market/").split("/")
        match parts:
            case ["time"]:
                return Answer(
                    200, {"iso": rfc3339(now), "epochSeconds": str(now // SECOND), "epochMillis": str(now // MS)}
                )
            case ["products"] if query.get("product_type", "SPOT") != "SPOT":
                return Answer(200, {"products": [], "num_products": 0})
            case ["products"]:
                rows = [self.market.listing(name) for name in self.market.products]
                return Answer(200, {"products": rows, "num_products": len(rows)})
            case ["products", name, *rest] if name in self.market.products:
                return self._of_product(self.market.products[name], rest, query, now)
            case ["product_book"] if query.get("product_id") in self.market.products:
                return self._book(self.market.products[query["product_id"]], query, now)
        return Answer(404, {"error": "NOT_FOUND", "message": "the requested resource was not found"})

    def _of_product(self, product: Product, rest: list[str], query: Mapping[str, str], now: int) -> Answer:
        self.market.begin(now, listening=False)
        match rest:
            case []:
                return Answer(200, self.market.listing(product.name))
            case ["ticker"]:
                trades = list(product.trades)[: _limit(query)]
                bids, asks = product.best(1)
                bid, ask = bids[0][0] if bids else "", asks[0][0] if asks else ""
                return Answer(200, {"trades": trades, "best_bid": bid, "best_ask": ask})
            case ["candles"]:
                return self._candles(product, query, now)
        return Answer(404, {"error": "NOT_FOUND", "message": "the requested resource was not found"})

    def _candles(self, product: Product, query: Mapping[str, str], now: int) -> Answer:
        minutes = _GRANULARITIES.get(query.get("granularity", ""))
        times = query.get("start", ""), query.get("end", "")
        if minutes is None or not all(time.isdecimal() for time in times):
            return Answer(400, {"error": "INVALID_ARGUMENT", "message": "start, end and granularity are required"})
        first, last = (int(time) * 1_000 for time in times)
        length = minutes * MINUTE_MS
        rows = product.candles.rows(length, first, min(last, now // MS), _CANDLES_MAX)
        keys = ("start", "open", "high", "low", "close", "volume")
        candles = [dict(zip(keys, [str(row[0] // 1_000), *row[1:6]], strict=True)) for row in reversed(rows)]
        return Answer(200, {"candles": candles})

    def _book(self, product: Product, query: Mapping[str, str], now: int) -> Answer:
        self.market.begin(now, listening=False)
        bids, asks = product.best(_limit(query))
        sides = {"bids": bids, "asks": asks}
        told = {side: [{"price": price, "size": size} for price, size in levels] for side, levels in sides.items()}
        return Answer(200, {"pricebook": {"product_id": product.name, "time": rfc3339(now), **told}})


def _limit(query: Mapping[str, str]) -> int:
    given = query.get("limit", "")
    return int(given) if given.isdecimal() else LIMIT


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
