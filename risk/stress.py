"""Money at risk: the worst loss from here if every resting order fills and each position gaps against us.

For each instrument two stories, of which the worse counts; all instruments gap at once, each its own worse way:

    down   the price goes from P to P' = P (1 - s): what is held gains or loses with it, every open order that loses by
           being filled is filled at its own limit (a market order at P), and none that would save us is
    up     the same for P' = P (1 + s)

Where orders that only reduce may have closed a part of what is held before, what that part would gain is not counted.

A position bought at p loses its worth at p less its worth at P'. In quote units, for what is ``n`` units of multiplier
``m``: n m (p - P') for spot and linear contracts; n m (1 - P' / p) for inverse ones, which are worth n m whatever the
price and pay in the base asset, counted at P'. Nothing loses less than zero.

Exact: Decimal in, Decimal out; only an inverse contract divides.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from bus import money
from bus.values import ONE, ZERO, Instrument, Kind, Side

_BUY, _INVERSE = Side.BUY, Kind.INVERSE


class Resting(NamedTuple):
    """What of an order may still fill, and at what price at worst (None: at the market)."""

    side: Side
    size: Decimal
    price: Decimal | None


def loss(
    instrument: Instrument,
    held: Decimal,
    resting: Iterable[Resting],
    price: Decimal,
    gap: Decimal,
    closing: Decimal = ZERO,
) -> Decimal:
    """The worse of the two stories, in quote units. ``gap`` is a fraction of the price; ``closing`` is how much of what
    is held may be closed by then.
    """
    down, up = price * (ONE - gap), price * (ONE + gap)
    left = held - closing if held > ZERO else held + closing
    falls = max(_lost(instrument, held, price, down), _lost(instrument, left, price, down))
    rises = max(_lost(instrument, held, price, up), _lost(instrument, left, price, up))
    for order in resting:
        entry = price if order.price is None else order.price
        size = order.size if order.side is _BUY else -order.size
        falls += max(ZERO, _lost(instrument, size, entry, down))
        rises += max(ZERO, _lost(instrument, size, entry, up))
    return max(ZERO, falls, rises)


def _lost(instrument: Instrument, size: Decimal, entry: Decimal, exit: Decimal) -> Decimal:
    """What a signed size loses from ``entry`` to ``exit``, in quote units; negative where it gains."""
    if not size:
        return ZERO
    if instrument.kind is _INVERSE:
        return size * instrument.multiplier * (ONE - money.divide(exit, entry))
    return size * instrument.multiplier * (entry - exit)
