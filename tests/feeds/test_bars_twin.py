"""Bars against the plainest thing that could make them: lists of trades in a dict of buckets."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import SECOND
from bus.events import Bar, DataGap, FeedLost, Trade
from bus.values import Side
from feeds.bars import GRACE_NS, OFFSET_SAMPLES, EmptyBars
from tests.feeds.bar_stage import GAP, T0, Stage


class Naive:
    """The same bars the slow way: every trade kept in its bucket, every question asked again at every step."""

    def __init__(self, intervals_ns: Iterable[int], empty: EmptyBars) -> None:
        self.intervals = sorted(intervals_ns)
        self.flat = empty is EmptyBars.FLAT
        self.now = 0
        self.late = 0
        self.bars: list[Bar] = []
        self.buckets: dict[tuple[int, int], list[Trade]] = {}
        self.closed: dict[int, int] = {}  # interval -> end of its last closed bucket
        self.last: dict[int, float] = {}
        self.offsets: list[int] = []
        self.missing: set[int] = set()  # intervals in which no trade has come since the gap
        self.gapped: set[tuple[int, int]] = set()

    def pending(self, interval: int) -> int | None:
        """The start of the bucket whose bar comes next."""
        held = [start for i, start in self.buckets if i == interval]
        if held:
            return min(held)
        return self.closed[interval] if self.flat and interval in self.closed else None

    def close(self, interval: int, start: int, *, closed: bool = True) -> None:
        trades = self.buckets.pop((interval, start), [])
        prices = [t.price for t in trades] or [self.last[interval]]
        self.last[interval] = prices[-1]
        self.closed[interval] = start + interval
        gap = (interval, start) in self.gapped or (not trades and interval in self.missing)
        ends = (prices[0], max(prices), min(prices), prices[-1], sum((t.size for t in trades), 0.0))
        self.bars.append(
            Bar("sim:A", interval, start, start + interval, *ends, len(trades), closed, gap, self.now),
        )

    def fire(self, ns: int) -> None:
        while True:
            window = sorted(self.offsets[-OFFSET_SAMPLES:])
            grace = GRACE_NS + (window[(len(window) - 1) // 2] if window else 0)
            ends = [start + i + grace for i in self.intervals if (start := self.pending(i)) is not None]
            if not ends or min(ends) > ns:
                self.now = max(self.now, ns)
                return
            self.now = max(self.now, min(ends))
            for i in self.intervals:
                while (start := self.pending(i)) is not None and start + i + grace <= self.now:
                    self.close(i, start)

    def hear(self, event: object) -> None:
        if isinstance(event, Trade):
            self.fire(event.local_ns)
            for i in self.intervals:
                self.take(i, event)
            self.fire(event.local_ns)
        elif isinstance(event, FeedLost | DataGap):
            known = {i for i in self.intervals if i in self.closed or self.pending(i) is not None}
            self.missing |= known
            self.gapped |= self.buckets.keys()

    def take(self, interval: int, event: Trade) -> None:
        start = event.venue_ns // interval * interval
        held = [s for i, s in self.buckets if i == interval]
        if start < self.closed.get(interval, 0) or any(start < s for s in held):
            self.late += 1
            return
        while (waiting := self.pending(interval)) is not None and waiting < start:
            self.close(interval, waiting)
        if interval == self.intervals[0] and (interval, start) not in self.buckets:
            self.offsets.append(event.local_ns - event.venue_ns)
        if interval in self.missing:
            self.missing.discard(interval)
            self.gapped.add((interval, start))
        self.buckets.setdefault((interval, start), []).append(event)

    def finish(self) -> None:
        for interval, start in sorted(self.buckets):
            self.close(interval, start, closed=False)


@st.composite
def sessions(draw: st.DrawFn) -> list[object]:
    """Trades with venue times that stray around ours, now and then a gap, a lost feed, a long silence."""
    steps = st.tuples(
        st.integers(0, 12),  # tenths of a second since the last
        st.integers(-25, 25),  # how far the venue's time strays, in tenths
        st.integers(1, 9).map(float),
        st.sampled_from([0.001, 0.1, 0.25, 1.0, 3.3]),
        st.sampled_from(["trade"] * 12 + ["gap", "lost", "silence"]),
    )
    now, events = 10 * SECOND, list[object]()
    for tenths, stray, price, size, kind in draw(st.lists(steps, max_size=60)):
        now += tenths * SECOND // 10
        if kind == "silence":
            now += 8 * SECOND
        elif kind == "trade":
            events.append(Trade("sim:A", price, size, Side.SELL, 0, T0 + now + stray * SECOND // 10, T0 + now))
        else:
            events.append(GAP if kind == "gap" else FeedLost(0, "c1", "closed"))
    return events


interval_sets = st.sets(st.sampled_from([SECOND, 2 * SECOND, 3 * SECOND, 10 * SECOND]), min_size=1).map(sorted)


@pytest.mark.property
@given(sessions(), interval_sets, st.sampled_from(EmptyBars))
def test_the_bars_are_those_of_the_naive_twin(events: list[object], intervals: list[int], empty: EmptyBars):
    stage, naive = Stage(*intervals, empty=empty), Naive(intervals, empty)

    for event in events:
        stage.hear(event)
        naive.hear(event)
    stage.builder.finish()
    naive.finish()

    assert stage.bars == naive.bars
    assert stage.builder.late == naive.late


@pytest.mark.property
@given(sessions(), st.randoms(use_true_random=False))
def test_shuffled_trades_are_counted_late_and_rewrite_no_bar(events: list[object], random):
    heard = [event for event in events if isinstance(event, Trade)]
    venue_times = [event.venue_ns for event in heard]
    random.shuffle(venue_times)
    stage = Stage(SECOND, 3 * SECOND)

    for event, venue_ns in zip(heard, venue_times, strict=True):
        stage.hear(Trade("sim:A", event.price, event.size, event.taker, 0, venue_ns, event.local_ns))
    stage.builder.finish()

    assert sum(bar.trades for bar in stage.bars) + stage.builder.late == 2 * len(heard)
    for interval_ns in (SECOND, 3 * SECOND):
        starts = [bar.start_ns for bar in stage.bars if bar.interval_ns == interval_ns]
        assert starts == sorted(set(starts))
