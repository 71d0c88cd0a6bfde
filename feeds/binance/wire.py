"""Binance's frames and replies as typed values: one msgspec pass checks the shape and parses decimal text into floats.

Each struct names only what we use; unknown keys are skipped. Frames are decoded in the envelope of the combined stream,
``{"stream":"btcusdt@trade","data":{…}}``; the protocol puts bare frames into one. The bounds turn away what no market
prints: NaN, infinities, prices that are not positive, negative sizes and times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

Price = Annotated[float, Meta(gt=0, lt=1e15)]
Size = Annotated[float, Meta(ge=0, lt=1e18)]
Id = Annotated[int, Meta(ge=0, lt=1 << 62)]
Time = Annotated[int, Meta(ge=0, lt=(1 << 63) // 1_000)]
Side = list[tuple[Price, Size]]

MS_MAX = ((1 << 63) - 1) // 1_000_000
"""The last millisecond whose nanoseconds fit 64 bits; a larger time is in microseconds (``timeUnit=MICROSECOND``)."""

UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError)
"""What decoding raises for text that is malformed, mistyped, out of bounds or nested beyond reason."""

Wire = TypeVar("Wire")


def to_ns(time: int) -> int:
    """A venue's time in nanoseconds, whichever unit it was asked to send."""
    return time * 1_000_000 if time <= MS_MAX else time * 1_000


def _reader(envelope: type[Wire]) -> Callable[[str], Wire]:
    return msgspec.json.Decoder(envelope, strict=False).decode


# {"e":"trade","E":1700000000123,"s":"BTCUSDT","t":41,"p":"42000.10","q":"0.5","T":1700000000120,"m":true,"M":true}
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#trade-streams
class TradeData(msgspec.Struct, gc=False):
    t: Id
    p: Price
    q: Size
    T: Time
    m: bool  # the buyer was the maker: the taker sold


class TradeFrame(msgspec.Struct, gc=False):
    data: TradeData


# Futures number their insurance-fund and liquidation settlements among the trades, without a price:
# {"e":"trade","E":1700000000123,"T":1700000000120,"s":"BTCUSDT","t":42,"p":"0","q":"0","X":"NA","m":true}
# The stream is not in the venue's pages; the aggregate stream's says that these are left out of it:
# developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Aggregate-Trade-Streams
class FuturesTradeData(msgspec.Struct, gc=False):
    t: Id
    p: Size
    q: Size
    T: Time
    m: bool
    X: str = "MARKET"


class FuturesTradeFrame(msgspec.Struct, gc=False):
    data: FuturesTradeData


# {"e":"aggTrade","E":1700000000123,"s":"BTCUSDT","a":7,"p":"42000.10","q":"1.5","f":40,"l":42,"T":1700000000120,
#  "m":false}
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#aggregate-trade-streams
class AggTradeData(msgspec.Struct, gc=False):
    a: Id
    p: Price
    q: Size
    T: Time
    m: bool


class AggTradeFrame(msgspec.Struct, gc=False):
    data: AggTradeData


# {"u":900,"s":"BTCUSDT","b":"42000.10","B":"3.0","a":"42000.20","A":"1.25"}, on futures with e, E and T
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#individual-symbol-book-ticker-streams
class QuoteData(msgspec.Struct, gc=False):
    u: Id
    b: Price
    B: Size
    a: Price
    A: Size
    T: Time = 0  # spot quotes carry no time


class QuoteFrame(msgspec.Struct, gc=False):
    data: QuoteData


# {"e":"depthUpdate","E":1700000000123,"s":"BTCUSDT","U":901,"u":905,"b":[["42000.10","2.5"]],"a":[["42000.30","0"]]}
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#diff-depth-stream
class DepthData(msgspec.Struct, gc=False):
    E: Time
    U: Id
    u: Id
    b: Side
    a: Side


class DepthFrame(msgspec.Struct, gc=False):
    data: DepthData


# {"e":"depthUpdate","E":1700000000123,"T":1700000000120,"s":"BTCUSDT","U":901,"u":905,"pu":898,"b":[],"a":[]}
# developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Diff-Book-Depth-Streams
class FuturesDepthData(msgspec.Struct, gc=False):
    E: Time
    T: Time
    U: Id
    u: Id
    pu: Id
    b: Side
    a: Side


class FuturesDepthFrame(msgspec.Struct, gc=False):
    data: FuturesDepthData


# {"lastUpdateId":905,"bids":[["42000.10","2.5"]],"asks":[["42000.20","1.25"]]}; a REST snapshot reads the same,
# on futures with E and T
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#partial-book-depth-streams
class BookData(msgspec.Struct, gc=False):
    lastUpdateId: Id  # the venue's name
    bids: Side
    asks: Side
    T: Time = 0


class BookFrame(msgspec.Struct, gc=False):
    data: BookData


# On futures a partial book has the shape of a diff:
# {"e":"depthUpdate","E":1700000000123,"T":1700000000120,"s":"BTCUSDT","U":901,"u":905,"pu":898,"b":[],"a":[]}
# developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Partial-Book-Depth-Streams
class FuturesBookData(msgspec.Struct, gc=False):
    T: Time
    u: Id
    b: Side
    a: Side


class FuturesBookFrame(msgspec.Struct, gc=False):
    data: FuturesBookData


# {"e":"kline","E":1700000000123,"s":"BTCUSDT","k":{"t":1699999980000,"T":1700000039999,"i":"1m","o":"42000",
#  "c":"42001","h":"42010","l":"41990","v":"12.5","n":40,"x":false}}
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#klinecandlestick-streams-for-utc
class KlineBody(msgspec.Struct, gc=False):
    t: Time
    T: Time  # the last instant inside the bar
    o: Price
    h: Price
    l: Price  # noqa: E741  # the venue's name
    c: Price
    v: Size
    n: Id
    x: bool


class KlineData(msgspec.Struct, gc=False):
    E: Time
    k: KlineBody


class KlineFrame(msgspec.Struct, gc=False):
    data: KlineData


# {"e":"24hrTicker","E":1700000000123,"s":"BTCUSDT","c":"42000.10","v":"812.5","b":"42000.10","a":"42000.20"}; mini
# tickers and futures tickers come without the best prices
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#individual-symbol-ticker-streams
class TickerData(msgspec.Struct, gc=False):
    E: Time
    c: Price
    v: Size
    b: Size = 0.0
    a: Size = 0.0


class TickerFrame(msgspec.Struct, gc=False):
    data: TickerData


# {"e":"markPriceUpdate","E":1700000000123,"s":"BTCUSDT","p":"42000.5","i":"42000.4","r":"0.0001","T":1700006400000};
# a delivery contract has no funding: its rate is empty and its time 0
# developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Mark-Price-Stream
class MarkData(msgspec.Struct, gc=False):
    E: Time
    p: Price
    T: Time
    i: Size = 0.0
    r: Annotated[str, Meta(pattern=r"^(-?[0-9]{1,9}(\.[0-9]{1,18})?)?$")] = ""


class MarkFrame(msgspec.Struct, gc=False):
    data: MarkData


# [1700000040000,"42000","42010","41990","42001","12.5",1700000099999,"525000",40,"6.1","256000","0"]
# developers.binance.com/docs/binance-spot-api-docs/rest-api/market-data-endpoints#klinecandlestick-data
PastRow = tuple[Time, Price, Price, Price, Price, Size, Time, Any, Id, Any, Any, Any]


class VenueError(msgspec.Struct, gc=False):
    code: int = 0
    msg: str = ""


# The rest, and how a frame is recognised that the protocol has not met: {"result":null,"id":1} answers a request,
# {"error":{"code":2,"msg":"Invalid request"},"id":1} refuses one; over REST, {"code":-1121,"msg":"Invalid symbol."}
# developers.binance.com/docs/binance-spot-api-docs/web-socket-streams#live-subscribingunsubscribing-to-streams
class Head(msgspec.Struct, gc=False):
    stream: str = ""
    data: Raw | UnsetType = UNSET
    e: str = ""
    s: str = ""
    u: int | UnsetType = UNSET
    result: Raw | UnsetType = UNSET
    error: VenueError | UnsetType = UNSET
    code: int | UnsetType = UNSET
    msg: str = ""


read_trade = _reader(TradeFrame)
read_futures_trade = _reader(FuturesTradeFrame)
read_agg_trade = _reader(AggTradeFrame)
read_quote = _reader(QuoteFrame)
read_depth = _reader(DepthFrame)
read_futures_depth = _reader(FuturesDepthFrame)
read_partial = _reader(BookFrame)
read_futures_partial = _reader(FuturesBookFrame)
read_kline = _reader(KlineFrame)
read_ticker = _reader(TickerFrame)
read_mark = _reader(MarkFrame)
read_book = _reader(BookData)
read_past = _reader(list[PastRow])
read_head = msgspec.json.Decoder(Head).decode
