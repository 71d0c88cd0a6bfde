"""What a broker is to the router: a place that takes orders and, later, says what became of them.

A live venue and ``sim.exchange`` stand behind the same three requests. Nothing is returned: every outcome comes back
as an event on the bus (``OrderAccepted``, ``OrderFilled``, ``OrderRejected``, …) under the client id it concerns.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from bus.values import Order


class Broker(Protocol):
    def submit(self, client_id: str, order: Order) -> None: ...

    def cancel(self, client_id: str) -> None: ...

    def replace(self, client_id: str, price: Decimal, size: Decimal) -> None:
        """New limit price and new total size; the venue decides what that does to the place in the queue."""
        ...
