"""What every table of the configuration is made of, and the lengths of bars."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict

_UNITS_NS = {"s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000, "d": 86_400_000_000_000}


def parse_interval(text: str) -> int:
    """The length in nanoseconds of ``"1s"``, ``"5m"``, ``"1h"``, ``"1d"``."""
    match = re.fullmatch(r"([1-9][0-9]{0,4})([smhd])", text)
    if match is None:
        raise ValueError(f"must be a whole number and one of s, m, h, d, as in 1s, 5m, 1h, 1d, not {text!r}")
    return int(match[1]) * _UNITS_NS[match[2]]


def _interval(text: str) -> str:
    parse_interval(text)
    return text


Interval = Annotated[str, AfterValidator(_interval)]


class Part(BaseModel):
    """What every table of the configuration shares."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
