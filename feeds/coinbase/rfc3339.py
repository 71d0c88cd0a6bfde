"""Coinbase's times to integer nanoseconds since the epoch, exactly: no float, no datetime's microseconds.

Almost every time ends in Z and shares its second with the times around it, so the second is worked out once and kept.
The rest is read by one pattern: other offsets, and the way Go prints a time (``2026-08-09 21:05:48.85 +0000 UTC
m=+41691.26``), which the venue has let slip into its heartbeats.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from feeds.port import Unparsed

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LAST_YEAR = 2261  # the last whole one whose nanoseconds fit 64 bits
_SCALE: tuple[int, ...] = tuple(10 ** (9 - digits) for digits in range(10))
_SECOND = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d):(\d\d)", re.ASCII)
_ANY = re.compile(
    r"(.{19})(?:\.(\d{1,9}))?(?:Z| ?([+-])(\d\d):?(\d\d)(?: [A-Z]{3,5})?(?: m=[+-]\d+(?:\.\d+)?)?)", re.ASCII
)


def nanoseconds(text: str) -> int:
    """``2026-08-09T21:05:48.854840045Z`` and its relatives; 0 for a time before 1970, which is how Go writes "none"."""
    if text[-1:] == "Z":
        digits = text[20:-1]
        if len(digits) <= 9 and digits.isdigit() and digits.isascii() and text[19] == ".":
            ns = _second_ns(text[:19]) + int(digits) * _SCALE[len(digits)]
            return ns if ns > 0 else 0
    return max(0, _any_ns(text))


def _any_ns(text: str) -> int:
    match = _ANY.fullmatch(text)
    if match is None:
        raise Unparsed(f"not a time: {text[:60]!r}")
    second, digits, sign, hours, minutes = match.groups()
    ns = _second_ns(second) + int(digits or 0) * _SCALE[len(digits or "")]
    if sign is None:
        return ns
    if int(hours) > 23 or int(minutes) > 59:
        raise Unparsed(f"not an offset: {text[:60]!r}")
    offset_ns = (int(hours) * 3600 + int(minutes) * 60) * 1_000_000_000
    return ns - offset_ns if sign == "+" else ns + offset_ns


@lru_cache(maxsize=64)
def _second_ns(text: str) -> int:
    match = _SECOND.fullmatch(text)
    if match is None:
        raise Unparsed(f"not a time: {text!r}")
    year, month, day, hour, minute, second = map(int, match.groups())
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError as reason:
        raise Unparsed(f"not a date: {text!r}") from reason
    if hour > 23 or minute > 59 or second > 60 or year > _LAST_YEAR:  # :60 is a leap second, the same instant as :00
        raise Unparsed(f"not a time: {text!r}")
    return (days * 86_400 + hour * 3600 + minute * 60 + second) * 1_000_000_000
