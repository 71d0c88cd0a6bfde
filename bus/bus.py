"""The heart of the process: events go in, everyone who asked hears them, in one order, before control returns.

One thread, one FIFO. A handler may publish; what it publishes waits until everyone has heard what came before, so every
subscriber sees the first event before anyone sees the second. Handlers are plain functions keyed by the exact type of
the event, called in the order they subscribed (``daemon/wiring.py`` is that order). A handler that raises is
reported and the rest still run: what a failure means is decided above.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, Protocol, TypeVar

from bus.clock import Clock
from bus.inbox import Inbox, Overflow
from bus.route import Handler, OnFailure, Route, route

Event = TypeVar("Event")


class Stamped(Protocol):
    """An event that says when we heard it."""

    @property
    def local_ns(self) -> int: ...


class Subscription:
    """One handler's place in the order. Pausing it costs the publisher nothing while it has nothing to do."""

    __slots__ = ("_bus", "active", "event_type", "handler")

    def __init__(self, bus: Bus, event_type: type, handler: Handler, active: bool) -> None:
        self._bus = bus
        self.event_type = event_type
        self.handler = handler
        self.active = active

    def resume(self) -> None:
        if not self.active:
            self.active = True
            self._bus._reroute(self.event_type)

    def pause(self) -> None:
        if self.active:
            self.active = False
            self._bus._reroute(self.event_type)

    def close(self) -> None:
        self._bus._drop(self)


class _Rerouted:
    """Stands in the backlog when a route has changed: who was following the old one looks again. Nobody hears it."""


_REROUTED = _Rerouted()


class _Routes(dict[type, Route]):
    """By event type; what nobody asked for goes nowhere."""

    def __missing__(self, event_type: type) -> Route:
        self[event_type] = nowhere = route(event_type, (), _unheard)
        return nowhere


def _unheard(_handler: Handler, _event: object, error: Exception) -> None:
    raise error


class Bus:
    def __init__(self, on_failure: OnFailure) -> None:
        self._on_failure = on_failure
        self._subscriptions: dict[type, list[Subscription]] = {}
        self._routes = _Routes()
        self._known: dict[tuple[object, ...], Route] = {}
        self._backlog: deque[object] = deque()
        self._busy = False
        self._rerouted = False

    def publish(self, event: object) -> None:
        """Deliver ``event`` to all its subscribers, or queue it behind the delivery under way."""
        if self._busy:
            self._backlog.append(event)
            return
        self._busy = True
        try:
            deliver = self._routes[type(event)].deliver  # not called in the same breath: it is no method to look for
            deliver(event)
            if self._backlog:
                self._drain()
        finally:
            self._busy = False

    def publish_stamped(self, events: Iterable[Stamped], clock: Clock) -> None:
        """``publish`` for a batch of events that say when we heard them: the clock is turned to each on the way."""
        assert not self._busy, "a batch comes through the door, not out of a handler"
        routes, backlog, drain, rest = self._routes, self._backlog, self._drain, iter(events)
        self._busy = True
        try:
            event = next(rest, None)
            while event is not None:
                ns = event.local_ns
                if ns < clock.now:
                    ns = clock.now
                if clock.due <= ns:
                    self._busy = False  # what a timer publishes is delivered before this event, not after it
                    clock.turn(ns)
                    self._busy = True
                clock.now = ns
                follow = routes[type(event)].follow
                event = follow(event, rest, clock, backlog, drain)
        finally:
            self._busy = False

    def publish_all(self, events: Sequence[object]) -> None:
        """Deliver events that happened together: all of them before anything that follows from the first."""
        self._backlog.extend(events)
        if not self._busy:
            self.publish(self._backlog.popleft())

    def subscribe(
        self, event_type: type[Event], handler: Callable[[Event], object], *, active: bool = True
    ) -> Subscription:
        """Call ``handler`` with every event of exactly ``event_type``, after those who subscribed earlier."""
        subscription = Subscription(self, event_type, handler, active)
        self._subscriptions.setdefault(event_type, []).append(subscription)
        self._reroute(event_type)
        return subscription

    def wanted(self, event_type: type) -> bool:
        """Whether anyone listens to ``event_type`` at all, now or when resumed."""
        return bool(self._subscriptions.get(event_type))

    def stream(
        self, event_type: type[Event], *, capacity: int = 1024, policy: Overflow = Overflow.DROP_OLDEST
    ) -> Stream[Event]:
        """Events of one type, from now on, for a consumer outside the core: ``async for event in bus.stream(Trade)``.

        A slow consumer loses events by ``policy`` and never slows or changes the core.
        """
        return Stream(self, event_type, Inbox(capacity, policy))

    def _drain(self) -> bool:
        """Deliver what was published meanwhile, and what is published by that, in order; whether routes have changed
        since this was asked last.
        """
        backlog, routes = self._backlog, self._routes
        while backlog:
            event = backlog.popleft()
            deliver = routes[type(event)].deliver
            deliver(event)
        changed, self._rerouted = self._rerouted, False
        return changed

    def _reroute(self, event_type: type) -> None:
        # Another route, so that a delivery under way keeps the one it started with. Those who come and go (a venue with
        # nothing to match) find the one they had, and what it has learnt.
        handlers = tuple(s.handler for s in self._subscriptions[event_type] if s.active)
        key = event_type, *map(id, handlers)  # which a route keeps alive; not every callable has a hash
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = route(event_type, handlers, self._on_failure)
        self._routes[event_type] = known
        self._rerouted = True
        if self._busy:
            self._backlog.append(_REROUTED)

    def _drop(self, subscription: Subscription) -> None:
        if subscription in (there := self._subscriptions[subscription.event_type]):
            there.remove(subscription)
            self._known.clear()  # a route would keep who has left
            self._reroute(subscription.event_type)


class Stream(Generic[Event]):
    """A subscription with a bounded inbox of its own; ``dropped`` counts what its consumer was too slow for."""

    def __init__(self, bus: Bus, event_type: type[Event], inbox: Inbox[Event]) -> None:
        self._inbox = inbox
        self._subscription = bus.subscribe(event_type, inbox.put)

    @property
    def dropped(self) -> int:
        return self._inbox.dropped

    def __aiter__(self) -> Stream[Event]:
        return self

    async def __anext__(self) -> Event:
        return await self._inbox.__anext__()

    async def aclose(self) -> None:
        """Hear no more; what is inside may still be read."""
        self._subscription.close()
        self._inbox.close()
