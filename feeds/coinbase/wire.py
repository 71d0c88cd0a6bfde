"""What Coinbase's two market-data sockets send, as typed structs, and the reader that picks among them.

msgspec checks while it parses: decimal text becomes float in C, and a price that is zero, negative, infinite or not a
number never gets further. Fields we do not use are not named and cost nothing.

Advanced Trade: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels
Exchange: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from feeds.port import Unparsed

Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
Price = Annotated[float, Meta(gt=0, lt=1e15)]
Size = Annotated[float, Meta(ge=0, lt=1e18)]
Traded = Annotated[float, Meta(gt=0, lt=1e18)]
Number = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Seconds = Annotated[int, Meta(ge=0, le=(2**63 - 1) // 1_000_000_000 - 300)]
# A side of the market with nobody on it: left out, "" or "0".
MaybePrice = Annotated[float, Meta(ge=0, lt=1e15)] | Literal[""]
MaybeSize = Size | Literal[""]

# --- Advanced Trade: {"channel", "timestamp", "sequence_num", "events": [...]} ---------------------------------


class Numbered(Struct, gc=False):
    """Every message of a connection, whatever its channel, has the next number."""

    timestamp: str
    sequence_num: Number


class Level(Struct, gc=False):
    side: Literal["bid", "offer"]
    event_time: str
    price_level: Price
    new_quantity: Size


class DepthEvent(Struct, gc=False):
    type: Literal["snapshot", "update"]
    product_id: Symbol
    updates: list[Level]


class Depth(Numbered, gc=False):
    # {"channel":"l2_data","timestamp":"2026-01-02T03:04:05.678Z","sequence_num":7,"events":[{"type":"update",
    #  "product_id":"AAA-USD","updates":[{"side":"bid","event_time":"…","price_level":"10.1","new_quantity":"0"}]}]}
    events: list[DepthEvent]


class PublicTrade(Struct, gc=False):
    product_id: Symbol
    trade_id: Number
    price: Price
    size: Traded
    time: str
    side: Literal["BUY", "SELL"]


class TradesEvent(Struct, gc=False):
    type: Literal["snapshot", "update"]
    trades: list[PublicTrade]


class Trades(Numbered, gc=False):
    events: list[TradesEvent]


class Summary(Struct, gc=False):
    product_id: Symbol
    price: Price
    volume_24_h: Size
    best_bid: MaybePrice = 0.0
    best_bid_quantity: MaybeSize = 0.0
    best_ask: MaybePrice = 0.0
    best_ask_quantity: MaybeSize = 0.0


class SummaryEvent(Struct, gc=False):
    tickers: list[Summary]


class Summaries(Numbered, gc=False):
    events: list[SummaryEvent]


class Candle(Struct, gc=False):
    product_id: Symbol
    start: Seconds
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Size


class CandlesEvent(Struct, gc=False):
    candles: list[Candle]


class PastCandle(Struct, gc=False):
    # {"start":"1700000040","low":"41990","high":"42010","open":"42000","close":"42001","volume":"12.5"}, newest first
    # docs.cdp.coinbase.com/api-reference/advanced-trade-api/rest-api/public/get-public-product-candles
    start: Seconds
    open: Price
    high: Price
    low: Price
    close: Price
    volume: Size


class PastCandles(Struct, gc=False):
    candles: list[PastCandle]


class Candles(Numbered, gc=False):
    events: list[CandlesEvent]


class QuietNumbered(Numbered, gc=False):
    """Heartbeats, subscription and product lists: nothing to publish, but each has its number."""


# --- Exchange: {"type", "product_id", ...}, unnumbered where it concerns the book ------------------------------


class Snapshot(Struct, gc=False):
    product_id: Symbol
    bids: list[tuple[Price, Size]]
    asks: list[tuple[Price, Size]]
    time: str | None = None


class Update(Struct, gc=False):
    # {"type":"l2update","product_id":"AAA-USD","changes":[["buy","10.1","0.00"]],"time":"2026-01-02T03:04:05.678Z"}
    product_id: Symbol
    changes: list[tuple[Literal["buy", "sell"], Price, Size]]
    time: str


class Match(Struct, gc=False):
    product_id: Symbol
    trade_id: Number
    price: Price
    size: Traded
    side: Literal["buy", "sell"]
    time: str


class LastMatch(Struct, gc=False):
    product_id: Symbol
    trade_id: Number


class Ticker(Struct, gc=False):
    product_id: Symbol
    price: Price
    volume_24h: Size
    sequence: Number = 0
    time: str | None = None
    best_bid: MaybePrice = 0.0
    best_bid_size: MaybeSize = 0.0
    best_ask: MaybePrice = 0.0
    best_ask_size: MaybeSize = 0.0


class Quiet(Struct, gc=False):
    """Acknowledgements, heartbeats, and the order-by-order messages of the full channel: nothing to publish."""


# --- picking ---------------------------------------------------------------------------------------------------

Message = TypeVar("Message")


def decode(decoder: msgspec.json.Decoder[Message], raw: str) -> Message:
    """What the decoder makes of the text, or Unparsed with its reason."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as reason:
        raise Unparsed(str(reason)) from reason


class Head(Struct, gc=False):
    """What can be asked of any message before we know which one it is."""

    channel: str = ""
    type: str = ""
    message: str = ""
    reason: str = ""


_HEAD = msgspec.json.Decoder(Head)


class Reader:
    """Text to struct, by the name a message carries under ``key``.

    The name is sliced from the text where it comes first, as both venues write it; otherwise it is looked for.
    """

    def __init__(self, key: Literal["channel", "type"], structs: Mapping[str, type[Struct]]) -> None:
        self._key = key
        self._opening = f'{{"{key}":"'
        self._decoders: dict[str, msgspec.json.Decoder[Any]] = {
            name: msgspec.json.Decoder(struct, strict=False) for name, struct in structs.items()
        }

    def read(self, raw: str) -> Any:
        """One of the structs given, or Unparsed, with the venue's own words where it reports an error."""
        opening = self._opening
        if raw.startswith(opening):
            start = len(opening)
            name = raw[start : raw.find('"', start)]
        else:
            name = getattr(decode(_HEAD, raw), self._key)
        decoder = self._decoders.get(name)
        if decoder is not None:
            return decode(decoder, raw)
        head = decode(_HEAD, raw)
        if head.type == "error":
            raise Unparsed(f"the venue says: {head.message} {head.reason}".rstrip())
        raise Unparsed(f"unknown {self._key}: {name[:60]!r}")


ADVANCED = Reader(
    "channel",
    {
        "l2_data": Depth,
        "market_trades": Trades,
        "ticker": Summaries,
        "ticker_batch": Summaries,
        "candles": Candles,
        **dict.fromkeys(("heartbeats", "subscriptions", "status"), QuietNumbered),
    },
)

EXCHANGE = Reader(
    "type",
    {
        "snapshot": Snapshot,
        "l2update": Update,
        "match": Match,
        "last_match": LastMatch,
        "ticker": Ticker,
        **dict.fromkeys(
            ("subscriptions", "heartbeat", "status", "received", "open", "done", "change", "activate"), Quiet
        ),
    },
)
