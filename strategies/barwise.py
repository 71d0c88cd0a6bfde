"""What strategies share that make up their mind once a bar: a judgement a bar, an intent a change of mind.

Such a strategy writes two things. ``begin`` makes the track of one series of bars: its indicators. ``judge`` takes the
track a bar further and says what the strategy would hold there: a level from -1 (all of its exposure short) over 0
(nothing) to 1 (all of it long), how sure it is and why; None is "as before". Turning a change of level into an action
is done here, once for all.

What it would hold is its own opinion and not the account's position: other strategies trade the same instrument, fills
come late and gates say no. So the same bars give the same intents in a table, a recording, on paper and live, and an
intent is an answer to a bar, not to what became of the last one. Where its ``horizon_hours`` have passed, Layer 3 has
closed the position and the strategy forgets that it had one.

The functional form (``as_function``) runs the same judgement over the rows of a DataFrame; ``ctx`` tells it the
position that the account has, and it answers with what leads there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from math import isnan
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import structs

from bus.clock import HOUR, SECOND
from bus.events import Bar, Intent, RegimeState
from bus.values import Action
from strategies import load, regime
from strategies.indicators import Carried, Indicator
from strategies.port import BadParameter, Strategy, View, Wishes

if TYPE_CHECKING:
    import pandas as pd

Want = tuple[float, float, str]
"""The level, how sure (0 to 1), and why."""


class Track(Carried):
    """One series of bars as a strategy follows it. ``level`` is what it would hold, by its last change of mind;
    ``entry`` the close at which it came to that side; ``until_ns`` when that lapses (0: never).
    """

    __slots__ = ("confidence", "entry", "level", "reason", "until_ns")

    def __init__(self) -> None:
        self.level = 0.0
        self.confidence = 0.0
        self.reason = "no signal yet"
        self.entry = 0.0
        self.until_ns = 0

    def figures(self) -> dict[str, float]:
        """The indicators that decided, for the intent's meta."""
        values = ((name, getattr(self, name)) for name in self._slots())
        return {name: value.value for name, value in values if isinstance(value, Indicator)}

    def meta(self) -> dict[str, Any]:
        """The figures that are known by now."""
        return {name: value for name, value in self.figures().items() if not isnan(value)}


T = TypeVar("T", bound=Track)


class BarStrategy(Strategy, Generic[T]):
    """``exposure`` is what level 1 stands for as a fraction of equity (None: the configured default size); ``short``
    whether levels below 0 are meant, otherwise they are flat.
    """

    reduce_only_exits = False

    def __init__(self, exposure: float | None, *, short: bool = False, horizon_hours: int = 0) -> None:
        if exposure is not None and not 0.0 < exposure <= 1.0:
            raise BadParameter(f"exposure is a fraction of equity above 0 and at most 1, not {exposure}")
        if horizon_hours < 0:
            raise BadParameter(f"horizon_hours is 0 (no horizon) or more, not {horizon_hours}")
        self._exposure = exposure
        self._short = short
        self._horizon_ns = horizon_hours * HOUR
        self._tracks: dict[tuple[str, int], T] = {}

    def begin(self) -> T:
        raise NotImplementedError

    def judge(self, track: T, bar: Bar, state: RegimeState) -> Want | None:
        """What to hold as of this bar; ``state`` has no label unless the strategy said ``needs_regime``."""
        raise NotImplementedError

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        key = (bar.instrument, bar.interval_ns)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = self.begin()
        before = track.level
        intent = self.step(track, bar, view.regime(*key) if self.needs_regime else regime.UNKNOWN)
        if intent is None:
            return None
        if intent.exposure and intent.action in _EXITS:
            return _reduced(intent, abs(float(view.position(bar.instrument))), before, track.level)
        if before * track.level < 0.0:  # to the other side: what is left first, so that no limit on the entry keeps it
            return self._left(intent, before), intent
        return intent

    def step(self, track: T, bar: Bar, state: RegimeState) -> Intent | None:
        """One bar further: the intent where it changes the strategy's mind."""
        if track.until_ns and bar.end_ns > track.until_ns:  # the horizon is counted from the fill, a little later
            track.level, track.until_ns = 0.0, 0
            track.reason = "horizon"
        want = self.judge(track, bar, state)
        if want is None:
            return None
        level = want[0]
        if level < 0.0 and not self._short:
            level = 0.0
        if level == track.level:
            return None
        return self._change(track, bar, state, level, want)

    def _change(self, track: T, bar: Bar, state: RegimeState, level: float, want: Want) -> Intent:
        before = track.level
        action = _action(before, level)
        _, confidence, reason = want
        if action not in _EXITS:
            track.until_ns = bar.end_ns + self._horizon_ns if self._horizon_ns else 0
            if not before * level > 0.0:
                track.entry = bar.close
        track.level, track.confidence, track.reason = level, confidence, reason
        meta = track.meta()
        if state.label is not None:
            meta["regime"] = state.label.value
            meta["regime_confidence"] = state.confidence
        return Intent(
            bar.instrument,
            action,
            exposure=self.share(level),
            confidence=confidence,
            horizon_s=0 if action in _EXITS else self._horizon_ns // SECOND,
            reduce_only=self.reduce_only_exits and action in _EXITS,
            reason=reason,
            meta=meta,
        )

    def _left(self, entry: Intent, before: float) -> Intent:
        """The exit that goes before an entry on the other side."""
        action = _action(before, 0.0)
        return structs.replace(entry, action=action, exposure=0.0, horizon_s=0, reduce_only=self.reduce_only_exits)

    @property
    def horizon_hours(self) -> int:
        return self._horizon_ns // HOUR

    def share(self, level: float) -> float | None:
        """The fraction of equity that a level stands for; None for the configured default."""
        if not level:
            return 0.0
        return None if self._exposure is None else self._exposure * abs(level)

    def state(self) -> dict[str, Any]:
        return {"tracks": [[*key, track.state()] for key, track in self._tracks.items()]}

    def restore(self, state: dict[str, Any]) -> None:
        for instrument, interval_ns, kept in state["tracks"]:
            track = self._tracks[instrument, interval_ns] = self.begin()
            track.restore(kept)


_EXITS = frozenset({Action.EXIT_LONG, Action.EXIT_SHORT})
_ENTER_LONG, _EXIT_LONG, _ENTER_SHORT, _EXIT_SHORT = (
    Action.ENTER_LONG,
    Action.EXIT_LONG,
    Action.ENTER_SHORT,
    Action.EXIT_SHORT,
)


def _action(before: float, level: float) -> Action:
    """What leads from one level to another; they differ."""
    if level > before:
        return _ENTER_LONG if level > 0.0 else _EXIT_SHORT
    return _ENTER_SHORT if level < 0.0 else _EXIT_LONG


def _reduced(intent: Intent, held: float, before: float, level: float) -> Intent | None:
    """An exit that leaves an exposure gives up the part of what is held that the level lost; of nothing, nothing."""
    part = held * (1.0 - level / before)
    return structs.replace(intent, size=part) if part > 0.0 else None


# --- the functional form ---------------------------------------------------------------------------------------

Function = Callable[..., dict[str, Any]]


def as_function(strategy: type[BarStrategy[Any]], name: str) -> Function:
    """``generate_intent(df, ctx, *, closed_only=True) -> dict`` of the strategy we call ``name``.

    Parameters come from ``ctx["params"]``, as the event loop gives them; where ``ctx`` has none, the function was
    called by hand, and they come from the environment (``load.environment_name``).
    """

    def generate_intent(df: pd.DataFrame, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
        params = _of(ctx, "params")
        made = load.build(name, strategy, load.environment_params(name, os.environ) if params is None else params)
        closed = df.iloc[:-1] if closed_only else df
        answer = _answer(made, bars_of(closed), regime.thresholds_for(df), _of(ctx, "position"))
        asof = closed.index[-1].isoformat() if len(closed) and hasattr(closed.index[-1], "isoformat") else None
        answer["meta"].update(closed_only=closed_only, dropped_last_row=closed_only and len(df) > 0, asof_ts=asof)
        return answer

    generate_intent.__doc__, generate_intent.__module__ = strategy.__doc__, strategy.__module__
    return generate_intent


def _of(ctx: Any, name: str) -> Any:
    return ctx.get(name) if isinstance(ctx, Mapping) else getattr(ctx, name, None)


def _answer(
    strategy: BarStrategy[Any], bars: Iterable[Bar], thresholds: regime.Thresholds, position: Any
) -> dict[str, Any]:
    """Where the strategy stands after the last of ``bars``, and the action that leads an account there."""
    track = strategy.begin()
    gauge = regime.Gauge(thresholds) if strategy.needs_regime else None
    state, intent, before = regime.UNKNOWN, None, 0.0
    for bar in bars:
        if gauge is not None:
            state = gauge.hear(bar)
        before = track.level
        intent = strategy.step(track, bar, state)
    held = 0.0 if position is None else float(position)
    if intent is not None and intent.exposure and intent.action in _EXITS:
        intent = _reduced(intent, abs(held), before, track.level)
    meta = track.meta()
    if gauge is not None:
        meta["regime"] = state.label.value if state.label is not None else None
    answer = {
        "action": (intent.action if intent is not None else _towards(track.level, held)).value,
        "confidence": track.confidence,
        "desired_exposure_frac": strategy.share(track.level),
        "horizon_hours": strategy.horizon_hours if track.level else 0,
        "reason": track.reason,
        "meta": meta,
    }
    if intent is not None and intent.size is not None:
        answer["size"] = intent.size
    return answer


def _towards(level: float, held: float) -> Action:
    """What brings a position to the side of a level it should be on already; HOLD where it is there."""
    wanted, now = _sign(level), _sign(held)
    return Action.HOLD if wanted == now else _action(now, wanted)


def _sign(value: float) -> float:
    return float(value > 0.0) - float(value < 0.0)


def bars_of(frame: pd.DataFrame) -> Iterator[Bar]:
    """The rows of a frame as closed bars; rows without a price are none. Raises ValueError for a frame that cannot be
    read.
    """
    columns = regime.columns_of(frame, ("high", "low", "close"))
    opens = columns.get("open", columns["close"])
    volumes = columns.get("volume", 0.0 * columns["close"])
    starts = _starts(frame)
    step = min((b - a for a, b in pairwise(starts) if b > a), default=HOUR)
    rows = zip(
        starts,
        opens.tolist(),
        columns["high"].tolist(),
        columns["low"].tolist(),
        columns["close"].tolist(),
        volumes.tolist(),
        strict=True,
    )
    for start, open_, high, low, close, volume in rows:
        if high > 0.0 and low > 0.0 and close > 0.0:  # NaN is not
            end = start + step
            traded = volume if volume > 0.0 else 0.0
            yield Bar("", step, start, end, open_, high, low, close, traded, 0, True, False, end)


def _starts(frame: pd.DataFrame) -> list[int]:
    import pandas as pd

    index = frame.index
    if isinstance(index, pd.DatetimeIndex):
        return [int(moment) for moment in index.as_unit("ns").asi8.tolist()]
    return [n * HOUR for n in range(len(index))]
