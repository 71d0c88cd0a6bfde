"""The whole account as it would stand with one more order: exposures, their tail, and the money at risk.

Every instrument counts at the worst that its open orders can lead to, as the caps count it: what was filled and every
order not known to be over, this one included. Amounts are in the account's asset, at the marks; CannotValue is raised
where something has none. One of these is made for one proposal, and works out what is asked of it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cached_property
from itertools import product

from bus import money
from bus.clock import SECOND
from bus.market import Market
from bus.values import ZERO, Kind, Side
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from portfolio.valuation import CannotValue, Valuation
from risk import stress, var
from risk.returns import Returns
from risk.rules import Proposal
from risk.stress import Resting

_BUY, _SPOT = Side.BUY, Kind.SPOT
_COMBINED = 6
"""Instruments with orders on their way that are combined each with each: 64 tails, some 30 ms."""


class Portfolio:
    def __init__(
        self, ledger: Ledger, market: Market, exposure: Exposure, valuation: Valuation, proposal: Proposal
    ) -> None:
        self._ledger = ledger
        self._market = market
        self._exposure = exposure
        self._valuation = valuation
        self._proposal = proposal

    @cached_property
    def reach(self) -> dict[str, tuple[Decimal, Decimal]]:
        """The lowest and highest position by instrument; instruments that are and stay flat are left out."""
        order = self._proposal.order
        found = {}
        for name in self._names():
            low, high = self._exposure.position_if_all_fill(name)
            if name == order.instrument and not self._proposal.reduces:
                if order.side is _BUY:
                    high = self._proposal.position_after
                else:
                    low = -self._proposal.position_after
            if low or high:
                found[name] = (low, high)
        return found

    @cached_property
    def notionals(self) -> dict[str, tuple[Decimal, Decimal]]:
        """The same in money."""
        return {name: (self._worth(name, low), self._worth(name, high)) for name, (low, high) in self.reach.items()}

    @cached_property
    def worst(self) -> dict[str, Decimal]:
        """The larger of the two, signed."""
        return {name: high if high >= -low else low for name, (low, high) in self.notionals.items()}

    @property
    def gross(self) -> Decimal:
        """The sum of what is held either way."""
        return sum((abs(worth) for worth in self.worst.values()), ZERO)

    @property
    def net(self) -> Decimal:
        """The furthest that long less short can get from nothing."""
        lows = sum((low for low, _ in self.notionals.values()), ZERO)
        highs = sum((high for _, high in self.notionals.values()), ZERO)
        return max(abs(lows), abs(highs))

    @property
    def borrowed(self) -> Decimal:
        """The gross of what is held on margin: everything but spot."""
        instruments = self._market.instruments
        return sum((abs(w) for name, w in self.worst.items() if instruments[name].kind is not _SPOT), ZERO)

    def tails(self, returns: Returns, confidence: float, horizon_s: float, fewest: int) -> list[var.Tail] | None:
        """One for each combination of what open orders can lead to: what hedges may be what does not fill.

        Of more than ``_COMBINED`` instruments with orders on their way those that can move least are not combined:
        their tails are added, which is never too little. None while there are too few returns that all instruments
        have; no exposure has no tail.
        """
        ends = {name: (float(low), float(high)) for name, (low, high) in self.notionals.items()}
        series = returns.aligned(ends)
        bars = returns.bars_in(round(horizon_s * SECOND))
        if ends and len(next(iter(series.values()))) < max(2, fewest):
            return None
        moving = sorted((n for n, (low, high) in ends.items() if low != high), key=lambda n: ends[n][0] - ends[n][1])
        combined, added = moving[:_COMBINED], moving[_COMBINED:]
        on_top = [
            var.tail(var.profits({name: ends[name][1] - ends[name][0]}, series), confidence, bars) for name in added
        ]
        found = []
        for chosen in product(*(ends[name] for name in combined)):
            exposures = {name: low for name, (low, _) in ends.items()} | dict(zip(combined, chosen, strict=True))
            if any(exposures.values()) or on_top:
                found.append(var.total([var.tail(var.profits(exposures, series), confidence, bars), *on_top]))
        return found or [var.Tail(0.0, 0.0, 0.0, 0.0, 0.0, 0, 0.0, confidence)]

    def correlation(self, returns: Returns, fewest: int) -> float | None:
        """The highest correlation of this order's instrument with another that is or may come to be held, taken as
        positive where both make or lose money together; 0 where nothing else is held, None while there are too few
        returns.
        """
        name = self._proposal.order.instrument
        side = 1.0 if self._proposal.order.side is _BUY else -1.0
        highest = 0.0
        for other, (low, high) in self.notionals.items():
            sides = [1.0] * (high > ZERO) + [-1.0] * (low < ZERO)
            if other == name or not sides:
                continue
            both = returns.aligned((name, other))
            if len(both[name]) < max(2, fewest):
                return None
            highest = max(highest, *(side * theirs * var.correlation(both[name], both[other]) for theirs in sides))
        return highest

    def money_at_risk(self, gap: Decimal, gaps: Mapping[str, Decimal]) -> dict[str, Decimal]:
        """What ``stress.loss`` says of each instrument that has something to lose."""
        lost = {}
        for name in self.reach:
            terms = self._market.instruments[name]
            held = self._ledger.inventory(name)
            price = money.from_float(self._valuation.mark(name))
            worst = stress.loss(terms, held, self._resting(name), price, gaps.get(name, gap), self._closing(name, held))
            if worst:
                lost[name] = worst * self._valuation.price(terms.quote)
        return lost

    def _resting(self, name: str) -> Iterator[Resting]:
        order = self._proposal.order
        for one in self._exposure.open_orders(name):
            if not one.order.reduce_only and one.intent_id != order.intent_id:
                yield Resting(one.order.side, one.leaves, one.price)
        if name == order.instrument and not order.reduce_only:
            yield Resting(order.side, self._proposal.leaves, order.price)

    def _closing(self, name: str, held: Decimal) -> Decimal:
        """How much of what is held orders that only reduce may close."""
        order, way_out = self._proposal.order, Side.SELL if held > ZERO else _BUY
        sizes = [
            one.leaves
            for one in self._exposure.open_orders(name)
            if one.order.reduce_only and one.order.side is way_out and one.intent_id != order.intent_id
        ]
        if name == order.instrument and order.reduce_only and order.side is way_out:
            sizes.append(self._proposal.leaves)
        return min(sum(sizes, ZERO), abs(held))

    def _names(self) -> list[str]:
        names = dict.fromkeys(self._ledger.positions)
        names.update((one.order.instrument, None) for one in self._exposure.open_orders())
        if self._proposal.order.instrument:
            names[self._proposal.order.instrument] = None
        return list(names)

    def _worth(self, name: str, size: Decimal) -> Decimal:
        if not size:
            return ZERO
        worth = self._valuation.notional(name, size)
        return worth if size > ZERO else -worth


__all__ = ["CannotValue", "Portfolio"]
