"""A market in steps, for runs that are to be compared though no two hear the same frame at the same nanosecond.

Every four seconds it moves: the book is another, trades on both sides reach what rests between the old price and the
new, and one more trade, of the size ``SIGN``, is the sign to decide. For the rest of a step everything goes on being
said and nothing changes: a level far away, the same quote, a trade in the middle of the spread. Messages whose latency
is one of ``LATENCIES`` arrive in the second half of a step, with time to spare before the next. Whoever comes in the
first half has heard of every stream, and built the book, before the next begins.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from bus import inputs
from bus.clock import SECOND
from bus.inputs import Input
from feeds.frames import RecordingWriter
from sandbox import market
from sandbox.market import START_NS

STEP_NS = 4 * SECOND
FIRST_NS = START_NS + STEP_NS
"""When the first step begins: whoever hears it has had time to get ready."""
LATENCIES = 'model = "measured", samples_ms = [2300, 2500, 6400]'
SIGN = 0.25
MS = 1_000_000
_BETWEEN_NS, _FARTHEST = 200 * MS, 19  # of what is said between steps
_MOVE, _SPACE, _LEVELS = 12, 2, 40  # whole dollars
_MIDDLE = 61_000


class Steps:
    """``count`` of them. ``write`` makes the recording; ``sent_ns`` is when each trade was sent."""

    def __init__(self, steps: int, seed: int = 5) -> None:
        self.sent_ns: dict[int, int] = {}
        self.count = steps
        self._chance = random.Random(seed)
        self._id = self._said = 1_000
        self._trade = 5_000
        self._book: dict[tuple[str, int], str] = {}

    def write(self, path: Path) -> None:
        with RecordingWriter(path) as writer:
            for line in self._lines():
                writer.write(line)

    def _lines(self) -> Iterator[Input]:
        middle = _MIDDLE
        self._book = self._at(middle)
        for item in market.generate(1, 0.001):
            if item.kind == inputs.HTTP and "exchangeInfo" in (item.url or ""):
                yield Input(item.raw, START_NS, "http", inputs.HTTP, item.url)
            elif item.kind == inputs.HTTP:
                sides = {side: self._levels(side, self._book) for side in ("bids", "asks")}
                raw = json.dumps({"lastUpdateId": self._id, **sides})
                yield Input(raw, START_NS, "http", inputs.HTTP, item.url)
        for number in range(1, _FARTHEST + 1):
            yield from self._between(START_NS + number * _BETWEEN_NS, middle)
        for step in range(self.count):
            start_ns = FIRST_NS + step * STEP_NS
            middle = min(max(middle + self._chance.randint(-_MOVE, _MOVE), _MIDDLE - 300), _MIDDLE + 300)
            yield from self._move(start_ns, middle)
            for number in range(1, _FARTHEST + 1):
                yield from self._between(start_ns + number * _BETWEEN_NS, middle)

    def _move(self, ns: int, middle: int) -> Iterator[Input]:
        before, self._book = self._book, self._at(middle)
        changed = {key: self._book.get(key, "0.00000") for key in before | self._book}
        yield self._diff(ns, changed)
        yield self._quote(ns + 1 * MS, middle)
        yield self._print(ns + 2 * MS, middle - 1, 1.0, maker=True)
        yield self._print(ns + 3 * MS, middle + 1, 1.0, maker=False)
        yield self._print(ns + 4 * MS, middle, SIGN, maker=True)

    def _between(self, ns: int, middle: int) -> Iterator[Input]:
        far = ("bids", _MIDDLE - 900)
        self._book[far] = f"{1 + self._id % 7}.00000"
        yield self._diff(ns, {far: self._book[far]})
        yield self._quote(ns + 1 * MS, middle)
        yield self._print(ns + 2 * MS, middle, 0.001, maker=bool(self._trade % 2))

    def _at(self, middle: int) -> dict[tuple[str, int], str]:
        """A whole book around a price."""
        size = self._chance.uniform
        sides = (("bids", -1), ("asks", 1))
        return {
            (side, middle + sign * (1 + _SPACE * level)): f"{size(2, 9):.5f}"
            for side, sign in sides
            for level in range(_LEVELS)
        }

    def _levels(self, side: str, book: dict[tuple[str, int], str]) -> list[list[str]]:
        prices = sorted((price for named, price in book if named == side), reverse=side == "bids")
        return [[f"{price}.00", book[side, price]] for price in prices]

    def _diff(self, ns: int, levels: dict[tuple[str, int], str]) -> Input:
        first, self._id = self._said + 1, self._id + 1
        self._said = self._id
        sides = {letter: self._levels(side, levels) for letter, side in (("b", "bids"), ("a", "asks"))}
        body = {"e": "depthUpdate", "E": ns // MS, "s": "BTCUSDT", "U": first, "u": self._id, **sides}
        return _frame(ns, "depth@100ms", body)

    def _quote(self, ns: int, middle: int) -> Input:
        self._id += 1
        prices = {"b": f"{middle - 1}.00", "B": "2.00000", "a": f"{middle + 1}.00", "A": "2.00000"}
        return _frame(ns, "bookTicker", {"u": self._id, "s": "BTCUSDT", **prices})

    def _print(self, ns: int, price: int, size: float, *, maker: bool) -> Input:
        self._trade += 1
        self.sent_ns[self._trade] = ns
        ms = ns // MS
        body = {
            "e": "trade", "E": ms, "s": "BTCUSDT", "t": self._trade, "p": f"{price}.00", "q": f"{size:.5f}", "T": ms,
            "m": maker, "M": True,
        }  # fmt: skip
        return _frame(ns, "trade", body)


def _frame(ns: int, stream: str, body: dict[str, object]) -> Input:
    return Input(json.dumps({"stream": f"btcusdt@{stream}", "data": body}, separators=(",", ":")), ns, "spot")
