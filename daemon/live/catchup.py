"""How old is what a decision was made on? After an outage, a sleep or a warm-up the past comes in before the present.

Strategies hear it all, so that they know where they are; what they want because of it is a signal that was missed, and
the gate refuses it as such.
"""

from __future__ import annotations

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import Bar, BookSnapshot, BookUpdate, Kline, PastBar, Quote, Trade
from bus.resume import MarketResumed


class Present:
    """Hears of market events before the strategies do: in every session of bars that were asked for, which are of the
    past; in a live one (``follow``) of everything. ``tolerance_ns`` is how old something may be and still be now.
    """

    def __init__(self, clock: Clock, tolerance_ns: int) -> None:
        self._clock = clock
        self._tolerance_ns = tolerance_ns
        self._event_ns = 0
        self._past_at = -1
        self._follows = False

    def attach(self, bus: Bus) -> None:
        bus.subscribe(PastBar, self._on_past)

    def follow(self, bus: Bus) -> None:
        self._follows = True
        bus.subscribe(Trade, self._on_event)
        bus.subscribe(Quote, self._on_event)
        bus.subscribe(BookUpdate, self._on_event)
        bus.subscribe(BookSnapshot, self._on_event)
        bus.subscribe(Bar, self._on_bar)
        bus.subscribe(Kline, self._on_bar)
        bus.subscribe(MarketResumed, self._on_resumed)

    def tolerate(self, tolerance_ns: int) -> None:
        self._tolerance_ns = tolerance_ns

    def missed(self) -> str:
        """Why what is decided now comes too late, in words; empty while it does not."""
        clock = self._clock
        if self._past_at == clock.now:
            return "it answers a bar of the past, which was asked for"
        if not self._follows:
            return ""
        now = clock.until if clock.until > clock.now else clock.now
        age = now - (self._event_ns or now)
        # Late timers fire at their own times: what they lead to is as late as they are.
        age = max(age, now - clock.now)
        if age <= self._tolerance_ns:
            return ""
        return f"it answers something of {age / SECOND:.1f} s ago"

    @property
    def event_ns(self) -> int:
        """When the latest event happened, by its venue; 0 before the first."""
        return self._event_ns

    def _on_past(self, _: PastBar) -> None:
        self._past_at = self._clock.now

    def _on_resumed(self, event: MarketResumed) -> None:
        self._event_ns = event.market.event_ns

    def _on_event(self, event: Trade | Quote | BookUpdate | BookSnapshot) -> None:
        self._event_ns = event.venue_ns or event.local_ns

    def _on_bar(self, bar: Bar | Kline) -> None:
        self._event_ns = bar.end_ns if bar.closed else bar.local_ns
