"""Coinbase's times are read to the nanosecond, and what is not a time is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feeds.coinbase.rfc3339 import nanoseconds
from feeds.port import Unparsed

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TIMES = st.datetimes(datetime(1970, 1, 2), datetime(2261, 12, 30)).map(lambda time: time.replace(microsecond=0))  # noqa: DTZ001
FRACTIONS = st.text("0123456789", max_size=9)


def exact(time: datetime, fraction: str) -> int:
    seconds = int((time - EPOCH).total_seconds())
    return seconds * 10**9 + int(Decimal(f"0.{fraction or 0}") * 10**9)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("2026-08-09T21:05:48.35161Z", 1_786_309_548_351_610_000),
        ("2026-08-09 21:05:48.854840045 +0000 UTC m=+41691.260485341", 1_786_309_548_854_840_045),
        ("2026-08-09T23:05:48.5+02:00", 1_786_309_548_500_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000_000),
        ("0001-01-01T00:00:00Z", 0),
    ],
)
def test_a_time_is_read_exactly(text, expected):
    assert nanoseconds(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Z",
        "now",
        "2026-08-09",
        "2026-08-09T21:05:48",
        "2026-08-09T21:05:48.Z",
        "2026-08-09T21:05:48.1234567891Z",
        "2026-08-09T21:05:48,5Z",
        "2026-08-09T21:05:48x5Z",
        "2026-08-09T21:05:48.5 Z",
        "2026-08-09T21:05:48.٣Z",
        "2026-08-09T21:05:48.²Z",
        "2026-08-09T21:05:48.1_0Z",
        "2026-02-30T21:05:48Z",
        "2026-08-09T24:05:48Z",
        "2026-08-09T21:60:48Z",
        "2026-08-09T21:05:61Z",
        "2026-08-09T21:05:48+24:00",
        "9999-08-09T21:05:48Z",
        "0000-01-01T00:00:00Z",
    ],
)
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(Unparsed):
        nanoseconds(text)


@pytest.mark.property
@given(TIMES, FRACTIONS)
def test_utc_times_agree_with_datetime_and_decimal(time, fraction):
    time = time.replace(tzinfo=UTC)
    text = f"{time:%Y-%m-%dT%H:%M:%S}" + (f".{fraction}" if fraction else "")

    assert nanoseconds(text + "Z") == exact(time, fraction)
    assert nanoseconds(text.replace("T", " ") + " +0000 UTC m=+12.34") == exact(time, fraction)


@pytest.mark.property
@given(TIMES, FRACTIONS, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_times_with_an_offset_agree_with_datetime_and_decimal(time, fraction, minutes):
    time = time.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
    text = f"{time:%Y-%m-%dT%H:%M:%S}" + (f".{fraction}" if fraction else "") + offset

    assert nanoseconds(text) == exact(time, fraction)


LIKE_A_TIME = st.from_regex(
    r"[0-9]{4}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,10})?(Z|[+-][0-2][0-9]:?[0-9]{2})?",
    fullmatch=True,
)


@pytest.mark.property
@given(LIKE_A_TIME | st.text(max_size=40))
def test_any_text_is_a_time_or_refused(text):
    try:
        ns = nanoseconds(text)
    except Unparsed:
        return

    assert 0 <= ns < 2**63
