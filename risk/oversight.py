"""What the gate asks besides its ten rules: the governor, the rules somebody configured, how much, for how long.

Made by the wiring from plain terms; of its parts only those are attached to the bus that something configured needs.
``state`` and ``restore`` are all of it as plain values, for a restart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from bus.bus import Bus
from bus.clock import Clock
from bus.events import Decision, Intent, RegimeState
from bus.market import Market
from bus.values import ZERO, Action, Instrument, Order, RegimeLabel, TradingState
from portfolio.books import HOUSE, Books
from portfolio.equity import Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from risk import extra, sizing
from risk.confirm import Confirmation
from risk.extra import Extra, own_reach
from risk.governor import Band, Governor
from risk.governor import Rules as Bands
from risk.horizons import Horizons
from risk.returns import Returns
from risk.rules import Proposal

BAND = "drawdown_band"
PANIC = "panic"
GOVERNOR = "governor"

STATES: Mapping[Band, TradingState] = {
    Band.OK: TradingState.ARMED,
    Band.SOFT: TradingState.ARMED,
    Band.HARD: TradingState.REDUCING,
    Band.KILL: TradingState.SHADOW,
}
"""What trading is let be in a band."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """``own_positions``: what a strategy enters and leaves is its own part of the position, not the whole of it."""

    sizing: sizing.Sizing
    bands: Bands = Bands()
    extra: extra.Terms = extra.Terms()
    returns_interval_ns: int = 0
    own_positions: bool = False


Tell = Callable[[TradingState | None, str, str], None]
"""Told of a change by the state it asks for (None: no other), the rule and the numbers."""


class Oversight:
    """``tell`` and ``pull`` (of an instrument: rule, reason) are the gate's, set when it takes this on."""

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        market: Market,
        ledger: Ledger,
        exposure: Exposure,
        equity: Equity,
        terms: Terms,
        confirmation: Confirmation | None = None,
        verified: Callable[[], str] = str,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._market = market
        self._ledger = ledger
        self._exposure = exposure
        self._equity = equity
        self.terms = terms
        self.confirmation = confirmation
        self.books = Books(market.instruments)
        self.returns = Returns(terms.extra.returns, terms.returns_interval_ns)
        self.governor = Governor(terms.bands, equity, self._on_band)
        panics = self.governor.panics if terms.bands.panic_exit else None
        parts = (clock, market, ledger, exposure, equity, self.books, self.returns)
        self.extra = Extra(terms.extra, *parts, confirmation, verified, panics)
        self.horizons = Horizons(bus, clock, exposure, self.held)
        self._facts = sizing.Facts(equity.value, self.returns.volatility, self._record)
        self._exits = 0
        self.nobodys: list[str] = []
        """Instruments of which something is held since a restart, and no book says by which strategy."""
        self.stakes = terms.sizing.method != "intent"
        self.owns = self.extra.owns = terms.own_positions
        self.tell: Tell = _nobody
        self.pull: Callable[[str, str, str], None] = _nobody

    def adopt(self, terms: Terms, conf_min: float | None) -> None:
        """Hold what comes from here on to other numbers; a rule that was not asked for is not asked for now, one that
        is not asked for any more is not.
        """
        self.terms = terms
        self.stakes, self.owns = terms.sizing.method != "intent", terms.own_positions
        self.extra.owns, self.governor.rules = self.owns, terms.bands
        if self.confirmation is not None and conf_min is not None:
            self.confirmation.conf_min = conf_min
        elif conf_min is None:
            self.confirmation = self.extra.confirmation = None
        self.extra.adopt(terms.extra, self.governor.panics if terms.bands.panic_exit else None)

    def attach(self, bus: Bus) -> None:
        """After the ledger and before whoever approves."""
        asked = self.extra.rules
        if self._keeps_books:
            self.books.attach(bus)
        if asked.keys() & {"correlation", "var", "es"} or self.terms.sizing.method == "vol_target":
            self.returns.attach(bus)
        if self.needs_regime:
            bus.subscribe(RegimeState, self._on_regime)
        self.horizons.attach(bus)
        if self.terms.bands.watches:
            self._equity.guard(self.governor.look)

    @property
    def _keeps_books(self) -> bool:
        asked = self.extra.rules.keys() & {"cooldown", "budget"}
        return self.terms.own_positions or bool(asked) or self.terms.sizing.method == "kelly"

    @property
    def needs_regime(self) -> bool:
        return self.terms.bands.panic_exit or bool(self.extra.rules.keys() & {"min_atr", "max_atr"})

    def start(self) -> None:
        if "daily_loss" in self.extra.rules:
            self.extra.begin_day()

    # --- what the gate asks ---

    def first_broken(self, p: Proposal, *, reducing: bool) -> str | None:
        if reducing and not p.reduces:
            return BAND
        return self.extra.first_broken(p) if self.extra.rules else None

    def measures(self, p: Proposal, *, reducing: bool) -> list[tuple[str, Any, Any]]:
        found = self.extra.measures(p) if self.extra.rules else []
        return [(BAND, 0 if p.reduces or not p.order.instrument else 1, 0), *found] if reducing else found

    def arithmetic(self, rule: str, p: Proposal) -> str:
        return self.governor.reason if rule == BAND else self.extra.arithmetic(rule, p)

    def stake(self, strategy: str, intent: Intent) -> Decimal:
        """What an entry that names no size comes to, in quote units. Raises Unsizable."""
        terms = self.terms.sizing
        return sizing.stake(terms, self._facts, strategy, intent.instrument, intent.exposure, intent.confidence)

    @property
    def unconfirmed(self) -> str:
        """Why nothing may be armed, or nothing."""
        return self.confirmation.missing if self.confirmation is not None else ""

    @property
    def scale(self) -> Decimal:
        return self.governor.scale

    @property
    def adds(self) -> bool:
        return sizing.adds(self.terms.sizing)

    def own(self, strategy: str, instrument: Instrument) -> tuple[Decimal, Decimal, Decimal] | None:
        """What the strategy has and can come to have, where that is what it enters and leaves; else None."""
        if not self.terms.own_positions or strategy in HOUSE:
            return None
        low, high = own_reach(self.books, self._exposure, strategy, instrument.name)
        return self.books.size(strategy, instrument.name), low, high

    def held(self, strategy: str, instrument: str) -> Decimal:
        """What there is to close, signed; what a fee in base left of it is dust, which no order can sell."""
        own = self.terms.own_positions
        size = self.books.size(strategy, instrument) if own else self._ledger.inventory(instrument)
        return size if self._is_closable(instrument, size) else ZERO

    def _is_closable(self, instrument: str, size: Decimal) -> bool:
        terms = self._market.instruments[instrument]
        return abs(size) >= max(terms.lot, terms.min_size)

    def approved(self, order: Order, intent: Intent) -> None:
        if intent.horizon_s and not intent.reduce_only:
            self.horizons.watch(order, intent.horizon_s)

    # --- what happens ---

    def _on_band(self, band: Band, reason: str) -> None:
        self.tell(STATES[band] if STATES[band] is not TradingState.ARMED else None, BAND, reason)

    def _on_regime(self, state: RegimeState) -> None:
        self.extra.on_regime(state)
        if not self.terms.bands.panic_exit:
            return
        key, name = (state.instrument, state.interval_ns), state.instrument
        panics = self.governor.panics
        if state.label is not RegimeLabel.PANIC:
            if key in panics:
                del panics[key]
                self.tell(None, PANIC, f"{name}: over, the regime is {state.label}")
            return
        if key not in panics:
            panics[key] = None
            self.tell(None, PANIC, f"{name}: average true range {state.features['atr_pct']:.6g} of the price")
            self.pull(name, PANIC, "the regime is PANIC")
        low, high = self._exposure.position_if_all_fill(name)
        sure = low if low > 0 else min(high, ZERO)
        if (
            sure
            and self._is_closable(name, sure)
            and not any(one.order.reduce_only for one in self._exposure.open_orders(name))
        ):
            self._exits += 1
            intent = Intent(name, Action.FLAT, reduce_only=True, reason="the regime is PANIC")
            self._bus.publish(Decision(self._clock.now, f"{GOVERNOR}-{self._exits}", GOVERNOR, intent))

    def _record(self, strategy: str) -> sizing.Record:
        trips = self.books.trips(strategy)
        return sizing.Record(trips.count, trips.wins, float(trips.profit), float(trips.loss))

    # --- across a restart ---

    def state(self) -> dict[str, Any]:
        return {
            "governor": self.governor.state(),
            "books": self.books.state(),
            "extra": self.extra.state(),
            "horizons": self.horizons.state(),
            "exits": self._exits,
            "answers": self.confirmation.state() if self.confirmation is not None else [],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Before equity is restored: a band that was entered stays entered, and is not told of again."""
        self.governor.restore(state["governor"])
        self.books.restore(state["books"])
        if self._keeps_books:
            self.nobodys = self.books.disown(self._ledger.positions)
        self.extra.restore(state["extra"])
        self.horizons.restore(state["horizons"])
        self._exits = state["exits"]
        if self.confirmation is not None:
            self.confirmation.restore(state.get("answers", []))


def _nobody(*_: object) -> None: ...
