"""A small venue behind the broker port: it writes down what it is asked and says what the test has it say."""

from __future__ import annotations

from decimal import Decimal as D

from bus.bus import Bus
from bus.clock import Clock
from bus.events import OrderApproved, OrderFilled
from bus.values import Liquidity, MatchSource, Order, OrderType, Side

NAME = "v:BTC/USDT"


class FakeBroker:
    """``asked`` is every request in order; ``orders`` the terms by client id."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.orders: dict[str, Order] = {}

    def submit(self, client_id: str, order: Order) -> None:
        assert client_id not in self.orders, "a venue takes a client id once"
        self.orders[client_id] = order
        self.asked.append(("submit", client_id))

    def cancel(self, client_id: str) -> None:
        self.asked.append(("cancel", client_id))

    def replace(self, client_id: str, price: D, size: D) -> None:
        self.asked.append(("replace", client_id, price, size))


def approved(intent_id: str, strategy: str = "s", instrument: str = NAME) -> OrderApproved:
    return OrderApproved(1, Order(intent_id, strategy, instrument, Side.BUY, OrderType.LIMIT, D(2), D(100)), 100.0)


def filled(client_id: str, intent_id: str, size: str, leaves: str, strategy: str = "s") -> OrderFilled:
    return OrderFilled(
        1,
        client_id,
        intent_id,
        strategy,
        NAME,
        "f",
        Side.BUY,
        D(100),
        D(size),
        D(0),
        "USDT",
        Liquidity.TAKER,
        1,
        D(leaves),
        MatchSource.TRADE,
        "m",
    )


def strict_bus() -> Bus:
    def failed(_handler: object, _event: object, error: Exception) -> None:
        raise error

    return Bus(failed)


__all__ = ["NAME", "Clock", "FakeBroker", "approved", "filled", "strict_bus"]
