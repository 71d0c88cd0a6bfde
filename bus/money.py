"""The one Decimal context. Money code runs inside it; nothing else configures ``decimal``.

Precision 60, and an inexact result is a trap: the ledger only adds and multiplies, so a product that does not fit 60
digits is a bug or an attack, never a rounding to live with. Where rounding is wanted (a size cut to the venue's lot,
the base amount of an inverse contract) it is asked for by name, here.
"""

from __future__ import annotations

import decimal
from decimal import ROUND_HALF_EVEN, Decimal
from functools import lru_cache
from math import isfinite

import msgspec

PRECISION = 60
_TRAPS = [decimal.InvalidOperation, decimal.Overflow, decimal.DivisionByZero, decimal.FloatOperation]

CONTEXT = decimal.Context(prec=PRECISION, rounding=ROUND_HALF_EVEN, traps=[*_TRAPS, decimal.Inexact])
_ROUNDING = decimal.Context(prec=PRECISION, rounding=ROUND_HALF_EVEN, traps=_TRAPS)

SMALLEST = Decimal("1E-18")
"""The finest amount a division may leave in the ledger."""


def install() -> None:
    """Make this thread's arithmetic ours; every process that touches money calls it once, before its loop starts."""
    decimal.setcontext(CONTEXT.copy())


# JSON's shortest text of a float is that of ``repr``, and its reading of one rounds as ``float`` does; msgspec's take a
# third of the time, and every order asks for both.
_text = msgspec.json.Encoder().encode
_read = msgspec.json.Decoder(float).decode
_read_exactly = msgspec.json.Decoder(Decimal).decode


@lru_cache(maxsize=4096)
def from_float(value: float) -> Decimal:
    """The decimal a venue printed, recovered from the float parsed from it (shortest round-trip text)."""
    return _read_exactly(_text(value)) if isfinite(value) else Decimal(repr(value))


def to_float(value: Decimal) -> float:
    """The same as ``float(value)``."""
    try:
        return _read(str(value))
    except msgspec.DecodeError:  # not a number, or out of a float's range
        return float(value)


def divide(numerator: Decimal, denominator: Decimal, step: Decimal = SMALLEST) -> Decimal:
    """A quotient rounded half-even to a multiple of ``step`` (a power of ten)."""
    return _ROUNDING.divide(numerator, denominator).quantize(step, context=_ROUNDING)


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """The largest multiple of ``step`` not above ``value >= 0`` (``value`` itself when ``step`` is 0)."""
    return value // step * step if step else value


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """The smallest multiple of ``step`` not below ``value >= 0`` (``value`` itself when ``step`` is 0)."""
    if not step:
        return value
    floor = value // step * step
    return floor if floor == value else floor + step


def nearest_to(value: Decimal, step: Decimal) -> Decimal:
    """The multiple of ``step`` nearest to ``value >= 0``; half goes up."""
    return floor_to(value + step / 2, step) if step else value


def plain(value: Decimal) -> str:
    """Fixed-point text without an exponent and without trailing zeros."""
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
