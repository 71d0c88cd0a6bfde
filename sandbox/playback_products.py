"""A recording of Coinbase Advanced Trade, played: what happened to its products, at times of the sandbox's own.

Snapshots are taken out of the stream: they are what the products begin with, and each new subscriber is given one of
its own. Candles and heartbeats are made again. Numbers are each connection's own and given when it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from heapq import merge
from operator import itemgetter
from typing import Any

import orjson

from bus import inputs
from bus.clock import NEVER
from bus.inputs import Input
from feeds.coinbase.rfc3339 import nanoseconds
from sandbox.listing import Terms, terms_of
from sandbox.playback import Reel
from sandbox.products import Event, rfc3339

_CHANNELS = {"l2_data": "level2", "market_trades": "market_trades", "ticker": "ticker"}
_LISTS = {"level2": "updates", "market_trades": "trades", "ticker": "tickers"}
_STEPS = Decimal("0.01"), Decimal("0.00000001")


class CoinbaseTape:
    """The reels of Coinbase."""

    def __init__(self, reels: Sequence[Reel]) -> None:
        self._players = [_Player(reel) for reel in reels]
        self.products: Sequence[str] = sorted({name for player in self._players for name in player.products})

    def begin(self, now_ns: int, *, listening: bool) -> None:
        for player in self._players:
            player.begin(now_ns, listening=listening)

    def due(self) -> int:
        return min(player.due for player in self._players)

    def told(self, until_ns: int) -> Iterator[Event]:
        each = [player.told(until_ns) for player in self._players if player.due <= until_ns]
        return each[0] if len(each) == 1 else merge(*each, key=itemgetter(0))

    def opening(self, product: str) -> Iterator[Event]:
        for player in self._players:
            yield from player.opening(product)

    def terms(self, product: str) -> Terms:
        return terms_of("coinbase", product, *_STEPS)

    def listed(self, product: str) -> dict[str, Any] | None:
        return next((player.listed[product] for player in self._players if product in player.listed), None)

    def past(self, product: str) -> None:
        """What came before was not recorded."""


class _Player:
    """One reel being played."""

    def __init__(self, reel: Reel) -> None:
        self.listed: dict[str, dict[str, Any]] = {}
        self.products: set[str] = set()
        self.due = NEVER
        self._reel = reel
        self._lead_ns = NEVER
        self._opening: dict[tuple[str, str], dict[str, Any]] = {}
        for item in reel.inputs():
            self._look_at(item)
        self._events = self._played()
        self._next: Event | None = None
        self._begun = False
        self._shift_ns = 0
        self._start_ns = 0

    def begin(self, now_ns: int, *, listening: bool) -> None:
        """Times can be told as soon as anybody asks; it plays from when somebody listens."""
        if not self._begun:
            self._start_ns = now_ns
            self._shift_ns = now_ns - self._reel.base_ns + self._lead_ns
            if listening:
                self._begun = True
                self._turn()

    def told(self, until_ns: int) -> Iterator[Event]:
        while self.due <= until_ns:
            event = self._next
            assert event is not None
            self._turn()
            yield event

    def opening(self, product: str) -> Iterator[Event]:
        for channel in _LISTS:
            if (body := self._opening.get((product, channel))) is not None:
                yield Event(self._start_ns, product, channel, self._moved(channel, body))

    def _turn(self) -> None:
        self._next = next(self._events, None)
        self.due = NEVER if self._next is None else self._next.ns

    def _look_at(self, item: Input) -> None:
        if item.kind == inputs.HTTP and (item.url or "").partition("?")[0].endswith("/products"):
            self.listed = {row["product_id"]: row for row in orjson.loads(item.raw)["products"]}
        elif item.kind is None and item.ts is not None:
            message = orjson.loads(item.raw)
            self._lead_ns = min(self._lead_ns, item.ts - nanoseconds(message["timestamp"]))
            for product, channel, body in _events(message):
                self.products.add(product)
                if body["type"] == "snapshot":
                    self._opening.setdefault((product, channel), body)

    def _played(self) -> Iterator[Event]:
        opened: set[tuple[str, str]] = set()
        for item in self._reel.inputs():
            if item.kind is None and item.ts is not None:
                ns = self._start_ns + max(0, item.ts - self._reel.base_ns)
                for product, channel, body in _events(orjson.loads(item.raw)):
                    if body["type"] == "snapshot" and (product, channel) not in opened:
                        opened.add((product, channel))
                    else:
                        yield Event(ns, product, channel, self._moved(channel, body))

    def _moved(self, channel: str, body: dict[str, Any]) -> dict[str, Any]:
        key = {"level2": "event_time", "market_trades": "time"}.get(channel)
        if key is None:
            return body
        listed = _LISTS[channel]
        moved: dict[str, str] = {}  # the levels of one event mostly share their time
        for entry in body[listed]:
            if (time := entry[key]) not in moved:
                moved[time] = rfc3339(nanoseconds(time) + self._shift_ns)
        return {**body, listed: [{**entry, key: moved[entry[key]]} for entry in body[listed]]}


def _events(message: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(product, channel, event) of what a frame says of products; an event of several is told apart."""
    channel = _CHANNELS.get(message.get("channel", ""))
    if channel is None:
        return
    listed = _LISTS[channel]
    for event in message["events"]:
        if "product_id" in event:
            yield event["product_id"], channel, event
            continue
        by_product: dict[str, list[Any]] = {}
        for entry in event[listed]:
            by_product.setdefault(entry["product_id"], []).append(entry)
        for product, entries in by_product.items():
            yield product, channel, {**event, listed: entries}
