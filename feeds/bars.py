"""Bars from trades: what the trades of ``[start, end)`` by the venue's clock add up to.

A bar closes when the venue's time is known to have passed its end: at the first trade at or past it or, while the
market is quiet, when our clock reaches ``end`` + the median offset between the two clocks + a grace. A closed bar is
final, so a trade that comes for it afterwards is counted and belongs to no bar. Per trade nothing happens but the
update of the forming bars: offsets are sampled when a bucket opens, one timer per instrument serves all its intervals.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Sequence
from statistics import median_low

from bus.bus import Bus
from bus.clock import NEVER, SECOND, Clock, Timer
from bus.events import Bar, DataGap, FeedLost, PastBar, Trade
from bus.resume import MarketResumed, PaceState
from bus.state import FormingState

GRACE_NS = 2 * SECOND
OFFSET_SAMPLES = 31


class EmptyBars(enum.Enum):
    """What a bucket without trades becomes: no bar, or a flat one at the previous close with volume 0."""

    NONE = "none"
    FLAT = "flat"


class BarBuilder:
    """Publishes a ``Bar`` per instrument and interval as each closes, the shorter interval first.

    ``closed`` counts the bars; ``late`` the trades that came for a bar already closed, once for each interval that
    refused them.
    """

    def __init__(self, clock: Clock, bus: Bus, intervals_ns: Sequence[int], empty: EmptyBars = EmptyBars.NONE) -> None:
        assert min(intervals_ns, default=0) > 0, "a bar needs a positive interval"
        self._clock = clock
        self._bus = bus
        self._intervals = sorted(set(intervals_ns))
        self._flat = empty is EmptyBars.FLAT
        self._forming: dict[str, tuple[_Forming, ...]] = {}
        self._pace: dict[str, _Pace] = {}
        self.closed = 0
        self.late = 0

    def attach(self, bus: Bus) -> None:
        bus.subscribe(Trade, self.on_trade)
        bus.subscribe(DataGap, self.on_gap)
        bus.subscribe(FeedLost, self.on_lost)
        bus.subscribe(PastBar, self.on_past)
        bus.subscribe(MarketResumed, self.on_resumed)

    def on_trade(self, trade: Trade) -> None:
        venue_ns = trade.venue_ns
        try:
            forming = self._forming[trade.instrument]
        except KeyError:
            forming = self._listen(trade.instrument)
        for bar in forming:
            if bar.start_ns <= venue_ns < bar.end_ns:
                price = trade.price
                if price > bar.high:
                    bar.high = price
                elif price < bar.low:
                    bar.low = price
                bar.close = price
                bar.volume += trade.size
                bar.trades += 1
            else:
                self._step(bar, trade)

    def on_gap(self, gap: DataGap) -> None:
        if gap.stream == "trade":
            for bar in self._forming.get(gap.instrument, ()):
                bar.gap_after = bar.trades

    def on_lost(self, _: FeedLost) -> None:
        """A connection does not say what it carried: its loss touches every instrument."""
        for forming in self._forming.values():
            for bar in forming:
                bar.gap_after = bar.trades

    def on_past(self, past: PastBar) -> None:
        """A bar we did not hear ourselves: one of ours if it lies after the last that closed and before the one that
        forms. What closed with a gap in it stays as it was: a closed bar is final.
        """
        for bar in self._forming.get(past.instrument) or self._listen(past.instrument):
            if bar.interval_ns != past.interval_ns or past.start_ns < bar.closed_ns:
                continue
            if bar.is_open and past.end_ns > bar.start_ns:
                continue
            bar.closed_ns = past.end_ns
            if not bar.is_open:
                bar.start_ns = bar.end_ns = past.end_ns
                bar.close = past.close
            self._bus.publish(
                Bar(
                    past.instrument,
                    past.interval_ns,
                    past.start_ns,
                    past.end_ns,
                    past.open,
                    past.high,
                    past.low,
                    past.close,
                    past.volume,
                    past.trades,
                    closed=True,
                    gap=False,
                    local_ns=past.local_ns,
                    backfilled=True,
                )
            )

    def state(self) -> list[FormingState]:
        return [bar.state() for forming in self._forming.values() for bar in forming if bar.end_ns]

    def restore(self, states: Sequence[FormingState]) -> None:
        """Go on with bars that another session began; whatever was traded in between is missing from them."""
        for state in states:
            forming = self._forming.get(state.instrument) or self._listen(state.instrument)
            for bar in forming:
                if bar.interval_ns == state.interval_ns:
                    bar.restore(state)
                    bar.closed_ns, bar.gap_after = state.start_ns, state.trades
            self._arm(state.instrument, self._pace[state.instrument])

    def paces(self, venue: str) -> list[PaceState]:
        """A venue's bars as they are, for a session that follows without a pause."""
        return [
            PaceState(
                instrument,
                pace.offsets,
                [(bar.state(), bar.closed_ns, bar.gap_after) for bar in self._forming[instrument]],
            )
            for instrument, pace in self._pace.items()
            if instrument.startswith(f"{venue}:")
        ]

    def on_resumed(self, event: MarketResumed) -> None:
        """Go on with bars that another session began, of which nothing is missing."""
        for state in event.market.paces:
            known = {was.interval_ns: (was, closed, gap) for was, closed, gap in state.forming}
            for bar in self._forming.get(state.instrument) or self._listen(state.instrument):
                if bar.interval_ns in known:
                    was, bar.closed_ns, bar.gap_after = known[bar.interval_ns]
                    bar.restore(was)
            pace = self._pace[state.instrument]
            pace.disarm()
            for offset in state.offsets:
                pace.sample(offset)
            self._arm(state.instrument, pace)

    def finish(self) -> None:
        """The data ends here: publish what is still forming as it stands, not closed."""
        for instrument, forming in self._forming.items():
            self._pace[instrument].disarm()
            for bar in forming:
                if bar.is_open:
                    self._bus.publish(bar.shut(self._clock.now, closed=False))

    def _listen(self, instrument: str) -> tuple[_Forming, ...]:
        forming = tuple(_Forming(instrument, interval_ns) for interval_ns in self._intervals)
        self._forming[instrument] = forming
        self._pace[instrument] = _Pace()
        return forming

    def _step(self, bar: _Forming, trade: Trade) -> None:
        """A trade outside the bucket ``bar`` is in: the first of a later one, or late."""
        # Where the venue sends no time, ours is the only one there is.
        venue_ns = trade.venue_ns or trade.local_ns
        if venue_ns < bar.start_ns:
            self.late += 1
        elif venue_ns < bar.end_ns:
            bar.add(trade.price, trade.size)
        else:
            self._close_until(bar, venue_ns)
            bar.begin(venue_ns, trade.price, trade.size)
            pace = self._pace[bar.instrument]
            if bar.interval_ns == self._intervals[0]:
                pace.sample(trade.local_ns - venue_ns)
            self._arm(bar.instrument, pace)

    def _close_until(self, bar: _Forming, venue_ns: int) -> None:
        """Close every bucket that ends at or before ``venue_ns``."""
        while self._next_end(bar) <= venue_ns:
            if not bar.is_open:
                bar.begin_flat()
            self.closed += 1
            self._bus.publish(bar.shut(self._clock.now, closed=True))

    def _next_end(self, bar: _Forming) -> int:
        """When the next bucket that will become a bar ends; ``NEVER`` while none is sure to."""
        if bar.is_open:
            return bar.end_ns
        return bar.end_ns + bar.interval_ns if self._flat and bar.end_ns else NEVER

    def _arm(self, instrument: str, pace: _Pace) -> None:
        """Have a timer at or before the next bucket's turn; one that turns out early looks again."""
        end_ns = min(map(self._next_end, self._forming[instrument]))
        if end_ns == NEVER or (pace.timer is not None and pace.timer.when <= end_ns + pace.grace_ns):
            return
        pace.disarm()
        pace.timer = self._clock.at(end_ns + pace.grace_ns, lambda: self._on_timer(instrument, pace))

    def _on_timer(self, instrument: str, pace: _Pace) -> None:
        pace.timer = None
        for bar in self._forming[instrument]:
            self._close_until(bar, self._clock.now - pace.grace_ns)
        self._arm(instrument, pace)


class _Forming:
    """One interval of one instrument. Between bars, and before the first, ``start_ns`` equals ``end_ns``.

    ``gap_after`` is how many trades were in when data was last known to be missing, None for never in this bar: if it
    is still the count when the bar closes, the gap reaches on until the next trade.
    """

    __slots__ = (
        "close",
        "closed_ns",
        "end_ns",
        "gap_after",
        "high",
        "instrument",
        "interval_ns",
        "low",
        "open",
        "start_ns",
        "trades",
        "volume",
    )

    def __init__(self, instrument: str, interval_ns: int) -> None:
        self.instrument = instrument
        self.interval_ns = interval_ns
        self.start_ns = self.end_ns = 0
        self.closed_ns = 0  # the end of the last bar published
        self.open = self.high = self.low = self.close = self.volume = 0.0
        self.trades = 0
        self.gap_after: int | None = None

    def state(self) -> FormingState:
        return FormingState(
            self.instrument,
            self.interval_ns,
            self.start_ns,
            self.end_ns,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.trades,
        )

    def restore(self, state: FormingState) -> None:
        self.start_ns, self.end_ns = state.start_ns, state.end_ns
        self.open, self.high, self.low, self.close = state.open, state.high, state.low, state.close
        self.volume, self.trades = state.volume, state.trades

    @property
    def is_open(self) -> bool:
        return self.start_ns < self.end_ns

    def begin(self, venue_ns: int, price: float, size: float) -> None:
        self.start_ns = venue_ns - venue_ns % self.interval_ns
        self.end_ns = self.start_ns + self.interval_ns
        self.open = self.high = self.low = self.close = price
        self.volume = size
        self.trades = 1

    def begin_flat(self) -> None:
        """The bucket after the last one, at its close."""
        self.end_ns += self.interval_ns
        self.open = self.high = self.low = self.close
        self.volume = 0.0

    def add(self, price: float, size: float) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.close = price
        self.volume += size
        self.trades += 1

    def shut(self, local_ns: int, *, closed: bool) -> Bar:
        """The bar as it stands; whatever comes for it from here on is late."""
        bar = Bar(
            self.instrument,
            self.interval_ns,
            self.start_ns,
            self.end_ns,
            self.open,
            self.high,
            self.low,
            self.close,
            self.volume,
            self.trades,
            closed,
            self.gap_after is not None,
            local_ns,
        )
        self.start_ns = self.closed_ns = self.end_ns
        self.gap_after = 0 if self.gap_after == self.trades else None
        self.trades = 0
        return bar


class _Pace:
    """How far our clock runs behind the venue's for one instrument, and the timer that closes its quiet bars."""

    __slots__ = ("_offsets", "grace_ns", "timer")

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=OFFSET_SAMPLES)
        self.grace_ns = GRACE_NS
        self.timer: Timer | None = None

    def sample(self, offset_ns: int) -> None:
        self._offsets.append(offset_ns)
        self.grace_ns = median_low(self._offsets) + GRACE_NS

    @property
    def offsets(self) -> list[int]:
        return list(self._offsets)

    def disarm(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
