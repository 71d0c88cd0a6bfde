"""What Coinbase Advanced Trade's live side says: channels of products, and heartbeats that keep a quiet one open.

Books come with the subscription to them, so a broken one is subscribed to again. Nothing here needs a key.
docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-overview
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import urlencode

from bus.clock import SECOND
from feeds.coinbase import protocol
from feeds.connection import Terms
from feeds.live import Endpoints, Line, Past, Wanted

ENDPOINTS: Mapping[str, Endpoints] = {
    "coinbase": Endpoints(("wss://advanced-trade-ws.coinbase.com",), "https://api.coinbase.com"),
}

GRANULARITIES = {span: name for name, span in protocol.GRANULARITIES.items()}
_CANDLES_MAX = 350
_CHANNELS = {
    "trade": "market_trades",
    "quote": "ticker",
    "ticker": "ticker",
    "book": "level2",
    "kline": "candles",
}
_QUIET = ('"channel":"heartbeats"', '"channel":"subscriptions"')
_FRAME_MAX = 1 << 26  # a whole book comes in one frame


class CoinbaseDialect:
    """8 messages and 8 connects a second from an address; no connection has an age."""

    streams = tuple(_CHANNELS)
    terms = Terms(6, 1.25, 500, 4, 2.0, 0.0, by_address=True, frame_max=_FRAME_MAX)
    requests = (4, 1.0)

    def lines(self, wanted: Sequence[Wanted]) -> list[Line]:
        topics: dict[str, tuple[str, str]] = {}
        for each in wanted:
            for stream in each.streams:
                # Quote and ticker are one channel.
                topics.setdefault(f"{_CHANNELS[stream]}:{each.symbol}", (each.instrument, stream))
        items = list(topics.items())
        most = self.terms.streams
        return [Line("", dict(items[at : at + most])) for at in range(0, len(items), most)]

    def subscribe(self, topics: Collection[str]) -> list[str]:
        return [*_control("subscribe", topics), json.dumps({"type": "subscribe", "channel": "heartbeats"})]

    def unsubscribe(self, topics: Collection[str]) -> list[str]:
        return _control("unsubscribe", topics)

    def is_data(self, raw: str) -> bool:
        head = raw[:64].replace(" ", "")
        return head.startswith('{"channel"') and not any(quiet in head for quiet in _QUIET)

    def listing(self, symbols: Sequence[str]) -> str:
        return f"/api/v3/brokerage/market/products?{urlencode([('product_ids', symbol) for symbol in sorted(symbols)])}"

    def snapshot(self, symbol: str) -> None:
        return None

    def past(self, symbol: str, past: Past, now_ns: int) -> str | None:
        granularity = GRANULARITIES.get(past.interval_ns)
        if granularity is None:
            return None
        end = now_ns // SECOND
        start = end - min(past.bars + 1, _CANDLES_MAX - 1) * past.interval_ns // SECOND
        query = {"start": start, "end": end, "granularity": granularity, "limit": _CANDLES_MAX}
        return f"/api/v3/brokerage/market/products/{symbol}/candles?{urlencode(query)}"


def _control(kind: str, topics: Collection[str]) -> list[str]:
    """One channel a message, as the venue wants it."""
    products: dict[str, list[str]] = {}
    for topic in sorted(topics):
        channel, _, product = topic.partition(":")
        products.setdefault(channel, []).append(product)
    return [json.dumps({"type": kind, "channel": channel, "product_ids": ids}) for channel, ids in products.items()]
