"""The one reader of market sockets. It knows no venue and no trading: connect, say hello, read, ping, back off.

A connection outlives its sockets. Each frame goes to ``accept`` the moment it was read; nothing waits in between and
nothing is dropped: where the core is slower than the venue, TCP makes the venue wait. Two things it remembers: the
wait after a failure is reset by a good message, not by a connect; and a socket from which nothing comes, not even the
answer to a ping, is a dead one.

**Rolling over.** A venue ends every socket after a day. Before it does, a second one is opened, and what it brings is
held back while the first goes on. When both have said the same for a while, what was held is passed on (the protocol
knows it all already, by its ids), then what comes live, and the first is retired. Nothing is lost, because the second
has heard everything since before the first was let go; nothing is said twice, because the protocol does not listen
twice. Should the first be lost meanwhile, the second takes over at once.

**What we say.** A venue that allows five messages a second counts those that arrive, and what we say at leisure may
arrive all at once: it stood still, or the line did. So what was said counts until the venue has proved that it heard it
and a second has passed since. The proof is the answer to a ping, for which the last place is kept free; each ping has a
number, and its answer proves everything said before. Who does not answer one is given up.
"""

from __future__ import annotations

import asyncio
import base64
import math
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from time import monotonic_ns
from typing import Any, NamedTuple

from aiohttp import WSMsgType

from bus.clock import SECOND
from bus.inputs import CONNECT, DISCONNECT, RETIRE, SENT, SWITCH, Input
from feeds.crew import Crew, end
from feeds.link import Link, farewell, hang_up
from feeds.network import Network, Refused
from feeds.pace import Allowance, Backoff, RimClock

FRAMES_AT_ONCE = 64
AT_ONCE_NS = 2_000_000
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 5.0
FAILURES_TO_SWITCH = 3
ANSWER_S = 1.5
"""Of the wall's time: the least that a machine may take for an answer before its line counts as dead."""
HELD_MAX = 200_000
"""Frames; a second socket that brings more before it may take over is given up, and another one tried."""

_TEXT, _BINARY, _PING, _PONG = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG

Hear = Callable[[Sequence[Input]], None]


class Terms(NamedTuple):
    """What a venue allows, and what we make of it. Of what we say, pings and answers to pings among them, at most
    ``messages`` arrive in ``messages_s``, on one connection or, ``by_address``, on all together; ``life_s`` is after
    how long we let a socket go (0: never), ``overlap_s`` how long its successor listens along.
    """

    messages: int
    messages_s: float
    streams: int
    connects: int
    connects_s: float
    life_s: float
    by_address: bool = False
    overlap_s: float = 3.0
    quiet_s: float = 10.0
    frame_max: int = 1 << 22


class Connection:
    """A line to a venue that endures. ``sources`` are the addresses to listen at, the preferred one first; ``hello``
    says what to send on a fresh socket; ``is_data`` tells data from acknowledgements and heartbeats; ``messages`` is
    what may be said on all lines of an address together, where the venue counts so.
    """

    def __init__(
        self,
        name: str,
        sources: Sequence[str],
        network: Network,
        clock: RimClock,
        terms: Terms,
        connects: Allowance,
        chance: Random,
        hear: Hear,
        hello: Callable[[], Sequence[str]],
        is_data: Callable[[str], bool],
        messages: Allowance | None = None,
    ) -> None:
        self.name = name
        self.reconnects = 0
        self._sources = list(sources)
        self._source = 0
        self._network = network
        self._clock = clock
        self._terms = terms
        self._connects = connects
        self._messages = messages
        self._chance = chance
        self._hear = hear
        self._hello = hello
        self._is_data = is_data
        self._backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S, chance)
        self._lost = 0  # messages, counted by ``messages``, that its lost sockets may still carry to the venue
        self._begun = 0  # sockets that the core was told of; one that never gets so far takes up no name
        self._link: Link | None = None
        self._standby: Link | None = None
        self._crew: Crew | None = None

    @property
    def open_s(self) -> float:
        """How long the socket at hand has been open; 0 while there is none."""
        link = self._link
        return (self._clock.now() - link.opened_ns) / SECOND if link is not None and not link.gone else 0.0

    async def run(self) -> None:
        """Hold the line until cancelled; its sockets are closed on the way out."""
        try:
            async with Crew() as crew:
                self._crew = crew
                crew.start(self._hold())
                await crew.over()
        finally:
            links = [link for link in (self._link, self._standby) if link is not None]
            self._link = self._standby = self._crew = None
            for link in links:
                if link.begun and not link.gone:
                    self._hear((Input("", conn=link.conn, kind=DISCONNECT, note="closed by us"),))
                if not link.gone:
                    link.gone = True
                    self._lost += link.forget()
                await link.socket.close()
            self._settle(self._lost)

    @property
    def conn(self) -> str:
        """The name under which the core knows the socket at hand."""
        return self._link.conn if self._link is not None else ""

    def send(self, messages: Sequence[str]) -> None:
        """Say something on whatever sockets there are, as fast as the venue likes to be spoken to."""
        for link in (self._link, self._standby):
            if link is not None:
                link.say(messages)

    def renew(self, reason: str) -> None:
        """Give up the socket and begin anew."""
        if self._link is not None:
            self._lose(self._link, reason)

    def roll_over(self) -> None:
        """Begin now what would come with age: the venue said that it will close."""
        if self._link is not None:
            self._link.due.set()

    # --- a line's life ------------------------------------------------------------------------------------------

    async def _hold(self) -> None:
        while True:
            link: Link | None = await self._open(held=False)
            while link is not None:
                self._link = link
                link = await self._follow(link)
            self._link = None
            self.reconnects += 1
            await self._clock.sleep(self._backoff.next_s())

    async def _follow(self, link: Link) -> Link | None:
        """Until this socket is over: the one that has taken over from it, or None where it was lost."""
        roller = self._start(self._roll(link))
        await link.over.wait()
        await end(roller)
        if link.successor is None and self._standby is not None and self._standby.is_usable:
            await self._hand_over(link, self._standby)
        link.stop()
        if link.successor is not None:
            return link.successor
        self._hear((Input("", conn=link.conn, kind=DISCONNECT, note=link.reason),))
        if self._standby is not None:
            self._dismiss(self._standby, "no longer needed")
        if not link.is_good:
            self._refused(link.reason)
        return None

    async def _roll(self, link: Link) -> None:
        await link.due.wait()
        while True:
            standby = self._standby = await self._open(held=True)
            await standby.stirred.wait()
            overlap_s = self._clock.patience_s(self._terms.overlap_s)
            await self._clock.sleep(overlap_s if standby.is_usable else self._backoff.next_s())
            if (standby.is_usable and await self._hand_over(link, standby)) or link.gone:
                return
            self._dismiss(standby, "it had nothing to say")

    async def _hand_over(self, link: Link, standby: Link) -> bool:
        """Pass on what was held, the old socket still heard, until the new one is live; then let the old one go. Where
        the new one dies meanwhile the old one stays, and the answer is no.
        """
        if not standby.begun:
            self._begin(standby)
        held = standby.held
        while held and not standby.gone:
            self._hear([held.popleft() for _ in range(min(len(held), FRAMES_AT_ONCE))])
            await asyncio.sleep(0)
        if standby.gone:
            return False
        standby.held = None
        self._standby = None
        link.successor = standby
        self._hear((Input("", conn=link.conn, kind=RETIRE, note=link.reason or f"{standby.conn} has taken over"),))
        self._lose(link, "rolled over")
        return True

    def _dismiss(self, standby: Link, reason: str) -> None:
        """It takes over from nobody. Its name is free again, that of the socket before it is not."""
        self._standby = None
        self._lose(standby, reason)
        standby.stop()
        if standby.begun:  # it died while it was taking over
            self._hear((Input("", conn=standby.conn, kind=DISCONNECT, note=standby.reason),))
            self._begun -= 1

    # --- one socket ---------------------------------------------------------------------------------------------

    async def _open(self, *, held: bool) -> Link:
        """A socket, however long it takes, with its hello on the way."""
        while True:
            lost = self._lost
            try:
                async with self._connects.one():
                    url = self._sources[self._source]
                    socket = await self._network.dial(url, self._terms.frame_max)
            except Refused as refused:
                self._refused(str(refused))
                await self._clock.sleep(self._backoff.next_s(refused.retry_after_s))
                continue
            allowed = self._messages or Allowance(self._clock, self._terms.messages, self._terms.messages_s)
            self._settle(lost)  # who answers this call has had before him whatever our lost sockets still carried
            link = Link(f"{self.name}{'ba'[self._begun % 2]}", url, socket, self._clock.now(), allowed)
            if held:
                link.held = deque()
            else:
                self._begin(link)
            link.say(self._hello())
            link.tasks = [self._start(work(link)) for work in (self._read, self._speak, self._watch)]
            return link

    def _settle(self, lost: int) -> None:
        """So much of what was lost is there by now, or never will be."""
        self._lost -= lost
        if self._messages is not None:
            self._messages.arrived(lost)

    def _begin(self, link: Link) -> None:
        link.begun = True
        self._begun += 1
        self._hear((Input("", conn=link.conn, kind=CONNECT, url=link.url),))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        assert self._crew is not None, "a line that runs"
        return self._crew.start(work)

    async def _read(self, link: Link) -> None:
        receive, conn, hear = link.socket.receive, link.conn, self._hear
        frames, since = 0, monotonic_ns()
        while True:
            message = await receive()
            if link.gone:
                return
            link.messages += 1
            kind = message.type
            if kind is _TEXT:
                raw = message.data
                if not link.is_good and self._is_data(raw):
                    link.is_good = True
                    link.stirred.set()
                    self._backoff.reset()
                if link.held is None:
                    hear((Input(raw, conn=conn),))
                else:
                    self._pass(link, Input(raw, conn=conn))
            elif kind is _BINARY:
                self._pass(link, Input(base64.b64encode(message.data).decode(), conn=conn, enc="b64"))
            elif kind is _PING:
                link.answer(message.data)
            elif kind is _PONG:
                link.proved(message.data)
            else:
                self._lose(link, farewell(link.socket, message))
                return
            # Who waits behind a flood gets its turn: after so many frames, or after so long.
            frames += 1
            if frames == FRAMES_AT_ONCE or monotonic_ns() - since > AT_ONCE_NS:
                await asyncio.sleep(0)
                frames, since = 0, monotonic_ns()

    async def _speak(self, link: Link) -> None:
        """Send what there is to say, answers to pings first, and have it proved that it was heard."""
        allowed = link.allowed
        while True:
            await link.speaking.wait()
            link.speaking.clear()
            while link.has_to_speak and not link.gone:
                free = allowed.free
                try:
                    if free > 1 and link.pong is not None:
                        answer, link.pong = link.pong, None
                        link.said()
                        await link.socket.pong(answer)
                    elif free > 1 and link.unsaid:
                        text = link.unsaid.popleft()
                        link.said()
                        await link.socket.send_str(text)
                        self._pass(link, Input(text, conn=link.conn, kind=SENT))
                    elif free and link.may_ask:
                        await link.socket.ping(link.ask())
                    else:
                        await allowed.change()
                except (ConnectionError, RuntimeError) as error:  # it is closing: the reader will say why
                    if not link.gone:
                        self._lose(link, f"cannot send: {error}")
                    return

    async def _watch(self, link: Link) -> None:
        """Is anybody there? And is it old? Not all connections grow old at the same moment."""
        heard = asked = looks = 0
        quiet_s = self._clock.patience_s(self._terms.quiet_s, ANSWER_S)
        life_s = self._terms.life_s * self._chance.uniform(0.95, 1.0) or math.inf
        while True:
            left_s = life_s - (self._clock.now() - link.opened_ns) / SECOND
            first_s = min(max(left_s, 0.0), quiet_s)
            await self._clock.sleep(first_s)
            if left_s <= quiet_s:
                link.due.set()
            await self._clock.sleep(quiet_s - first_s)  # a shorter silence than that says nothing
            looks = looks + 1 if link.asking and link.asking == asked else 0
            silent, heard = link.messages == heard, link.messages
            if looks and silent:
                self._lose(link, f"silent, and no answer to a ping for {quiet_s:g} s")
                return
            if looks > 1:
                self._lose(link, f"no answer to a ping for {looks * quiet_s:g} s")
                return
            if silent:
                link.doubt()
            asked = link.asking

    def _pass(self, link: Link, item: Input) -> None:
        if link.held is None:
            self._hear((item,))
        elif len(link.held) < HELD_MAX:
            link.held.append(item)
        else:
            self._lose(link, f"more than {HELD_MAX} frames came before it could take over")

    def _lose(self, link: Link, reason: str) -> None:
        """This socket is over. Closing it may take the other side its time; nobody waits."""
        if link.gone:
            return
        link.gone = True
        link.reason = reason
        self._lost += link.forget()
        link.over.set()
        link.stirred.set()
        if self._crew is not None:
            self._crew.start(hang_up(link.socket))

    # --- sources ------------------------------------------------------------------------------------------------

    def _refused(self, why: str) -> None:
        """A source that fails again and again is left for the next one, in a ring."""
        if len(self._sources) > 1 and self._backoff.failures + 1 >= FAILURES_TO_SWITCH:
            self._source = (self._source + 1) % len(self._sources)
            self._backoff.reset()
            self._hear((Input("", conn=self.name, kind=SWITCH, url=self._sources[self._source], note=why),))
