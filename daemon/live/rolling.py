"""Rolling over: when a running process goes on in a new session, and what it carries across the line.

A session is bounded so that making it again after a kill takes no longer than a day of it does, and so that recordings
can go when they are old. What is ours crosses as it does in a restart, by ``StateRestored``. What is public crosses as
the first lines of the new recording, one ``resume`` a feed: the sockets stay, and no snapshot is asked for, because one
asked for would come later than the frames that need it, and would not be the book that was traded on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from bus import inputs
from bus.clock import DAY, MINUTE, NEVER
from bus.events import StateRestored
from bus.inputs import Command, Input
from bus.journal import encode
from bus.resume import MarketState, Resume
from bus.values import TradingState
from daemon.live import ending
from daemon.live.door import NOBODY
from daemon.live.sitting import Clock, Sitting
from daemon.wiring import Core
from feeds.port import LiveFeed, VenueProtocol
from strategies.port import Strategy

ROLL, SCHEDULE = "roll", "schedule"
_LOOK_S = 1.0


class Schedule:
    """Calls ``roll`` at ``at`` (HH:MM, UTC) of each day by the process's clock; a time that passed while that could not
    be done comes again a minute later. ``roll`` says why it was not possible, nothing where it was.
    """

    def __init__(self, at: str, clock: Clock, roll: Callable[[], str]) -> None:
        self._of_day = int(at[:2]) * 60 * MINUTE + int(at[3:]) * MINUTE if at else NEVER
        self._clock = clock
        self._roll = roll
        self.next_ns = NEVER
        self.set(clock.read())

    def set(self, now: int) -> None:
        if self._of_day != NEVER:
            self.next_ns = (now - self._of_day) // DAY * DAY + DAY + self._of_day

    async def run(self) -> None:
        while self.next_ns != NEVER:
            await asyncio.sleep(min(self._clock.wait_s(self.next_ns), _LOOK_S))
            self.look()

    def look(self) -> None:
        now = self._clock.read()
        if now >= self.next_ns:
            self.set(now)
            if self._roll():
                self.next_ns = min(self.next_ns, now + MINUTE)


def cross(
    before: Sitting, after: Sitting, feeds: Iterable[LiveFeed], who: str, reason: str, begun: Callable[[Path], None]
) -> list[dict[str, Any]]:
    """Close one session as handed over and begin the other, which is ``begun`` once it is on disk; the orders that the
    first left open. Where either fails, its door is broken and says why.
    """
    before.door.command(ROLL, who, {"reason": reason, "to": after.session.path.name})
    left: list[dict[str, Any]] = []
    try:
        handed, across, left = hand_over(before, feeds)
    except Exception as error:  # it may be closed by now and hear nothing more: a start makes its state again
        before.door.broken = f"it could not be handed over: {type(error).__name__}: {error}"
        before.log.event("error", "session.failed", exc_info=error)
    if before.door.broken:
        after.abandon("the session before could not be closed")
        return left
    try:
        after.begin(handed, across)
        if not after.door.broken:
            begun(after.session.path)
    except Exception as error:  # the old one is closed and the new one not there: nothing may come in
        after.door.broken = f"the new session did not begin: {type(error).__name__}: {error}"
        after.log.event("error", "session.failed", exc_info=error)
    return left


def hand_over(
    before: Sitting, feeds: Iterable[LiveFeed]
) -> tuple[StateRestored | None, list[tuple[Input, VenueProtocol]], list[dict[str, Any]]]:
    """End a session that has heard ``roll``: its state, the first inputs of the one that follows, what it left open."""
    handed = ending.Handed()
    left: list[dict[str, Any]] = []

    def take(core: Core) -> None:
        handed.take(core)
        left.extend(ending.open_orders(core))

    before.door.end(take)
    return (
        handed.of(before.session, before.core.chain),
        carried(before.core, feeds, before.session.path.name),
        left,
    )


def resume(core: Core, conn: str, venue: str, protocol: VenueProtocol) -> Input:
    """What was heard of a venue's market, and in the middle of which conversation."""
    said = Resume(msgspec.Raw(protocol.state()), market_of(core, venue))
    return Input(msgspec.json.encode(said).decode(), conn=conn, kind=inputs.RESUME, note=venue)


def carried(core: Core, feeds: Iterable[LiveFeed], parent: str) -> list[tuple[Input, VenueProtocol]]:
    """The first inputs of the session that follows: each market, then whether trading goes on."""
    across = [(resume(core, feed.conn, feed.venue, feed.protocol), feed.protocol) for feed in feeds]
    state = core.switch.state
    if state is not TradingState.DISCONNECTED:
        word = Command("resume", ROLL, {"state": state.value, "reason": f"as {parent} was"})
        across.append((Input(msgspec.json.encode(word).decode(), kind=inputs.COMMAND), NOBODY))
    return across


def market_of(core: Core, venue: str) -> MarketState:
    return MarketState(
        **core.market.state(venue),
        streams=core.freshness.state(venue),
        paces=core.bars.paces(venue) if core.bars is not None else [],
        event_ns=core.present.event_ns,
        look_ns=core.freshness.look_ns,
    )


def forgotten(before: Iterable[tuple[str, Strategy]], now: Iterable[tuple[str, Strategy]]) -> list[str]:
    """What strategies kept in themselves and did not say in their ``state()``: a line for each."""
    fresh = dict(now)
    found = []
    for name, strategy in before:
        if type(strategy).state is Strategy.state and name in fresh:
            there = vars(fresh[name])
            lost = [one for one, value in vars(strategy).items() if _differ(value, there.get(one))]
            if lost:
                found.append(
                    f"{name} keeps {', '.join(lost)} in itself and has no state(): each new session forgets that"
                )
    return found


def _differ(one: Any, other: Any) -> bool:
    try:
        return encode(_plain(one)) != encode(_plain(other))
    except (TypeError, ValueError, msgspec.MsgspecError):
        return False  # nothing that could be written down, so nothing that could be said


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, deque) else value
