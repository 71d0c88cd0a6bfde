"""A runner with a real market and account around it; what is decided is written down and goes nowhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal as D
from typing import Any

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import (
    Bar,
    CancelRequested,
    Decision,
    OrderFilled,
    OrderSubmitted,
    ReplaceRequested,
    StrategyQuarantined,
    Trade,
)
from bus.market import Market
from bus.route import Handler
from bus.values import Instrument, Liquidity, MatchSource, Order, OrderType, Side
from portfolio.equity import Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from strategies.history import History
from strategies.port import Strategy, View, Wishes
from strategies.regime import RegimeEngine
from strategies.runner import Runner

BTC = Instrument("v:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT")
ETH = Instrument("v:ETH/USDT", "ETHUSDT", "ETH", "USDT", "USDT")
MINUTE = 60 * SECOND
T0 = 1_000 * MINUTE


def bar(n: int = 0, close: float = 100.0, instrument: Instrument = BTC, *, closed: bool = True) -> Bar:
    start = T0 + n * MINUTE
    return Bar(
        instrument.name,
        MINUTE,
        start,
        start + MINUTE,
        close,
        close + 1,
        close - 1,
        close,
        2.0,
        3,
        closed,
        False,
        start + MINUTE,
    )


def trade(price: float = 100.0, instrument: Instrument = BTC, ns: int = T0) -> Trade:
    return Trade(instrument.name, price, 1.0, Side.BUY, 1, ns, ns)


def order(intent_id: str, strategy: str = "s", instrument: Instrument = BTC) -> Order:
    return Order(intent_id, strategy, instrument.name, Side.BUY, OrderType.LIMIT, D(2), D(100))


def submitted(intent_id: str) -> OrderSubmitted:
    return OrderSubmitted(T0, f"c-{intent_id}", intent_id)


def filled(intent_id: str, strategy: str = "s", size: str = "2", leaves: str = "0") -> OrderFilled:
    return OrderFilled(
        T0,
        f"c-{intent_id}",
        intent_id,
        strategy,
        BTC.name,
        "f",
        Side.BUY,
        D(100),
        D(size),
        D(0),
        "USDT",
        Liquidity.TAKER,
        T0,
        D(leaves),
        MatchSource.TRADE,
        "m",
    )


class World:
    """``decided`` are the decisions and requests in order, ``reasons`` what strategies said of bars they let pass,
    ``acts`` which of them did not let one pass, ``failures`` what was raised.
    """

    def __init__(self, *, builds_bars: bool = False, holds: bool = True, history: int = 10) -> None:
        self.clock = Clock(T0)
        self.bus = Bus(self._failed)
        self.market = Market([BTC, ETH])
        self.market.attach(self.bus)
        self.ledger = Ledger(self.market.instruments, {"USDT": D(1_000)})
        self.ledger.attach(self.bus)
        self.exposure = Exposure(self.ledger, self.market, "USDT")
        self.exposure.attach(self.bus)
        self.equity = Equity(self.ledger, self.market, self.clock, "USDT")
        self.equity.attach(self.bus)
        self.history = History(history)
        self.history.attach(self.bus)
        self.reasons: list[tuple[str, str]] = []
        self.acts: list[str] = []
        self.runner = Runner(
            self.bus,
            self.clock,
            builds_bars=builds_bars,
            witness=self if holds else None,
        )
        self.decided: list[Any] = []
        self.quarantined: list[StrategyQuarantined] = []
        self.failures: list[Exception] = []
        for request in (Decision, CancelRequested, ReplaceRequested):
            self.bus.subscribe(request, self.decided.append)
        self.bus.subscribe(StrategyQuarantined, self.quarantined.append)

    def held(self, strategy: str, reason: str) -> None:
        self.reasons.append((strategy, reason))

    def acted(self, strategy: str) -> None:
        self.acts.append(strategy)

    def seat(
        self,
        strategy: Strategy,
        id: str = "s",
        instruments: Iterable[str] | None = None,
        regimes: RegimeEngine | None = None,
    ) -> View:
        view = View(
            id,
            self.clock,
            self.market,
            self.ledger,
            self.exposure,
            self.equity,
            self.history,
            self.runner.call_at,
            regimes,
        )
        self.runner.add(id, strategy, instruments, view)
        return view

    def open(self, *orders: Order) -> None:
        """Orders of an earlier moment that are at the venue now."""
        for order in orders:
            self.exposure.reserve(order)
            self.bus.publish(submitted(order.intent_id))

    def hear(self, *events: object) -> None:
        for event in events:
            self.clock.turn(max(self.clock.now, getattr(event, "local_ns", 0)))
            self.bus.publish(event)

    @property
    def ids(self) -> list[str]:
        return [event.intent_id for event in self.decided if isinstance(event, Decision)]

    def _failed(self, handler: Handler, event: object, error: Exception) -> None:
        """As the daemon does it: a strategy that raises is quarantined."""
        seat = getattr(handler, "seat", None)
        if seat is None:
            raise error
        self.failures.append(error)
        self.runner.quarantine(seat, type(event).__name__, error)


class Says(Strategy):
    """Answers every bar with what the test says, and writes down what it was called with."""

    def __init__(self, answer: Callable[[Any, View], Wishes] = lambda event, view: None) -> None:
        self._answer = answer
        self.heard: list[Any] = []

    def on_bar(self, bar: Any, view: View) -> Wishes:
        self.heard.append(bar)
        return self._answer(bar, view)


class Listens(Strategy):
    """Hears everything, wants nothing."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def on_start(self, view: View) -> None:
        self.heard.append(("start", view.now_ns))

    def on_trade(self, trade: Any, view: View) -> None:
        self.heard.append(("trade", trade))

    def on_gap(self, gap: Any, view: View) -> None:
        self.heard.append(("gap", gap))

    def on_fill(self, fill: Any, view: View) -> None:
        self.heard.append(("fill", fill))

    def on_order(self, event: Any, view: View) -> None:
        self.heard.append(("order", event))

    def on_timer(self, name: str, view: View) -> None:
        self.heard.append(("timer", (name, view.now_ns)))

    def on_stop(self, view: View) -> None:
        self.heard.append(("stop", view.now_ns))

    def of(self, kind: str) -> list[Any]:
        return [what for said, what in self.heard if said == kind]
