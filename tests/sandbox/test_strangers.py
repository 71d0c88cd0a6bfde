"""Whatever a client says, a venue of the sandbox answers and lives; and a flood is cheap enough to drive benchmarks."""

from __future__ import annotations

import asyncio
import json
import time
from functools import cache
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.clock import TurnedClock
from sandbox.command import seeded
from sandbox.dialect import Dialect
from sandbox.faults import Faults
from sandbox.market import START_NS
from sandbox.wire import Connection
from tests.sandbox.running import Client, running

BINANCE_WORDS = [
    "SUBSCRIBE",
    "UNSUBSCRIBE",
    "LIST_SUBSCRIPTIONS",
    "SET_PROPERTY",
    "GET_PROPERTY",
    "combined",
    "s@trade",
]
COINBASE_WORDS = ["subscribe", "unsubscribe", "level2", "candles", "heartbeats", "status", "BTC-USD", "market_trades"]
PATHS = {
    "binance": [
        "depth",
        "klines",
        "trades",
        "aggTrades",
        "ticker/24hr",
        "ticker/price",
        "avgPrice",
        "exchangeInfo",
        "x",
    ],
    "binanceusdm": ["depth", "klines", "trades", "ticker/24hr", "premiumIndex", "fundingInfo"],
    "coinbase": ["time", "products", "products/BTC-USD/candles", "products/BTC-USD/ticker", "product_book", "", "x/y"],
}
ROOTS = {"binance": "/api/v3/", "binanceusdm": "/fapi/v1/", "coinbase": "/api/v3/brokerage/"}


class Unheard:
    """A transport that nobody reads."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        return 0


@cache
def venues() -> dict[str, Dialect]:
    clock = TurnedClock(START_NS)
    return {venue.name: venue for venue in seeded()(clock, Faults(clock, {}))}


def words(known: list[str]) -> st.SearchStrategy[Any]:
    leaf = st.none() | st.booleans() | st.integers(-5, 2**70) | st.text(max_size=40) | st.sampled_from(known)
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2))


def payload(frame: bytes) -> bytes:
    """What one whole text frame of a server says (RFC 6455 §5.2)."""
    assert frame[0] == 0x81
    head = {126: 4, 127: 10}.get(frame[1], 2)
    return bytes(frame[head:])


@pytest.mark.property
@given(st.data())
def test_every_message_gets_an_answer_that_is_json(data):
    there = venues()
    for name, known in (("binance", BINANCE_WORDS), ("coinbase", COINBASE_WORDS)):
        keys = ["method", "params", "id"] if name == "binance" else ["type", "channel", "product_ids"]
        venue = there[name]
        transport = Unheard()
        connection = Connection(1, name, START_NS, cast(asyncio.Transport, transport))
        message = data.draw(words(known) | st.fixed_dictionaries({key: words(known) for key in keys}))

        venue.hear(connection, json.dumps(message))

        connection.flush(START_NS)
        assert connection.frames >= 1
        if connection.frames == 1:
            assert isinstance(orjson.loads(payload(transport.written)), dict)


@pytest.mark.property
@given(st.data())
def test_every_request_gets_an_answer(data):
    values = st.sampled_from(["BTCUSDT", "BTC-USD", "1m", "1w", "ONE_MINUTE", "5", "0", "-1", "", "[1]", '["BTCUSDT"]'])
    for name, venue in venues().items():
        path = data.draw(st.sampled_from(PATHS[name]))
        keys = (
            "symbol",
            "symbols",
            "interval",
            "limit",
            "startTime",
            "endTime",
            "fromId",
            "start",
            "end",
            "granularity",
        )
        query = data.draw(st.dictionaries(st.sampled_from((*keys, "product_id")), values | st.text(max_size=9)))

        answer = venue.rest(ROOTS[name] + path, query)

        assert answer.status in (200, 400, 404)


@pytest.mark.asyncio
async def test_a_flood_costs_a_fraction_of_a_core_and_is_in_order():
    async with running(seeded(flood=20_000), start_ns=START_NS) as sandbox, Client(sandbox) as client:
        socket = await client.connect("/ws/btcusdt@trade")
        await sandbox.turn(0.1)
        started = time.process_time()
        await sandbox.turn(1)
        took = time.process_time() - started
        ids = [frame["t"] for frame in await client.hear(socket)]

    assert ids == list(range(ids[0], ids[0] + len(ids)))
    assert len(ids) > 22_000
    assert took < 0.8


class Gone(Unheard):
    """A transport whose client has left: writing to it raises, as uvloop's does."""

    def write(self, data: bytes) -> None:
        raise RuntimeError("the handler is closed")

    def is_closing(self) -> bool:
        return True

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.mark.parametrize("end", [lambda c: c.close(1001, "", "x"), lambda c: c.cut("x", reset=True)])
def test_a_client_that_has_left_can_be_said_goodbye_to(end):
    connection = Connection(1, "binance", START_NS, cast(asyncio.Transport, Gone()))
    connection.send(b"late")

    end(connection)
    connection.flush(START_NS)

    assert connection.closed == "x"
