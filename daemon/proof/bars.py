"""Which bar of a session a person means: by instrument and time, as people write them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta

from bus.clock import SECOND
from bus.events import Bar
from bus.journal import Chain
from daemon.errors import Usage
from daemon.proof.again import Again
from daemon.proof.probe import Key
from daemon.reading.digest import iso
from daemon.replay import Stop, Watch


def bars_of(again: Again, watch: Watch | None = None, until_ns: int | None = None) -> dict[tuple[str, int], array[int]]:
    """When the closed bars of the session ended, by instrument and interval; with ``until_ns`` no further than to one
    bar of each after that. Nobody trades where nobody need.
    """
    ends: dict[tuple[str, int], array[int]] = {}
    chain, stop = Chain(), Stop()
    if again.live:  # it may go on from another's state, strategies included
        core, through = again.begin(chain)
    else:
        quiet = again.trading.model_copy(update={"council": type(again.trading.council)(), "strategies": []})
        core, through = again.begin(chain, quiet, strategies=[])

    def note(bar: Bar) -> None:
        if bar.closed:
            ends.setdefault((bar.instrument, bar.interval_ns), array("q")).append(bar.end_ns)
            if until_ns is not None and all(series[0] <= until_ns < series[-1] for series in ends.values()):
                stop("that is far enough")

    core.bus.subscribe(Bar, note)
    through(stop, watch)
    return ends


def choose(ends: Mapping[tuple[str, int], Sequence[int]], instrument: str, moment: str, interval_ns: int | None) -> Key:
    """The bar that a person means: the last that had closed at ``moment``, or of all. Raises Usage saying what there
    is.
    """
    if not ends:
        raise Usage("the session has no closed bars, so no decision was made at one; replay it with --interval 1m")
    name = _instrument(sorted({name for name, _ in ends}), instrument)
    lengths = sorted(length for known, length in ends if known == name)
    if interval_ns is None and len(lengths) > 1:
        raise Usage(f"{name} has bars of {_lengths(lengths)}; say which with --interval")
    length = lengths[0] if interval_ns is None else interval_ns
    if length not in lengths:
        raise Usage(f"{name} has bars of {_lengths(lengths)}, not of {_lengths([length])}")
    series = ends[name, length]
    if not moment:
        return name, length, series[-1]
    ns = moment_ns(moment, series[-1])
    closed = [end for end in series if end <= ns]
    if not closed or ns >= series[-1] + length:
        raise Usage(
            f"no bar of {name} had closed at {iso(ns)}; its bars end from {iso(series[0])} to {iso(series[-1])}"
        )
    return name, length, closed[-1]


def _instrument(names: Sequence[str], wanted: str) -> str:
    """By its name, or by its symbol as people write it: BTC-USDT, btcusdt, BTC/USDT."""
    if wanted in names:
        return wanted

    def plain(text: str) -> str:
        return "".join(letter for letter in text.upper() if letter.isalnum())

    fits = [name for name in names if plain(wanted) in (plain(name), plain(name.partition(":")[2]))]
    if len(fits) != 1:
        what = "is none of the instruments with bars" if not fits else "may be several"
        raise Usage(f"{wanted!r} {what}: {', '.join(fits or names)}")
    return fits[0]


def _lengths(lengths: Iterable[int]) -> str:
    return ", ".join(f"{length / SECOND:g}s" for length in lengths)


def last_asked(text: str) -> int | None:
    """The moment that is meant, where that can be told without knowing when the session ended."""
    try:
        time.fromisoformat(text)
    except ValueError:
        return moment_ns(text, 0) if text else None
    return None


def moment_ns(text: str, last_ns: int) -> int:
    """ISO 8601 (UTC where it says no zone), nanoseconds, or a time of day: its last before the session's end."""
    if text.isdecimal() and len(text) > 12:
        return int(text)
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        pass
    else:
        last = datetime.fromtimestamp(last_ns / SECOND, UTC)
        when = datetime.combine(last.date(), clock, clock.tzinfo or UTC)
        return _ns(when if when <= last else when - timedelta(days=1))
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"TIME is 14:00, 2026-01-31T14:00 or nanoseconds, not {text!r}") from None
    return _ns(when if when.tzinfo is not None else when.replace(tzinfo=UTC))


def _ns(when: datetime) -> int:
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000
