"""A symbol's candles, made from its trades by the venue's own time.

Everything is counted in whole hundred-millionths, so volumes are exact. Kept are the minutes, and the seconds of the
last while; longer candles are folded from the minutes when somebody asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

UNIT = 100_000_000  # prices and sizes have at most eight places
SECOND_MS, MINUTE_MS, DAY_MS = 1_000, 60_000, 86_400_000

INTERVALS = {
    "1s": SECOND_MS,
    **{f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)},
    **{f"{n}h": n * 60 * MINUTE_MS for n in (1, 2, 4, 6, 8, 12)},
    **{f"{n}d": n * 1_440 * MINUTE_MS for n in (1, 3)},
    "1w": 7 * 1_440 * MINUTE_MS,
}
"""The venue's intervals in milliseconds. A month has no length; it is not offered."""

_MONDAY = 4 * 1_440 * MINUTE_MS  # the first one after the epoch
_MINUTES_KEPT, _SECONDS_KEPT = 100_000, 3_600


class Candle:
    """One interval. Without a trade it is flat and its ids are -1, as at the venue."""

    __slots__ = (
        "bought",
        "close",
        "first",
        "high",
        "last",
        "low",
        "open",
        "start_ms",
        "trades",
        "turnover",
        "turnover_bought",
        "volume",
    )

    def __init__(self, start_ms: int, price: int) -> None:
        self.start_ms = start_ms
        self.open = self.high = self.low = self.close = price
        self.first = self.last = -1
        self.trades = self.volume = self.turnover = self.bought = self.turnover_bought = 0

    def trade(self, id: int, price: int, size: int, buys: bool) -> None:
        if not self.trades:
            self.open = self.high = self.low = price
            self.first = id
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        self.close = price
        self.last = id
        self.trades += 1
        self.volume += size
        self.turnover += price * size
        if buys:
            self.bought += size
            self.turnover_bought += price * size

    def fold(self, other: Candle) -> None:
        """Take in a later one."""
        if not other.trades:
            return
        if not self.trades:
            self.open, self.high, self.low, self.first = other.open, other.high, other.low, other.first
        self.high, self.low, self.close = max(self.high, other.high), min(self.low, other.low), other.close
        self.last = other.last
        self.trades += other.trades
        self.volume += other.volume
        self.turnover += other.turnover
        self.bought += other.bought
        self.turnover_bought += other.turnover_bought

    def row(self, interval_ms: int) -> list[Any]:
        """As the venue's REST answer has it."""
        return [
            self.start_ms,
            *(text(value) for value in (self.open, self.high, self.low, self.close, self.volume)),
            self.start_ms + interval_ms - 1,
            text(self.turnover // UNIT),
            self.trades,
            text(self.bought),
            text(self.turnover_bought // UNIT),
            "0",
        ]

    def stream(self, symbol: str, interval: str, *, closed: bool) -> dict[str, Any]:
        """The ``k`` of a kline frame."""
        return {
            "t": self.start_ms,
            "T": self.start_ms + INTERVALS[interval] - 1,
            "s": symbol,
            "i": interval,
            "f": self.first,
            "L": self.last,
            "o": text(self.open),
            "c": text(self.close),
            "h": text(self.high),
            "l": text(self.low),
            "v": text(self.volume),
            "n": self.trades,
            "x": closed,
            "q": text(self.turnover // UNIT),
            "V": text(self.bought),
            "Q": text(self.turnover_bought // UNIT),
            "B": "0",
        }


class Past(Protocol):
    """The minutes before the beginning, a day at a time: day 0 ends at ``end_ms``, day 1 where day 0 begins, …"""

    end_ms: int
    days: int

    def day(self, number: int) -> Iterator[Candle]: ...


class Candles:
    """What one symbol's trades come to. Of the past only those days are remembered that somebody asked for."""

    def __init__(self) -> None:
        self.last_price = 0
        self.past: Past | None = None
        self._minutes: dict[int, Candle] = {}
        self._seconds: dict[int, Candle] = {}
        self._recalled = 0  # days
        self._day_until = -1
        self._day = Candle(0, 0)

    def trade(self, ms: int, id: int, price: int, size: int, buys: bool) -> None:
        for kept, length, most in (
            (self._minutes, MINUTE_MS, _MINUTES_KEPT),
            (self._seconds, SECOND_MS, _SECONDS_KEPT),
        ):
            start = ms - ms % length
            candle = kept.get(start)
            if candle is None:
                candle = kept[start] = Candle(start, price)
                if len(kept) > most:
                    del kept[next(iter(kept))]
            candle.trade(id, price, size, buys)
        self.last_price = price

    def at(self, start_ms: int, interval_ms: int) -> Candle:
        """The candle that begins at ``start_ms``."""
        kept, _ = self._kept(interval_ms, start_ms)
        return self._folded(start_ms, interval_ms, self._close_before(start_ms, kept))

    def day(self, ms: int) -> Candle:
        """The last 1,440 minutes in one."""
        now = floor(ms, MINUTE_MS)
        first = now - 1_439 * MINUTE_MS
        if self._day_until != now:  # all but the last of them hardly change any more
            kept, _ = self._kept(MINUTE_MS, first)
            self._day_until, self._day = now, self._folded(first, now - first, self._close_before(first, kept))
        day = Candle(first, self._day.close)
        day.fold(self._day)
        if (forming := self._minutes.get(now)) is not None:
            day.fold(forming)
        return day

    def rows(self, interval_ms: int, first_ms: int, last_ms: int, limit: int) -> list[list[Any]]:
        """REST rows of the candles that begin from ``first_ms`` to ``last_ms``, the first ``limit`` of them."""
        kept, _ = self._kept(interval_ms, first_ms)
        if not kept:
            return []
        start = floor(max(first_ms, next(iter(kept))), interval_ms)
        rows: list[list[Any]] = []
        if start < first_ms:
            start += interval_ms
        close = self._close_before(start, kept)
        while start <= last_ms and len(rows) < limit:
            candle = self._folded(start, interval_ms, close)
            close = candle.close
            rows.append(candle.row(interval_ms))
            start += interval_ms
        return rows

    def _folded(self, start_ms: int, interval_ms: int, price: int) -> Candle:
        kept, length = self._kept(interval_ms, start_ms)
        folded = Candle(start_ms, price)
        for start in range(start_ms, start_ms + interval_ms, length):
            found = kept.get(start)
            if found is not None:
                folded.fold(found)
        return folded

    def _kept(self, interval_ms: int, from_ms: int) -> tuple[dict[int, Candle], int]:
        """What a candle of this length is folded from, back to ``from_ms`` as far as anything is known."""
        if interval_ms < MINUTE_MS:
            return self._seconds, SECOND_MS
        past = self.past
        while past and self._recalled < past.days and from_ms <= past.end_ms - self._recalled * DAY_MS:
            self._minutes = {**{each.start_ms: each for each in past.day(self._recalled)}, **self._minutes}
            self._recalled += 1
        return self._minutes, MINUTE_MS

    def _close_before(self, start_ms: int, kept: dict[int, Candle]) -> int:
        for start in reversed(kept):
            if start < start_ms:
                return kept[start].close
        return next(iter(kept.values())).open if kept else self.last_price


def floor(ms: int, interval_ms: int) -> int:
    """The beginning of the interval that ``ms`` is in. Weeks begin on Mondays."""
    shift = _MONDAY if interval_ms == INTERVALS["1w"] else 0
    return ms - (ms - shift) % interval_ms


def units(decimal: str) -> int:
    """Decimal text in hundred-millionths, exactly."""
    whole, _, part = decimal.partition(".")
    return int(whole + part[:8].ljust(8, "0"))


def text(value: int) -> str:
    """Hundred-millionths as the venue writes them."""
    whole, part = divmod(value, UNIT)
    return f"{whole}.{part:08d}"
