"""What a strategy is, and all it may see.

A strategy is a plain object with the callbacks it needs; what it does not implement costs nothing. It returns wishes
(``Intent``, ``CancelIntent``, ``ReplaceIntent``) and touches nothing: same events, same wishes. ``View`` is the
present as of the event it is being handed, never ahead of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Protocol

from bus.book import Book
from bus.clock import Clock
from bus.events import (
    Adaptation,
    Bar,
    BookInvalidated,
    BookSnapshot,
    BookUpdate,
    CancelIntent,
    DataGap,
    Intent,
    MarkPrice,
    OrderFilled,
    PairIntent,
    Quote,
    RegimeState,
    ReplaceIntent,
    Trade,
)
from bus.market import Market
from bus.values import Instrument, Provenance
from portfolio.equity import Equity
from portfolio.exposure import Exposure, OpenOrder
from portfolio.ledger import Ledger
from strategies.history import History
from strategies.regime import RegimeEngine

Wish = Intent | PairIntent | CancelIntent | ReplaceIntent | Adaptation
Wishes = Iterable[Wish] | Wish | None


class BadParameter(ValueError):  # the strategy's way to say no; reads as such where it is raised
    """A parameter's value makes no sense for the strategy; the text says what does."""


class View:
    """Read-only. Prices are float market data; positions, cash and equity are Decimal.

    ``last_intent_id`` is the id given to the latest intent of this strategy: how it refers to its own order later.
    """

    __slots__ = (
        "_call_at",
        "_clock",
        "_equity",
        "_exposure",
        "_history",
        "_ledger",
        "_market",
        "_regimes",
        "last_intent_id",
        "strategy",
    )

    def __init__(
        self,
        strategy: str,
        clock: Clock,
        market: Market,
        ledger: Ledger,
        exposure: Exposure,
        equity: Equity,
        history: History,
        call_at: Callable[[str, int, str], None],
        regimes: RegimeEngine | None = None,
    ) -> None:
        self.strategy = strategy
        self.last_intent_id = ""
        self._clock = clock
        self._market = market
        self._ledger = ledger
        self._exposure = exposure
        self._equity = equity
        self._history = history
        self._call_at = call_at
        self._regimes = regimes

    @property
    def now_ns(self) -> int:
        return self._clock.now

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        return self._market.instruments

    def position(self, instrument: str) -> Decimal:
        """What is held, signed, in base units (contracts for inverse): fills less fees that were taken in base."""
        return self._ledger.inventory(instrument)

    def cash(self, asset: str) -> Decimal:
        return self._ledger.cash.get(asset, Decimal(0))

    def equity(self) -> Decimal:
        """In the account's asset. Raises CannotValue where something is held that has no price yet."""
        return self._equity.value()

    def open_orders(self, instrument: str | None = None) -> list[OpenOrder]:
        """This strategy's orders that are not done."""
        return self._exposure.open_orders(instrument, self.strategy)

    def trade(self, instrument: str) -> Trade | None:
        return self._market.trades.get(instrument)

    def quote(self, instrument: str) -> Quote | None:
        return self._market.quotes.get(instrument)

    def book(self, instrument: str) -> Book | None:
        """Only while it is usable: valid, two-sided, not crossed."""
        book = self._market.books.get(instrument)
        return book if book is not None and book.usable else None

    def mid(self, instrument: str) -> float:
        """The middle of the market, 0.0 where nothing usable is known."""
        return self._market.mid(instrument)

    def bars(self, instrument: str, interval_ns: int) -> list[Bar]:
        """Closed bars, oldest first, as many as the strategy's ``history`` asked to be kept."""
        return self._history.bars(instrument, interval_ns)

    def frame(self, instrument: str, interval_ns: int) -> Any:
        """The same bars as a pandas DataFrame indexed by bar open (UTC): open, high, low, close, volume."""
        return self._history.frame(instrument, interval_ns)

    def regime(self, instrument: str, interval_ns: int) -> RegimeState:
        """What the market is like as of the last closed bar, the same for all strategies; its label is None while there
        is too little history. Raises LookupError for a strategy that did not say ``needs_regime``.
        """
        if self._regimes is None:
            raise LookupError(f"nobody tells regimes here: set needs_regime = True on {self.strategy}")
        return self._regimes.state(instrument, interval_ns)

    def call_at(self, when_ns: int, name: str) -> None:
        """Have ``on_timer(name, view)`` called when the clock reaches ``when_ns``."""
        self._call_at(self.strategy, when_ns, name)


class Witness(Protocol):
    """Who is told what strategies make of the closed bar they hear."""

    def acted(self, strategy: str) -> None: ...

    def held(self, strategy: str, reason: str) -> None: ...


class Strategy:
    """Derive, implement what you need, and take your parameters as keyword arguments of ``__init__``.

    ``history`` is how many closed bars per instrument and interval are kept for ``view.bars``; 0 keeps none. A strategy
    that reads the same price series from trades or from bars says ``bars_replace_trades``: where bars are built from
    the trades it then hears the bars only. One that asks ``view.regime`` says ``needs_regime``.
    ``provenance`` is filled in by whoever loads it; one with a model puts the model's hash there.
    """

    history: int = 0
    bars_replace_trades: bool = False
    needs_regime: bool = False
    provenance: Provenance | None = None

    def on_start(self, view: View) -> Wishes: ...

    def on_trade(self, trade: Trade, view: View) -> Wishes: ...

    def on_quote(self, quote: Quote, view: View) -> Wishes: ...

    def on_book(self, update: BookUpdate | BookSnapshot, view: View) -> Wishes: ...

    def on_bar(self, bar: Bar, view: View) -> Wishes: ...

    def on_mark(self, mark: MarkPrice, view: View) -> Wishes: ...

    def on_gap(self, gap: DataGap | BookInvalidated, view: View) -> Wishes: ...

    def on_fill(self, fill: OrderFilled, view: View) -> Wishes:
        """An execution of one of this strategy's own orders."""

    def on_order(self, event: object, view: View) -> Wishes:
        """Anything else that happened to one of this strategy's own orders, refusals included."""

    def on_timer(self, name: str, view: View) -> Wishes: ...

    def on_stop(self, view: View) -> None: ...

    def state(self) -> dict[str, Any]:
        """What a restart, and each day's new session, must give back to ``restore``: JSON-ready."""
        return {}

    def restore(self, state: dict[str, Any]) -> None: ...
