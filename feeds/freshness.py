"""Is what we have young enough to trade on? Asked of every stream an instrument needs, not of any socket.

A stream is as old as the oldest of three ages says: since we last heard something new on it; since the venue said it
happened, by the venue's clock brought to ours; and, while nothing was heard at all, since we began to listen. What
merely repeats what it said before is not new. While one stream is too old, its instrument is untradeable
(``Market.stale``); both moments are events.

Nothing is done per event: a timer looks at what the market keeps anyway, often enough to say so within a quarter of a
second of the age. It runs by the core's clock, so a replay finds the same streams stale at the same times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from bus.bus import Bus
from bus.clock import SECOND, Clock, Timer
from bus.events import StreamFresh, StreamStale
from bus.market import Market
from bus.resume import MarketResumed, StreamState

LOOK_NS = SECOND // 4
OFFSETS_KEPT = 600  # looks: two and a half minutes
_TOLERANCE_NS = SECOND // 2  # of the venue's clock against ours


class Watched(NamedTuple):
    instrument: str
    stream: str
    max_age_ns: int


class Freshness:
    """Watches ``streams`` from ``start`` on. ``stale`` are those too old right now."""

    def __init__(self, clock: Clock, bus: Bus, market: Market, streams: Sequence[Watched]) -> None:
        self._clock = clock
        self._bus = bus
        self._market = market
        kept: Mapping[str, Mapping[str, Any]] = {
            "trade": market.trades,
            "quote": market.quotes,
            "book": market.books,
            "kline": market.klines,
            "ticker": market.tickers,
            "mark": market.marks,
        }
        self._streams = [_Stream(watched, kept[watched.stream]) for watched in streams]
        self.stale: dict[tuple[str, str], str] = {}
        self._next: Timer | None = None

    def attach(self, bus: Bus) -> None:
        bus.subscribe(MarketResumed, self.on_resumed)

    def start(self, *, expecting: bool) -> None:
        """``expecting`` all streams: until each was heard its instrument is not tradeable, which goes without saying.
        A recording may lack some; there a stream is watched from the first time it is heard.
        """
        now = self._clock.now
        for stream in self._streams:
            stream.begin(now, expecting=expecting)
        if self._streams:
            self._mark()
            self._next = self._clock.at(now + LOOK_NS, self._look)

    def unfit(self) -> set[tuple[str, str]]:
        """What has to be asked for anew: the streams too old, and the books that cross themselves though nobody called
        them broken. Where a venue loses changes without a jump in its numbers that is all there is to see of it, and
        what is wrong stays so.

        For whoever feeds us, who looks now and then; no replay asks.
        """
        books = self._market.books
        watched = (stream.instrument for stream in self._streams if stream.name == "book")
        return {(name, "book") for name in watched if name in books and books[name].crossed} | self.stale.keys()

    @property
    def look_ns(self) -> int:
        """When it looks next; 0 where there is nothing to watch."""
        return self._next.when if self._next is not None else 0

    def state(self, venue: str) -> list[StreamState]:
        return [
            stream.state(self.stale.get((stream.instrument, stream.name), ""))
            for stream in self._streams
            if stream.instrument.startswith(f"{venue}:")
        ]

    def on_resumed(self, event: MarketResumed) -> None:
        """Go on with the ages that another session knew, looking when it would have looked."""
        streams = {(stream.instrument, stream.name): stream for stream in self._streams}
        for state in event.market.streams:
            if (stream := streams.get((state.instrument, state.stream))) is not None:
                stream.restore(state)
                if state.stale:
                    self.stale[state.instrument, state.stream] = state.stale
        if self._next is not None and event.market.look_ns:
            self._next.cancel()
            self._next = self._clock.at(event.market.look_ns, self._look)
            self._mark()

    def _look(self) -> None:
        now, stale, changed = self._clock.now, self.stale, False
        for stream in self._streams:
            awaited = stream.is_awaited
            why = stream.too_old(now)
            known = bool(stale) and (stream.instrument, stream.name) in stale
            if why and not known:
                stale[stream.instrument, stream.name] = why
                self._bus.publish(StreamStale(now, stream.instrument, stream.name, why))
            elif not why and known:
                del stale[stream.instrument, stream.name]
                self._bus.publish(StreamFresh(now, stream.instrument, stream.name))
            changed = changed or bool(why) is not known or stream.is_awaited is not awaited
        if changed:
            self._mark()
        self._next = self._clock.at(now + LOOK_NS, self._look)

    def _mark(self) -> None:
        marked = self._market.stale
        waiting = {stream.instrument: stream.name for stream in self._streams if stream.is_awaited}
        bad = {instrument: f"{stream}: {why}" for (instrument, stream), why in self.stale.items()}
        for stream in self._streams:
            name = stream.instrument
            if name in bad:
                marked[name] = bad[name]
            elif name in waiting:
                marked[name] = f"nothing heard of its {waiting[name]} yet"
            else:
                marked.pop(name, None)


class _Stream:
    """What was last new on one stream, and by how much the venue's clock seems to differ from ours.

    The offset is the smallest seen lately between a time of the venue's and when we heard of it: what came quickest
    tells most about the clocks and least about the way. It is not learnt from while the stream is stale.
    """

    def __init__(self, watched: Watched, kept: Mapping[str, Any]) -> None:
        self.instrument, self.name, self._max_age_ns = watched
        self.heard = self._expected = False
        self._kept = kept
        self._said: Any = None
        self._new_ns = 0
        self._offsets = _Least(OFFSETS_KEPT)

    def begin(self, now: int, *, expecting: bool) -> None:
        self._new_ns, self._expected = now, expecting

    def state(self, stale: str) -> StreamState:
        said = None if self._said is None else list(self._said)
        return StreamState(self.instrument, self.name, self.heard, said, self._new_ns, self._offsets.state(), stale)

    def restore(self, state: StreamState) -> None:
        self.heard, self._new_ns = state.heard, state.new_ns
        self._said = None if state.said is None else tuple(state.said)
        self._offsets.restore(state.offsets)

    @property
    def is_awaited(self) -> bool:
        return self._expected and not self.heard

    def too_old(self, now: int) -> str:
        latest = self._kept.get(self.instrument)
        if latest is not None and latest.local_ns:  # a book that never became whole is no news
            said = _CONTENT[self.name](latest)
            if said != self._said:
                self._said, self._new_ns, self.heard = said, latest.local_ns, True
        if not self.heard and not self._expected:
            return ""
        age = now - self._new_ns
        if age > self._max_age_ns:
            return f"nothing new for {age / SECOND:.1f} s" if self.heard else f"nothing came in {age / SECOND:.1f} s"
        if latest is None or not latest.venue_ns:
            return ""
        offset = latest.local_ns - latest.venue_ns
        behind = now - latest.venue_ns - self._offsets.least(offset)
        if behind > self._max_age_ns + _TOLERANCE_NS:
            return f"what comes is {behind / SECOND:.1f} s old"
        self._offsets.append(offset)
        return ""


class _Least:
    """The least of the latest so many numbers. Of those only the ones that may yet come to be it are kept: each is
    less than all that came after it.
    """

    __slots__ = ("_count", "_kept", "_rising")

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._count = 0
        self._rising: deque[tuple[int, int]] = deque()

    def append(self, number: int) -> None:
        rising = self._rising
        while rising and rising[-1][1] >= number:
            rising.pop()
        self._count += 1
        rising.append((self._count, number))
        if rising[0][0] <= self._count - self._kept:
            rising.popleft()

    def least(self, default: int) -> int:
        return self._rising[0][1] if self._rising else default

    def state(self) -> list[tuple[int, int]]:
        """How far back each is, counted from 0 downwards, and the number."""
        return [(at - self._count, number) for at, number in self._rising]

    def restore(self, state: list[tuple[int, int]]) -> None:
        self._count, self._rising = 0, deque(state)


_CONTENT: Mapping[str, Callable[[Any], object]] = {
    "trade": lambda trade: (trade.id, trade.venue_ns),
    "quote": lambda quote: (quote.id, quote.venue_ns, quote.bid, quote.bid_size, quote.ask, quote.ask_size),
    "book": lambda book: (book.id, book.venue_ns),
    "kline": lambda kline: (kline.venue_ns, kline.start_ns, kline.closed),
    "ticker": lambda ticker: (ticker.venue_ns, ticker.last, ticker.volume),
    "mark": lambda mark: (mark.venue_ns, mark.mark),
}
"""What says that something is new, by stream."""
