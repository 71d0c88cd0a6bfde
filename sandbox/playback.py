"""A recording played by the sandbox's clock: the venue's ids, prices and gaps in time as they were, its times moved.

It begins when somebody first listens, so that who comes first hears all of it, and it ends with the recording: after
that every stream is silent. A frame is sent as long after the beginning as it was heard after the recording's first.
The venue's times are moved by one amount, such that no frame is sent before it says it happened and the quickest one
takes no time. Klines are left out, since a venue's minutes cannot be moved: the sandbox makes its own from the trades.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from heapq import merge, nlargest, nsmallest
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from bus import inputs
from bus.clock import NEVER
from bus.inputs import Input
from daemon.errors import Usage
from feeds.binance.wire import to_ns
from feeds.detect import venue_of
from feeds.frames import Recording
from sandbox.listing import Terms, terms_of
from sandbox.venue import MS, Told

_TIMES = re.compile(r'"([ET])":(\d{13,16})\b')
_EVENTS = {
    "depthUpdate": "depth",
    "24hrTicker": "ticker",
    "24hrMiniTicker": "miniTicker",
    "markPriceUpdate": "markPrice",
}
_COUNTED = 2_000  # levels of a snapshot looked at to learn tick and lot of a symbol nobody has described


class Reel:
    """One file, looked through once before it is played."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.venue = venue_of(islice(self.inputs(), 100)) or ""
        self.first_ns, self.last_ns = NEVER, 0
        self.base_ns = NEVER  # what is played at the beginning: the first frame of the earliest reel of the same hour
        for item in self.inputs():
            if item.kind is None:
                assert item.ts is not None
                self.first_ns = min(self.first_ns, item.ts)
                self.last_ns = max(self.last_ns, item.ts)
        if not self.last_ns:
            raise Usage(f"{path} holds no frame to play")

    def inputs(self) -> Iterator[Input]:
        """All of its lines, from the start."""
        return (item for batch in Recording(self.path).batches() for item in batch)


def load(paths: Sequence[Path]) -> list[Reel]:
    """The reels of some files. Those recorded at the same time are played at the same time, the others each at once."""
    reels = [Reel(path) for path in paths]
    for reel in reels:
        together = [other for other in reels if other.first_ns <= reel.last_ns and other.last_ns >= reel.first_ns]
        reel.base_ns = min(other.first_ns for other in together)
    return reels


class BinanceTape:
    """The reels of one Binance venue."""

    def __init__(self, venue: str, reels: Sequence[Reel], scans: Sequence[_Scan] | None = None) -> None:
        self._venue = venue
        self._reels = reels
        self._scans = scans or [_scan(reel) for reel in reels]
        self.prints = "trade" if any(scan.singles for scan in self._scans) else "aggTrade"
        self._players = [_Player(reel, scan) for reel, scan in zip(reels, self._scans, strict=True)]
        self.symbols: Sequence[str] = sorted({symbol for player in self._players for symbol in player.books})
        self._books = {symbol: book for player in self._players for symbol, book in player.books.items()}
        self._listed: dict[str, dict[str, Any]] = {}
        for player in self._players:
            self._listed |= player.scan.listed

    def begin(self, now_ns: int, *, listening: bool) -> None:
        if listening:
            for player in self._players:
                player.begin(now_ns)

    def due(self) -> int:
        return min(player.due for player in self._players)

    def told(self, until_ns: int) -> Iterator[Told]:
        each = [player.told(until_ns) for player in self._players if player.due <= until_ns]
        return each[0] if len(each) == 1 else merge(*each, key=itemgetter(0))

    def book(self, symbol: str, limit: int) -> str:
        return self._books[symbol].reply(limit, max(player.now_ns for player in self._players) // MS)

    def terms(self, symbol: str) -> Terms:
        return terms_of(self._venue, symbol, *self._books[symbol].steps())

    def listed(self, symbol: str) -> dict[str, Any] | None:
        return self._listed.get(symbol)

    def past(self, symbol: str) -> None:
        """What came before was not recorded."""

    def again(self) -> BinanceTape:
        return BinanceTape(self._venue, self._reels, self._scans)


class _Scan:
    """What must be known of a reel before its first frame is played."""

    def __init__(self) -> None:
        self.lead_ns = NEVER  # the least by which a frame was heard after it happened; below 0 where clocks differ
        self.symbols: set[str] = set()
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.listed: dict[str, dict[str, Any]] = {}
        self.singles = False

    def see(self, item: Input) -> None:
        if item.kind == inputs.HTTP:
            self._see_reply(item)
        elif item.kind is None and (found := split(item.raw)):
            stream, data = found
            symbol, _, topic = stream.partition("@")
            self.symbols.add(symbol.upper())
            self.singles = self.singles or topic == "trade"
            at = data.find('"E":')
            if at >= 0 and item.ts is not None:
                happened = to_ns(int(data[at + 4 : _end(data, at + 4)]))
                self.lead_ns = min(self.lead_ns, item.ts - happened)

    def _see_reply(self, item: Input) -> None:
        address = urlsplit(item.url or "")
        if address.path.endswith("/depth"):
            symbol = parse_qs(address.query).get("symbol", [""])[0].upper()
            self.snapshots.setdefault(symbol, orjson.loads(item.raw))
        elif address.path.endswith("/exchangeInfo"):
            rows = orjson.loads(item.raw).get("symbols", ())
            self.listed |= {row["symbol"]: row for row in rows}


def _scan(reel: Reel) -> _Scan:
    scan = _Scan()
    for item in reel.inputs():
        scan.see(item)
    return scan


class _Player:
    """One reel being played."""

    def __init__(self, reel: Reel, scan: _Scan) -> None:
        self.scan = scan
        futures = reel.venue != "binance"
        self.books = {symbol: TextBook(scan.snapshots.get(symbol), futures=futures) for symbol in sorted(scan.symbols)}
        self.due = NEVER
        self.now_ns = 0
        self._reel = reel
        self._inputs = reel.inputs()
        self._next: Input | None = None
        self._begin_ns = -1
        self._shift_ms = 0

    def begin(self, now_ns: int) -> None:
        if self._begin_ns < 0:
            self._begin_ns = now_ns
            lead = self.scan.lead_ns if self.scan.lead_ns != NEVER else 0
            self._shift_ms = (now_ns - self._reel.base_ns + lead) // MS
            self._turn()

    def told(self, until_ns: int) -> Iterator[Told]:
        move = self._move
        while self.due <= until_ns:
            item, ns = self._next, self.due
            assert item is not None
            self.now_ns = ns
            self._turn()
            if item.kind == inputs.HTTP:
                self._renew(item)
                continue
            found = split(item.raw)
            if found is None:
                continue
            stream, data = found
            name, _, topic = stream.partition("@")
            kind = topic.partition("@")[0]
            if kind.startswith("kline"):
                continue
            symbol = name.upper()
            if kind == "depth":
                self.books[symbol].follow(orjson.loads(data))
            yield Told(ns, symbol, kind, _TIMES.sub(move, data))

    def _turn(self) -> None:
        for item in self._inputs:
            if item.kind in (None, inputs.HTTP) and item.ts is not None:
                self._next = item
                self.due = max(self._begin_ns, self._begin_ns + item.ts - self._reel.base_ns)
                return
        self._next, self.due = None, NEVER

    def _move(self, match: re.Match[str]) -> str:
        time = match[2]
        moved = int(time) + (self._shift_ms if len(time) == 13 else self._shift_ms * 1_000)
        return f'"{match[1]}":{moved}'

    def _renew(self, item: Input) -> None:
        address = urlsplit(item.url or "")
        symbol = parse_qs(address.query).get("symbol", [""])[0].upper()
        if address.path.endswith("/depth") and symbol in self.books:
            self.books[symbol].renew(orjson.loads(item.raw))


class TextBook:
    """A book in the venue's own decimal texts, kept by the venue's own procedure.

    It begins with the first snapshot of the recording, also where diffs came before that: those are in it already. A
    hole in the recording breaks it until the recording holds another snapshot.
    """

    def __init__(self, snapshot: dict[str, Any] | None, *, futures: bool) -> None:
        self.id = -1
        self._futures = futures
        self._linked = False
        self._bids: dict[str, str] = {}
        self._asks: dict[str, str] = {}
        if snapshot is not None:
            self._reset(snapshot)

    def follow(self, diff: dict[str, Any]) -> None:
        if self.id < 0 or diff["u"] < self.id or (diff["u"] == self.id and not self._futures):
            return
        if self._futures:
            follows = diff["pu"] == self.id if self._linked else diff["pu"] <= self.id
        else:
            follows = diff["U"] <= self.id + 1
        if not follows:
            self.id = -1
            return
        self.id, self._linked = diff["u"], True
        for side, levels in ((self._bids, diff["b"]), (self._asks, diff["a"])):
            for price, size in levels:
                if float(size):
                    side[price] = size
                else:
                    side.pop(price, None)

    def renew(self, snapshot: dict[str, Any]) -> None:
        if self.id < 0:
            self._reset(snapshot)

    def reply(self, limit: int, ms: int) -> str:
        """The best ``limit`` levels a side as REST answers; "" while the book is not known."""
        if self.id < 0:
            return ""
        bids = [[price, self._bids[price]] for price in nlargest(limit, self._bids, key=float)]
        asks = [[price, self._asks[price]] for price in nsmallest(limit, self._asks, key=float)]
        times = {"E": ms, "T": ms} if self._futures else {}
        return orjson.dumps({"lastUpdateId": self.id, **times, "bids": bids, "asks": asks}).decode()

    def steps(self) -> tuple[Decimal, Decimal]:
        """The tick and the lot that its texts suggest."""
        prices, sizes = [*self._bids, *self._asks][:_COUNTED], [*self._bids.values(), *self._asks.values()][:_COUNTED]
        return _step(prices), _step(sizes)

    def _reset(self, snapshot: dict[str, Any]) -> None:
        self.id, self._linked = snapshot["lastUpdateId"], False
        self._bids = dict(snapshot["bids"])
        self._asks = dict(snapshot["asks"])


def split(raw: str) -> tuple[str, str] | None:
    """The stream and the data of a frame, bare or in an envelope; None for what belongs to no symbol."""
    if raw.startswith('{"stream":"'):
        at = raw.index('"', 11)
        return None if raw[11] == "!" else (raw[11:at], raw[at + 9 : -1])
    body = orjson.loads(raw)
    if not isinstance(body, dict) or "s" not in body:
        return None
    kind = str(body.get("e") or "bookTicker")
    return f"{body['s'].lower()}@{_EVENTS.get(kind, kind)}", raw


def _end(text: str, at: int) -> int:
    while text[at].isdigit():
        at += 1
    return at


def _step(texts: Sequence[str]) -> Decimal:
    places = max((len(text.partition(".")[2].rstrip("0")) for text in texts), default=8)
    return Decimal(1).scaleb(-places)
