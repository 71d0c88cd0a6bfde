"""``adaptive``: a strategy whose parameters explore, on shadow positions first.

Beside the strategy at work a few candidates run along with other parameters, drawn from declared bounds. They hear the
same bars; what they want moves shadow positions only, filled at the bar's close and charged ``cost_bps`` for each
change. After ``trial_bars`` bars the best candidate takes over if its shadow earned at least ``margin`` more than the
incumbent's and traded at all; then new candidates are drawn. Each change is a record (``ParametersAdapted``) with both
results, and no parameter ever leaves its bounds.

Rationale: a market's pace changes, and a length that was right last year may not be now. Source: forward testing before
use, as in walk-forward analysis (Pardo, The Evaluation and Optimization of Trading Strategies, 2008, ch. 11). Risk: the
best of several is partly the luckiest, the more so the shorter the trial and the smaller the margin, and each change
may cost a trade.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any

from msgspec import structs

from bus.events import Adaptation, Bar, Intent
from bus.rng import Draws
from bus.values import Action, Kind
from strategies.load import load
from strategies.port import BadParameter, Strategy, View, Wish, Wishes
from strategies.votes import AFTER, FLAT, LEAVING, SHORT

_TRIES = 50
"""Draws for one candidate, where most combinations make no sense to the strategy."""
_NEEDLESS = frozenset({"on_start", "on_stop", "on_bar"})
_CALLBACKS = tuple(name for name in vars(Strategy) if name.startswith("on_"))


class _Shadow:
    """What one set of parameters has earned: positions by instrument (signed exposure), as fractions of a unit.

    ``earned`` is the sum of returns on what was held, less costs; ``turns`` counts changes of position.
    """

    __slots__ = ("closes", "earned", "positions", "turns")

    def __init__(self) -> None:
        self.positions: dict[str, float] = {}
        self.closes: dict[str, float] = {}
        self.earned = 0.0
        self.turns = 0

    def mark(self, bar: Bar) -> None:
        """What was held until this bar closed has earned what it did."""
        before = self.closes.get(bar.instrument)
        if before:
            self.earned += self.positions.get(bar.instrument, 0.0) * (bar.close / before - 1.0)
        self.closes[bar.instrument] = bar.close

    def take(self, intent: Intent, cost: float, *, spot: bool) -> None:
        """Have what an intent asks for, at the last close. An exit may name an exposure to keep."""
        held = self.positions.get(intent.instrument, 0.0)
        direction = (held > 0) - (held < 0)
        size = 1.0 if intent.exposure is None else float(intent.exposure)
        after = AFTER[intent.action][direction]
        if spot and after == SHORT:
            after = FLAT
        if intent.action in LEAVING and (after == direction or intent.exposure):
            wanted = held if after == direction else direction * min(size, abs(held))
        else:
            wanted = after * size
        if wanted != held:
            self.positions[intent.instrument] = wanted
            self.earned -= cost * abs(wanted - held)
            self.turns += 1


class _ShadowView(View):
    """A view in which the shadow's positions are held, and nothing else is different."""

    __slots__ = ("_shadow",)

    def __init__(self, real: View, shadow: _Shadow) -> None:
        for name in View.__slots__:
            setattr(self, name, getattr(real, name))
        self._shadow = shadow

    def position(self, instrument: str) -> Decimal:
        return Decimal(repr(self._shadow.positions.get(instrument, 0.0)))

    def open_orders(self, instrument: str | None = None) -> list[Any]:
        return []


class _Trial:
    """A strategy under one set of parameters, with its shadow."""

    __slots__ = ("params", "shadow", "strategy")

    def __init__(self, strategy: Strategy, params: dict[str, Any]) -> None:
        self.strategy = strategy
        self.params = params
        self.shadow = _Shadow()

    def state(self) -> list[Any]:
        shadow = self.shadow
        return [self.params, self.strategy.state(), shadow.positions, shadow.closes, shadow.earned, shadow.turns]

    def restore(self, state: Sequence[Any]) -> None:
        shadow = self.shadow
        self.strategy.restore(state[1])
        shadow.positions, shadow.closes, shadow.earned, shadow.turns = dict(state[2]), dict(state[3]), *state[4:]


class Adaptive(Strategy):
    """Parameters: ``use`` and ``params``, the strategy at work; ``explore``, lowest and highest value by parameter
    (whole numbers where both bounds are; for ``ema_cross`` they may be left out); ``candidates``, ``trial_bars``,
    ``margin`` (fraction of a unit), ``cost_bps``; ``seed`` of the draws. The strategy must act on bars alone.
    """

    def __init__(
        self,
        use: str = "ema_cross",
        explore: dict[str, Any] | None = None,
        params: dict[str, Any] | None = None,
        candidates: int = 3,
        trial_bars: int = 500,
        margin: float = 0.01,
        cost_bps: float = 10.0,
        seed: int = 7,
    ) -> None:
        if explore is None and use == "ema_cross":
            explore = {"fast": [5, 60], "slow": [61, 240]}
        if not explore:
            raise BadParameter("explore names no parameter; as in explore = {fast = [5, 60]}")
        if candidates < 1 or trial_bars < 1 or margin < 0.0 or cost_bps < 0.0:
            raise BadParameter("candidates and trial_bars are at least 1, margin and cost_bps at least 0")
        self._use = use
        self._bounds = {name: _bounds(name, pair) for name, pair in sorted(explore.items())}
        self._candidates, self._trial_bars = candidates, trial_bars
        self._margin, self._cost = margin, cost_bps / 10_000
        self._draws = Draws(seed)
        self._round = self._bars = 0
        self._live = self._tried(dict(params or {}))
        for name, (low, high) in self._bounds.items():
            if name in self._live.params and not low <= float(self._live.params[name]) <= high:
                raise BadParameter(f"{name} begins at {self._live.params[name]}, outside of its bounds {low} to {high}")
        inner = self._live.strategy
        heard = [name for name in _CALLBACKS if getattr(type(inner), name) is not getattr(Strategy, name)]
        deaf = [
            name for name in heard if name not in _NEEDLESS and not (name == "on_trade" and inner.bars_replace_trades)
        ]
        if "on_bar" not in heard or deaf:
            has = f", and has {', '.join(deaf)}" if deaf else ""
            raise BadParameter(f"{use} cannot be adapted: it must act on bars alone{has}")
        self.history, self.needs_regime = inner.history, inner.needs_regime
        self._refusal = ""
        self._rivals = self._drawn()
        if not self._rivals:
            raise BadParameter(f"nothing within the bounds of explore makes sense: {self._refusal}")
        self._unlike: set[str] = set()
        self._adapted = False

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        wishes = self._said(self._live, bar, view)
        for rival in self._rivals:
            self._said(rival, bar, _ShadowView(view, rival.shadow))
        self._bars += 1
        if self._bars >= self._trial_bars:
            before, told = self._live, self._judge()
            if self._live is not before:  # who is over enters and leaves nothing any more: the account is aligned below
                intents = [wish for wish in wishes if isinstance(wish, Intent) and wish.action is not Action.HOLD]
                self._unlike.update(intent.instrument for intent in intents)
                wishes = [wish for wish in wishes if not isinstance(wish, Intent)]
            wishes += told
        if bar.instrument in self._unlike:
            self._unlike.discard(bar.instrument)
            wishes += self._aligned(bar.instrument, view)
        return wishes

    def _said(self, trial: _Trial, bar: Bar, view: View) -> list[Wish]:
        """What a strategy wants of the bar, taken down in its shadow's books."""
        trial.shadow.mark(bar)
        found = trial.strategy.on_bar(bar, view)
        wishes = [] if found is None else list(found) if isinstance(found, Iterable) else [found]
        for wish in wishes:
            if isinstance(wish, Intent) and wish.action is not Action.HOLD:
                known = view.instruments.get(wish.instrument)
                trial.shadow.take(wish, self._cost, spot=known is not None and known.kind is Kind.SPOT)
        return wishes

    def _judge(self) -> list[Wish]:
        """The trial is over: keep the incumbent, or let the best candidate take over; then draw anew."""
        best = max(self._rivals, key=lambda rival: rival.shadow.earned, default=None)
        before = self._live
        told: list[Wish] = []
        if best is not None and best.shadow.turns and best.shadow.earned >= before.shadow.earned + self._margin:
            self._live = best
            held, wanted = before.shadow.positions, best.shadow.positions
            self._unlike = {name for name in {*held, *wanted} if held.get(name, 0.0) != wanted.get(name, 0.0)}
            reason = (
                f"in {self._bars} bars its shadow earned {best.shadow.earned:.4%}, "
                f"the incumbent's {before.shadow.earned:.4%}"
            )
            told.append(Adaptation(before.params, best.params, reason))
            self._adapted = True
            self._trace()
        self._round += 1
        self._bars = 0
        positions, closes = self._live.shadow.positions, self._live.shadow.closes
        self._live.shadow = _Shadow()
        self._live.shadow.positions, self._live.shadow.closes = positions, closes
        self._rivals = self._drawn()
        return told

    def _trace(self) -> None:
        """What is decided from here on comes from the parameters that have taken over."""
        source = self._live.strategy.provenance
        if self.provenance is not None and source is not None:
            self.provenance = structs.replace(self.provenance, config=source.config)

    def _aligned(self, instrument: str, view: View) -> list[Wish]:
        """What brings the account to where the new parameters stand."""
        wanted = self._live.shadow.positions.get(instrument, 0.0)
        held = view.position(instrument)
        reason = "as the new parameters stand"
        if wanted:
            action = Action.ENTER_LONG if wanted > 0 else Action.ENTER_SHORT
            return [Intent(instrument, action, exposure=abs(wanted) if abs(wanted) != 1.0 else None, reason=reason)]
        return [Intent(instrument, Action.FLAT, reason=reason)] if held else []

    # --- candidates ---------------------------------------------------------------------------------------------

    def _drawn(self) -> list[_Trial]:
        """New candidates for the round; fewer where the bounds leave little that makes sense."""
        return [trial for k in range(self._candidates) if (trial := self._candidate(k)) is not None]

    def _candidate(self, number: int) -> _Trial | None:
        for attempt in range(_TRIES):
            key = f"{self._round}.{number}.{attempt}"
            drawn = {
                name: _within(low, high, self._draws.uniform(f"adaptive.{name}", key))
                for name, (low, high) in self._bounds.items()
            }
            try:
                return self._tried({**self._live.params, **drawn})
            except BadParameter as refusal:
                self._refusal = str(refusal)
        return None

    def _tried(self, params: dict[str, Any]) -> _Trial:
        return _Trial(load(self._use, params), params)

    # --- restart ------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        return {
            "use": self._use,
            "round": self._round,
            "bars": self._bars,
            "live": self._live.state(),
            "rivals": [rival.state() for rival in self._rivals],
            "unlike": sorted(self._unlike),
            "adapted": self._adapted,
        }

    def restore(self, state: dict[str, Any]) -> None:
        if state.get("use", self._use) != self._use:
            return  # what another strategy learned is nothing to this one
        self._round, self._bars = state["round"], state["bars"]
        self._live, *self._rivals = [self._restored(one) for one in (state["live"], *state["rivals"])]
        self._unlike = set(state["unlike"])
        self._adapted = state.get("adapted", False)
        if self._adapted:
            self._trace()

    def _restored(self, state: Sequence[Any]) -> _Trial:
        trial = self._tried(dict(state[0]))
        trial.restore(state)
        return trial


def _bounds(name: str, pair: object) -> tuple[float, float]:
    if isinstance(pair, Sequence) and not isinstance(pair, str) and len(pair) == 2:
        low, high = pair
        if all(isinstance(one, int | float) and math.isfinite(one) for one in pair) and low < high:
            return low, high
    raise BadParameter(f"explore.{name} is a lowest and a higher highest value, as in [5, 60], not {pair!r}")


def _within(low: float, high: float, share: float) -> float:
    """A value between the bounds, both of which can be drawn; whole where they are."""
    if isinstance(low, int) and isinstance(high, int):
        return low + min(int(share * (high - low + 1)), high - low)
    return low + share * (high - low)
