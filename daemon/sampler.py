"""Samples of the session for its report: equity, exposure and prices on one grid of the core's own time.

A timer takes them, so an event costs nothing more for being in a report. The grid starts fine and doubles its step,
dropping every second sample, whenever it is full: memory is bounded whatever the length, and the same inputs give
the same samples.
"""

from __future__ import annotations

import math
from typing import Any

from bus.clock import SECOND, Clock
from bus.market import Market
from bus.money import to_float
from portfolio.equity import CannotValue, Equity
from portfolio.ledger import Ledger

MOST = 1_024
Sample = tuple[int, float, float, dict[str, float]]


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
        return [sample[1] for sample in self._samples if not math.isnan(sample[1])]

    def curve(self) -> dict[str, Any]:
        """The samples in columns, and one of right now; what was not known at a time is None. Equity in ``asset``."""
        samples = [*self._samples, self._sample()]
        names = sorted({name for sample in samples for name in sample[3]})
        return {
            "asset": self._equity.asset,
            "step_ns": self.step_ns,
            "t_ns": [sample[0] for sample in samples],
            "equity": [None if math.isnan(sample[1]) else sample[1] for sample in samples],
            "gross": [sample[2] for sample in samples],
            "prices": {name: [sample[3].get(name) for sample in samples] for name in names},
        }

    def _tick(self) -> None:
        self._samples.append(self._sample())
        if len(self._samples) >= MOST:
            self.step_ns *= 2
            self._samples = [sample for sample in self._samples if sample[0] % self.step_ns == 0]
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
        return self._clock.now, equity, gross, {name: market.last(name) for name in heard}
