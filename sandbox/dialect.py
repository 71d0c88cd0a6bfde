"""What every venue's public side does: take subscriptions, pass on what the market says, hold clients to its limits."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from bus.clock import HOUR, MINUTE, NEVER, SECOND
from sandbox.clock import Clock
from sandbox.fault import BadFault
from sandbox.faults import Faults
from sandbox.wire import PING, PONG, Connection, frame

POLICY = 1008
JITTER_NS = 5_000_000  # of the wall's time
ANSWER_NS = 2 * SECOND  # of the wall's time, the least a client has to answer a ping, or to say what it came for


class Limits(NamedTuple):
    """What the venue lets a client do. A connection may live ``life_ns``; 0 sends no pings. Messages are counted on
    each connection, or ``by_address`` on all of them together, since everybody here has the same one.
    """

    messages_per_s: int
    streams: int
    connects: int
    connects_within_ns: int
    weight_per_minute: int
    ping_every_ns: int
    pong_within_ns: int
    life_ns: int = 24 * HOUR
    subscribe_within_ns: int = NEVER
    by_address: bool = False


class Answer(NamedTuple):
    """A REST answer, and what asking for it weighs."""

    status: int
    body: Any  # text as it is, anything else as JSON
    weight: int = 1


class Happening(Protocol):
    """A venue's market, whatever its words."""

    def begin(self, now_ns: int, *, listening: bool) -> None: ...
    def due(self) -> int: ...
    def over(self) -> bool: ...
    def advance(self, until_ns: int) -> Iterator[tuple[int, str, str]]:
        """(when, stream, data) of everything sent up to and including ``until_ns``."""
        ...


class Dialect:
    """One venue. ``hub`` maps each stream to those who hear it, under the name each of them used."""

    market: Happening

    def __init__(self, name: str, limits: Limits, clock: Clock, faults: Faults) -> None:
        self.name = name
        self.limits = limits
        self.clock = clock
        self.faults = faults
        self.hub: dict[str, dict[tuple[Connection, str], None]] = {}
        self.connections: dict[int, Connection] = {}
        self.broken: Counter[str] = Counter()
        self.connects = 0
        self._connects_ns: deque[int] = deque()
        self._messages_ns: deque[int] = deque()
        self._minute = 0
        self._begun = False
        self.weight = 0

    # --- sockets ---

    def may_connect(self) -> bool:
        """Count an attempt, and say whether it is within the limit."""
        now_ns, recent = self.clock.elapsed(), self._connects_ns
        recent.append(now_ns)
        while recent[0] <= now_ns - self.limits.connects_within_ns:
            recent.popleft()
        if len(recent) > self.limits.connects:
            self.broken["connects"] += 1
            return False
        return True

    def open(self, connection: Connection, path: str, query: Mapping[str, str]) -> None:
        self.connects += 1
        self.connections[connection.number] = connection

    def leave(self, connection: Connection) -> None:
        """It is gone."""
        for name in list(connection.streams):
            self.unsubscribe(connection, name)
        self.connections.pop(connection.number, None)

    def hear(self, connection: Connection, text: str) -> None:
        """A message from a client; what is wrong with it is answered as the venue would."""
        raise NotImplementedError

    def control(self, connection: Connection, opcode: int, payload: bytes) -> None:
        """A ping or a pong."""
        if opcode == PING:
            connection.send(frame(payload, PONG))
        else:
            connection.ponged = True

    def within_limits(self, connection: Connection) -> bool:
        """Count a message of any kind; too many and the connection is closed."""
        # What a busy machine holds up for a moment is heard at once; that much of the second is not counted.
        within_ns = SECOND - min(SECOND // 2, round(JITTER_NS * self.clock.rate))
        now, recent = self.clock.elapsed(), self._messages_ns
        heard = connection.heard(now, within_ns)
        if self.limits.by_address:
            recent.append(now)
            while recent[0] <= now - within_ns:
                recent.popleft()
            heard = len(recent)
        if heard <= self.limits.messages_per_s:
            return True
        self.broken["messages"] += 1
        connection.close(POLICY, "Too many requests", "too many messages")
        return False

    def subscribe(self, connection: Connection, name: str, stream: str) -> None:
        self._begun = True
        self.market.begin(self.clock.read(), listening=True)
        connection.streams[name] = stream
        self.hub.setdefault(stream, {})[connection, name] = None

    def unsubscribe(self, connection: Connection, name: str) -> None:
        stream = connection.streams.pop(name, None)
        if stream is not None:
            listeners = self.hub[stream]
            listeners.pop((connection, name), None)
            if not listeners:
                del self.hub[stream]

    # --- time ---

    def advance(self, now_ns: int) -> None:
        """Let the market happen up to ``now_ns`` and tell everyone who listens."""
        publish = self.publish
        for ns, stream, data in self.market.advance(now_ns):
            publish(ns, stream, data)
        for connection in list(self.connections.values()):
            self._look_after(connection, now_ns)

    def due(self) -> int:
        return self.market.due()

    def rewind(self, stream: str, id: int) -> int:
        """Go back to where frame ``id`` of ``stream`` had just been sent; returns when that was. Raises BadFault."""
        raise BadFault(f"{self.name} cannot go back")

    def publish(self, ns: int, stream: str, data: str) -> None:
        raise NotImplementedError

    def pass_on(self, connection: Connection, stream: str, payload: bytes, ns: int) -> None:
        """One connection's copy, through whatever faults there are."""
        if self.faults.on_streams:
            self.faults.pass_on(self.name, connection, stream, payload, ns)
        else:
            connection.send(frame(payload))

    def _look_after(self, connection: Connection, now_ns: int) -> None:
        if connection.closed:
            return
        life_ns = self.faults.life_ns.get(self.name) or self.faults.life_of_all_ns or self.limits.life_ns
        age = now_ns - connection.opened_ns
        if connection.announce:
            connection.announce = False
            self.announce(connection, now_ns)
        if age >= life_ns or now_ns >= connection.ends_ns:
            self.faults.fired["rollover"] += 1
            connection.close(1001, "", "roll-over")
        elif not connection.streams and age >= max(self.limits.subscribe_within_ns, ANSWER_NS * self.clock.rate):
            self.broken["subscribe"] += 1
            connection.close(POLICY, "subscribe timeout", "no subscription")
        elif self.limits.ping_every_ns and not connection.deaf:  # half open: what it answers is not heard
            self._ping(connection, now_ns)

    def _ping(self, connection: Connection, now_ns: int) -> None:
        silent = now_ns - connection.pinged_ns
        if not connection.ponged and silent >= max(self.limits.pong_within_ns, ANSWER_NS * self.clock.rate):
            self.broken["pong"] += 1
            connection.close(POLICY, "Pong timeout", "no pong")
        elif connection.ponged and silent >= self.limits.ping_every_ns:
            connection.pinged_ns, connection.ponged = now_ns, False
            connection.send(frame(str(now_ns // 1_000_000).encode(), PING))

    def announce(self, connection: Connection, now_ns: int) -> None:
        """Say that the connection ends soon, where the venue does that."""

    # --- REST ---

    def rest(self, path: str, query: Mapping[str, str]) -> Answer:
        raise NotImplementedError

    def weigh(self, weight: int) -> int | None:
        """Count ``weight``; the seconds to wait where it is too much, else None."""
        now = self.clock.read()
        minute = now - now % MINUTE
        if minute != self._minute:
            self._minute, self.weight = minute, 0
        self.weight += weight
        if self.weight <= self.limits.weight_per_minute:
            return None
        self.broken["weight"] += 1
        return max(1, (minute + MINUTE - now) // SECOND)

    def report(self) -> dict[str, Any]:
        told = "ended" if self.market.over() else "playing"
        return {
            "connects": self.connects,
            "broken": dict(self.broken),
            "weight": self.weight,
            "market": told if self._begun else "waiting",
        }


Handler = Callable[[Mapping[str, str]], Answer]
