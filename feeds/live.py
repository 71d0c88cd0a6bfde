"""A native venue's market, live: what to subscribe to, what to ask for over REST, and what to do when data grows old.

The feed looks at the core four times a second and acts on what it sees there: a book that cannot be used needs a
snapshot, a stream that has grown stale another subscription, and so has a book that crosses itself though no number is
missing; a connection of which everything is stale gets a fresh socket.
It never tells the core anything that was not heard: what it asks for comes back through the door like everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol

from bus.clock import SECOND
from bus.inputs import FAULT, HTTP, Input
from feeds.connection import Connection, Terms
from feeds.crew import Crew
from feeds.network import Network, Refused
from feeds.pace import Allowance, Backoff, RimClock
from feeds.port import Accept, CannotHear, LiveProtocol, Time

LOOK_S = 0.25
LIST_AGAIN_S = 3_600.0
PAST_WITHIN_S = 5.0
FILL_AGAIN_S = 10.0
_ASK_FIRST_S, _ASK_LONGEST_S = 0.5, 8.0
_RESUBSCRIBE_FIRST_S, _RESUBSCRIBE_LONGEST_S = 4.0, 8.0
_RENEW_FIRST_S, _RENEW_LONGEST_S = 1.0, 4.0
_PATIENCE_S = 3.0

STREAMS = ("trade", "quote", "book", "kline", "ticker", "mark")
"""What may be subscribed to; each is what the market keeps of an instrument under the same name."""


class Wanted(NamedTuple):
    """One instrument, as we and as its venue call it, and which of ``STREAMS`` to hear of it."""

    instrument: str
    symbol: str
    streams: Sequence[str]


class Line(NamedTuple):
    """What one connection carries: its address below the venue's, and (instrument, stream) by topic."""

    path: str
    topics: Mapping[str, tuple[str, str]]


class Past(NamedTuple):
    """Bars to ask for: how many, of which interval as the venue's protocol calls it."""

    interval_ns: int
    bars: int


class Dialect(Protocol):
    """What a venue's live side says, and how much of it a venue puts up with."""

    terms: Terms
    requests: tuple[int, float]  # at most so many in so many seconds

    @property
    def streams(self) -> Collection[str]:
        """Of ``STREAMS``, those it has."""
        ...

    def lines(self, wanted: Sequence[Wanted]) -> Sequence[Line]: ...

    def subscribe(self, topics: Collection[str]) -> Sequence[str]: ...

    def unsubscribe(self, topics: Collection[str]) -> Sequence[str]: ...

    def is_data(self, raw: str) -> bool: ...

    def listing(self, symbols: Sequence[str]) -> str:
        """The request for the instruments' terms."""
        ...

    def snapshot(self, symbol: str) -> str | None:
        """The request for a book; None where it comes with a subscription."""
        ...

    def past(self, symbol: str, past: Past, now_ns: int) -> str | None:
        """The request for closed bars; None where the venue has none of that length."""
        ...


class Endpoints(NamedTuple):
    """Where a venue is found. Several sources are tried in order; the next one when one fails."""

    ws: Sequence[str]
    rest: str
    proxy: str = ""
    ca_file: str = ""


class NativeFeed:
    """One venue. ``unfit`` says which (instrument, stream) the core holds to be too old or wrong; the daemon plugs
    it in.

    Raises CannotHear.
    """

    def __init__(
        self,
        venue: str,
        wanted: Sequence[Wanted],
        protocol: LiveProtocol,
        accept: Accept,
        time: Time,
        dialect: Dialect,
        endpoints: Endpoints,
        past: Sequence[Past] = (),
        chance: Random | None = None,
        clock: RimClock | None = None,
    ) -> None:
        if missing := sorted({stream for each in wanted for stream in each.streams} - {*dialect.streams}):
            raise CannotHear(f"{venue} has no {', '.join(missing)}; its streams are {', '.join(dialect.streams)}")
        self.conn = self.venue = venue
        self.protocol = protocol
        self.unfit: Callable[[], Collection[tuple[str, str]]] = tuple
        self._wanted = wanted
        self._accept = accept
        self._dialect = dialect
        self._endpoints = endpoints
        self._past = past
        self._clock = clock or RimClock(time)
        self._chance = chance or Random()  # when to come back: nothing the core would ever know of
        self._network = Network(endpoints.proxy, endpoints.ca_file)
        self._asks = _Asks(self._chance)
        terms = dialect.terms
        connects = Allowance(self._clock, terms.connects, terms.connects_s)
        messages = Allowance(self._clock, terms.messages, terms.messages_s) if terms.by_address else None
        self.lines = [
            _Tended(
                line,
                Connection(
                    f"{venue}/{number}",
                    [f"{base}{line.path}" for base in endpoints.ws],
                    self._network,
                    self._clock,
                    terms,
                    connects,
                    self._chance,
                    self._hear,
                    lambda line=line: dialect.subscribe(line.topics),  # type: ignore[misc]  # bound while it is made
                    dialect.is_data,
                    messages,
                ),
                self._chance,
            )
            for number, line in enumerate(dialect.lines(wanted), 1)
        ]
        self._holes = (0, 0)
        self._past_asked: list[str] = []
        self._fills = self._fill_ns = 0  # how often bars are still to be asked for, and not before when

    async def run(self) -> None:
        try:
            async with Crew() as crew:
                crew.start(self._ask())
                crew.start(self._tend(crew))
                await crew.over()
        finally:
            await self._network.close()

    def _hear(self, items: Sequence[Input]) -> None:
        self._accept(items, self.protocol)

    # --- looking after what we have ------------------------------------------------------------------------------

    async def _tend(self, crew: Crew) -> None:
        """The past first, so that it is heard before the present; but the present waits only so long for it."""
        listing = self._dialect.listing([wanted.symbol for wanted in self._wanted])
        listed_ns = began = self._clock.now()
        self._asks.want(listing)
        self._ask_for_past(began)
        within_s = self._clock.patience_s(PAST_WITHIN_S)
        while self._asks.is_busy and self._clock.now() - began < within_s * SECOND:
            await self._clock.sleep(LOOK_S)
        for tended in self.lines:
            crew.start(tended.connection.run())
        while True:
            now = self._clock.now()
            if now - listed_ns >= LIST_AGAIN_S * SECOND:
                listed_ns = now
                self._asks.want(listing)
            self.look(now)
            await self._clock.sleep(LOOK_S)

    def look(self, now: int) -> None:
        """See what the core is missing, and see to it."""
        bad = set(self.unfit())
        for symbol in self.protocol.unbuilt():
            request = self._dialect.snapshot(symbol)
            if request is not None:
                self._asks.want_first(request)
            else:
                bad |= {(wanted.instrument, "book") for wanted in self._of(symbol)}
        for tended in self.lines:
            if tended.connection.conn in self.protocol.closing:
                tended.connection.roll_over()
        self._subscribe_again(bad, now)
        if self._past:
            self._fill_holes(now)

    def _of(self, symbol: str) -> list[Wanted]:
        return [wanted for wanted in self._wanted if wanted.symbol == symbol]

    def _subscribe_again(self, bad: Collection[tuple[str, str]], now: int) -> None:
        for tended in self.lines:
            ill = {topic for topic, what in tended.line.topics.items() if what in bad}
            if not ill or tended.connection.open_s < self._clock.patience_s(_PATIENCE_S):
                continue  # who has only just begun to listen may yet hear something
            if len(ill) == len(tended.line.topics):
                if tended.renewal.is_due(now):
                    tended.connection.renew("nothing it carries is fresh")
            elif again := {topic for topic in ill if tended.turns[topic].is_due(now)}:
                tended.connection.send([*self._dialect.unsubscribe(again), *self._dialect.subscribe(again)])
            for topic in set(tended.turns) - ill:
                tended.turns[topic].rest()
            if len(ill) < len(tended.line.topics):
                tended.renewal.rest()

    def _fill_holes(self, now: int) -> None:
        """Ask for bars again where trades may be missing since, and once more when the last of them have closed."""
        holes = (sum(tended.connection.reconnects for tended in self.lines), self.protocol.counts.gaps)
        if holes != self._holes and all(tended.connection.open_s for tended in self.lines):
            self._holes = holes
            self._fills = 2
        if self._fills and now >= self._fill_ns:
            self._fills -= 1
            self._fill_ns = now + round(FILL_AGAIN_S * SECOND)
            self._ask_for_past(now)

    def _ask_for_past(self, now: int) -> None:
        """In place of what was asked for earlier and is still unanswered."""
        asked = [
            request
            for wanted in self._wanted
            for past in self._past
            if (request := self._dialect.past(wanted.symbol, past, now))
        ]
        self._asks.drop(set(self._past_asked) - set(asked))
        self._past_asked = asked
        for request in asked:
            self._asks.want(request)

    # --- asking ---------------------------------------------------------------------------------------------------

    async def _ask(self) -> None:
        """One request at a time, as many as the venue likes; who was refused is asked again later."""
        allowed = Allowance(self._clock, *self._dialect.requests)
        conn, failed = f"{self.conn}/rest", False
        while True:
            path = await self._asks.next(self._clock)
            try:
                async with allowed.one():
                    reply = await self._network.get(self._endpoints.rest + path)
            except Refused as refused:
                if not failed:
                    failed = True
                    self._hear((Input(str(refused), conn=conn, kind=FAULT),))
                self._asks.refused()
                await self._clock.sleep(self._asks.backoff.next_s(refused.retry_after_s))
                continue
            failed = False
            self._hear((Input(reply.raw, conn=conn, kind=HTTP, url=reply.url),))
            self._asks.answered()


class _Asks:
    """What is to be asked, each thing once, in the order in which it was wanted. An answer that did not help (a
    snapshot older than what waits for it) is asked for again, but not at once.
    """

    def __init__(self, chance: Random) -> None:
        self.backoff = Backoff(_ASK_FIRST_S, _ASK_LONGEST_S / 2, chance)
        self._waiting: dict[str, None] = {}
        self._asked_ns: dict[str, int] = {}
        self._some = asyncio.Event()
        self._in_flight = ""

    @property
    def is_busy(self) -> bool:
        return bool(self._in_flight or self._waiting)

    def answered(self) -> None:
        self._in_flight = ""
        self.backoff.reset()

    def refused(self) -> None:
        if self._in_flight:
            self.want(self._in_flight)

    def want(self, path: str) -> None:
        self._waiting[path] = None
        self._some.set()

    def drop(self, paths: Collection[str]) -> None:
        """Nobody wants these any more."""
        for path in paths:
            self._waiting.pop(path, None)
        if self._in_flight in paths:
            self._in_flight = ""
        if not self._waiting:
            self._some.clear()

    def want_first(self, path: str) -> None:
        self._waiting = {path: None, **self._waiting}
        self._some.set()

    async def next(self, clock: RimClock) -> str:
        """The next one whose turn it is."""
        while True:
            await self._some.wait()
            now = clock.now()
            for path in self._waiting:
                if now - self._asked_ns.get(path, -SECOND) >= _ASK_FIRST_S * SECOND:
                    del self._waiting[path]
                    self._asked_ns = {asked: ns for asked, ns in self._asked_ns.items() if now - ns < SECOND}
                    self._asked_ns[path] = now
                    self._in_flight = path
                    if not self._waiting:
                        self._some.clear()
                    return path
            await clock.sleep(_ASK_FIRST_S / 2)


class _Turn:
    """Doing something again, each time after a longer while; whoever got better starts afresh."""

    def __init__(self, first_s: float, longest_s: float) -> None:
        self._first_ns, self._longest_ns = round(first_s * SECOND), round(longest_s * SECOND)
        self._wait_ns = self._next_ns = 0

    def is_due(self, now: int) -> bool:
        if now < self._next_ns:
            return False
        self._wait_ns = min(max(self._wait_ns * 2, self._first_ns), self._longest_ns)
        self._next_ns = now + self._wait_ns
        return True

    def rest(self) -> None:
        self._wait_ns = 0


class _Tended:
    """A connection, what it carries, and when each of it was last tried again."""

    def __init__(self, line: Line, connection: Connection, chance: Random) -> None:
        self.line = line
        self.connection = connection
        self.renewal = _Turn(_RENEW_FIRST_S, _RENEW_LONGEST_S)
        self.turns = {topic: _Turn(_RESUBSCRIBE_FIRST_S, _RESUBSCRIBE_LONGEST_S) for topic in line.topics}
