"""What a fill costs: whose rate, of what amount, in which asset. Exact, never rounded; a negative fee is a rebate."""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from bus import money
from bus.values import ONE, Instrument, Liquidity, Side
from sim.members import BUY, INVERSE, MAKER, RECEIVED, SPOT


class Fees(Protocol):
    def rate(self, instrument: Instrument, liquidity: Liquidity) -> Decimal:
        """The fraction of the notional that is charged."""
        ...


class InstrumentFees:
    """The rates the venue states for each instrument."""

    def rate(self, instrument: Instrument, liquidity: Liquidity) -> Decimal:
        return instrument.maker_fee if liquidity is MAKER else instrument.taker_fee


class MakerTakerFees:
    """The same two rates everywhere: an account's own tier."""

    def __init__(self, maker: Decimal, taker: Decimal) -> None:
        self.maker = maker
        self.taker = taker

    def rate(self, instrument: Instrument, liquidity: Liquidity) -> Decimal:
        return self.maker if liquidity is MAKER else self.taker


def notional(instrument: Instrument, price: Decimal, size: Decimal) -> Decimal:
    """What ``size`` is worth in the asset it is paid in: quote, for inverse contracts base."""
    if instrument.kind is INVERSE:
        return money.divide(size * instrument.multiplier, price)
    worth = size * price
    return worth if instrument.multiplier == ONE else worth * instrument.multiplier


def fee(instrument: Instrument, side: Side, price: Decimal, size: Decimal, rate: Decimal) -> tuple[Decimal, str]:
    """Amount and asset of the fee on one fill."""
    if instrument.kind is not SPOT:
        return notional(instrument, price, size) * rate, instrument.settle
    if instrument.fee_asset is RECEIVED and side is BUY:
        return size * rate, instrument.base
    return size * price * rate, instrument.quote
