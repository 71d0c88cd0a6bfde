"""What the report's chart is drawn from: the sampled curve, and every fill, in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from bus.events import OrderFilled, Record, SessionClosed, SessionOpened, TradingStateChanged
from bus.journal import Entry
from bus.values import Side
from daemon.reading.digest import Gap, Reading

MARKERS = 400
"""Markers of one instrument, at most; fills that come closer than that allows share one."""
POINTS = 2_000
"""Points of equity, at most, where no curve was sampled."""
LAST_FILLS = 200

Value = TypeVar("Value")
Key = TypeVar("Key")


class Buckets(Generic[Key, Value]):
    """Values in time by key, merged into ever longer stretches so that no more than ``most`` are kept.

    ``most`` is at least the number of keys there can be.
    """

    def __init__(self, most: int, merge: Callable[[Value, Value], Value]) -> None:
        self.step_ns = 1
        self._most = most
        self._merge = merge
        self._kept: dict[tuple[Key, int], tuple[int, Value]] = {}

    def add(self, key: Key, ns: int, value: Value) -> None:
        self._put(key, ns, value)
        while len(self._kept) > self._most:
            self.step_ns *= 2
            kept, self._kept = self._kept, {}
            for (one, _), (at, old) in kept.items():
                self._put(one, at, old)

    def of(self, key: Key) -> list[tuple[int, Value]]:
        return [kept for (one, _), kept in self._kept.items() if one == key]

    def __len__(self) -> int:
        return len(self._kept)

    def _put(self, key: Key, ns: int, value: Value) -> None:
        place = key, ns // self.step_ns
        before = self._kept.get(place)
        self._kept[place] = ns, value if before is None else self._merge(before[1], value)


@dataclass(frozen=True)
class Fills:
    """Fills that share one marker."""

    count: int
    size: float
    quoted: float  # size * price, summed

    @property
    def price(self) -> float:
        return self.quoted / self.size

    @classmethod
    def of(cls, fill: OrderFilled) -> Fills:
        size = float(fill.size)
        return cls(1, size, size * float(fill.price))

    @staticmethod
    def both(one: Fills, other: Fills) -> Fills:
        return Fills(one.count + other.count, one.size + other.size, one.quoted + other.quoted)


@dataclass
class Series:
    """What the chart is drawn from. ``prices`` by instrument; a None is a time at which nothing was known."""

    asset: str
    start_ns: int
    end_ns: int
    t_ns: Sequence[int] = ()
    equity: Sequence[float | None] = ()
    gross: Sequence[float | None] = ()
    prices: Mapping[str, tuple[Sequence[int], Sequence[float | None]]] = field(default_factory=dict)
    fills: Mapping[str, Buckets[Side, Fills]] = field(default_factory=dict)
    gaps: Sequence[Gap] = ()
    halts: Sequence[TradingStateChanged] = ()
    quotes: Mapping[str, str] = field(default_factory=dict)


class Drawn:
    """A journal read for drawing: what everyone reads from it, the last fills, and markers for all of them."""

    def __init__(self, curve: Mapping[str, Any] | None) -> None:
        self.reading = Reading()
        self.curve = curve
        self.last: deque[OrderFilled] = deque(maxlen=LAST_FILLS)
        self.fills: dict[str, Buckets[Side, Fills]] = {}
        self._equity: Buckets[str, float | None] = Buckets(POINTS, lambda _, latest: latest)

    def note(self, entry: Entry, event: Record) -> None:
        self.reading.note(entry, event)
        if type(event) is OrderFilled:
            self.last.append(event)
            if event.instrument not in self.fills:
                self.fills[event.instrument] = Buckets(MARKERS, Fills.both)
            self.fills[event.instrument].add(event.side, event.ns, Fills.of(event))
        if self.curve is None and type(event) in (OrderFilled, SessionOpened, SessionClosed):
            marks = event.marks if isinstance(event, SessionClosed) else None
            equity = self.reading.account.equity(marks)
            self._equity.add("", event.ns, None if equity is None else float(equity))

    def series(self) -> Series:
        """For the chart: the sampled curve where there is one, else equity at fills and no exposure."""
        digest, account, curve = self.reading.digest, self.reading.account, self.curve
        series = Series(
            asset=account.asset,
            start_ns=digest.start_ns,
            end_ns=digest.last_ns,
            fills=self.fills,
            gaps=digest.all_gaps(),
            halts=digest.halts,
            quotes={name: terms.quote for name, terms in account.instruments.items()},
        )
        if curve is None:
            points = self._equity.of("")
            series.t_ns, series.equity = [ns for ns, _ in points], [equity for _, equity in points]
            return series
        series.t_ns, series.equity, series.gross = curve["t_ns"], curve["equity"], curve["gross"]
        series.prices = {name: (curve["t_ns"], prices) for name, prices in curve["prices"].items()}
        series.end_ns = max(series.end_ns, *curve["t_ns"][-1:])
        return series
