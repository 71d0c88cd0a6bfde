"""What can go wrong between a venue and its clients, on request: what each fault does on the wire.

Times of faults are the sandbox's. A fault lasts ``for_s``, or until it has hit ``count`` frames, whichever comes first;
without either until it is ended. ``fired`` counts what was really done: a frame or a connection each.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from heapq import heappop, heappush
from typing import Any, NamedTuple

from bus.clock import NEVER, SECOND
from sandbox.clock import Clock
from sandbox.fault import DEPTH, ON_STREAMS, Fault, broken, given
from sandbox.wire import Connection, frame


class Active:
    """A fault at work."""

    def __init__(self, number: int, fault: Fault, now_ns: int) -> None:
        self.number = number
        self.fault = fault
        self.until_ns = now_ns + round(fault.for_s * SECOND) if fault.for_s else NEVER
        self.left = fault.count or NEVER
        self.random = random.Random(fault.seed)
        self.held: dict[tuple[Connection, str], list[bytes]] = {}
        self.hits = 0

    def of(self, connection: Connection) -> bool:
        fault = self.fault
        return fault.venue in ("", connection.venue) and fault.conn in (0, connection.number)

    def of_stream(self, connection: Connection, stream: str) -> bool:
        if self.left <= 0 or not self.of(connection):
            return False
        pattern = self.fault.stream
        if self.fault.kind == "gap" and not any(fnmatchcase(stream, depth) for depth in DEPTH):
            return False
        return not pattern or pattern == stream or fnmatchcase(stream, pattern)


class Refusal(NamedTuple):
    """How a REST request or a connect is turned away. Status 0: the line is cut."""

    status: int
    retry_after_s: int = 0


class Faults:
    """All faults of a sandbox. ``on_streams`` is whether frames must pass through them at all."""

    def __init__(self, clock: Clock, connections: dict[int, Connection]) -> None:
        self.fired: Counter[str] = Counter()
        self.on_streams = False
        self.life_ns: dict[str, int] = {}
        self.life_of_all_ns = 0
        self._clock = clock
        self._connections = connections
        self._active: list[Active] = []
        self._numbers = 0
        self._late: list[tuple[int, int, Connection, bytes]] = []
        self._late_until: dict[tuple[Connection, str], int] = {}
        self._posted: Counter[str] = Counter()

    def post(self, fault: Fault) -> int:
        """Begin it; returns its number."""
        now = self._clock.read()
        self._numbers += 1
        self._posted[fault.kind] += 1
        active = Active(self._numbers, fault, now)
        begin = self._BEGIN.get(fault.kind)
        if begin is not None:
            begin(self, active, now)
        if fault.kind in ON_STREAMS or fault.kind in ("rest", "ignore") or fault.for_s:
            self._active.append(active)
        self._settle()
        return active.number

    def end(self, number: int | None = None) -> None:
        """End one fault, or all."""
        for active in list(self._active):
            if number in (None, active.number):
                self._expire(active, self._clock.read())
        if number is None:
            self._clock.resume()
            self.life_ns.clear()
            self.life_of_all_ns = 0
        self._settle()

    def tick(self, now_ns: int) -> None:
        """Let out what was late and is due, and end what has lasted long enough."""
        while self._late and self._late[0][0] <= now_ns:
            _, _, connection, payload = heappop(self._late)
            connection.send(frame(payload))
        over = [active for active in self._active if active.until_ns <= now_ns or active.left <= 0]
        for active in over:
            self._expire(active, now_ns)
        if over or not self._late:
            self._settle()

    def due(self) -> int:
        late = self._late[0][0] if self._late else NEVER
        return min([late, *(active.until_ns for active in self._active)])

    # --- frames ---

    def pass_on(self, venue: str, connection: Connection, stream: str, payload: bytes, ns: int) -> None:
        """One frame through every fault that concerns it, in the order they were posted."""
        self.tick(ns)
        payloads = [payload]
        for active in self._active:
            if active.fault.kind in ON_STREAMS and active.of_stream(connection, stream):
                payloads = [out for each in payloads for out in self._hit(active, connection, stream, each, ns)]
        behind_ns = self._late_until.get((connection, stream), 0)
        for each in payloads:
            if behind_ns > ns:  # what comes after a late frame waits for it
                self._delay(connection, stream, each, behind_ns)
            else:
                connection.send(frame(each))

    def silences(self, connection: Connection, stream: str, ns: int) -> bool:
        """Whether a frozen stream says nothing: for venues that number what they say."""
        self.tick(ns)
        for active in self._active:
            if active.fault.kind == "freeze" and active.of_stream(connection, stream):
                self._hit(active, connection, stream, b"", ns)
                return True
        return False

    def _hit(self, active: Active, connection: Connection, stream: str, payload: bytes, ns: int) -> list[bytes]:
        fault = active.fault
        if fault.kind == "drop" and active.random.random() >= fault.share:
            return [payload]
        active.left -= 1
        active.hits += 1
        self.fired[fault.kind] += 1
        match fault.kind:
            case "delay":
                self._delay(connection, stream, payload, ns + round(fault.delay_s * SECOND))
                return []
            case "duplicate":
                return [payload] * fault.times
            case "reorder":
                held = active.held.setdefault((connection, stream), [])
                held.append(payload)
                if len(held) < fault.span:
                    return []
                out = held[::-1]
                held.clear()
                return out
            case "malformed":
                return [broken(fault.how, payload)]
        return []

    def _delay(self, connection: Connection, stream: str, payload: bytes, due_ns: int) -> None:
        self._late_until[connection, stream] = due_ns
        self._numbers += 1
        heappush(self._late, (due_ns, self._numbers, connection, payload))

    # --- connections ---

    def connected(self, connection: Connection) -> None:
        """A new connection meets the faults that are under way."""
        for active in self._active:
            if active.of(connection):
                if active.fault.kind == "half_open":
                    self._deafen(active, connection)
                elif active.fault.kind == "slow_drip":
                    self._slow(active, connection)

    def ignores(self, connection: Connection) -> bool:
        """Whether a message of this client is lost on the venue."""
        for active in self._active:
            if active.fault.kind == "ignore" and active.left > 0 and active.of(connection):
                active.left -= 1
                self._count(active)
                return True
        return False

    def refuse_connect(self, venue: str) -> Refusal | None:
        for active in self._active:
            if active.fault.venue in ("", venue) and active.fault.kind in ("ban", "cut"):
                active.hits += 1
                self.fired[active.fault.kind] += 1
                return self._banned(active) if active.fault.kind == "ban" else Refusal(0)
        return None

    def rest(self, venue: str, path: str) -> tuple[float, Refusal | None]:
        """How long a REST answer is kept back, in the sandbox's seconds, and the refusal that takes its place."""
        delay_s = 0.0
        for active in self._active:
            fault = active.fault
            if fault.venue not in ("", venue) or active.left <= 0:
                continue
            if fault.kind == "ban" or (fault.kind == "rest" and fault.path in path):
                active.left -= 1
                active.hits += 1
                self.fired[fault.kind] += 1
                delay_s = max(delay_s, fault.delay_s)
                if fault.kind == "ban":
                    return delay_s, self._banned(active)
                if fault.status:
                    return delay_s, Refusal(fault.status)
        return delay_s, None

    def _banned(self, active: Active) -> Refusal:
        left = active.until_ns - self._clock.read()
        return Refusal(active.fault.status or 418, max(1, -(-left // SECOND)))

    def _matching(self, active: Active) -> Iterator[Connection]:
        return (each for each in list(self._connections.values()) if not each.closed and active.of(each))

    def _cut(self, active: Active, now_ns: int) -> None:
        for connection in self._matching(active):
            self._count(active)
            match active.fault.how:
                case "close":
                    connection.close(1001, "", "cut")
                case how:
                    connection.cut("cut", reset=how == "reset")

    def _half_open(self, active: Active, now_ns: int) -> None:
        for connection in self._matching(active):
            self._deafen(active, connection)

    def _drip(self, active: Active, now_ns: int) -> None:
        for connection in self._matching(active):
            self._slow(active, connection)

    def _roll_over(self, active: Active, now_ns: int) -> None:
        """Either all from now on live shorter, or those there are end now, or a while after they are told."""
        fault = active.fault
        if fault.life_s:
            life = round(fault.life_s * SECOND)
            if fault.venue:
                self.life_ns[fault.venue] = life
            else:
                self.life_of_all_ns = life
            return
        for connection in self._matching(active):
            connection.ends_ns = now_ns + round(fault.announce_s * SECOND)
            connection.announce = fault.announce_s > 0

    def _ban(self, active: Active, now_ns: int) -> None:
        if not active.fault.for_s:
            active.fault.for_s = 120.0
            active.until_ns = now_ns + 120 * SECOND
        if active.fault.status == 429:  # a warning: who is connected stays
            return
        for connection in self._matching(active):
            self._count(active)
            connection.close(1008, "banned", "ban")

    def _pause(self, active: Active, now_ns: int) -> None:
        self._count(active)
        self._clock.pause()

    def _resume(self, active: Active, now_ns: int) -> None:
        self._count(active)
        self._clock.resume()

    def _went_back(self, active: Active, now_ns: int) -> None:
        self._count(active)

    _BEGIN: Mapping[str, Callable[[Faults, Active, int], None]] = {
        "cut": _cut,
        "half_open": _half_open,
        "slow_drip": _drip,
        "rollover": _roll_over,
        "ban": _ban,
        "pause": _pause,
        "resume": _resume,
        "rewind": _went_back,
    }

    def _deafen(self, active: Active, connection: Connection) -> None:
        self._count(active)
        connection.deaf = True

    def _slow(self, active: Active, connection: Connection) -> None:
        self._count(active)
        connection.slow(active.fault.bytes_per_s, self._clock.read())

    def _count(self, active: Active) -> None:
        active.hits += 1
        self.fired[active.fault.kind] += 1

    def _expire(self, active: Active, now_ns: int) -> None:
        self._active.remove(active)
        for (connection, _), held in active.held.items():
            for payload in held:
                connection.send(frame(payload))
        if active.fault.kind == "slow_drip":
            for connection in self._matching(active):
                connection.slow(0, now_ns)

    def _settle(self) -> None:
        if not self._late:
            self._late_until.clear()
        self.on_streams = bool(self._late) or any(active.fault.kind in ON_STREAMS for active in self._active)

    def report(self) -> dict[str, Any]:
        return {
            "fired": dict(self.fired),
            "posted": dict(self._posted),
            "active": [
                {"number": active.number, "hits": active.hits, **given(active.fault)} for active in self._active
            ],
        }
