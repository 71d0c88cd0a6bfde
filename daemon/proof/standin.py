"""A strategy with other parameters, or with more bars behind it, in the place of the one that has heard the session.

It has heard what the other heard, its answers unasked for, so that at the bar it stands where it would have stood had
it been there from the start; the account is the session's. ``warm`` bars more than there were are bars like the first,
before it. Only who goes by closed bars alone can be stood in for: nobody has kept the trades and fills of the past.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

from msgspec import structs

from bus.bus import Bus
from bus.clock import Clock
from bus.events import Bar
from config.schema import Trading
from daemon.wiring import Core
from strategies import load
from strategies.functional import Functional, OrderGenerator
from strategies.history import History
from strategies.port import Strategy, View
from strategies.regime import RegimeEngine, Thresholds

_OTHERS = ("on_trade", "on_quote", "on_book", "on_mark", "on_gap", "on_fill", "on_order", "on_timer")
"""What a strategy hears besides bars."""


def by_bars_alone(strategy: Strategy) -> bool:
    """Whether closed bars are all it hears; trades do not count where bars replace them."""
    kind = type(strategy)
    heard = [name for name in _OTHERS if getattr(kind, name) is not getattr(Strategy, name)]
    if kind.bars_replace_trades:
        heard = [name for name in heard if name != "on_trade"]
    return not heard and kind.on_bar is not Strategy.on_bar


def numbers(use: str, params: Mapping[str, Any]) -> dict[str, int | float]:
    """The parameters that are numbers, as given or else by default."""
    found = load.find(use)
    values: dict[str, Any] = dict(params)
    if inspect.isclass(found) and found.__init__ is not object.__init__:
        taken = inspect.signature(found).parameters
        values = {name: p.default for name, p in taken.items() if p.default is not p.empty} | values
    known = ((name, _number(value)) for name, value in values.items())
    return {name: value for name, value in known if value is not None}


def _number(value: object) -> int | float | None:
    """As it was given: parameters on a command line are text."""
    if isinstance(value, str):
        try:
            return int(value) if value.lstrip("-").isdigit() else float(value)
        except ValueError:
            return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    return float(value) if isinstance(value, Decimal) else None


def earlier(past: Iterable[Bar], bar: Bar, warm: int) -> list[Bar]:
    """``warm`` bars like the first of ``past`` (of ``bar``, where it has none), ending where that begins."""
    first = next(iter(past), bar)
    length = first.interval_ns
    return [
        structs.replace(
            first,
            start_ns=first.start_ns - back * length,
            end_ns=first.end_ns - back * length,
            local_ns=first.local_ns - back * length,
        )
        for back in range(warm, 0, -1)
    ]


def stand_in(
    core: Core, trading: Trading, name: str, params: Mapping[str, Any], past: Sequence[Bar], before: Sequence[Bar]
) -> Strategy:
    """The strategy ``name`` with ``params`` over its own, having heard ``before`` and ``past``. Raises BadParameter."""
    entry = next(entry for entry in trading.strategies if entry.name == name)
    told = {parameter: value if (number := _number(value)) is None else number for parameter, value in params.items()}
    made = load.load(entry.use, {**entry.params, **told})
    seat = _Then(name, core, made.history, Thresholds(**trading.regime.model_dump()))
    made.on_start(seat.view)
    if isinstance(made, (Functional, OrderGenerator)):
        return made  # by contract it remembers nothing
    for bar in _heard(chain(before, past), entry.instruments):
        seat.hear(bar)
        made.on_bar(bar, seat.view)
    return made


def _heard(bars: Iterable[Bar], instruments: Sequence[str]) -> Iterator[Bar]:
    return (bar for bar in bars if not instruments or bar.instrument in instruments)


class _Then:
    """The past as a view: its time, its bars, its regimes. What the account holds is what it holds now."""

    def __init__(self, name: str, core: Core, depth: int, thresholds: Thresholds) -> None:
        self._clock = Clock()
        self._history = History(depth, thresholds)
        self._regimes = regimes(thresholds)
        parts = (core.market, core.ledger, core.exposure, core.equity, self._history)
        self.view = View(name, self._clock, *parts, lambda *_: None, self._regimes)

    def hear(self, bar: Bar) -> None:
        self._clock.now = bar.local_ns
        self._history.on_bar(bar)
        self._regimes.on_bar(bar)


def regimes(thresholds: Thresholds) -> RegimeEngine:
    """One that tells nobody."""
    return RegimeEngine(Bus(lambda *_: None), thresholds)
