"""A small real world around the gate: bus, clock, market, account. The venue's part is played by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal as D
from functools import partial
from typing import Any, TypeVar

import msgspec

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import (
    RECORDS,
    Bar,
    BookInvalidated,
    BookSnapshot,
    Decision,
    Intent,
    OrderAccepted,
    OrderApproved,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderSubmitted,
    Trade,
)
from bus.market import Market
from bus.values import Action, Instrument, Kind, Liquidity, MatchSource, Order, Side
from portfolio.equity import Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from risk.confirm import Confirmation
from risk.gate import Gate
from risk.oversight import Oversight, Terms
from risk.rules import Limits
from risk.sizing import Sizing

SPOT = Instrument("v:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT", tick=D("0.01"), lot=D("0.001"), min_notional=D(5))
PERP = Instrument("v:ETH/USDT:USDT", "ETHUSDT", "ETH", "USDT", "USDT", Kind.LINEAR, tick=D("0.01"), lot=D("0.001"))
COIN = Instrument(
    "v:BTC/USD:BTC", "BTCUSD_PERP", "BTC", "USD", "BTC", Kind.INVERSE, tick=D("0.1"), lot=D(1), multiplier=D(100)
)
CLOSED = Instrument("v:OLD/USDT", "OLDUSDT", "OLD", "USDT", "USDT", trading=False)
ALL = (SPOT, PERP, COIN, CLOSED)

T0 = 1_000 * SECOND
LIMITS = Limits(
    max_notional=D(10_000),
    max_position=D(25_000),
    symbol_position_limits={},
    max_drawdown_bps=1_000.0,
    max_consecutive_rejects=3,
    stale_data_threshold_s=30.0,
    price_collar_bps=500.0,
    max_orders=5,
    max_orders_window_s=1.0,
    max_open_orders=20,
)

Event = TypeVar("Event")


class World:
    """Everything is at 100 when it begins; ``heard`` is every record in the order in which it was delivered."""

    def __init__(
        self,
        cash: Mapping[str, str] | None = None,
        *,
        armed: bool = True,
        price: float = 100.0,
        oversight: Terms | None = None,
        confirmation: Confirmation | None = None,
        verified: Callable[[], str] = str,
        **limits: Any,
    ):
        self.clock = Clock(T0)
        self.bus = Bus(_raise)
        self.heard: list[Any] = []
        for record in RECORDS.values():
            self.bus.subscribe(record, self.heard.append)
        self.market = Market(list(ALL))
        self.market.attach(self.bus)
        balances = {"USDT": "100000"} if cash is None else cash
        self.ledger = Ledger(self.market.instruments, {a: D(amount) for a, amount in balances.items()})
        self.ledger.attach(self.bus)
        self.exposure = Exposure(self.ledger, self.market, "USDT")
        self.exposure.attach(self.bus)
        self.equity = Equity(self.ledger, self.market, self.clock, "USDT")
        self.equity.attach(self.bus)
        self.gate = Gate(
            self.bus,
            self.clock,
            self.market,
            self.ledger,
            self.exposure,
            self.equity,
            msgspec.structs.replace(LIMITS, **limits),
            default_notional=D(1_000),
        )
        parts = (self.bus, self.clock, self.market, self.ledger, self.exposure, self.equity)
        terms = oversight or Terms(sizing=Sizing(notional=D(1_000)))
        self.oversight = Oversight(*parts, terms, confirmation, verified)
        self.oversight.attach(self.bus)
        self.switch = self.gate.switch
        self.gate.oversee(self.oversight)
        self.gate.attach(self.bus)
        self.emitted = 0
        if price:
            for instrument in ALL:
                self.trade(price, instrument)
        if armed:
            self.switch.arm("test", "the test says so")
        self.heard.clear()

    # --- what happens ---

    def trade(self, price: float, instrument: Instrument = SPOT) -> None:
        self.bus.publish(Trade(instrument.name, price, 1.0, Side.BUY, 1, self.clock.now, self.clock.now))

    def bar(self, close: float, end_s: int, instrument: Instrument = SPOT, interval_s: int = 60) -> None:
        """A closed bar, heard now."""
        end, length = end_s * SECOND, interval_s * SECOND
        self.bus.publish(
            Bar(
                instrument.name,
                length,
                end - length,
                end,
                *(close, close, close, close, 1.0),
                1,
                closed=True,
                gap=False,
                local_ns=self.clock.now,
            )
        )

    def book(self, bid: float, ask: float, instrument: Instrument = SPOT) -> None:
        now = self.clock.now
        self.bus.publish(BookSnapshot(instrument.name, [(bid, 1.0)], [(ask, 1.0)], 1, now, now))

    def lose_book(self, instrument: Instrument = SPOT) -> None:
        self.bus.publish(BookInvalidated(self.clock.now, instrument.name, "gap"))

    def wait(self, seconds: float) -> None:
        self.clock.turn(self.clock.now + round(seconds * SECOND))

    def at_once(self, *events: object) -> None:
        """Published in one delivery, as the wishes of one strategy are: all are queued before one is heard."""

        class Moment:
            pass

        self.bus.subscribe(Moment, partial(_each, self.bus.publish, events))
        self.bus.publish(Moment())

    def wish(
        self, action: Action = Action.BUY, size: Any = None, instrument: Instrument = SPOT, **terms: Any
    ) -> OrderApproved | OrderRefused:
        """A strategy decides; returns the gate's answer."""
        return self.decide(Intent(instrument.name, action, size, **terms))

    def decide(self, intent: Intent, strategy: str = "s") -> OrderApproved | OrderRefused:
        self.emitted += 1
        intent_id = f"{strategy}-{self.emitted}"
        self.bus.publish(Decision(self.clock.now, intent_id, strategy, intent))
        answer: OrderApproved | OrderRefused
        (answer,) = [e for e in self.all(OrderApproved, OrderRefused) if _intent_of(e) == intent_id]
        return answer

    def approve(
        self, action: Action = Action.BUY, size: Any = None, instrument: Instrument = SPOT, **terms: Any
    ) -> Order:
        """The same, where the answer must be yes; the order is handed to the venue."""
        answer = self.wish(action, size, instrument, **terms)
        assert isinstance(answer, OrderApproved), answer
        self.submit(answer.order)
        return answer.order

    def refuse(
        self, action: Action = Action.BUY, size: Any = None, instrument: Instrument = SPOT, **terms: Any
    ) -> OrderRefused:
        """The same, where the answer must be no."""
        answer = self.wish(action, size, instrument, **terms)
        assert isinstance(answer, OrderRefused), answer
        return answer

    def submit(self, order: Order) -> None:
        self.bus.publish(OrderSubmitted(self.clock.now, f"c-{order.intent_id}", order.intent_id))

    def accept(self, order: Order) -> None:
        self.bus.publish(OrderAccepted(self.clock.now, f"c-{order.intent_id}", "1", self.clock.now))

    def reject(self, order: Order) -> None:
        self.bus.publish(OrderRejected(self.clock.now, f"c-{order.intent_id}", "-2010", "no"))

    def cancelled(self, order: Order) -> None:
        self.bus.publish(OrderCancelled(self.clock.now, f"c-{order.intent_id}", "requested"))

    def fill(self, order: Order, price: str = "100", size: D | None = None) -> None:
        """The venue fills the order, or ``size`` of it."""
        filled = order.size if size is None else size
        self.bus.publish(
            OrderFilled(
                self.clock.now,
                f"c-{order.intent_id}",
                order.intent_id,
                order.strategy,
                order.instrument,
                "f",
                order.side,
                D(price),
                filled,
                D(0),
                "USDT",
                Liquidity.TAKER,
                self.clock.now,
                order.size - filled,
                MatchSource.TRADE,
                "m",
            )
        )

    def hold(self, size: str, instrument: Instrument = SPOT, price: str = "100") -> None:
        """Begin with a position: a fill from before."""
        side = Side.BUY if D(size) > 0 else Side.SELL
        now, ago = self.clock.now, OrderFilled
        self.bus.publish(
            ago(
                now,
                "c-0",
                "s-0",
                "s",
                instrument.name,
                "f",
                side,
                D(price),
                abs(D(size)),
                D(0),
                "USDT",
                Liquidity.TAKER,
                now,
                D(0),
                MatchSource.TRADE,
                "m",
            )
        )

    # --- what was heard ---

    def all(self, *kinds: type) -> list[Any]:
        return [event for event in self.heard if type(event) in kinds]

    def one(self, kind: type[Event]) -> Event:
        (event,) = self.all(kind)
        return event  # type: ignore[no-any-return]  # of the kind asked for


def _each(call: Callable[[object], None], events: Iterable[object], _: object) -> None:
    for event in events:
        call(event)


def _intent_of(event: OrderApproved | OrderRefused) -> str:
    return event.order.intent_id if isinstance(event, OrderApproved) else event.intent_id


def _raise(handler: object, event: object, error: Exception) -> None:
    raise error
