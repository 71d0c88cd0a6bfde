"""Frames as Coinbase Advanced Trade would send them, made by hand, and how to damage a frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from hypothesis import strategies as st

from feeds.coinbase.protocol import CoinbaseAdvancedProtocol
from feeds.port import Counts, VenueProtocol

CONN = "ws.1"
STAMP = "2026-01-02T03:04:05.000000007Z"
STAMP_NS = 1_767_323_045_000_000_007


def advanced() -> CoinbaseAdvancedProtocol:
    return CoinbaseAdvancedProtocol("coinbase", lambda venue, symbol: None)


def frame(channel: str, number: int, *events: dict[str, Any]) -> str:
    envelope = {"channel": channel, "timestamp": STAMP, "sequence_num": number, "events": events}
    return orjson.dumps(envelope).decode()


def depth(number: int, kind: str, product: str, bids: dict[str, str], asks: dict[str, str]) -> str:
    sides = [("bid", bids), ("offer", asks)]
    updates = [
        {"side": side, "event_time": "2026-01-02T03:04:04Z", "price_level": price, "new_quantity": size}
        for side, levels in sides
        for price, size in levels.items()
    ]
    return frame("l2_data", number, {"type": kind, "product_id": product, "updates": updates})


def trades(number: int, kind: str, ids: Iterable[int], product: str = "AAA-USD", side: str = "SELL") -> str:
    """Newest first, as the venue sends them."""
    items = [
        {"trade_id": str(i), "product_id": product, "price": "10", "size": "1", "time": STAMP, "side": side}
        for i in sorted(ids, reverse=True)
    ]
    return frame("market_trades", number, {"type": kind, "trades": items})


def candles(number: int, *buckets: tuple[int, str], product: str = "AAA-USD") -> str:
    items = [
        {
            "start": str(start),
            "open": "9",
            "high": "12",
            "low": "8",
            "close": close,
            "volume": "3",
            "product_id": product,
        }
        for start, close in buckets
    ]
    return frame("candles", number, {"type": "update", "candles": items})


def beat(number: int) -> str:
    event = {"current_time": "2026-01-02 03:04:05.5 +0000 UTC m=+1.5", "heartbeat_counter": str(number)}
    return frame("heartbeats", number, event)


def hear(venue: VenueProtocol, *frames: str, conn: str | None = CONN) -> list[Any]:
    return [event for raw in frames for event in venue.receive(raw, 5, conn)]


def counted(counts: Counts) -> dict[str, int]:
    return {name: getattr(counts, name) for name in counts.__slots__ if getattr(counts, name)}


def ticker(number: int, channel: str = "ticker", **fields: str) -> str:
    item = {"type": "ticker", "product_id": "AAA-USD", "price": "10.5", "volume_24_h": "100", **fields}
    return frame(channel, number, {"type": "update", "tickers": [item]})


@st.composite
def damaged(draw: st.DrawFn, frames: Sequence[str]) -> str:
    """A frame cut short, with a piece taken out, doubled or overwritten, or with its pieces in another order."""
    raw = draw(st.sampled_from(frames))
    start = draw(st.integers(0, len(raw)))
    end = draw(st.integers(start, min(len(raw), start + 12)))
    filler = draw(
        st.text(max_size=3) | st.sampled_from(['"', "}", "]", "-", "0", "null", "1e999", '"NaN"', "[[[", "\\"])
    )
    return draw(
        st.sampled_from(
            [
                raw[:end],
                raw[:start] + raw[end:],
                raw[:end] + raw[start:],
                raw[:start] + filler + raw[end:],
                ",".join(draw(st.permutations(raw.split(",")))),
            ]
        )
    )


SNAPSHOT = depth(0, "snapshot", "AAA-USD", {"10": "1"}, {"11": "2"})
