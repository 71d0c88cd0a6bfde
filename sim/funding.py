"""Funding of perpetual positions: at the venue's funding time, at the rate and mark known then."""

from __future__ import annotations

from functools import partial

from bus import money
from bus.bus import Bus, Subscription
from bus.clock import Clock
from bus.events import FundingPaid, MarkPrice
from bus.market import Market
from bus.values import ZERO
from sim.account import Account
from sim.fees import notional


class Funding:
    """Listens to marks only while a contract is held. One timer per instrument, for the next funding time announced."""

    def __init__(self, clock: Clock, bus: Bus, market: Market, account: Account) -> None:
        self._clock = clock
        self._bus = bus
        self._market = market
        self._account = account
        self._due_ns: dict[str, int] = {}
        self._marks: Subscription | None = None

    def attach(self, bus: Bus) -> None:
        self._marks = bus.subscribe(MarkPrice, self._on_mark, active=False)

    def position_changed(self, instrument: str) -> None:
        """A fill: the position may be due at a time announced before it was opened."""
        if self._account.positions[instrument].size:
            if self._marks is not None:
                self._marks.resume()
            mark = self._market.marks.get(instrument)
            if mark is not None:
                self._schedule(mark)

    def _on_mark(self, mark: MarkPrice) -> None:
        position = self._account.positions.get(mark.instrument)
        if position is not None and position.size:
            self._schedule(mark)
        elif self._marks is not None and not any(p.size for p in self._account.positions.values()):
            self._marks.pause()

    def _schedule(self, mark: MarkPrice) -> None:
        if mark.funding_ns > max(self._clock.now, self._due_ns.get(mark.instrument, 0)):
            self._due_ns[mark.instrument] = mark.funding_ns
            self._clock.at(mark.funding_ns, partial(self._pay, mark.instrument))

    def _pay(self, name: str) -> None:
        size = self._account.positions[name].size
        if not size:
            return
        instrument, known = self._market.instruments[name], self._market.marks[name]
        rate, mark = money.from_float(known.rate), money.from_float(known.mark)
        amount = notional(instrument, mark, size) * rate
        self._account.move(instrument.settle, ZERO, -amount)
        self._bus.publish(FundingPaid(self._clock.now, name, rate, mark, size, amount, instrument.settle))
