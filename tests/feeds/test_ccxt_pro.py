"""The tap in ccxt.pro's own classes: nothing collapsed, nothing lost, books as changes; what was taken, read back."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import ccxt.pro
import pytest
from aiohttp import web

from bus.events import BookInvalidated, BookRestored, BookSnapshot, BookUpdate, InstrumentListed, Kline, Quote, Trade
from bus.inputs import Input
from bus.values import Side
from daemon.sources import known_by, protocol_of
from feeds.ccxt_pro import CcxtFeed, Tap, terms
from feeds.ccxt_protocol import encode
from feeds.crew import Crew
from feeds.live import Wanted
from feeds.port import CannotHear, Unparsed, VenueProtocol

pytestmark = pytest.mark.asyncio

SYMBOL = "BTC/USD"
IDS = {"kraken": "BTC/USD", "bybit": "BTCUSD", "okx": "BTC-USD"}


def market(venue: str) -> dict[str, Any]:
    return {
        "id": IDS[venue],
        "symbol": SYMBOL,
        "base": "BTC",
        "quote": "USD",
        "settle": None,
        "baseId": "BTC",
        "quoteId": "USD",
        "type": "spot",
        "spot": True,
        "swap": False,
        "contract": False,
        "linear": None,
        "inverse": None,
        "active": True,
        "maker": 0.001,
        "taker": 0.002,
        "precision": {"price": 0.1, "amount": 1e-08},
        "limits": {"amount": {"min": 0.0001, "max": None}, "cost": {"min": 5.0, "max": None}},
        "info": {},
    }


def kraken_trade(id: int) -> dict[str, Any]:
    row = {"symbol": "BTC/USD", "side": "sell", "price": 100.5, "qty": 0.1, "ord_type": "market", "trade_id": id}
    return row | {"timestamp": "2026-01-02T03:04:05.678Z"}


def kraken(kind: str, **body: Any) -> dict[str, Any]:
    bids, asks = ([{"price": p, "qty": q} for p, q in body.get(side, [])] for side in ("bids", "asks"))
    data = {"symbol": "BTC/USD", "bids": bids, "asks": asks, "timestamp": "2026-01-02T03:04:05Z"}
    return {"channel": "book", "type": kind, "data": [data]}


def bybit(kind: str, **body: Any) -> dict[str, Any]:
    sides = {side[0]: [[str(p), str(q)] for p, q in body.get(side, [])] for side in ("bids", "asks")}
    return {"topic": "orderbook.50.BTCUSD", "type": kind, "ts": 1, "data": {"s": "BTCUSD", **sides, "u": 1}}


TRADES: dict[str, dict[str, Any]] = {
    "kraken": {"channel": "trade", "type": "update", "data": [kraken_trade(id) for id in range(1, 4)]},
    "bybit": {
        "topic": "publicTrade.BTCUSD",
        "type": "snapshot",
        "ts": 1,
        "data": [{"T": 1, "s": "BTCUSD", "S": "Sell", "v": "0.1", "p": "100.5", "i": str(id)} for id in range(1, 4)],
    },
    "okx": {
        "arg": {"channel": "trades", "instId": "BTC-USD"},
        "data": [
            {"instId": "BTC-USD", "tradeId": str(id), "px": "100.5", "sz": "0.1", "side": "sell", "ts": "1"}
            for id in range(1, 4)
        ],
    },
}
URLS = {
    "kraken": "wss://ws.kraken.com/v2",
    "bybit": "wss://stream.bybit.com/v5/public/spot",
    "okx": "wss://ws.okx.com:8443/ws/v5/public",
}


class Tapped:
    """A ccxt.pro exchange with a tap on it and no network; what it hears goes to the protocol that reads it back."""

    def __init__(self, venue: str) -> None:
        self.frames: list[str] = []
        self.events: list[Any] = []
        self.protocol = protocol_of(venue, known_by([]))
        self.tap = Tap(self._hear, {SYMBOL})
        self.exchange = self.tap.fit(getattr(ccxt.pro, venue), {})
        self.exchange.set_markets([market(venue)])
        self.client = self.exchange.client(URLS[venue])

    def _hear(self, frame: Any) -> None:
        self.frames.append(encode(frame).decode())
        self.events += self.protocol.receive(self.frames[-1], 1, "ccxt:x")

    def say(self, message: dict[str, Any]) -> None:
        self.exchange.handle_message(self.client, message)
        assert self.tap.failed is None

    async def __aenter__(self) -> Tapped:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.exchange.close()


@pytest.mark.parametrize("venue", ["kraken", "bybit", "okx"])
async def test_every_trade_is_heard_though_nobody_waits_for_it(venue):
    async with Tapped(venue) as tapped:
        tapped.say(TRADES[venue])
        tapped.say(TRADES[venue])  # as after subscribing again

    assert [event.id for event in tapped.events] == [1, 2, 3]
    assert {(event.instrument, event.price, event.size, event.taker) for event in tapped.events} == {
        (f"{venue}:BTC/USD", 100.5, 0.1, Side.SELL)
    }
    assert "info" not in "".join(tapped.frames)


@pytest.mark.parametrize(("venue", "book"), [("kraken", kraken), ("bybit", bybit)])
async def test_a_book_is_whole_once_and_then_what_changed(venue, book):
    async with Tapped(venue) as tapped:
        if venue == "kraken":
            tapped.exchange.options["checksum"] = False
            tapped.exchange.options["watchOrderBook"] = {"checksum": False}
        tapped.say(book("snapshot", bids=[(99, 1), (98, 2)], asks=[(101, 1)]))
        if venue == "bybit":
            tapped.say(book("delta", bids=[(99, 0), (97, 4)], asks=[]))
            tapped.tap.forget()
            lost = tapped.protocol.lost("ccxt:x", 2)
            tapped.say(book("delta", bids=[(98, 3)], asks=[]))

    if venue == "kraken":
        assert [type(event) for event in tapped.events] == [BookSnapshot, BookRestored]
        return
    whole, restored, changed, again, back = tapped.events
    assert (whole.bids, whole.asks) == ([(99.0, 1.0), (98.0, 2.0)], [(101.0, 1.0)])
    assert isinstance(restored, BookRestored)
    assert isinstance(changed, BookUpdate)
    assert sorted(changed.bids) == [(97.0, 4.0), (99.0, 0.0)]
    assert [type(event) for event in lost] == [BookInvalidated]
    assert isinstance(again, BookSnapshot)
    assert again.bids == [(98.0, 3.0), (97.0, 4.0)]
    assert isinstance(back, BookRestored)


async def test_a_ticker_with_both_sides_is_a_quote_too_and_a_bar_closes_with_the_next():
    async with Tapped("bybit") as tapped:
        ticker = {"symbol": "BTCUSD", "lastPrice": "100", "bid1Price": "99", "ask1Price": "101", "volume24h": "7"}
        tapped.say({"topic": "tickers.BTCUSD", "type": "snapshot", "ts": 5, "data": ticker})
        for start in (0, 0, 60_000):
            row = {"start": start, "open": "1", "high": "3", "low": "1", "close": "2", "volume": "4", "timestamp": 1}
            tapped.say({"topic": "kline.1.BTCUSD", "type": "snapshot", "ts": 5, "data": [row | {"interval": "1"}]})

    (quote,) = [event for event in tapped.events if isinstance(event, Quote)]
    assert (quote.bid, quote.ask) == (99.0, 101.0)
    bars = [event for event in tapped.events if isinstance(event, Kline)]
    assert [(bar.start_ns, bar.closed) for bar in bars] == [
        (0, False),
        (0, False),
        (0, True),
        (60_000_000_000, False),
    ]


async def test_an_error_in_the_tap_never_reaches_ccxt_s_reader():
    def broken(_frame: object) -> None:
        raise RuntimeError("the disk is full")

    tap = Tap(broken, {SYMBOL})
    exchange = tap.fit(ccxt.pro.okx, {})
    exchange.set_markets([market("okx")])
    exchange.handle_message(exchange.client(URLS["okx"]), TRADES["okx"])
    await exchange.close()

    assert str(tap.failed) == "the disk is full"


async def test_a_feed_that_is_started_again_after_its_tap_failed_listens_on():
    """One item that nobody can read must not end the feed again each time it is started."""

    def make(settings: dict[str, Any]) -> Any:
        exchange = ccxt.pro.okx(settings)
        exchange.set_markets([market("okx")])

        async def watch(_symbol: str) -> None:
            await asyncio.Event().wait()

        exchange.watch_trades = watch
        return exchange

    class Looks(Clock):
        def __init__(self) -> None:
            self.count = 0
            self.enough = asyncio.Event()

        def wait_s(self, ns: int) -> float:
            self.count += 1
            if self.count == 1:
                feed._tap._try(feed._tap._trade, {"symbol": SYMBOL, "id": "1", "price": None, "amount": 1.0})
            if self.count == 5:
                self.enough.set()
            return super().wait_s(ns)

    def nobody(*_: object) -> None: ...

    looks, wanted = Looks(), [Wanted("okx:BTC/USD", SYMBOL, ["trade"])]
    feed = CcxtFeed("okx", wanted, protocol_of("okx", known_by([])), nobody, looks, make=make)
    with pytest.raises(TypeError):
        await feed.run()

    async with Crew() as crew:
        again = crew.start(feed.run())
        again.add_done_callback(lambda _: looks.enough.set())
        await looks.enough.wait()
        assert not again.done()


async def test_terms_come_from_the_market_and_what_cannot_be_sized_is_not_listed():
    listed = terms("kraken", market("kraken"), tick_size=True)
    assert listed is not None
    assert (listed.tick, listed.lot, listed.min_notional) == (Decimal("0.1"), Decimal("1E-8"), Decimal("5.0"))
    contract = market("okx") | {"spot": False, "linear": True, "contractSize": 0.01, "settle": "USD"}
    assert terms("okx", contract, tick_size=True) is None

    protocol = protocol_of("kraken", known_by([]))
    raw = json.dumps([json.loads(encode(listed))])
    assert [type(event) for event in protocol.reply("ccxt:kraken/markets", raw, 1)] == [InstrumentListed]
    assert protocol.reply("ccxt:kraken/markets", raw, 2) == []


async def test_changes_of_a_book_that_never_was_are_refused_and_so_is_nonsense():
    protocol = protocol_of("kraken", known_by([]))
    for raw in (
        '{"t":"book","s":"BTC/USD","bids":[[1,1]],"asks":[]}',
        '{"t":"trade","s":"BTC/USD","id":"1","price":-1,"size":1}',
        '{"t":"what","s":"BTC/USD"}',
        "",
    ):
        with pytest.raises(Unparsed):
            protocol.receive(raw, 1, None)


class Clock:
    rate = 1.0

    def read(self) -> int:
        return 1

    def wait_s(self, ns: int) -> float:
        return 0.001


async def test_a_feed_listens_through_a_loss_and_records_it():
    """All of it over the loopback: a venue that says three trades and hangs up, until it is asked a third time."""
    asked: list[Any] = []

    async def venue(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        asked.append(await socket.receive_json())
        await socket.send_json(TRADES["okx"])
        if len(asked) == 3:
            await socket.receive()
        await socket.close()
        return socket

    app = web.Application()
    app.router.add_get("/public", venue)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()

    def make(settings: dict[str, Any]) -> Any:
        exchange = ccxt.pro.okx(settings)
        exchange.urls["api"]["ws"] = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        exchange.set_markets([market("okx")])
        return exchange

    heard: list[Input] = []
    done = asyncio.Event()

    def accept(items: Any, _protocol: VenueProtocol) -> None:
        heard.extend(items)
        if len([item for item in heard if item.kind is None]) == 9:
            done.set()

    protocol = protocol_of("okx", known_by([]))
    feed = CcxtFeed("okx", [Wanted("okx:BTC/USD", SYMBOL, ["trade"])], protocol, accept, Clock(), make=make)
    async with Crew() as crew:
        crew.start(feed.run())
        async with asyncio.timeout(5):
            await done.wait()
    await runner.cleanup()

    assert [item.kind or "frame" for item in heard] == [
        "http",
        *(["connect", "frame", "frame", "frame", "disconnect"] * 3),
    ]
    assert {item.conn for item in heard} == {"ccxt:okx"}
    assert [one["args"][0]["channel"] for one in asked] == ["trades"] * 3
    frames = [item for item in heard if item.kind is None]
    assert [type(e) for item in frames for e in protocol.receive(item.raw, 1, item.conn)] == [Trade] * 3


async def test_what_goes_wrong_with_one_market_breaks_no_other_and_a_lost_socket_breaks_all():
    """Two books, of which one does not add up, once; then the network is gone."""
    names, turn = ["BTC/USD", "ETH/USD"], asyncio.Event()
    waiting: dict[str, asyncio.Future[None]] = {}

    def make(settings: dict[str, Any]) -> Any:
        exchange = ccxt.pro.okx(settings)
        exchange.set_markets([{**market("okx"), "symbol": name, "id": name.replace("/", "-")} for name in names])

        async def watch(symbol: str) -> None:
            feed._tap._try(feed._tap._book, {"symbol": symbol, "bids": [(99.0, 1.0)], "asks": [(101.0, 1.0)]})
            waiting[symbol] = asyncio.get_running_loop().create_future()
            turn.set()
            await waiting[symbol]

        exchange.watch_order_book = watch
        return exchange

    async def watched(*symbols: str) -> None:
        async with asyncio.timeout(5):
            while not all(symbol in waiting and not waiting[symbol].done() for symbol in symbols):
                turn.clear()
                await turn.wait()

    events: list[Any] = []

    def accept(items: Any, protocol: VenueProtocol) -> None:
        for item in items:
            if item.kind == "disconnect":
                events.extend(protocol.lost(item.conn, 1))
            elif item.kind is None:
                events.extend(protocol.receive(item.raw, 1, item.conn))
            elif item.kind == "fault":
                events.append(item.raw)

    wanted = [Wanted(f"okx:{name}", name, ["book"]) for name in names]
    feed = CcxtFeed("okx", wanted, protocol_of("okx", known_by([])), accept, Clock(), make=make)
    async with Crew() as crew:
        crew.start(feed.run())
        await watched(*names)
        events.clear()
        waiting["ETH/USD"].set_exception(ccxt.pro.ChecksumError("a book"))
        await watched("ETH/USD")
        one = [*events]
        events.clear()
        waiting["BTC/USD"].set_exception(ccxt.pro.NetworkError("gone"))
        await watched("BTC/USD")

    assert one[0] == "watch_order_book ETH/USD: ChecksumError: a book"
    assert [(type(e), e.instrument) for e in one[1:]] == [
        (BookInvalidated, "okx:ETH/USD"),
        (BookSnapshot, "okx:ETH/USD"),
        (BookRestored, "okx:ETH/USD"),
    ]
    assert [e.instrument for e in events if isinstance(e, BookInvalidated)][:2] == ["okx:BTC/USD", "okx:ETH/USD"]


@pytest.mark.parametrize(("venue", "streams"), [("nowhere", ["trade"]), ("okx", ["mark"])])
async def test_what_ccxt_cannot_watch_is_refused_at_the_start(venue, streams):
    with pytest.raises(CannotHear):
        CcxtFeed(venue, [Wanted(f"{venue}:BTC/USD", SYMBOL, streams)], protocol_of(venue, known_by([])), print, Clock())
