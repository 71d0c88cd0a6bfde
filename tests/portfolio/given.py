"""Instruments, fills and market events to begin a portfolio test with."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal as D

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import MarkPrice, OrderApproved, OrderFilled, ReplaceApproved, Trade
from bus.market import Market
from bus.values import Instrument, Kind, Liquidity, MatchSource, Side
from portfolio.equity import Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from portfolio.metrics import SlippageMeter

SPOT = Instrument("v:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT")
OTHER = Instrument("v:ETH/USDT", "ETHUSDT", "ETH", "USDT", "USDT")
LINEAR = Instrument("f:BTC/USDT:USDT", "BTCUSDT", "BTC", "USDT", "USDT", kind=Kind.LINEAR, multiplier=D("0.1"))
INVERSE = Instrument("i:BTC/USDT:BTC", "BTCUSDT_I", "BTC", "USDT", "BTC", kind=Kind.INVERSE, multiplier=D(100))
ALL = (SPOT, OTHER, LINEAR, INVERSE)
T0 = 1_000 * SECOND


def fill(
    size: str | D,
    price: str | D,
    instrument: Instrument = SPOT,
    *,
    fee: str | D = "0",
    fee_asset: str = "USDT",
    leaves: str | D = "0",
    intent_id: str = "s-1",
    client_id: str = "c-1",
    ns: int = T0,
) -> OrderFilled:
    """One execution of a signed size."""
    signed = D(size)
    return OrderFilled(
        ns,
        client_id,
        intent_id,
        "s",
        instrument.name,
        "f",
        Side.BUY if signed > 0 else Side.SELL,
        D(price),
        abs(signed),
        D(fee),
        fee_asset,
        Liquidity.TAKER,
        ns,
        D(leaves),
        MatchSource.TRADE,
        "m",
    )


def trade(price: float, instrument: Instrument = SPOT, ns: int = T0) -> Trade:
    return Trade(instrument.name, price, 1.0, Side.BUY, 1, ns, ns)


def mark(price: float, instrument: Instrument = LINEAR, ns: int = T0) -> MarkPrice:
    return MarkPrice(instrument.name, price, price, 0.0, 0, ns, ns)


class Desk:
    """The portfolio joined to a bus as the daemon joins it; a handler that raises fails the test."""

    def __init__(self, cash: Mapping[str, str], asset: str = "USDT") -> None:
        self.clock = Clock(T0)
        self.bus = Bus(_raise)
        self.market = Market(list(ALL))
        self.market.attach(self.bus)
        self.ledger = Ledger(self.market.instruments, {a: D(amount) for a, amount in cash.items()})
        self.ledger.attach(self.bus)
        self.exposure = Exposure(self.ledger, self.market, asset)
        self.meter = SlippageMeter(self.exposure)
        self.meter.attach(self.bus)
        self.exposure.attach(self.bus)
        self.equity = Equity(self.ledger, self.market, self.clock, asset)
        self.equity.attach(self.bus)

    def hear(self, *events: object, after_ns: int = 0) -> None:
        for event in events:
            self.clock.turn(self.clock.now + after_ns)
            if isinstance(event, OrderApproved):  # as the gate does, before it says so
                self.exposure.reserve(event.order, event.mid)
            elif isinstance(event, ReplaceApproved):
                self.exposure.reserve_replacement(event.intent_id, event.size)
            self.bus.publish(event)


def _raise(handler: object, event: object, error: Exception) -> None:
    raise error
