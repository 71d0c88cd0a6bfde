"""Samples of the session for its report: equity, exposure and prices on one grid of the core's own time.

A timer takes them, so an event costs nothing more for being in a report. The grid starts fine and doubles its step,
dropping every second sample, whenever it is full: memory is bounded whatever the length, and the same inputs give
the same samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from bus.clock import SECOND, Clock
from bus.events import Bar, Quote, Trade
from bus.market import Market, middle
from bus.money import to_float
from portfolio.equity import CannotValue, Equity
from portfolio.ledger import Ledger

MOST = 1_024


class Sample(msgspec.Struct, frozen=True, gc=False):
    """``equity`` is NaN while it is not known. ``heard`` is the latest of each instrument, as it was: what its price is
    can be asked later.
    """

    ns: int
    equity: float
    gross: float
    heard: Mapping[str, Trade | Bar | Quote]


class Sampler:
    """``step_ns`` is the first step: no finer than what the data can tell apart."""

    def __init__(self, clock: Clock, market: Market, equity: Equity, ledger: Ledger, step_ns: int = SECOND) -> None:
        self._clock = clock
        self._market = market
        self._equity = equity
        self._ledger = ledger
        self._samples: list[Sample] = []
        self.step_ns = step_ns

    def start(self) -> None:
        """From the clock's present on, one sample at each whole step."""
        self._clock.at((self._clock.now // self.step_ns + 1) * self.step_ns, self._tick)

    def equity(self) -> list[float]:
        """Equity at each step, from the first at which it was known."""
        return [sample.equity for sample in self._samples if not math.isnan(sample.equity)]

    def curve(self) -> dict[str, Any]:
        """The samples in columns, and one of right now; what was not known at a time is None. Equity in ``asset``."""
        samples = [*self._samples, self._sample()]
        prices = [{name: _price(event) for name, event in sample.heard.items()} for sample in samples]
        names = sorted({name for known in prices for name in known})
        return {
            "asset": self._equity.asset,
            "step_ns": self.step_ns,
            "t_ns": [sample.ns for sample in samples],
            "equity": [None if math.isnan(sample.equity) else sample.equity for sample in samples],
            "gross": [sample.gross for sample in samples],
            "prices": {name: [known.get(name) for known in prices] for name in names},
        }

    def _tick(self) -> None:
        self._samples.append(self._sample())
        if len(self._samples) >= MOST:
            self.step_ns *= 2
            self._samples = [sample for sample in self._samples if sample.ns % self.step_ns == 0]
        self.start()

    def _sample(self) -> Sample:
        market, gross = self._market, 0.0
        try:
            equity = self._equity.value_float()
        except CannotValue:
            equity = math.nan
        for name, position in self._ledger.positions.items():
            if position.lots:
                size = abs(to_float(position.size if position.single else position.size * position.multiplier))
                gross += size if position.inverse else size * market.mark(name)
        heard = market.trades or market.bars or market.quotes
        return Sample(self._clock.now, equity, gross, heard.copy())


def _price(event: Trade | Bar | Quote) -> float:
    if isinstance(event, Trade):
        return event.price
    return event.close if isinstance(event, Bar) else middle(event)
