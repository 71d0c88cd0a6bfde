"""Layer 1: what the market is like, told once for everybody.

Six labels, asked in this order, the first that fits: PANIC (a wild market, and on heavy volume), VOL_EXPANSION (a wild
one), VOL_COMPRESSION (a dead one), TREND_UP and TREND_DOWN (the fast average above or below the slow one, by enough),
CHOP (anything else). How wild is the average true range as a fraction of the price; how far apart the averages are is
counted in average true ranges. Upper thresholds are reached at equality, and so is the lower one from above.

Two forms of one thing. ``RegimeEngine`` goes from bar to bar inside the event loop; ``classify_series`` and
``classify_regime`` take a DataFrame and ask TA-Lib. The judgement is one function for both, the indicators are held
equal by tests. Nothing here looks past the bar it is asked about.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any

import msgspec

from bus.bus import Bus
from bus.events import Bar, RegimeState
from bus.values import RegimeLabel
from strategies.indicators import Atr, Carried, Ema, Sma

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Floats = np.ndarray[Any, np.dtype[np.float64]]

__all__ = ["RegimeEngine", "RegimeLabel", "RegimeState", "Thresholds", "classify_regime", "classify_series"]

VOLUME_LEN = 20
"""Bars, the one at hand among them, whose mean volume is the usual one."""
FRAME_KEY = "regime"
"""Under which a frame's ``attrs`` may name the thresholds it is to be judged by, before the environment is asked."""


class Thresholds(msgspec.Struct, frozen=True):
    """Lengths in bars; ``trend_thresh`` in average true ranges; ``vol_lo``, ``vol_hi`` and ``panic_hi`` as fractions of
    the price; ``panic_vol`` in multiples of the mean volume. Raises ValueError where they contradict one another.
    """

    ema_fast: int = 20
    ema_slow: int = 50
    atr_len: int = 14
    trend_thresh: float = 0.25
    vol_lo: float = 0.003
    vol_hi: float = 0.025
    panic_hi: float = 0.040
    panic_vol: float = 2.0

    def __post_init__(self) -> None:
        if not 2 <= self.ema_fast < self.ema_slow:
            raise ValueError(f"ema_fast is at least 2 and below ema_slow, not {self.ema_fast} and {self.ema_slow}")
        if self.atr_len < 2:
            raise ValueError(f"atr_len is at least 2, not {self.atr_len}")
        if not 0.0 <= self.vol_lo < self.vol_hi <= self.panic_hi < math.inf:
            low, high, panic = self.vol_lo, self.vol_hi, self.panic_hi
            raise ValueError(f"0 <= vol_lo < vol_hi <= panic_hi must hold, not {low}, {high}, {panic}")
        if not (0.0 < self.trend_thresh < math.inf and 0.0 < self.panic_vol < math.inf):
            raise ValueError(f"trend_thresh and panic_vol are above 0, not {self.trend_thresh} and {self.panic_vol}")


ENVIRONMENT: Mapping[str, str] = {f"REGIME_{name.upper()}": name for name in Thresholds.__struct_fields__}
"""The documented variables and what they set."""


def thresholds_of(environ: Mapping[str, str]) -> Thresholds:
    """The defaults, with what ``environ`` names in their place. Raises ValueError naming the variable."""
    named = {name: (variable, environ[variable]) for variable, name in ENVIRONMENT.items() if variable in environ}
    try:
        values = {name: _number(variable, text, name) for name, (variable, text) in named.items()}
        return Thresholds(**values)  # type: ignore[arg-type]  # whole where the field is
    except ValueError as error:
        set_here = ", ".join(f"{variable}={text}" for variable, text in named.values())
        raise ValueError(f"{set_here}: {error}") from None


def _number(variable: str, text: str, name: str) -> int | float:
    whole = isinstance(getattr(Thresholds(), name), int)
    try:
        return int(text) if whole else float(text)
    except ValueError:
        raise ValueError(f"{variable} must be a {'whole ' if whole else ''}number, not {text!r}") from None


# --- the judgement ---------------------------------------------------------------------------------------------


def judge(
    t: Thresholds, price: float, fast: float, slow: float, atr: float, volume_ratio: float
) -> tuple[RegimeLabel, float]:
    """The label and how sure it is: 0.5 at the threshold that decided, 1 at twice (or half, or none) of it."""
    wild = atr / price
    if wild >= t.panic_hi and volume_ratio >= t.panic_vol:
        return _PANIC, _beyond(wild, t.panic_hi)
    if wild >= t.vol_hi:
        return _EXPANSION, _beyond(wild, t.vol_hi)
    if wild <= t.vol_lo:
        return _COMPRESSION, 1.0 - 0.5 * wild / t.vol_lo if t.vol_lo else 1.0
    apart = abs(fast - slow) / atr
    if apart >= t.trend_thresh:
        return (_UP if fast > slow else _DOWN), _beyond(apart, t.trend_thresh)
    return _CHOP, 1.0 - 0.5 * apart / t.trend_thresh


def _beyond(value: float, threshold: float) -> float:
    return min(1.0, 0.5 * value / threshold)


_PANIC, _EXPANSION, _COMPRESSION = RegimeLabel.PANIC, RegimeLabel.VOL_EXPANSION, RegimeLabel.VOL_COMPRESSION
_UP, _DOWN, _CHOP = RegimeLabel.TREND_UP, RegimeLabel.TREND_DOWN, RegimeLabel.CHOP

FEATURES = ("price", "ema_fast", "ema_slow", "atr", "atr_pct", "strength", "volume_ratio")


def _features(price: float, fast: float, slow: float, atr: float, volume_ratio: float) -> dict[str, float]:
    return {
        "price": price,
        "ema_fast": fast,
        "ema_slow": slow,
        "atr": atr,
        "atr_pct": atr / price,
        "strength": abs(fast - slow) / atr if atr else 0.0,
        "volume_ratio": volume_ratio,
    }


# --- from bar to bar -------------------------------------------------------------------------------------------


class Gauge(Carried):
    """The indicators of one series of bars."""

    __slots__ = ("_atr", "_fast", "_slow", "_thresholds", "_volume")

    def __init__(self, thresholds: Thresholds) -> None:
        self._thresholds = thresholds
        self._fast = Ema(thresholds.ema_fast)
        self._slow = Ema(thresholds.ema_slow)
        self._atr = Atr(thresholds.atr_len)
        self._volume = Sma(VOLUME_LEN)

    def _slots(self) -> Iterable[str]:
        return (slot for slot in self.__slots__ if slot != "_thresholds")

    def hear(self, bar: Bar) -> RegimeState:
        """The state as of this closed bar."""
        price = bar.close
        fast, slow = self._fast.update(price), self._slow.update(price)
        atr = self._atr.update(bar.high, bar.low, price)
        usual = self._volume.update(bar.volume)
        if isnan(slow) or isnan(atr) or isnan(usual):
            return RegimeState(None, 0.0, {}, _CLOSED, bar.instrument, bar.interval_ns, bar.end_ns, bar.local_ns)
        ratio = bar.volume / usual if usual > 0.0 else 0.0
        label, confidence = judge(self._thresholds, price, fast, slow, atr, ratio)
        features = _features(price, fast, slow, atr, ratio)
        return RegimeState(
            label, confidence, features, _CLOSED, bar.instrument, bar.interval_ns, bar.end_ns, bar.local_ns
        )


_CLOSED: dict[str, Any] = {"closed_only": True, "dropped_last_row": False}
"""Only closed bars are heard here, so there is none to drop. Shared by all states; nobody writes to it."""

UNKNOWN = RegimeState(None, 0.0, {}, _CLOSED)
"""What is known before the first bar."""


class RegimeEngine:
    """Hears bars before the strategies do, so that ``state`` is already that of the bar in their hands; one
    ``RegimeState`` a closed bar follows on the bus for whoever else listens.
    """

    def __init__(self, bus: Bus, thresholds: Thresholds) -> None:
        self._bus = bus
        self._thresholds = thresholds
        self._gauges: dict[tuple[str, int], Gauge] = {}
        self._states: dict[tuple[str, int], RegimeState] = {}

    def attach(self, bus: Bus) -> None:
        bus.subscribe(Bar, self.on_bar)

    def state(self, instrument: str, interval_ns: int) -> RegimeState:
        """As of the last closed bar; without a label while there is too little history."""
        return self._states.get((instrument, interval_ns), UNKNOWN)

    def kept(self) -> list[Any]:
        """Of each series what its indicators hold and the latest state, JSON-ready."""
        return [[*key, gauge.state(), msgspec.to_builtins(self._states[key])] for key, gauge in self._gauges.items()]

    def restore(self, kept: list[Any]) -> None:
        for instrument, interval_ns, measured, state in kept:
            gauge = self._gauges[instrument, interval_ns] = Gauge(self._thresholds)
            gauge.restore(measured)
            self._states[instrument, interval_ns] = msgspec.convert(state, RegimeState)

    def label(self, bar: Bar) -> str:
        """The label as of a bar's series, empty where there is none yet."""
        return self.state(bar.instrument, bar.interval_ns).label or ""

    def on_bar(self, bar: Bar) -> None:
        if not bar.closed:
            return
        key = (bar.instrument, bar.interval_ns)
        gauge = self._gauges.get(key)
        if gauge is None:
            gauge = self._gauges[key] = Gauge(self._thresholds)
        state = self._states[key] = gauge.hear(bar)
        if self._bus.wanted(RegimeState):
            self._bus.publish(state)


# --- over a DataFrame ------------------------------------------------------------------------------------------


def classify_regime(df: pd.DataFrame, closed_only: bool = True, thresholds: Thresholds | None = None) -> RegimeState:
    """The regime as of the last closed bar of ``df`` (columns high, low, close, volume; oldest first).

    With ``closed_only`` the last row counts as still forming and is dropped, always, before anything is computed;
    without it every row is closed. ``meta`` says which, and ``asof_ts`` is the last row that counted. Without
    ``thresholds`` those the frame names count (as frames from ``view.frame`` do), else the environment's REGIME_*.
    Raises ValueError for a frame that cannot be read.
    """
    closed = df.iloc[:-1] if closed_only else df
    meta: dict[str, Any] = {"closed_only": closed_only, "dropped_last_row": closed_only and len(df) > 0}
    meta["asof_ts"] = _stamp(closed.index[-1]) if len(closed) else None
    chosen = thresholds_for(df, thresholds)
    columns = columns_of(closed)
    good, measured = _measured(columns, chosen)
    if not good.size or not good[-1] or isnan(measured[1][-1]):
        return RegimeState(None, 0.0, {}, meta)
    price, fast, slow, atr, ratio = (float(values[-1]) for values in measured[:1] + measured[2:])
    label, confidence = judge(chosen, price, fast, slow, atr, ratio)
    return RegimeState(label, confidence, _features(price, fast, slow, atr, ratio), meta)


def classify_series(df: pd.DataFrame, thresholds: Thresholds | None = None) -> pd.DataFrame:
    """The regime at every row, all taken as closed: ``label`` (None without enough history), ``confidence`` and the
    features, under the index of ``df``.

    A row without a price is no bar: it has no label and the indicators pass over it. Raises ValueError for a frame that
    cannot be read.
    """
    import numpy as np
    import pandas as pd

    chosen = thresholds_for(df, thresholds)
    good, (price, known, fast, slow, atr, ratio) = _measured(columns_of(df), chosen)
    labels: list[RegimeLabel | None] = []
    rows: list[list[float]] = []
    empty = [0.0, *[math.nan] * len(FEATURES)]
    told = zip(price.tolist(), known.tolist(), fast.tolist(), slow.tolist(), atr.tolist(), ratio.tolist(), strict=True)
    for p, k, f, s, a, r in told:
        if isnan(k):
            labels.append(None)
            rows.append(empty)
            continue
        label, confidence = judge(chosen, p, f, s, a, r)
        labels.append(label)
        rows.append([confidence, *_features(p, f, s, a, r).values()])
    numbers = np.full((len(df), 1 + len(FEATURES)), math.nan)
    numbers[:, 0] = 0.0
    if rows:
        numbers[good] = rows
    out = pd.DataFrame(numbers, index=df.index, columns=["confidence", *FEATURES])
    placed = np.full(len(df), None, dtype=object)
    placed[good] = labels
    out.insert(0, "label", pd.Series(placed, index=df.index, dtype=object))
    return out


def thresholds_for(df: pd.DataFrame, thresholds: Thresholds | None = None) -> Thresholds:
    """Those given, else those the frame names, else the environment's."""
    if thresholds is not None:
        return thresholds
    named = df.attrs.get(FRAME_KEY)
    return Thresholds(**named) if named is not None else thresholds_of(os.environ)


BARS = ("high", "low", "close", "volume")


def columns_of(df: pd.DataFrame, needed: Sequence[str] = BARS) -> dict[str, Floats]:
    """The columns of bars by name, however they are written. Raises ValueError where a needed one is missing."""
    named = {str(name).lower(): name for name in df.columns}
    if missing := [name for name in needed if name not in named]:
        raise ValueError(f"the frame has no column {missing[0]!r}; it has {', '.join(map(str, df.columns)) or 'none'}")
    if not df.index.is_monotonic_increasing:
        raise ValueError("the frame's index is not in rising order; sort it, oldest bar first")
    wanted = [name for name in ("open", *BARS) if name in named]
    return {name: df[named[name]].to_numpy(dtype="float64") for name in wanted}


def _measured(columns: Mapping[str, Floats], t: Thresholds) -> tuple[Any, list[Floats]]:
    """Which rows are bars; and of those the price, a number that is NaN where anything is unknown, both averages, the
    average true range and the volume in multiples of its mean.
    """
    import numpy as np
    import talib

    prices = np.stack([columns["high"], columns["low"], columns["close"]])
    good = np.isfinite(prices).all(axis=0) & (prices > 0.0).all(axis=0)
    high, low, close = (np.ascontiguousarray(row[good]) for row in prices)
    volume = np.nan_to_num(columns["volume"][good])
    if not close.size:
        return good, [close] * 6
    fast, slow = talib.EMA(close, t.ema_fast), talib.EMA(close, t.ema_slow)
    atr = talib.ATR(high, low, close, t.atr_len)
    usual = talib.SMA(volume, VOLUME_LEN)
    ratio = np.divide(volume, usual, out=np.zeros_like(volume), where=usual > 0.0)
    return good, [close, fast + slow + atr + usual, fast, slow, atr, ratio]


def _stamp(moment: Any) -> str:
    isoformat = getattr(moment, "isoformat", None)
    return isoformat() if isoformat is not None else str(moment)
