"""Any venue that ccxt.pro speaks to, behind the same port as the native ones.

ccxt's ``watch_*`` calls are woken by the latest thing and collapse what came before it; a fast market loses half of its
trades that way. So they only keep the subscriptions alive here. What is recorded is taken where ccxt itself puts each
thing down: a trade when it is appended to its cache, a ticker when it is stored, a book each time one of its messages
has been applied. Nothing of ``info`` is kept. A book is recorded whole once and then by what changed of it.

An exception inside ccxt's reader leaves its socket open and deaf, and it tells nobody: only the age of the data does.
Then all its sockets are closed and everything is watched anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import ccxt.pro
import msgspec
from ccxt.async_support.base.ws.order_book import OrderBook
from ccxt.base.decimal_to_precision import TICK_SIZE

from bus.clock import SECOND
from bus.inputs import CONNECT, DISCONNECT, FAULT, HTTP, Input
from bus.values import Instrument, Kind
from feeds.ccxt_protocol import BarFrame, BookFrame, BrokenFrame, Frame, TickerFrame, TradeFrame, encode
from feeds.crew import Crew
from feeds.live import Endpoints, Wanted
from feeds.pace import Backoff, RimClock
from feeds.port import Accept, CannotHear, LiveProtocol, Time

LOOK_S = 1.0
STALE_PATIENCE_S = 10.0
BAR = "1m"
_TRADES_KEPT = 10_000
_SEVERED = (ccxt.ExchangeClosedByUser, ccxt.NetworkError)
"""A subscription ended because its socket did. InvalidNonce is of this family too, and is about one book."""
_WATCHES = {
    "trade": "watch_trades",
    "quote": "watch_ticker",
    "ticker": "watch_ticker",
    "book": "watch_order_book",
    "kline": "watch_ohlcv",
}


class CcxtFeed:
    """One venue. ``make`` builds the ccxt exchange, which tests point at a server of theirs. Raises CannotHear."""

    def __init__(
        self,
        venue: str,
        wanted: Sequence[Wanted],
        protocol: LiveProtocol,
        accept: Accept,
        time: Time,
        endpoints: Endpoints = Endpoints((), ""),  # noqa: B008  # a tuple
        make: Callable[[dict[str, Any]], Any] | None = None,
    ) -> None:
        self.conn = f"ccxt:{venue}"
        self.venue = venue
        self.protocol = protocol
        self.unfit: Callable[[], Collection[tuple[str, str]]] = tuple
        self._wanted = wanted
        self._accept = accept
        self._clock = RimClock(time)
        self._tap = Tap(self._hear_frame, {each.symbol for each in wanted})
        base = make or _class_of(venue)
        self._exchange = self._tap.fit(base, _settings(endpoints))
        if missing := sorted({stream for each in wanted for stream in each.streams if not self._has(stream)}):
            raise CannotHear(f"{venue} cannot be asked for {', '.join(missing)} through ccxt.pro")
        self._is_open = False
        self._watched_ns = 0

    async def run(self) -> None:
        self._tap.failed = None  # that ended the run before this one
        try:
            await self._list()
            async with Crew() as crew:
                for each in self._wanted:
                    for method in dict.fromkeys(_WATCHES[stream] for stream in each.streams):
                        crew.start(self._watch(method, each.symbol))
                crew.start(self._tend())
                await crew.over()
        finally:
            self._lose("closed by us")
            await self._exchange.close()

    def _has(self, stream: str) -> bool:
        method = _WATCHES.get(stream)
        camel = "".join(part.title() if at else part for at, part in enumerate(method.split("_"))) if method else ""
        return bool(self._exchange.has.get("watchOHLCV" if stream == "kline" else camel))

    def _hear_frame(self, frame: Frame) -> None:
        if not self._is_open:
            self._is_open = True
            self._hear(Input("", conn=self.conn, kind=CONNECT, url=self.conn))
        self._hear(Input(encode(frame).decode(), conn=self.conn))

    def _hear(self, item: Input) -> None:
        self._accept((item,), self.protocol)

    def _lose(self, reason: str) -> None:
        self._tap.forget()
        if self._is_open:
            self._is_open = False
            self._hear(Input("", conn=self.conn, kind=DISCONNECT, note=reason))

    async def _list(self) -> None:
        """The terms of what is wanted, as the venue states them."""
        backoff = _backoff()
        while True:
            try:
                markets = await self._exchange.load_markets()
            except ccxt.BaseError as error:
                self._hear(Input(_words(error), conn=self.conn, kind=FAULT))
                await self._clock.sleep(backoff.next_s())
                continue
            tick_size = self._exchange.precisionMode == TICK_SIZE
            listed = [terms(self.venue, markets[each.symbol], tick_size=tick_size) for each in self._wanted]
            raw = msgspec.json.encode([instrument for instrument in listed if instrument is not None]).decode()
            self._hear(Input(raw, conn=self.conn, kind=HTTP, url=f"{self.conn}/markets"))
            return

    async def _watch(self, method: str, symbol: str) -> None:
        """Keep a subscription alive. What the call returns has been recorded already."""
        watch: Callable[..., Awaitable[object]] = getattr(self._exchange, method)
        arguments = (symbol, BAR) if method == "watch_ohlcv" else (symbol,)
        backoff = _backoff()
        while True:
            try:
                await watch(*arguments)
                backoff.reset()
                continue
            except Exception as error:  # ccxt lets anything through, KeyError included
                if isinstance(error, _SEVERED) and not isinstance(error, ccxt.InvalidNonce):
                    self._lose(_words(error))
                else:  # about this one alone: a book that does not add up, a symbol that is gone
                    self._hear(Input(f"{method} {symbol}: {_words(error)}", conn=self.conn, kind=FAULT))
                    if method == "watch_order_book":
                        self._tap.broke(symbol, _words(error))
            await self._clock.sleep(backoff.next_s())

    async def _tend(self) -> None:
        """A tap that failed is our fault and ends the feed; a socket that went deaf is closed."""
        while True:
            await self._clock.sleep(LOOK_S)
            if self._tap.failed is not None:
                raise self._tap.failed
            now = self._clock.now()
            if self.unfit() and now - self._watched_ns > STALE_PATIENCE_S * SECOND:
                self._watched_ns = now
                clients, self._exchange.clients = list(self._exchange.clients.values()), {}
                for client in clients:
                    client.reset(ccxt.NetworkError("nothing it carries is fresh"))
                    await client.close()


class Tap:
    """Sits where ccxt puts things down, and passes each on as a frame. ``failed`` is what went wrong in here."""

    def __init__(self, hear: Callable[[Any], None], symbols: Collection[str]) -> None:
        self.failed: Exception | None = None
        self._hear = hear
        self._symbols = symbols
        self._books: dict[str, tuple[dict[float, float], dict[float, float]]] = {}

    def fit(self, make: Callable[[dict[str, Any]], Any], settings: dict[str, Any]) -> Any:
        """An exchange with its caches and its sockets tapped."""
        exchange = make(settings)
        exchange.trades = _Caches(lambda _key, item: self._try(self._trade, item))
        exchange.tickers = _Stored(lambda symbol, item: self._try(self._ticker, symbol, item))
        exchange.ohlcvs = _Nested(
            lambda symbol: _Caches(
                lambda interval, row: self._try(self._bar, symbol, exchange.parse_timeframe(interval), row)
            )
        )
        client_of = exchange.client

        def client(url: str) -> Any:
            made = client_of(url)
            if not hasattr(made, "is_tapped"):
                made.is_tapped = True
                resolve = made.resolve

                def resolved(result: Any, message_hash: Any) -> Any:
                    if isinstance(result, OrderBook):
                        self._try(self._book, result)
                    return resolve(result, message_hash)

                made.resolve = resolved
            return made

        exchange.client = client
        return exchange

    def forget(self) -> None:
        """The next thing heard of each book is the whole of it."""
        self._books.clear()

    def broke(self, symbol: str, why: str) -> None:
        """Of this book, too, and who heard it must not go on from what he has."""
        if self._books.pop(symbol, None) is not None:
            self._hear(BrokenFrame(s=symbol, why=why))

    def _try(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except Exception as error:  # raised in ccxt's reader it would only make the socket deaf
            self.failed = self.failed or error

    def _trade(self, item: Mapping[str, Any]) -> None:
        if item["symbol"] in self._symbols:
            id = str(item.get("id") or f"{item['timestamp']}-{item['price']}-{item['amount']}")
            self._hear(
                TradeFrame(
                    s=item["symbol"],
                    ms=item.get("timestamp") or 0,
                    id=id,
                    price=float(item["price"]),
                    size=float(item["amount"]),
                    side=item.get("side") or "",
                )
            )

    def _ticker(self, symbol: str, item: Mapping[str, Any]) -> None:
        last = item.get("last") or item.get("close")
        if symbol in self._symbols and last:
            self._hear(
                TickerFrame(
                    s=symbol,
                    ms=item.get("timestamp") or 0,
                    last=float(last),
                    volume=float(item.get("baseVolume") or 0),
                    bid=float(item.get("bid") or 0),
                    bid_size=float(item.get("bidVolume") or 0),
                    ask=float(item.get("ask") or 0),
                    ask_size=float(item.get("askVolume") or 0),
                )
            )

    def _bar(self, symbol: str, interval_s: int, row: Sequence[Any]) -> None:
        if symbol in self._symbols:
            open_, high, low, close, volume = (float(value) for value in row[1:6])
            self._hear(
                BarFrame(
                    s=symbol,
                    ms=int(row[0]),
                    interval_ms=interval_s * 1_000,
                    open=open_,
                    high=high,
                    low=low,
                    close=close,
                    volume=volume,
                )
            )

    def _book(self, book: Any) -> None:
        symbol = book["symbol"]
        if symbol not in self._symbols:
            return
        bids, asks = ({float(level[0]): float(level[1]) for level in book[side]} for side in ("bids", "asks"))
        known = self._books.get(symbol)
        self._books[symbol] = bids, asks
        ms = book.get("timestamp") or 0
        if known is None:
            self._hear(BookFrame(s=symbol, ms=ms, whole=True, bids=list(bids.items()), asks=list(asks.items())))
            return
        self._hear(BookFrame(s=symbol, ms=ms, bids=_changes(known[0], bids), asks=_changes(known[1], asks)))


class _Caches(dict[str, Any]):
    """ccxt's caches by symbol; whatever is appended to one is heard."""

    def __init__(self, heard: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._heard = heard

    def __setitem__(self, key: str, cache: Any) -> None:
        append, heard = cache.append, self._heard

        def tapped(item: Any) -> None:
            append(item)
            heard(key, item)

        cache.append = tapped
        super().__setitem__(key, cache)


class _Stored(dict[str, Any]):
    """What ccxt stores by symbol, heard each time it is."""

    def __init__(self, heard: Callable[[str, Any], None]) -> None:
        super().__init__()
        self._heard = heard

    def __setitem__(self, key: str, item: Any) -> None:
        super().__setitem__(key, item)
        self._heard(key, item)


class _Nested(dict[str, Any]):
    """Caches by symbol and then by interval."""

    def __init__(self, make: Callable[[str], _Caches]) -> None:
        super().__init__()
        self._make = make

    def __setitem__(self, key: str, inner: Any) -> None:
        super().__setitem__(key, inner if isinstance(inner, _Caches) else self._make(key))


def _backoff() -> Backoff:
    return Backoff(0.5, 5.0, Random())


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _changes(before: dict[float, float], after: dict[float, float]) -> list[tuple[float, float]]:
    changed = [(price, size) for price, size in after.items() if before.get(price) != size]
    return [*changed, *((price, 0.0) for price in before if price not in after)]


def _class_of(venue: str) -> Callable[[dict[str, Any]], Any]:
    if venue not in ccxt.pro.exchanges:
        raise CannotHear(f"ccxt.pro has no venue {venue!r}")
    made: Callable[[dict[str, Any]], Any] = getattr(ccxt.pro, venue)
    return made


def _settings(endpoints: Endpoints) -> dict[str, Any]:
    settings: dict[str, Any] = {"newUpdates": True, "options": {"tradesLimit": _TRADES_KEPT}}
    if endpoints.proxy:
        settings |= {"httpsProxy": endpoints.proxy, "wssProxy": endpoints.proxy}
    if endpoints.ca_file:
        settings["cafile"] = endpoints.ca_file
    return settings


def terms(venue: str, market: Mapping[str, Any], *, tick_size: bool) -> Instrument | None:
    """An instrument in our terms; None where the venue leaves out a step without which nothing can be rounded, or where
    a size does not mean base units (a linear contract of several): its market is heard, and cannot be traded.
    """
    steps = market["precision"].get("price"), market["precision"].get("amount")
    if None in steps or (market.get("linear") and market.get("contractSize") not in (1, 1.0, None)):
        return None
    tick, lot = (_amount(step) if tick_size else Decimal(1).scaleb(-int(step)) for step in steps)
    limits = market["limits"]
    kind = Kind.SPOT if market.get("spot") else Kind.INVERSE if market.get("inverse") else Kind.LINEAR
    return Instrument(
        name=f"{venue}:{market['symbol']}",
        symbol=market["symbol"],
        base=market["base"],
        quote=market["quote"],
        settle=market.get("settle") or market["quote"],
        kind=kind,
        tick=tick,
        lot=lot,
        min_size=_amount((limits.get("amount") or {}).get("min")),
        max_size=_amount((limits.get("amount") or {}).get("max")),
        min_notional=_amount((limits.get("cost") or {}).get("min")),
        multiplier=_amount(market.get("contractSize") or 1),
        maker_fee=_amount(market.get("maker")),
        taker_fee=_amount(market.get("taker")),
        trading=market.get("active") is not False,
    )


def _amount(value: Any) -> Decimal:
    return Decimal(repr(value) if isinstance(value, float) else str(value or 0))
