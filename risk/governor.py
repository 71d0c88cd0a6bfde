"""What watches over everybody: how far the account is below its best, and whether the market panics.

**Bands.** Two losses are watched, from the peak of equity and from the session's start, each with three bands:

    soft   entries are made smaller, by a stated factor
    hard   REDUCING: only what makes a position smaller passes, or stays open
    kill   SHADOW: nothing passes, what is open is cancelled, strategies go on being heard

A band is entered in the very input whose mark crosses it: equity calls ``look`` from inside its own handler, before
anything that follows from the mark can be approved. It is looked at in float and confirmed in Decimal, like the session
drawdown that halts. A band is left by nobody but the operator (``clear``), and outlives a restart.

**Panic.** Where the regime of an instrument is PANIC its open orders are pulled, what is held is closed reduce-only
through the gate like any order, and nothing new is let in until a closed bar says otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from bus import money
from bus.values import ONE, Choice
from portfolio.equity import Equity


class Band(Choice):
    """In order of severity; the value is the ``dd_band`` of ``cortex.json``."""

    OK = "ok"
    SOFT = "soft"
    HARD = "hard"
    KILL = "kill"


_ORDER = (Band.OK, Band.SOFT, Band.HARD, Band.KILL)
_SLACK = 1e-9  # as equity's own: float is asked a hair early, Decimal decides


class Bands(msgspec.Struct, frozen=True):
    """Fractions lost at which each band begins, not falling; 1: not by an account that is worth anything."""

    soft: float = 1.0
    hard: float = 1.0
    kill: float = 1.0

    def of(self, lost: Decimal | float) -> Band:
        """The band that a loss is in; it begins at its limit, not above it."""
        if lost >= money.from_float(self.kill):
            return Band.KILL
        if lost >= money.from_float(self.hard):
            return Band.HARD
        return Band.SOFT if lost >= money.from_float(self.soft) else Band.OK

    def begins(self, band: Band) -> float:
        return {Band.SOFT: self.soft, Band.HARD: self.hard, Band.KILL: self.kill}.get(band, math.inf)


class Rules(msgspec.Struct, frozen=True):
    """``soft_scale`` is what a soft band multiplies the size of entries by."""

    peak: Bands = Bands()
    session: Bands = Bands()
    soft_scale: float = 0.5
    panic_exit: bool = False

    @property
    def watches(self) -> bool:
        """Whether any band can be reached."""
        return (
            min(self.peak.soft, self.peak.hard, self.peak.kill) < 1
            or min(self.session.soft, self.session.hard, self.session.kill) < 1
        )


class Governor:
    """``on_band`` is told of each band that is entered, with the numbers, from inside the mark that did it."""

    def __init__(self, rules: Rules, equity: Equity, on_band: Callable[[Band, str], None]) -> None:
        self.rules = rules
        self._equity = equity
        self._on_band = on_band
        self.band = Band.OK
        self.reason = ""
        self.panics: dict[tuple[str, int], None] = {}
        """Series whose regime is PANIC, by instrument and bar length."""

    @property
    def scale(self) -> Decimal:
        """What the size of an entry is multiplied by."""
        return ONE if self.band is not Band.SOFT else money.from_float(self.rules.soft_scale)

    def look(self) -> float:
        """Enter a band if one is reached; returns the equity below which to look again. Raises CannotValue."""
        equity, rules = self._equity, self.rules
        if equity.value_float() < self._level():
            peak, start = equity.confirm()
            band = max(rules.peak.of(peak), rules.session.of(start), key=_ORDER.index)
            if _ORDER.index(band) > _ORDER.index(self.band):
                by_peak = rules.peak.of(peak) is band
                lost, bands, what = (peak, rules.peak, "peak") if by_peak else (start, rules.session, "session's start")
                self.band = band
                self.reason = (
                    f"{band.value}: {lost * 10_000:.2f} bps below the {what} >= {bands.begins(band) * 10_000:.6g}"
                )
                self._on_band(band, self.reason)
        return self._level()

    def clear(self) -> None:
        """The operator has looked: losses are counted from here on. Raises CannotValue."""
        self._equity.value()  # raises before anything is changed
        self.band, self.reason = Band.OK, ""
        self._equity.rebase()

    def state(self) -> dict[str, Any]:
        return {"band": self.band.value, "reason": self.reason, "panics": [list(one) for one in self.panics]}

    def restore(self, state: dict[str, Any]) -> None:
        self.band, self.reason = Band(state["band"]), state["reason"]
        self.panics.clear()  # in its place: who refuses entries reads the same table
        self.panics.update(((name, length), None) for name, length in state["panics"])

    def _level(self) -> float:
        """The equity at which the next band begins, a hair early."""
        next_up = _ORDER.index(self.band) + 1
        if next_up == len(_ORDER):
            return -math.inf
        peak = self._equity.peak
        start = float(self._equity.start) if self._equity.start is not None else peak
        level = max(
            best * (1.0 - limit)
            for band in _ORDER[next_up:]
            for best, limit in ((peak, self.rules.peak.begins(band)), (start, self.rules.session.begins(band)))
        )
        return level + _SLACK * abs(peak)
