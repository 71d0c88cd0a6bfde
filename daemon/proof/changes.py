"""What is asked to be different from a bar on, in the words of ``--what-if``, and how it is put in force there.

    close=PRICE                     the bar's own close
    limits.max_notional=5000        a setting, as --set takes it; one that may be none is lifted by =none
    strategies.NAME.PARAMETER=5     a strategy's parameter, as if it had been so from the start
    warmup=N                        N more bars like the first, before it, for all strategies
    market=PRICE                    a usable market at that price: a tick either side, deep, heard just now
    state=armed                     the operator has looked and lets orders through
    since=TIME                      the settings are in force from an earlier bar on

A change takes effect with its bar and not before, save where it says otherwise itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bus.book import Book
from bus.clock import SECOND
from bus.events import Bar
from bus.values import TradingState
from config.load import changed
from config.schema import Trading
from daemon.errors import Usage
from daemon.models import council_rules, limits_of, oversight_terms
from daemon.proof.bars import moment_ns
from daemon.proof.probe import Probe
from daemon.proof.standin import by_bars_alone, earlier, regimes, stand_in
from daemon.reading.digest import iso
from daemon.wiring import Core
from risk.governor import Band
from strategies import load
from strategies.regime import Thresholds

SETTINGS = ("limits", "sizing", "governor", "confirmation", "council")
"""The tables of the config whose settings can be changed at a bar."""
DEEP = 1e12
"""What is on offer in a market that is asked for."""


class Changes(msgspec.Struct, frozen=True):
    """``params`` are strategies' parameters, each as (strategy, parameter, value); 0 and None are no change."""

    close: float | None = None
    settings: tuple[str, ...] = ()
    params: tuple[tuple[str, str, str], ...] = ()
    warmup: int = 0
    market: float | None = None
    armed: bool = False
    since_ns: int = 0

    def words(self) -> list[str]:
        """As ``--what-if`` takes them."""
        return [
            *(["state=armed"] if self.armed else []),
            *self.settings,
            *(f"strategies.{strategy}.{name}={value}" for strategy, name, value in self.params),
            *([f"warmup={self.warmup}"] if self.warmup else []),
            *([] if self.market is None else [f"market={self.market!r}"]),
            *([] if self.close is None else [f"close={self.close!r}"]),
            *([f"since={iso(self.since_ns)}"] if self.since_ns else []),
        ]

    def asked(self) -> dict[str, dict[str, str]]:
        """The parameters by strategy."""
        asked: dict[str, dict[str, str]] = {}
        for name, parameter, value in self.params:
            asked.setdefault(name, {})[parameter] = value
        return asked

    def bar(self, bar: Bar) -> Bar:
        """What the bar is taken for."""
        if self.close is None:
            return bar
        high, low = max(bar.high, self.close), min(bar.low, self.close)
        return msgspec.structs.replace(bar, close=self.close, high=high, low=low)

    def settle(self, core: Core) -> None:
        """Put the settings in force. Raises ConfigError for one that is none."""
        if self.armed:
            core.switch.relent()
            if core.oversight.governor.band is not Band.OK:
                core.switch.clear("why", "what if")
            core.switch.state, core.gate.routing = TradingState.ARMED, True
        if self.settings:
            trading = changed(core.trading, self.settings)
            core.gate.relimit(limits_of(trading), trading.sizing.notional)
            core.oversight.adopt(oversight_terms(trading), trading.confirmation.conf_min)
            core.present.tolerate(round(trading.limits.missed_after_s * SECOND))
            if core.council is not None:
                core.council.rule_by(council_rules(trading))
            elif trading.council.mode != core.trading.council.mode:
                core.runner.divert = None  # off becomes solo

    def stage(self, core: Core, probe: Probe, bar: Bar) -> None:
        """Put the rest in force, which is of the bar alone. Raises BadParameter."""
        if self.market is not None:
            core.market.stale.pop(bar.instrument, None)
            tick = float(core.market.instruments[bar.instrument].tick)
            book = core.market.books.setdefault(bar.instrument, Book())
            book.reset([(self.market - tick, DEEP)], [(self.market + tick, DEEP)])
            book.local_ns = bar.local_ns
        if self.params or self.warmup:
            self._seat(core, probe, bar)

    def _seat(self, core: Core, probe: Probe, bar: Bar) -> None:
        """Put others in the strategies' places, and all who hear bars where more of them would have put them."""
        before = [one for first in _firsts(probe.past, bar) for one in earlier([first], bar, self.warmup)]
        asked = self.asked()
        for name, strategy, _ in probe.seats:
            if (self.warmup or name in asked) and by_bars_alone(strategy):
                made = stand_in(core, core.trading, name, asked.get(name, {}), probe.past, before)
                probe.stands_in[name] = made.on_bar
        if self.warmup:
            probe.warm(before)
            core.history.restore([*before, *core.history.state()])
            if core.regimes is not None:
                heard = regimes(Thresholds(**core.trading.regime.model_dump()))
                for one in (*before, *probe.past):
                    heard.on_bar(one)
                core.regimes.restore(heard.kept())


def _firsts(past: Iterable[Bar], bar: Bar) -> list[Bar]:
    """The first bar of each series."""
    firsts: dict[tuple[str, int], Bar] = {}
    for one in (*past, bar):
        firsts.setdefault((one.instrument, one.interval_ns), one)
    return list(firsts.values())


def parse(texts: Iterable[str], trading: Trading) -> Changes:
    """What ``--what-if`` asks for. Raises Usage."""
    close = market = None
    settings, params, warmup, armed, since_ns = list[str](), list[tuple[str, str, str]](), 0, False, 0
    for text in texts:
        key, _, value = (part.strip() for part in text.partition("="))
        table, _, rest = key.removeprefix("trading.").partition(".")
        if key == "close":
            close = _price(key, value)
        elif key == "market":
            market = _price(key, value)
        elif key == "warmup":
            if not value.isdecimal() or not 0 < int(value) <= 100_000:
                raise Usage(f"--what-if warmup takes a number of bars, not {value!r}")
            warmup = int(value)
        elif key == "state":
            if value != "armed":
                raise Usage(f"--what-if state takes armed, not {value!r}")
            armed = True
        elif key == "since":
            since_ns = moment_ns(value, 0)
        elif table == "strategies" and "." in rest:
            params.append(_param(*rest.rpartition(".")[::2], value, trading))
        elif table in SETTINGS:
            settings.append(text)
        else:
            words = "close=, market=, warmup=, state=armed, since=, strategies.NAME.PARAMETER="
            raise Usage(f"--what-if takes {words} or a setting of {', '.join(SETTINGS)}, not {text!r}")
    return Changes(close, tuple(settings), tuple(params), warmup, market, armed, since_ns)


def _price(key: str, value: str) -> float:
    try:
        price = float(value)
    except ValueError:
        price = -1.0
    if not 0.0 < price < float("inf"):
        raise Usage(f"--what-if {key} takes a price, not {value!r}")
    return price


def _param(name: str, parameter: str, value: str, trading: Trading) -> tuple[str, str, str]:
    names = [entry.name for entry in trading.strategies]
    if name not in names:
        raise Usage(f"--what-if strategies.{name}: the session's strategies are {', '.join(names) or 'none'}")
    return name, parameter, value


def check(changes: Changes, trading: Trading) -> None:
    """Raises ConfigError, BadParameter for values that cannot be, Usage for what cannot be changed at a bar."""
    wanted = changed(trading, changes.settings) if changes.settings else trading
    mode = wanted.council.mode
    if mode != trading.council.mode and (trading.council.mode, mode) != ("off", "solo"):
        raise Usage(f"--what-if cannot turn {trading.council.mode} into {mode} at a bar; replay the session")
    for entry in trading.strategies:
        if (params := changes.asked().get(entry.name)) is not None:
            load.load(entry.use, {**entry.params, **params})
