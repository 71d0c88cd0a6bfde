"""Indicators one bar at a time, equal to TA-Lib's over the whole series.

TA-Lib works on arrays, so asking it at every bar costs the length of the history each time and loads numpy. These hold
what they need to go on from: the same seeds (an average starts as the plain mean of its first bars, Wilder's sums with
their first term dropped) and the same order of operations, so they agree with TA-Lib to the last bit or nearly (a test
holds them to 1e-9). ``update`` returns the new value and ``value`` keeps it; both are NaN until there is enough
history, and every comparison with NaN is false: a strategy that asks ``value > limit`` stays out by itself.

Where TA-Lib has no such indicator (Keltner's channel, a regression of one market on another) the formula is in the
docstring.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from math import isnan
from typing import Any

NAN = math.nan
_NOISE = 1e-14
"""A variance below this part of what it was the difference of is what rounding left, not what a market did."""


class Carried:
    """``state`` and ``restore`` carry one over a restart: its slots, JSON-ready."""

    __slots__ = ()

    def state(self) -> list[Any]:
        return [_plain(getattr(self, slot)) for slot in self._slots()]

    def restore(self, state: list[Any]) -> None:
        for slot, kept in zip(self._slots(), state, strict=True):
            now = getattr(self, slot)
            if isinstance(now, Carried):
                now.restore(kept)
            elif isinstance(now, deque):
                setattr(self, slot, deque(map(_revived, kept), now.maxlen))
            else:
                setattr(self, slot, _revived(kept))

    def _slots(self) -> Iterable[str]:
        for cls in type(self).__mro__:
            yield from getattr(cls, "__slots__", ())


def _plain(value: Any) -> Any:
    if isinstance(value, Carried):
        return value.state()
    if isinstance(value, deque):
        return [_plain(item) for item in value]
    if isinstance(value, tuple):
        return list(value)
    return None if isinstance(value, float) and isnan(value) else value  # JSON has no NaN


def _revived(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return NAN if value is None else value


_TERMS = frozenset({"_length", "_weight"})


class Indicator(Carried):
    """What all share: the latest ``value``. One whose state was measured over another length begins anew."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = NAN

    def restore(self, state: list[Any]) -> None:
        if self._fits(state):
            super().restore(state)

    def _fits(self, state: list[Any]) -> bool:
        """Whether it was measured in our terms, all of it."""
        slots = ((slot, getattr(self, slot), kept) for slot, kept in zip(self._slots(), state, strict=True))
        return all(
            now._fits(kept) if isinstance(now, Indicator) else now == kept
            for slot, now, kept in slots
            if isinstance(now, Indicator) or slot in _TERMS
        )


# --- averages --------------------------------------------------------------------------------------------------


class Sma(Indicator):
    """The plain mean of the last ``length`` values (TA-Lib's SMA: a running sum)."""

    __slots__ = ("_last", "_length", "_sum")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length
        self._last: deque[float] = deque()
        self._sum = 0.0

    def update(self, value: float) -> float:
        last = self._last
        last.append(value)
        self._sum += value
        if len(last) >= self._length:
            self.value = self._sum / self._length
            self._sum -= last.popleft()
        return self.value


class Ema(Indicator):
    """``ema += 2 / (length + 1) * (value - ema)``, from the plain mean of the first ``length`` values on."""

    __slots__ = ("_left", "_length", "_sum", "_weight")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = self._left = length
        self._weight = 2.0 / (length + 1)
        self._sum = 0.0

    def update(self, value: float) -> float:
        if self._left:
            self._left -= 1
            self._sum += value
            if not self._left:
                self.value = self._sum / self._length
            return self.value
        self.value = average = (value - self.value) * self._weight + self.value
        return average


class Moments(Indicator):
    """Mean (``value``) and population standard deviation (``deviation``) of the last ``length`` values: TA-Lib's SMA
    and STDDEV, and so its Bollinger bands, which are so many deviations around the mean.

    The sums are of differences from a recent value and begun anew every ``length`` values: sums of squared prices lose
    the small moves of a large price to rounding, and then a market that stood still has a deviation.
    """

    __slots__ = ("_age", "_last", "_length", "_squares", "_sum", "_zero", "deviation")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = self._age = length
        self._last: deque[float] = deque()
        self._zero = self._sum = self._squares = 0.0
        self.deviation = NAN

    def update(self, value: float) -> float:
        last, length = self._last, self._length
        last.append(value)
        if len(last) > length:
            gone = last.popleft() - self._zero
            self._sum -= gone
            self._squares -= gone * gone
        self._age += 1
        if self._age > length:
            self._begin_anew(value)
        else:
            come = value - self._zero
            self._sum += come
            self._squares += come * come
        if len(last) == length:
            mean, square = self._sum / length, self._squares / length
            variance = square - mean * mean
            self.deviation = math.sqrt(variance) if variance > _NOISE * square else 0.0
            self.value = self._zero + mean
        return self.value

    def _begin_anew(self, zero: float) -> None:
        self._age, self._zero = 1, zero
        self._sum = self._squares = 0.0
        for value in self._last:
            self._sum += value - zero
            self._squares += (value - zero) * (value - zero)


# --- extremes --------------------------------------------------------------------------------------------------


class Highest(Indicator):
    """The largest of the last ``length`` values (TA-Lib's MAX)."""

    __slots__ = ("_count", "_falling", "_length")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length
        self._count = 0
        self._falling: deque[tuple[int, float]] = deque()  # candidates: later ones are lower

    def update(self, value: float) -> float:
        falling = self._falling
        while falling and falling[-1][1] <= value:
            falling.pop()
        self._count += 1
        falling.append((self._count, value))
        if falling[0][0] <= self._count - self._length:
            falling.popleft()
        if self._count >= self._length:
            self.value = falling[0][1]
        return self.value


class Lowest(Highest):
    """The smallest of the last ``length`` values (TA-Lib's MIN)."""

    __slots__ = ()

    def update(self, value: float) -> float:
        super().update(-value)
        self.value = -self._falling[0][1] if self._count >= self._length else NAN
        return self.value


# --- ranges ----------------------------------------------------------------------------------------------------


class Atr(Indicator):
    """Wilder's average true range: a mean of the first ``length`` ranges, then (length - 1 old parts + 1 new) / length.

    The first bar has no range, since there is no close before it.
    """

    __slots__ = ("_close", "_left", "_length", "_sum")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = self._left = length
        self._sum = 0.0
        self._close = NAN

    def update(self, high: float, low: float, close: float) -> float:
        before, self._close = self._close, close
        span = high - low
        up = abs(before - high)
        down = abs(before - low)
        if up > span:
            span = up
        if down > span:
            span = down
        if self._left:
            if not isnan(before):  # the first bar has none before it
                self._left -= 1
                self._sum += span
                if not self._left:
                    self.value = self._sum / self._length
            return self.value
        self.value = average = (self.value * (self._length - 1) + span) / self._length
        return average


class Adx(Indicator):
    """Wilder's average directional index: how one-sided the way was, whichever side, from 0 to 100, smoothed twice."""

    __slots__ = ("_close", "_down", "_high", "_length", "_low", "_range", "_seen", "_sum", "_up")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length
        self._seen = 0
        self._high = self._low = self._close = NAN
        self._up = self._down = self._range = self._sum = 0.0

    def update(self, high: float, low: float, close: float) -> float:
        rise, fall, before = high - self._high, self._low - low, self._close
        self._high, self._low, self._close = high, low, close
        seen, length = self._seen, self._length
        self._seen = seen + 1
        if not seen:
            return self.value
        if seen >= length:
            self._up -= self._up / length
            self._down -= self._down / length
            self._range -= self._range / length
        if fall > 0.0 and rise < fall:
            self._down += fall
        elif rise > 0.0 and rise > fall:
            self._up += rise
        self._range += max(high - low, abs(high - before), abs(low - before))
        return self._smooth(seen) if seen >= length else self.value

    def _smooth(self, seen: int) -> float:
        length, span = self._length, self._range
        index = NAN
        if span > 0.0:
            up, down = 100.0 * (self._up / span), 100.0 * (self._down / span)
            if up + down > 0.0:
                index = 100.0 * (abs(down - up) / (up + down))
        if seen < 2 * length:
            self._sum += 0.0 if isnan(index) else index
            if seen == 2 * length - 1:
                self.value = self._sum / length
        elif not isnan(index):
            self.value = (self.value * (length - 1) + index) / length
        return self.value


# --- momentum --------------------------------------------------------------------------------------------------


class Rsi(Indicator):
    """Wilder's relative strength: the rises' share of all moves, from 0 to 100; 0 where nothing moved at all."""

    __slots__ = ("_before", "_gain", "_left", "_length", "_loss")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = self._left = length
        self._before = NAN
        self._gain = self._loss = 0.0

    def update(self, value: float) -> float:
        move = value - self._before
        self._before = value
        if self._left:
            if isnan(move):  # the first value has none before it
                return self.value
            if move < 0.0:
                self._loss -= move
            else:
                self._gain += move
            self._left -= 1
            if self._left:
                return self.value
            self._gain /= self._length
            self._loss /= self._length
        else:
            length = self._length
            gain, loss = self._gain * (length - 1), self._loss * (length - 1)
            if move < 0.0:
                loss -= move
            else:
                gain += move
            self._gain, self._loss = gain / length, loss / length
        moves = self._gain + self._loss
        self.value = strength = 100.0 * (self._gain / moves) if moves > 0.0 else 0.0
        return strength


class Macd(Indicator):
    """Appel's: a fast average less a slow one (``value``), that line's own average (``signal``), and the difference of
    the two (``histogram``). All three begin where the signal does. ``fast`` is below ``slow``.
    """

    __slots__ = ("_average", "_fast", "_skip", "_slow", "histogram", "signal")

    def __init__(self, fast: int, slow: int, signal: int) -> None:
        super().__init__()
        self._fast = Ema(fast)
        self._slow = Ema(slow)
        self._average = Ema(signal)
        self._skip = slow - fast  # so that both averages have their first value at the same bar
        self.signal = self.histogram = NAN

    def update(self, value: float) -> float:
        slow = self._slow.update(value)
        if self._skip:
            self._skip -= 1
            return self.value
        line = self._fast.update(value) - slow
        if not isnan(line):
            signal = self._average.update(line)
            if not isnan(signal):
                self.value, self.signal, self.histogram = line, signal, line - signal
        return self.value


# --- two markets -----------------------------------------------------------------------------------------------


class Regression(Indicator):
    """Ordinary least squares of ``y`` on ``x`` over the last ``length`` pairs, with intercept.

    ``value`` is the slope (of logarithms: how much of x hedges one of y), ``score`` how many standard deviations of the
    residuals the newest y lies above the line. Both NaN where x did not move. The sums are of differences from a recent
    pair and begun anew every ``length`` pairs, so that neither size nor age costs digits.
    """

    __slots__ = ("_age", "_length", "_pairs", "_sums", "_x0", "_y0", "score")

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length
        self._pairs: deque[tuple[float, float]] = deque()
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        self._x0 = self._y0 = 0.0
        self._age = 0
        self.score = NAN

    def update(self, x: float, y: float) -> float:
        pairs = self._pairs
        pairs.append((x, y))
        if len(pairs) > self._length:
            self._take(*pairs.popleft(), -1.0)
        self._age += 1
        if self._age >= self._length or len(pairs) == 1:
            self._anew()
        else:
            self._take(x, y, 1.0)
        if len(pairs) == self._length:
            self._solve(x - self._x0, y - self._y0)
        return self.value

    def _take(self, x: float, y: float, sign: float) -> None:
        x, y = x - self._x0, y - self._y0
        sx, sy, sxx, sxy, syy = self._sums
        self._sums = (sx + sign * x, sy + sign * y, sxx + sign * x * x, sxy + sign * x * y, syy + sign * y * y)

    def _anew(self) -> None:
        self._age = 0
        self._x0, self._y0 = self._pairs[-1]
        self._sums = (0.0, 0.0, 0.0, 0.0, 0.0)
        for x, y in self._pairs:
            self._take(x, y, 1.0)

    def _solve(self, x: float, y: float) -> None:
        n = self._length
        sx, sy, sxx, sxy, syy = self._sums
        mean_x, mean_y = sx / n, sy / n
        var_x, cov, var_y = sxx / n - mean_x * mean_x, sxy / n - mean_x * mean_y, syy / n - mean_y * mean_y
        self.value = self.score = NAN
        if var_x > _NOISE * sxx / n:
            self.value = slope = cov / var_x
            left = var_y - slope * cov
            if left > _NOISE * syy / n:
                self.score = (y - mean_y - slope * (x - mean_x)) / math.sqrt(left)
