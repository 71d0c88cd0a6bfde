"""What Binance's live side says: topics by name, one control message for many, books and bars over REST.

developers.binance.com/docs/binance-spot-api-docs/web-socket-streams
developers.binance.com/docs/derivatives/usds-margined-futures/websocket-market-streams/Connect
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from urllib.parse import quote

from bus.clock import DAY, HOUR, MINUTE, SECOND
from feeds.connection import Terms
from feeds.live import STREAMS, Endpoints, Line, Past, Wanted

ENDPOINTS: Mapping[str, Endpoints] = {
    "binance": Endpoints(
        ("wss://stream.binance.com:9443", "wss://stream.binance.com:443", "wss://data-stream.binance.vision"),
        "https://api.binance.com",
    ),
    "binanceusdm": Endpoints(("wss://fstream.binance.com",), "https://fapi.binance.com"),
}

INTERVALS = {
    SECOND: "1s",
    **{n * MINUTE: f"{n}m" for n in (1, 3, 5, 15, 30)},
    **{n * HOUR: f"{n}h" for n in (1, 2, 4, 6, 8, 12)},
    DAY: "1d",
    3 * DAY: "3d",
    7 * DAY: "1w",
}
KLINE = "1m"  # of the stream; bars of other lengths are built from trades

_LIFE_S = 23 * 3_600  # of the 24 hours
_AT_ONCE = 200  # topics in one control message
_CHANNELS = {
    "quote": "bookTicker",
    "book": "depth@100ms",
    "kline": f"kline_{KLINE}",
    "ticker": "ticker",
    "mark": "markPrice@1s",
}
_PUBLIC = ("quote", "book")  # USD-M sends these from an address of their own


class BinanceDialect:
    """Spot, or USD-M with ``futures``.

    Spot takes 5 messages a second, pings and pongs among them; one is kept free of the five, and a second is counted a
    little long, because the venue counts when it hears. Both take 300 connects in 5 minutes from an address.
    """

    def __init__(self, *, futures: bool) -> None:
        self._futures = futures
        self.streams = STREAMS if futures else STREAMS[:-1]  # spot has no mark price
        self._root = "/fapi/v1/" if futures else "/api/v3/"
        self._asked = 0
        self.terms = Terms(8 if futures else 4, 1.25, 1_000, 100, 300.0, _LIFE_S)
        self.requests = (60, 60.0)  # a snapshot weighs 50 of 6,000 a minute on spot, 20 of 2,400 on USD-M

    def lines(self, wanted: Sequence[Wanted]) -> list[Line]:
        topics = {
            f"{each.symbol.lower()}@{self._channel(stream)}": (each.instrument, stream)
            for each in wanted
            for stream in each.streams
        }
        if not self._futures:
            return _cut("/stream", topics, self.terms.streams)
        public = {topic: what for topic, what in topics.items() if what[1] in _PUBLIC}
        market = {topic: what for topic, what in topics.items() if what[1] not in _PUBLIC}
        return [
            *_cut("/public/stream", public, self.terms.streams),
            *_cut("/market/stream", market, self.terms.streams),
        ]

    def subscribe(self, topics: Collection[str]) -> list[str]:
        return self._control("SUBSCRIBE", topics)

    def unsubscribe(self, topics: Collection[str]) -> list[str]:
        return self._control("UNSUBSCRIBE", topics)

    def is_data(self, raw: str) -> bool:
        return raw.startswith('{"stream"')

    def listing(self, symbols: Sequence[str]) -> str:
        if self._futures:  # USD-M tells all or nothing
            return f"{self._root}exchangeInfo"
        return f"{self._root}exchangeInfo?symbols={quote(json.dumps(sorted(symbols), separators=(',', ':')))}"

    def snapshot(self, symbol: str) -> str:
        return f"{self._root}depth?symbol={symbol}&limit=1000"

    def past(self, symbol: str, past: Past, now_ns: int) -> str | None:
        interval = INTERVALS.get(past.interval_ns)
        if interval is None or (self._futures and interval == "1s"):
            return None
        return f"{self._root}klines?symbol={symbol}&interval={interval}&limit={min(past.bars + 1, 1_000)}"

    def _channel(self, stream: str) -> str:
        if stream == "trade":  # USD-M documents its aggregates only
            return "aggTrade" if self._futures else "trade"
        return _CHANNELS[stream]

    def _control(self, method: str, topics: Collection[str]) -> list[str]:
        names = sorted(topics)
        messages = []
        for at in range(0, len(names), _AT_ONCE):
            self._asked += 1
            messages.append(json.dumps({"method": method, "params": names[at : at + _AT_ONCE], "id": self._asked}))
        return messages


def _cut(path: str, topics: Mapping[str, tuple[str, str]], most: int) -> list[Line]:
    items = list(topics.items())
    return [Line(path, dict(items[at : at + most])) for at in range(0, len(items), most)]
