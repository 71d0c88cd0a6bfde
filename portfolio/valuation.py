"""What an asset, or a size of an instrument, is worth in the account's asset by the present marks."""

from __future__ import annotations

from decimal import Decimal

from bus import money
from bus.market import Market
from bus.values import ONE, Kind
from portfolio.ledger import Ledger


class CannotValue(Exception):
    """Something we hold, or are about to, has no mark (``what``: the asset or the instrument). Callers fail closed."""

    def __init__(self, what: str) -> None:
        super().__init__(f"nothing says what {what} is worth")
        self.what = what


class Valuation:
    """An asset is priced by the mark of an instrument ``asset/account``: one we have traded before others, spot before
    contracts, otherwise the first listed that has a mark; the choice stands until we trade something new. There are no
    chains of instruments and no reciprocals.
    """

    def __init__(self, ledger: Ledger, market: Market, account: str) -> None:
        self._ledger = ledger
        self._market = market
        self._account = account
        self._sources: dict[str, str] = {}
        self._before: dict[str, str] = {}
        self._traded = 0

    def mark(self, instrument: str) -> float:
        mark = self._market.mark(instrument)
        if not mark > 0:  # a NaN is not a price either
            raise CannotValue(instrument)
        return mark

    def source(self, asset: str) -> str:
        """The instrument whose mark prices ``asset``."""
        if self._traded != len(self._ledger.positions):
            self._traded = len(self._ledger.positions)
            self._sources.clear()
            self._before = {}
        source = self._sources.get(asset)
        if source is None:
            source = self._sources[asset] = self._choose(asset)
        return source

    def sources(self) -> dict[str, str]:
        """What prices which asset at present."""
        return dict(self._sources)

    def restore(self, sources: dict[str, str]) -> None:
        """Prefer what another session chose, the ledger being as it left it: a worth does not jump by a basis."""
        self._traded = len(self._ledger.positions)
        self._sources, self._before = {}, sources

    def price(self, asset: str) -> Decimal:
        return ONE if asset == self._account else money.from_float(self.mark(self.source(asset)))

    def notional(self, instrument: str, size: Decimal) -> Decimal:
        """What ``size`` of an instrument amounts to, in the account's asset; contracts are worth their quote units."""
        terms = self._market.instruments[instrument]
        quoted = abs(size) * terms.multiplier
        if terms.kind is not Kind.INVERSE:
            quoted *= money.from_float(self.mark(instrument))
        return quoted * self.price(terms.quote)

    def _choose(self, asset: str) -> str:
        market, traded = self._market, self._ledger.positions
        there = (i for i in market.instruments.values() if i.base == asset and i.quote == self._account)
        marked = [i for i in there if market.mark(i.name) > 0]
        if not marked:
            raise CannotValue(asset)
        before = self._before.get(asset)
        return min(marked, key=lambda i: (i.name != before, i.name not in traded, i.kind is not Kind.SPOT)).name
