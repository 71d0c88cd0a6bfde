"""The kinds of values a setting can have: amounts, counts, shares, times, names, each with its bounds."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field


def _exact(value: object) -> object:
    """A number as it was written: true is not 1, and a float means the decimal it prints as."""
    if isinstance(value, bool):
        raise ValueError("must be a number, not true or false")
    return Decimal(repr(value)) if isinstance(value, float) else value


def _written(pattern: str, words: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {words}")
        return text

    return check


def plain(value: Decimal) -> str:
    """A decimal's only text: fixed-point, no zeros at the end."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) if value else "0"


NUMBER = BeforeValidator(_exact)
SHORTEST = AfterValidator(lambda value: Decimal(plain(value)))
"""However it was written: 10000.0 is 10000, or what is reckoned with it would be told with another number of digits."""

_FINEST = {"le": 10**15, "decimal_places": 18}

Amount = Annotated[Decimal, NUMBER, Field(gt=0, **_FINEST), SHORTEST]
AmountOrZero = Annotated[Decimal, NUMBER, Field(ge=0, **_FINEST), SHORTEST]
FeeRate = Annotated[Decimal, NUMBER, Field(ge=Decimal("-0.01"), le=Decimal("0.05"), decimal_places=18), SHORTEST]
StressShare = Annotated[Decimal, NUMBER, Field(gt=0, lt=1), SHORTEST]
Count = Annotated[int, NUMBER, Field(ge=1, le=1_000_000)]
WholeBasisPoints = Annotated[int, NUMBER, Field(ge=1, le=10_000)]
BasisPoints = Annotated[float, NUMBER, Field(ge=0, le=10_000)]
SomeBasisPoints = Annotated[float, NUMBER, Field(gt=0, le=10_000)]
Milliseconds = Annotated[float, NUMBER, Field(ge=0, le=60_000)]
Seconds = Annotated[float, NUMBER, Field(gt=0, le=604_800)]
"""More than nothing, at most a week."""

Multiple = Annotated[float, NUMBER, Field(gt=0, le=1_000)]
Share = Annotated[float, NUMBER, Field(gt=0, le=1)]
ShareOrZero = Annotated[float, NUMBER, Field(ge=0, le=1)]
Weight = Annotated[float, NUMBER, Field(ge=0, le=1_000)]

Asset = Annotated[str, AfterValidator(_written(r"[A-Z0-9]{1,20}", "upper case letters and digits, as in USDT"))]
InstrumentName = Annotated[
    str, AfterValidator(_written(r"[a-z0-9]+:[^\s:]+(:[^\s:]+)?", "venue:SYMBOL, as in binance:BTC/USDT"))
]
StrategyName = Annotated[
    str,
    AfterValidator(
        _written(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,31}", "at most 32 letters, digits, dots, hyphens and underscores")
    ),
]
