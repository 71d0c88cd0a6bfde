"""Binance's public side, spot and USD-M: its streams, its control messages, its REST answers and its errors.

developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints
developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from bus.clock import MINUTE, SECOND
from sandbox.candles import INTERVALS, floor, text, units
from sandbox.clock import Clock
from sandbox.dialect import Answer, Dialect, Handler, Limits
from sandbox.fault import BadFault, canonical
from sandbox.faults import Faults
from sandbox.listing import exchange_info, futures_row, spot_row
from sandbox.venue import FUNDING, MS, Market, Print, Symbol, Tape, aggregate
from sandbox.wire import Connection, frame

SPOT = Limits(5, 1024, 300, 5 * MINUTE, 6_000, 20 * SECOND, MINUTE)
USDM = Limits(10, 1024, 300, 5 * MINUTE, 2_400, 3 * MINUTE, 10 * MINUTE)

_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_FUTURES_DEPTHS = (5, 10, 20, 50, 100, 500, 1000)


class Refused(Exception):
    """A request the venue answers with a code and a sentence."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Binance(Dialect):
    """``futures`` makes it USD-M."""

    market: Market

    def __init__(self, tape: Tape, clock: Clock, faults: Faults, *, futures: bool) -> None:
        name, limits = ("binanceusdm", USDM) if futures else ("binance", SPOT)
        super().__init__(name, limits, clock, faults)
        self.market = Market(tape, self.hub, clock.read(), futures=futures)
        self.root = "/fapi/v1/" if futures else "/api/v3/"
        self._handlers: dict[str, Handler] = {
            "ping": lambda _: Answer(200, "{}"),
            "time": lambda _: Answer(200, {"serverTime": self._ms()}),
            "exchangeInfo": self._exchange_info,
            "depth": self._depth,
            "klines": self._klines,
            "trades": self._trades,
            "aggTrades": self._agg_trades,
            "ticker/24hr": self._tickers,
            "ticker/price": self._prices,
            "ticker/bookTicker": self._touches,
        }
        if futures:
            self._handlers |= {
                "premiumIndex": self._premium,
                "fundingInfo": lambda _: Answer(200, "[]", 0),
                "fundingRate": lambda _: Answer(200, "[]", 0),
            }
        else:
            self._handlers |= {"uiKlines": self._klines, "avgPrice": self._average}

    # --- sockets ---

    def open(self, connection: Connection, path: str, query: Mapping[str, str]) -> None:
        super().open(connection, path, query)
        connection.combined = path.endswith("/stream")
        listed = query.get("streams", "") if connection.combined else path.partition("/ws/")[2]
        names = [name for name in listed.split("/") if "@" in name or name.startswith("!")]
        if len(names) > self.limits.streams:
            self.broken["streams"] += 1
            connection.close(1008, "Too many streams", "too many streams")
            return
        for name in names:
            self.subscribe(connection, name, canonical(name))

    def hear(self, connection: Connection, text: str) -> None:
        id: object = None
        try:
            try:
                request = orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise Refused(3, f"Invalid JSON: {error}") from None
            if not isinstance(request, dict):
                raise Refused(2, "Invalid request: expected an object")
            id = request.get("id")
            if not (id is None or (isinstance(id, int) and id >= 0) or (isinstance(id, str) and len(id) <= 36)):
                id = None
                raise Refused(2, "Invalid request: request ID must be an unsigned integer, a string or null")
            answer = {"result": self._do(connection, request), "id": id}
        except Refused as refused:
            answer = {"error": {"code": refused.code, "msg": refused.message}, "id": id}
        connection.send(frame(orjson.dumps(answer)))

    def _do(self, connection: Connection, request: dict[str, Any]) -> object:
        if "method" not in request:
            raise Refused(2, "Invalid request: missing field `method`")
        method, params = request["method"], request.get("params", [])
        if method not in _METHODS:
            raise Refused(
                2,
                f"Invalid request: unknown variant `{method}`, expected one of {', '.join(f'`{m}`' for m in _METHODS)}",
            )
        if method == "LIST_SUBSCRIPTIONS":
            return list(connection.streams)
        if not isinstance(params, list) or not params:
            raise Refused(2, "Invalid request: `params` must be a list")
        if method.endswith("_PROPERTY"):
            return self._property(connection, method, params)
        if not all(isinstance(name, str) for name in params):
            raise Refused(2, "Invalid request: stream names must be strings")
        if method == "UNSUBSCRIBE":
            for name in params:
                self.unsubscribe(connection, name)
            return None
        if len({*connection.streams, *params}) > self.limits.streams:
            self.broken["streams"] += 1
            raise Refused(2, f"Invalid request: more than {self.limits.streams} streams on one connection")
        for name in params:
            self.subscribe(connection, name, canonical(name))
        return None

    def _property(self, connection: Connection, method: str, params: list[Any]) -> object:
        if params[0] != "combined":
            raise Refused(0, "Unknown property")
        if method == "GET_PROPERTY":
            return connection.combined
        if len(params) != 2 or not isinstance(params[1], bool):
            raise Refused(1, "Invalid value type: expected Boolean")
        connection.combined = params[1]
        return None

    def publish(self, ns: int, stream: str, data: str) -> None:
        listeners = self.hub.get(stream)
        if listeners is None:
            return
        known: dict[str, bytes] = {}
        for connection, name in listeners:
            key = name if connection.combined else ""
            payload = known.get(key)
            if payload is None:
                payload = known[key] = (f'{{"stream":"{name}","data":{data}}}' if key else data).encode()
            self.pass_on(connection, stream, payload, ns)

    def rewind(self, stream: str, id: int) -> int:
        if self.connections:
            raise BadFault(f"somebody listens to {self.name}; nobody's market goes back")
        market = self.market.again()
        ns = market.play_to(stream, id, self.clock.read())
        if ns is None:
            raise BadFault(f"{self.name} has sent no frame {id} of {stream or 'no stream'}")
        self.market = market
        return ns

    def announce(self, connection: Connection, now_ns: int) -> None:
        event = f'{{"e":"serverShutdown","E":{now_ns // MS}}}'
        if connection.combined:
            event = f'{{"stream":"!serverShutdown","data":{event}}}'
        connection.send(frame(event.encode()))

    # --- REST ---

    def rest(self, path: str, query: Mapping[str, str]) -> Answer:
        handler = self._handlers.get(path.removeprefix(self.root))
        if handler is None:
            return Answer(404, "<html>404 Not found</html>")
        if query:  # what is asked without parameters (ping, time, exchangeInfo) needs no market yet
            self.market.begin(self.clock.read(), listening=False)
        try:
            return handler(query)
        except Refused as refused:
            return Answer(400, {"code": refused.code, "msg": refused.message})

    def _ms(self) -> int:
        return self.clock.read() // MS

    def _exchange_info(self, query: Mapping[str, str]) -> Answer:
        if "symbol" in query:
            names = [self._symbol(query).name]
        elif "symbols" in query:
            names = [self._symbol({"symbol": str(name)}).name for name in _list(query["symbols"])]
        else:
            names = list(self.market.symbols)
        row = futures_row if self.market.futures else spot_row
        tape = self.market.tape
        rows = [tape.listed(name) or row(tape.terms(name)) for name in names]
        info = exchange_info(rows, self._ms(), futures=self.market.futures)
        return Answer(200, info, 1 if self.market.futures else 20)

    def _depth(self, query: Mapping[str, str]) -> Answer:
        symbol = self._symbol(query)
        limit = _number(query, "limit", 500 if self.market.futures else 100)
        if limit < 1 or (self.market.futures and limit not in _FUTURES_DEPTHS):
            raise Refused(-1130, "Data sent for parameter 'limit' is not valid.")
        book = self.market.tape.book(symbol.name, min(limit, 5_000))
        if not book:
            return Answer(503, {"code": -1008, "msg": "Server is currently overloaded with other requests."})
        spot = next((weight for most, weight in ((100, 5), (500, 25), (1000, 50)) if limit <= most), 250)
        futures = next((weight for most, weight in ((50, 2), (100, 5), (500, 10)) if limit <= most), 20)
        return Answer(200, book, futures if self.market.futures else spot)

    def _klines(self, query: Mapping[str, str]) -> Answer:
        symbol = self._symbol(query)
        interval = _text(query, "interval")
        length = INTERVALS.get(interval)
        if length is None or (self.market.futures and interval == "1s"):
            raise Refused(-1120, "Invalid interval.")
        limit = min(_number(query, "limit", 500), 1_500 if self.market.futures else 1_000)
        now = self._ms()
        last = min(_number(query, "endTime", now), now)
        first = _number(query, "startTime", floor(last, length) - (limit - 1) * length)
        rows = symbol.candles.rows(length, first, last, limit)
        return Answer(200, rows, 2)

    def _trades(self, query: Mapping[str, str]) -> Answer:
        prints = self._prints(query)
        return Answer(200, [_trade(each, futures=self.market.futures) for each in prints], 25)

    def _agg_trades(self, query: Mapping[str, str]) -> Answer:
        return Answer(200, [aggregate(each) for each in self._prints(query)], 4)

    def _prints(self, query: Mapping[str, str]) -> list[Print]:
        found = list(self._symbol(query).prints)
        limit = min(_number(query, "limit", 500), 1_000)
        since, until, first = (_number(query, key, -1) for key in ("startTime", "endTime", "fromId"))
        if max(since, first) < 0 and until < 0:
            return found[-limit:]
        kept = [p for p in found if p.ms >= since and p.id >= first and (until < 0 or p.ms <= until)]
        return kept[:limit] if max(since, first) >= 0 else kept[-limit:]

    def _tickers(self, query: Mapping[str, str]) -> Answer:
        symbols = self._asked(query)
        rows = [self._ticker(symbol) for symbol in symbols]
        return _one_or_all(query, rows, 2, 80)

    def _ticker(self, symbol: Symbol) -> dict[str, Any]:
        day = self.market.day(symbol, self._ms(), full=True)
        touch = self.market.touch(symbol)
        row = {
            "symbol": symbol.name,
            "priceChange": day["p"],
            "priceChangePercent": day["P"],
            "weightedAvgPrice": day["w"],
            "lastPrice": day["c"],
            "lastQty": day["Q"],
            "openPrice": day["o"],
            "highPrice": day["h"],
            "lowPrice": day["l"],
            "volume": day["v"],
            "quoteVolume": day["q"],
            "openTime": day["O"],
            "closeTime": day["C"],
            "firstId": day["F"],
            "lastId": day["L"],
            "count": day["n"],
        }
        if not self.market.futures:
            row |= {"prevClosePrice": day["x"], **_touch(touch)}
        return row

    def _prices(self, query: Mapping[str, str]) -> Answer:
        rows = [{"symbol": s.name, "price": text(s.candles.last_price)} for s in self._asked(query)]
        return _one_or_all(query, rows, 2, 4)

    def _touches(self, query: Mapping[str, str]) -> Answer:
        rows = [{"symbol": s.name, **_touch(self.market.touch(s))} for s in self._asked(query)]
        return _one_or_all(query, rows, 2, 4)

    def _average(self, query: Mapping[str, str]) -> Answer:
        symbol = self._symbol(query)
        price = text(symbol.candles.last_price)
        return Answer(200, {"mins": 5, "price": price, "closeTime": self._ms()}, 2)

    def _premium(self, query: Mapping[str, str]) -> Answer:
        rows = []
        for symbol in self._asked(query):
            mark = self.market.mark(symbol, self._ms())
            rows.append(
                {
                    "symbol": symbol.name,
                    "markPrice": mark["p"],
                    "indexPrice": mark["i"],
                    "estimatedSettlePrice": mark["P"],
                    "lastFundingRate": FUNDING,
                    "interestRate": FUNDING,
                    "nextFundingTime": mark["T"],
                    "time": self._ms(),
                }
            )
        return _one_or_all(query, rows, 1, 10)

    # --- parameters ---

    def _symbol(self, query: Mapping[str, str]) -> Symbol:
        symbol = self.market.symbols.get(_text(query, "symbol"))
        if symbol is None:
            raise Refused(-1121, "Invalid symbol.")
        return symbol

    def _asked(self, query: Mapping[str, str]) -> list[Symbol]:
        if "symbols" in query:
            return [self._symbol({"symbol": str(name)}) for name in _list(query["symbols"])]
        return [self._symbol(query)] if "symbol" in query else list(self.market.symbols.values())


def _text(query: Mapping[str, str], key: str) -> str:
    if not query.get(key):
        raise Refused(-1102, f"Mandatory parameter '{key}' was not sent, was empty/null, or malformed.")
    return query[key]


def _number(query: Mapping[str, str], key: str, default: int) -> int:
    given = query.get(key)
    if given is None:
        return default
    if not given.isdecimal():
        raise Refused(-1100, f"Illegal characters found in parameter '{key}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(given)


def _list(given: str) -> Iterable[object]:
    try:
        names = orjson.loads(given)
    except orjson.JSONDecodeError:
        names = None
    if not isinstance(names, list):
        raise Refused(-1100, "Illegal characters found in parameter 'symbols'.")
    return names


def _one_or_all(query: Mapping[str, str], rows: list[dict[str, Any]], one: int, every: int) -> Answer:
    return Answer(200, rows[0], one) if "symbol" in query else Answer(200, rows, every)


def _touch(touch: dict[str, Any]) -> dict[str, Any]:
    names = {"bidPrice": "b", "bidQty": "B", "askPrice": "a", "askQty": "A"}
    return {name: touch.get(letter, "0.00000000") for name, letter in names.items()}


def _trade(each: Print, *, futures: bool) -> dict[str, Any]:
    row = {
        "id": each.id,
        "price": each.price,
        "qty": each.size,
        "quoteQty": text(units(each.price) * units(each.size) // 100_000_000),
        "time": each.ms,
        "isBuyerMaker": each.maker,
    }
    return row if futures else {**row, "isBestMatch": True}
