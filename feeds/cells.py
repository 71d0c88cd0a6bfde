"""What the cells of a column say: Arrow arrays in, numpy arrays of floats, nanoseconds, ids and sides out.

A cell that cannot be read becomes NaN, ``BAD_TIME`` or "unknown", never an exception: what a bad cell means for its row
is decided in ``feeds/table.py``. Whole columns are converted at once; only where that fails is each cell read on its
own. Arrow's ``to_numpy`` and ``pa.array`` are avoided because they load pandas: 45 MB for nothing.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from bus.clock import DAY, HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Floats = npt.NDArray[np.float64]
    Integers = npt.NDArray[np.int64]
    Codes = npt.NDArray[np.int8]
    Mask = npt.NDArray[np.bool_]

BAD_TIME = -1
_MAX_NS = (1 << 63) - 1
_EXACT = 2.0**53  # below it a float holds every integer
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unit(enum.Enum):
    """What a number in a time column counts."""

    S = "s"
    MS = "ms"
    US = "us"
    NS = "ns"

    @property
    def ns(self) -> int:
        return _NS[self.value]


_NS = {
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
    "s": SECOND,
    "m": MINUTE,
    "min": MINUTE,
    "h": HOUR,
    "d": DAY,
    "w": 7 * DAY,
}

# Without a unit a number is told by its size: below the first bound it counts seconds, and so on. Seconds reach the
# bound in the year 5138, the others passed theirs in 1973.
_MAGNITUDES = ((10**11, SECOND), (10**14, 1_000_000), (10**17, 1_000))

_BUYS = ("buy", "b", "bid", "1", "+1", "buyer")
_SELLS = ("sell", "s", "ask", "-1", "seller")
_SIDES = dict.fromkeys(_BUYS, 1) | dict.fromkeys(_SELLS, -1)
_MAKERS = {"true": -1, "1": -1, "t": -1, "false": 1, "0": 1, "f": 1}
SIDE_WORDS: Mapping[str, Mapping[str, int]] = {"side": _SIDES, "type": _SIDES, "buyer_is_maker": _MAKERS}
"""The taker's side by field: 1 buys, -1 sells. If the buyer was the maker, the taker sold."""
WORDS = {*SIDE_WORDS, "interval"}
"""The fields that hold a few texts again and again, read with ``distinct``."""


def floats(array: pa.Array) -> Floats:
    """The cells as the floats nearest their decimal text, NaN for those that are none."""
    import numpy as np
    import pyarrow as pa

    array = _plain(array)
    kind = array.type
    if (pa.types.is_floating(kind) and kind.bit_width < 64) or pa.types.is_decimal(kind):
        # A float32 or a decimal stands for the text it prints as, not for its nearest binary neighbour.
        array = array.cast(pa.float32() if pa.types.is_float16(kind) else kind).cast(pa.string())
    if _is_text(array.type):
        try:
            array = array.cast(pa.float64())
        except pa.ArrowInvalid:
            return np.array([_float(cell) for cell in _cells(array)])
    elif not _is_number(array.type):
        return np.full(len(array), np.nan)
    values, known = numbers(array)
    result = values.astype(np.float64)
    if known is not None:
        result[~known] = np.nan
    return result


def times(array: pa.Array, unit: Unit | None) -> Integers:
    """The cells as nanoseconds UTC, ``BAD_TIME`` for those that are no time; a time without a zone is UTC."""
    import numpy as np
    import pyarrow as pa

    array = _plain(array)
    scale = unit.ns if unit is not None else None
    if _is_text(array.type):
        array = _times_of_text(array)
        if _is_text(array.type):
            return np.array([_time(cell, unit) for cell in _cells(array)], np.int64)
    if pa.types.is_timestamp(array.type):
        scale = _NS[array.type.unit]
    elif pa.types.is_date32(array.type):
        scale = DAY
    elif pa.types.is_date64(array.type):
        scale = _NS["ms"]
    elif not _is_number(array.type):
        return np.full(len(array), BAD_TIME)
    values, known = numbers(array)
    ns = _ns_of_floats(values, scale) if values.dtype.kind == "f" else _ns_of_ints(values.astype(np.int64), scale)
    if known is not None:
        ns[~known] = BAD_TIME
    return ns


def integers(array: pa.Array) -> tuple[Integers, Mask]:
    """The cells as whole numbers, and which of them are."""
    import numpy as np
    import pyarrow as pa

    array = _plain(array)
    if _is_text(array.type):
        try:
            array = array.cast(pa.int64())
        except pa.ArrowInvalid:
            whole = [_int(cell) for cell in _cells(array)]
            return np.array([n or 0 for n in whole], np.int64), np.array([n is not None for n in whole])
    if not _is_number(array.type):
        return np.zeros(len(array), np.int64), np.zeros(len(array), np.bool_)
    values, known = numbers(array)
    if values.dtype.kind == "f":
        fits = (np.abs(values) < _EXACT) & (values == np.floor(values))
        values = np.where(fits, values, 0)
    else:
        fits = values <= _MAX_NS  # of unsigned ones the upper half would come out negative
    return values.astype(np.int64), fits if known is None else fits & known


def sides(array: pa.Array, field: str) -> Codes:
    """The taker's side: 1 buys, -1 sells, 0 where the cell does not say."""
    import numpy as np

    words, index = distinct(array)
    codes = [SIDE_WORDS[field].get(word.strip().casefold(), 0) for word in words]
    by_index: Codes = np.array([*codes, 0], np.int8)[index]
    return by_index


def intervals(array: pa.Array, unit: Unit) -> Integers:
    """Lengths such as ``1m``, or numbers of ``unit``; 0 for what is neither."""
    import numpy as np

    words, index = distinct(array)
    by_index: Integers = np.array([*(_interval(word, unit) for word in words), 0], np.int64)[index]
    return by_index


def numbers(array: pa.Array) -> tuple[npt.NDArray[Any], Mask | None]:
    """The values of a column of fixed width as they lie in memory, and which are not null (None: all)."""
    import numpy as np
    import pyarrow as pa

    bitmap, data = array.buffers()
    known = None
    if array.null_count:
        known = _bits(bitmap, array.offset, len(array))
    if pa.types.is_boolean(array.type):
        return _bits(data, array.offset, len(array)), known
    width = array.type.bit_width // 8
    kind = "f" if pa.types.is_floating(array.type) else "u" if pa.types.is_unsigned_integer(array.type) else "i"
    return np.frombuffer(data, f"{kind}{width}", len(array), array.offset * width), known


def distinct(array: pa.Array) -> tuple[list[str], npt.NDArray[Any]]:
    """The different cells as text, and for each cell which of them it is (-1 for null). Text comes coded."""
    import numpy as np
    import pyarrow as pa

    if pa.types.is_dictionary(array.type) and _is_text(array.type.value_type):
        index, known = numbers(array.indices)
        words = [str(cell or b"", errors="replace") for cell in _cells(array.dictionary)]
        return words, index if known is None else np.where(known, index, -1)
    array = _plain(array)
    if _is_number(array.type) or pa.types.is_boolean(array.type):
        values, known = numbers(array)
        found, index = np.unique(values, return_inverse=True)
        words = [str(value) for value in found.tolist()]
    else:
        return [], np.full(len(array), -1)
    return words, index if known is None else np.where(known, index, -1)


def _plain(array: pa.Array) -> pa.Array:
    """Without dictionary coding (pandas' categories are stored so)."""
    import pyarrow as pa

    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def _is_text(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _bits(buffer: pa.Buffer, offset: int, length: int) -> Mask:
    import numpy as np

    packed = np.frombuffer(buffer, np.uint8)
    return np.unpackbits(packed, count=offset + length, bitorder="little")[offset:].astype(np.bool_)


def _cells(array: pa.Array) -> Sequence[bytes | None]:
    import pyarrow as pa

    # As bytes, because the text of a bad row need not be UTF-8.
    kind = pa.large_binary() if pa.types.is_large_string(array.type) else pa.binary()
    cells: list[bytes | None] = array.view(kind).to_pylist()
    return cells


def _float(cell: bytes | None) -> float:
    try:
        return float(cell or b"")
    except ValueError:
        return float("nan")


def _int(cell: bytes | None) -> int | None:
    try:
        number = int(cell or b"")
    except ValueError:
        return None
    return number if abs(number) <= _MAX_NS else None


def _times_of_text(array: pa.Array) -> pa.Array:
    """The column as whatever it holds throughout: integers, numbers, times without or with a zone; else as it was."""
    import pyarrow as pa

    for kind in (pa.int64(), pa.float64(), pa.timestamp("ns"), pa.timestamp("ns", "UTC")):
        try:
            cast = array.cast(kind)
        except pa.ArrowInvalid:
            continue
        # One odd cell makes a column of integers pass for floats, which would round its nanoseconds.
        return cast if kind != pa.float64() or (abs(numbers(cast)[0]) < _EXACT).all() else array
    return array


def _time(cell: bytes | None, unit: Unit | None) -> int:
    import numpy as np

    scale = unit.ns if unit is not None else None
    whole, number = _int(cell), _float(cell)
    if whole is not None:
        return int(_ns_of_ints(np.array([whole]), scale)[0])
    if number == number:  # noqa: PLR0124  # not NaN
        return int(_ns_of_floats(np.array([number]), scale)[0])
    try:
        when = datetime.fromisoformat(str(cell or b"", errors="replace").strip().replace("/", "-"))
    except ValueError:
        return BAD_TIME
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    ns = (aware - _EPOCH) // timedelta(microseconds=1) * 1_000
    return ns if 0 <= ns <= _MAX_NS else BAD_TIME


def _ns_of_ints(values: Integers, scale: int | None) -> Integers:
    import numpy as np

    scales = np.int64(scale) if scale is not None else _scales(values)
    fits = (values >= 0) & (values <= _MAX_NS // scales)
    return np.where(fits, values * scales, BAD_TIME)


def _ns_of_floats(values: Floats, scale: int | None) -> Integers:
    """To the microsecond: a float of seconds today holds no more."""
    import numpy as np

    scales = scale if scale is not None else _scales(values)
    with np.errstate(invalid="ignore", over="ignore"):
        us = np.rint(values * (np.asarray(scales) / 1_000))
        fits = (us >= 0) & (us < _MAX_NS // 1_000)
    return np.where(fits, np.where(fits, us, 0).astype(np.int64) * 1_000, BAD_TIME)


def _scales(values: npt.NDArray[Any]) -> Integers:
    import numpy as np

    return np.select([values < bound for bound, _ in _MAGNITUDES], [np.int64(ns) for _, ns in _MAGNITUDES], np.int64(1))


def _interval(word: str, unit: Unit) -> int:
    # A column with a cell missing has floats for numbers: 60000.0.
    match = re.fullmatch(r"(\d{1,18})(?:\.0+)?\s*([a-z]*)", word.strip().casefold())
    if match is None:
        return 0
    length = int(match[1]) * (_NS.get(match[2], 0) if match[2] else unit.ns)
    return length if length <= _MAX_NS else 0
