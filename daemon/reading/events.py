"""``argus events``: what a recording says, event by event, without anything trading on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bus import events
from bus.bus import Bus
from bus.clock import Clock
from bus.market import Market
from bus.route import Handler
from config.schema import Process, Trading, parse_interval
from daemon.app import open_sources
from daemon.errors import Usage
from daemon.intake import Intake
from daemon.sources import merged
from feeds.bars import BarBuilder

KINDS: dict[str, type] = {
    cls.__name__: cls
    for cls in (
        *events.MARKET_EVENTS,
        events.InstrumentListed,
        events.FeedOpened,
        events.FeedLost,
        events.FeedRetired,
        events.SourceSwitched,
        events.DataGap,
        events.BookInvalidated,
        events.BookRestored,
    )
}


def stream(
    files: Sequence[Path], wanted: Sequence[str], intervals: Sequence[str], venue: str | None
) -> Iterator[dict[str, Any]]:
    """Events of the wanted types (all, when none are named) as plain dicts, in the order the bus would carry them."""
    for name in wanted:
        if name not in KINDS:
            raise Usage(f"no event type {name!r}; there are {', '.join(KINDS)}")
    try:
        lengths = [parse_interval(text) for text in intervals]
    except ValueError as error:
        raise Usage(f"--interval {error}") from None
    opened = open_sources(files, venue, Trading(), Process(), intervals)
    heard: list[dict[str, Any]] = []
    clock, bus = Clock(), Bus(_raise)
    Market(opened.instruments).attach(bus)
    for name in wanted or KINDS:
        bus.subscribe(KINDS[name], lambda event: heard.append(_plain(event)))
    bars = None
    if intervals and (not wanted or "Bar" in wanted):
        bars = BarBuilder(clock, bus, lengths)
        bars.attach(bus)
    intake = Intake(clock, bus, lambda item, reason: None)
    for source, batch in merged(opened.sources):
        source.accept(intake, batch)
        yield from heard
        heard.clear()
    if bars is not None:
        bars.finish()
    yield from heard


def _plain(event: Any) -> dict[str, Any]:
    fields = {name: msgspec.to_builtins(getattr(event, name)) for name in event.__struct_fields__}
    return {"type": type(event).__name__, **fields}


def _raise(handler: Handler, event: object, error: Exception) -> None:
    raise error
