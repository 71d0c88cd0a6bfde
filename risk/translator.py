"""From a wish to the terms of an order: how much, rounded to what the venue takes. The only place that quantises.

Pure functions over plain values. A size that comes to nothing says why, because "why did it not trade" is the question
people ask most.
"""

from __future__ import annotations

from decimal import Decimal

from bus import money
from bus.values import ONE, ZERO, Action, Instrument, Kind, OrderType, Side

# Reading an enum member through its class costs a Python call on 3.11; these are read for every order.
_BUY, _SELL, _INVERSE = Side.BUY, Side.SELL, Kind.INVERSE
_MARKET, _LIMIT, _STOP, _STOP_LIMIT = OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT
_TRAILING_STOP, _ENTER_LONG = OrderType.TRAILING_STOP, Action.ENTER_LONG
_EXIT_LONG, _EXIT_SHORT, _FLAT = Action.EXIT_LONG, Action.EXIT_SHORT, Action.FLAT


class Unsizable(Exception):  # a refusal on its way to becoming a value
    """No order can be made of it; the text is the reason given in the refusal."""


def exact(value: Decimal | float | int) -> Decimal:
    """A strategy's number as the decimal it meant. Raises Unsizable for NaN and infinities."""
    if isinstance(value, Decimal):
        number = value
    else:  # float() because a NumPy scalar does not print as the number it is
        number = Decimal(value) if isinstance(value, int) else money.from_float(float(value))
    if not number.is_finite():
        raise Unsizable(f"{value} is not a number to trade by")
    return number


def direction(action: Action, position: Decimal) -> Side:
    """Which side of the market the action takes."""
    if action is _FLAT:
        return _SELL if position > ZERO else _BUY
    return _SIDES[action]


_SIDES = {
    Action.ENTER_LONG: _BUY,
    Action.EXIT_LONG: _SELL,
    Action.ENTER_SHORT: _SELL,
    Action.EXIT_SHORT: _BUY,
    Action.BUY: _BUY,
    Action.SELL: _SELL,
}
NAMED = frozenset({Action.BUY, Action.SELL})
EXITS = frozenset({Action.EXIT_LONG, Action.EXIT_SHORT, Action.FLAT})


def entry_size(wanted: Decimal, action: Action, held: Decimal, lowest: Decimal, highest: Decimal) -> Decimal:
    """What is missing to a position of ``wanted`` once everything open has filled: an exit under way makes room, an
    entry under way takes it.

    ``lowest`` and ``highest`` are the position if every open sell, or every open buy, fills.
    """
    expected = lowest + highest - held
    missing = wanted - expected if action is _ENTER_LONG else wanted + expected
    if missing <= ZERO:
        raise Unsizable(f"already {'long' if action is _ENTER_LONG else 'short'}: nothing is missing to {wanted}")
    return missing


def exit_size(action: Action, lowest: Decimal, highest: Decimal, wallet: Decimal | None) -> Decimal:
    """What is left to close, less what is already being closed; a spot sale never exceeds the ``wallet``."""
    if action is _EXIT_LONG:
        closable = lowest
    elif action is _EXIT_SHORT:
        closable = -highest
    else:
        closable = lowest if lowest > ZERO else -highest
    if closable <= ZERO:
        raise Unsizable("nothing to close")
    return min(closable, wallet) if wallet is not None else closable


def size_of_notional(notional: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Base units (contracts for inverse) worth ``notional`` quote units at ``price``."""
    if instrument.kind is _INVERSE:
        return money.divide(notional, instrument.multiplier)
    return money.divide(notional, price * instrument.multiplier)


def notional_of(size: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Quote units that ``size`` is worth at ``price``."""
    if instrument.kind is _INVERSE:
        return size * instrument.multiplier
    return size * price if instrument.multiplier == ONE else size * price * instrument.multiplier


def most(instrument: Instrument, type: OrderType) -> Decimal:
    """The largest size that the venue takes in one order; 0 where it states none."""
    stated = (instrument.max_size, instrument.max_market_size if type is _MARKET else ZERO)
    return min((size for size in stated if size), default=ZERO)


def quantise_size(size: Decimal, instrument: Instrument) -> Decimal:
    """Cut to whole lots, never up. Raises Unsizable when nothing, or too little, is left."""
    if size <= ZERO:
        raise Unsizable(f"size {size} is not positive")
    lots = money.floor_to(size, instrument.lot)
    if lots <= ZERO:
        raise Unsizable(f"size {money.plain(size)} is less than one lot of {money.plain(instrument.lot)}")
    if lots < instrument.min_size:
        raise Unsizable(f"size {money.plain(lots)} is below the venue's smallest, {money.plain(instrument.min_size)}")
    return lots


def quantise_price(price: Decimal, side: Side, instrument: Instrument) -> Decimal:
    """To a whole tick in our favour: a buy is rounded down, a sale up."""
    if price <= ZERO:
        raise Unsizable(f"price {price} is not positive")
    ticks = money.floor_to(price, instrument.tick) if side is _BUY else money.ceil_to(price, instrument.tick)
    if not ticks:
        raise Unsizable(f"price {money.plain(price)} is less than one tick of {money.plain(instrument.tick)}")
    return ticks


def order_type(limit: Decimal | None, stop: Decimal | None, trail: Decimal | None) -> OrderType:
    """The type that the prices of an intent amount to."""
    if trail is not None:
        return _TRAILING_STOP
    if stop is not None:
        return _STOP if limit is None else _STOP_LIMIT
    return _MARKET if limit is None else _LIMIT
