"""Funding of perpetual positions: at the venue's funding time, at the rate and mark known then."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from bus import money
from bus.bus import Bus, Subscription
from bus.clock import Clock
from bus.events import FundingPaid, MarkPrice
from bus.market import Market
from bus.state import FundingState
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
        self._waiting: dict[tuple[str, int], None] = {}  # in the order in which they were announced
        self._terms: dict[str, tuple[float, float]] = {}  # rate and mark of the session before, until one is heard
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
        name, due_ns = mark.instrument, mark.funding_ns
        if due_ns > max(self._clock.now, self._due_ns.get(name, 0)):
            self._await(name, due_ns)

    def _await(self, name: str, due_ns: int) -> None:
        self._due_ns[name] = due_ns
        self._waiting[name, due_ns] = None
        self._clock.at(due_ns, partial(self._pay, name, due_ns))

    def _pay(self, name: str, due_ns: int) -> None:
        del self._waiting[name, due_ns]
        size = self._account.positions[name].size
        if not size:
            return
        instrument = self._market.instruments[name]
        rate, mark = map(money.from_float, self._known(name))
        amount = notional(instrument, mark, size) * rate
        self._account.move(instrument.settle, ZERO, -amount)
        self._bus.publish(FundingPaid(self._clock.now, name, rate, mark, size, amount, instrument.settle))

    def _known(self, name: str) -> tuple[float, float]:
        """The present rate and mark."""
        heard = self._market.marks.get(name)
        return (heard.rate, heard.mark) if heard is not None else self._terms[name]

    def state(self) -> list[FundingState]:
        """What is waited for. Who goes on from here may be told of the next time before this one is paid."""
        return [FundingState(name, due_ns, *self._known(name)) for name, due_ns in self._waiting]

    def restore(self, states: Sequence[FundingState]) -> None:
        """What came due while nobody was there is paid when the clock next turns."""
        for state in states:
            self._terms[state.instrument] = (state.rate, state.mark)
            self._await(state.instrument, state.due_ns)
