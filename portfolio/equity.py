"""What the account is worth, how far below its best that is, and who wants to be called when it is too far.

There are two figures of the same thing. ``value()`` is exact: wallets and unrealised P&L in Decimal at the present
marks. ``value_float()`` is its float twin; drawdown is watched on it, and confirmed in Decimal before anything acts on
it. For most holdings equity is linear in each mark, so a new mark moves it by ``weight * (mark - last mark)``; where
it is not (inverse contracts, settlement in a foreign asset) everything is measured again, as it is after a few
thousand moves, which also keeps float error from adding up. While one thing is held, the marks between which equity
stays below its peak and above the deepest drawdown so far are worked out once: a mark inside that band is noted and
nothing else.

What is heard depends on what is held:

    nothing whose worth changes    no market event at all
    something, from then on        marks, and of trades, bars and quotes those that may set a mark of what is held
    something without a mark       every market event, until it has one; meanwhile CannotValue is raised

The session starts when the account can first be valued after the first market event.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

from bus import money
from bus.bus import Bus, Subscription
from bus.clock import Clock
from bus.events import Bar, FundingPaid, MarkPrice, OrderFilled, Quote, Sheet, Trade
from bus.market import Market
from bus.resume import MarketResumed
from bus.state import EquityState
from bus.values import ONE, ZERO, Side
from portfolio.ledger import Ledger
from portfolio.lots import Position
from portfolio.valuation import CannotValue, Valuation

__all__ = ["CannotValue", "Equity"]

_SLACK = 1e-9  # of equity: more than the float figure ever differs from the exact one
_MOVES = 4_096
_SELL = Side.SELL
_NO_BAND = math.inf, -math.inf
_CENT = 5e-324  # the smallest price there is
_SOURCES = (MarkPrice, Trade, Bar, Quote)  # of a mark, in the order in which market.mark prefers them


class _Alarm:
    """``level`` is the equity below which more than ``limit`` may be lost: a hair early, for the exact figure to
    decide.
    """

    __slots__ = ("level", "limit", "on_breach")

    def __init__(self, limit: Decimal, on_breach: Callable[[], object]) -> None:
        self.limit = limit
        self.on_breach = on_breach
        self.level = -math.inf

    def measure_from(self, start: Decimal) -> None:
        self.level = float(start * (ONE - self.limit)) + _SLACK * float(start)


class _Guard:
    __slots__ = ("level", "look")

    def __init__(self, look: Callable[[], float]) -> None:
        self.look = look
        self.level = math.inf


class Held:
    """Something whose mark moves equity: by ``weight`` per unit of price, or None where it is not that simple.

    ``price`` is its mark and ``counted`` the one by which it is in the watched value; ``source`` is the kind of event
    that sets it. Nothing need be done about a mark from ``low`` to ``high``.
    """

    __slots__ = ("counted", "high", "low", "price", "source", "weight")

    def __init__(self, price: float, weight: float | None, source: type) -> None:
        self.price = self.counted = price
        self.weight = weight
        self.source = source
        self.low, self.high = _NO_BAND


class _Stopwatch:
    """``ns`` so far, and since when it runs, if it does."""

    __slots__ = ("ns", "since")

    def __init__(self) -> None:
        self.ns = 0
        self.since: int | None = None


_Worth = tuple[Sheet, list[Position]]
"""The account as a sum: what is linear in marks, and positions whose worth is not or is in another asset."""


class Equity:
    """``peak`` is the highest equity seen (float), ``start`` the equity the session started with, None until that could
    be told. ``sheet`` is what was last taken apart, None once that may have changed; ``shown`` are the holdings whose
    marks go with it.
    """

    def __init__(self, ledger: Ledger, market: Market, clock: Clock, asset: str) -> None:
        # Up to 29 attributes are kept in the object itself by CPython 3.11; with one more each is looked up by name.
        self.asset = asset
        self._ledger = ledger
        self._market = market
        self._clock = clock
        self._valuation = Valuation(ledger, market, asset)
        self._watching: list[Subscription] = []  # by _SOURCES
        self._waiting: list[Subscription] = []
        self._worth: _Worth | None = None
        self.sheet: Sheet | None = None
        self.shown: Sequence[Held] = ()
        self._is_waiting = True
        self._held: dict[str, Held] = {}
        self._value = math.nan
        self._cannot: str | None = None
        self._begun_ns: int | None = None
        self._moves_left = _MOVES
        self._traded = 0
        self._simple: dict[str, bool] = {}  # by instrument, until all is measured again
        self._exposed = _Stopwatch()
        self._carried: EquityState | None = None  # of the session before, until the account can be valued
        self.start: Decimal | None = None
        self._start = math.nan
        self.peak = -math.inf
        self._low = math.inf  # the lowest since this peak
        self._deepest = 0.0  # the largest fraction of an earlier peak that was lost
        self._floor = math.inf  # below this the drawdown is deeper than ever, below ``_trip`` somebody is to be called
        self._trip = math.inf
        self._alarm: _Alarm | None = None
        self._guard: _Guard | None = None
        self._measure_again()

    def attach(self, bus: Bus) -> None:
        """After the market and the ledger, before anyone who asks for equity."""
        bus.subscribe(OrderFilled, self._on_fill)
        bus.subscribe(FundingPaid, self._on_funding)
        handlers: tuple[Callable[..., None], ...] = self._on_mark, self._on_trade, self._on_bar, self._on_quote
        for event, handler in zip(_SOURCES, handlers, strict=True):
            self._watching.append(bus.subscribe(event, handler, active=False))
        self._waiting = [bus.subscribe(event, self._on_anything) for event in _SOURCES]
        bus.subscribe(MarketResumed, self._on_anything)

    def value(self) -> Decimal:
        """Exact equity at the present marks. Raises CannotValue: then nobody may assume that all is well."""
        sheet, others = self._worth or self._look_up()
        mark = self._valuation.mark
        value = sheet.worth([mark(name) for name, _ in sheet.held])
        for position in others:
            unrealised = position.unrealised(money.from_float(mark(position.instrument.name)))
            value += unrealised * self._valuation.price(position.asset)
        return value

    def taken_apart(self) -> tuple[Sheet, list[float]]:
        """``value`` as what the account consists of, and the marks it stands at. Raises CannotValue."""
        if self._cannot is not None:
            raise CannotValue(self._cannot)
        sheet, others = self._worth or self._look_up()
        if others:  # no sum of amounts at marks: only its outcome can be told
            return Sheet(self.value()), []
        self.sheet, self.shown = sheet, [self._held[name] for name, _ in sheet.held]
        return sheet, [held.price for held in self.shown]

    def marks(self) -> dict[str, Decimal]:
        """The marks that ``value`` is made of, by instrument. Raises CannotValue."""
        sheet, others = self._worth or self._look_up()
        names = {name for name, _ in sheet.held}
        for position in others:
            names.add(position.instrument.name)
            if position.asset != self.asset:
                names.add(self._valuation.source(position.asset))
        return {name: money.from_float(self._valuation.mark(name)) for name in sorted(names)}

    def _look_up(self) -> _Worth:
        """What the account consists of; the same until the next fill, funding or newly priced instrument."""
        fixed, linear, others = ZERO, [], []
        for asset, amount in self._ledger.cash.items():
            if asset == self.asset:
                fixed += amount
            elif amount:
                linear.append((self._valuation.source(asset), amount))
        for name, position in self._ledger.positions.items():
            if position.spot or not position.lots:
                continue
            if position.inverse or position.asset != self.asset:
                others.append(position)
            else:
                fixed -= position.cost
                linear.append((name, position.size * position.multiplier))
        self._worth = worth = Sheet(fixed, tuple(linear)), others
        return worth

    def value_float(self) -> float:
        """Equity as watched. Raises CannotValue."""
        if self._cannot is not None:
            raise CannotValue(self._cannot)
        value = self._value
        for held in self._held.values():
            if held.price != held.counted and held.weight is not None:
                value += held.weight * (held.price - held.counted)
        return value

    def drawdown_from_peak(self) -> float:
        """The fraction of the peak that is lost at present, as watched; 0 in profit. Raises CannotValue."""
        return _lost(self.value_float(), self.peak)

    def drawdown_from_start(self) -> float:
        """The same of the equity the session started with."""
        value = self.value_float()
        return _lost(value, self._start) if value < self._start else 0.0

    @property
    def max_drawdown(self) -> float:
        """The largest fraction of a peak that was ever lost, as watched."""
        return max(self._deepest, _lost(self._low, self.peak))

    def confirm(self) -> tuple[Decimal, Decimal]:
        """Exactly the two above, of the peak and of the start. Raises CannotValue."""
        value = self.value()
        start = self.start if self.start is not None else value
        peak = max(money.from_float(self.peak), start) if math.isfinite(self.peak) else start
        return _lost_exactly(value, peak), _lost_exactly(value, start)

    def state(self) -> EquityState:
        if self._carried is not None:
            return self._carried
        peak = self.peak if math.isfinite(self.peak) else None
        return EquityState(self.start, peak, self.max_drawdown, self._valuation.sources())

    def restore(self, state: EquityState) -> None:
        """Go on from another session's best and worst; its start is ours once the account, restored by now, can be
        valued.
        """
        self._carried, self.start, self._start = state, None, math.nan
        self.peak = state.peak if state.peak is not None else -math.inf
        self._low, self._deepest = math.inf, state.max_drawdown
        self._valuation.restore(state.sources)
        if self._guard is not None:
            self._guard.level = math.inf
        self._measure_again()

    def rebase(self) -> None:
        """Count losses from here on, from the start and from the peak. Raises CannotValue."""
        self._deepest = self.max_drawdown
        self._start_at(self.value())
        self.peak = self._low = self._start
        if self._guard is not None:
            self._guard.level = math.inf
        self._measure_again()

    def guard(self, look: Callable[[], float]) -> None:
        """Call ``look`` at each new peak, and whenever equity is below what it last returned."""
        self._guard = _Guard(look)
        if self._cannot is None:
            self._count()
            self._look()

    def arm(self, limit_from_start: float | None, on_breach: Callable[[], object]) -> None:
        """Call ``on_breach`` once, when more than this fraction of the start is lost (None: never).

        Once it was called, or by arming again, the earlier alarm is gone.
        """
        limit = limit_from_start
        self._alarm = _Alarm(money.from_float(limit), on_breach) if limit is not None else None
        if self._alarm is not None and self.start is not None:
            self._alarm.measure_from(self.start)
        if self._cannot is None:
            self._count()
            self._look()

    @property
    def elapsed_ns(self) -> int:
        """Since the session started."""
        return self._clock.now - self._begun_ns if self._begun_ns is not None else 0

    @property
    def exposed_ns(self) -> int:
        """For how long, up to now, there was a position."""
        watch = self._exposed
        return watch.ns + (self._clock.now - watch.since if watch.since is not None else 0)

    # --- what is heard ---

    def _on_trade(self, trade: Trade) -> None:
        held = self._held.get(trade.instrument)
        if held is None or (held.source is not Trade and not _sets(Trade, held)):
            return
        price = trade.price
        if held.low <= price <= held.high:
            held.price = price
        elif price != held.price:
            self._move(held, price)

    def _on_mark(self, event: MarkPrice) -> None:
        held = self._held.get(event.instrument)
        if held is not None and _sets(MarkPrice, held) and event.mark != held.price:
            self._move(held, event.mark)

    def _on_bar(self, bar: Bar) -> None:
        held = self._held.get(bar.instrument)
        if held is None or not bar.closed or (held.source is not Bar and not _sets(Bar, held)):
            return
        price = bar.close
        if held.low <= price <= held.high:
            held.price = price
        elif price != held.price:
            self._move(held, price)

    def _on_quote(self, quote: Quote) -> None:
        """Whether a quote sets the mark is for the market to say."""
        held = self._held.get(quote.instrument)
        if held is not None and (mark := self._market.mark(quote.instrument)) != held.price:
            self._move(held, mark)

    def _on_anything(self, event: object) -> None:
        self._measure_again(begin=True)

    def _on_fill(self, fill: OrderFilled) -> None:
        self._worth = self.sheet = None
        positions, watch = self._ledger.positions, self._exposed
        position = positions[fill.instrument]
        exposed = not position.flat or (len(positions) > 1 and any(not other.flat for other in positions.values()))
        if watch.since is None:
            if exposed:
                watch.since = self._clock.now
        elif not exposed:
            watch.ns += self._clock.now - watch.since
            watch.since = None
        if not self._moved_simply(fill, position):
            self._measure_again(begin=True)

    def _on_funding(self, paid: FundingPaid) -> None:
        self._worth = self.sheet = None
        self._measure_again(begin=True)

    # --- what follows ---

    def _move(self, held: Held, price: float) -> None:
        self._moves_left = moves = self._moves_left - 1
        weight = held.weight
        if weight is None or moves <= 0 or not price > 0:
            self._measure_again()
            return
        self._value = value = self._value + weight * (price - held.counted)
        held.price = held.counted = price
        if value > self.peak or value < self._trip:
            self._look()
        elif value < self._floor:
            self._floor = self._low = value
            if len(self._held) > 1:
                return
            if weight > 0:  # the bound towards more loss is where we stand, the other one stays
                held.low = price
            else:
                held.high = price

    def _moved_simply(self, fill: OrderFilled, position: Position) -> bool:
        """The common fill, which moves only the account's own money and one holding: worked out without measuring all
        again. False, and nothing done, for any other.
        """
        name, there = fill.instrument, self._held
        held = there.get(name)
        mark = held.price if held is not None else self._market.mark(name)
        self._moves_left -= 16
        if (
            self._is_waiting
            or self._moves_left <= 0
            or self._traded != len(self._ledger.positions)  # a new instrument may price what was held before
            or fill.fee_asset != self.asset
            or mark <= 0
            or not (self._simple.get(name) or self._is_simple(position))
        ):
            return False
        self._count()
        size = fill.size if position.spot else fill.size * position.multiplier
        if fill.side is _SELL:
            size = -size
        value = self._value + money.to_float(size * (money.from_float(mark) - fill.price) - fill.fee)
        if not position.lots and not (position.spot and self._ledger.cash.get(position.instrument.base)):
            there.pop(name, None)
        elif held is None:
            there[name] = Held(mark, money.to_float(size), self._source(name))
        else:
            held.weight = (held.weight or 0.0) + money.to_float(size)  # it is never None where things are simple
        self._value = value
        if value > self.peak or value < self._trip:
            self._look()
        else:
            if value < self._floor:
                self._floor = self._low = value
            if there:
                self._set_bands()
        return True

    def _is_simple(self, position: Position) -> bool:
        """Whether all that a fill of it moves is the account's own money and a holding linear in its own mark.

        Where it is, its marks are heard from here on.
        """
        terms = position.instrument
        simple = self._simple.get(terms.name)
        if simple is None:
            simple = self._simple[terms.name] = (
                not position.inverse
                and (terms.quote if position.spot else position.asset) == self.asset
                and (
                    self._valuation.source(terms.base) == terms.name if position.spot else not self._prices(terms.name)
                )
            )
            if simple:
                self._listen(waiting=False, depth=self._depth((terms.name,)))
        return simple

    def _prices(self, contract: str) -> bool:
        """Whether it sets the price of something in the wallet, too: that is still held when the position is closed."""
        wallet = (asset for asset, amount in self._ledger.cash.items() if amount and asset != self.asset)
        return any(self._valuation.source(asset) == contract for asset in wallet)

    def _measure_again(self, *, begin: bool = False) -> None:
        """Measure everything, note what is held, and listen to what may change it."""
        self._worth = self.sheet = None
        try:
            value, held = self._measure()
        except CannotValue as error:
            self._cannot, self._held = error.what, {}  # no mark moves what nobody can tell
            self._listen(waiting=True, depth=0)
            return
        if self.start is None:
            carried, self._carried = self._carried, None
            self._start_at(carried.start if carried is not None and carried.start is not None else self.value())
        if begin and self._begun_ns is None:
            self._begun_ns = self._clock.now
        self._moves_left = _MOVES
        self._traded = len(self._ledger.positions)
        self._simple.clear()
        self._value, self._held, self._cannot = value, held, None
        if held or self._is_waiting:
            self._listen(waiting=self._begun_ns is None, depth=self._depth(held))
        self._look()

    def _start_at(self, equity: Decimal) -> None:
        self.start, self._start = equity, float(equity)
        if self._alarm is not None:
            self._alarm.measure_from(equity)

    def _measure(self) -> tuple[float, dict[str, Held]]:
        """The float twin of ``value``, and the weight each mark has in it."""
        amounts = {asset: float(amount) for asset, amount in self._ledger.cash.items() if amount}
        held: dict[str, Held] = {}
        for name, position in self._ledger.positions.items():
            if not position.lots or position.spot:
                continue
            mark = self._valuation.mark(name)
            size = float(position.size * position.multiplier)
            worth = -size / mark if position.inverse else size * mark
            amounts[position.asset] = amounts.get(position.asset, 0.0) + worth - float(position.cost)
            simple = position.asset == self.asset and not position.inverse
            held[name] = Held(mark, size if simple else None, self._source(name))
        total = amounts.pop(self.asset, 0.0)
        for asset, amount in amounts.items():
            source = self._valuation.source(asset)
            mark = self._valuation.mark(source)
            total += amount * mark
            there = held.setdefault(source, Held(mark, 0.0, self._source(source)))
            if there.weight is not None:
                there.weight += amount
        return total, held

    def _depth(self, held: Iterable[str]) -> int:
        """How many kinds of market event, in order of preference, may set the mark of something held."""
        return max((_SOURCES.index(self._source(instrument)) + 1 for instrument in held), default=0)

    def _source(self, instrument: str) -> type:
        """The kind of event that sets an instrument's mark at present."""
        market = self._market
        if instrument in market.marks:
            return MarkPrice
        if instrument in market.trades:
            return Trade
        return Bar if instrument in market.bars else Quote

    def _listen(self, *, waiting: bool, depth: int) -> None:
        """Once something was held, its kinds of event stay heard: going deaf and listening again costs more."""
        if waiting is not self._is_waiting:
            self._is_waiting = waiting
            for subscription in self._waiting:
                (subscription.resume if waiting else subscription.pause)()
        for subscription in self._watching[:depth]:
            subscription.resume()

    def _count(self) -> None:
        """Bring the watched value up to the present marks."""
        for held in self._held.values():
            if held.price != held.counted and held.weight is not None:
                self._value += held.weight * (held.price - held.counted)
            held.counted = held.price

    def _set_bands(self) -> None:
        """Work out between which marks nothing happens: where one thing is held, equity is a line in its mark."""
        alone = len(self._held) == 1
        for held in self._held.values():
            weight = held.weight
            if alone and weight:
                to_peak = held.counted + (self.peak - self._value) / weight
                to_floor = held.counted + (self._floor - self._value) / weight
                held.low, held.high = (to_floor, to_peak) if weight > 0 else (to_peak, to_floor)
                held.low = max(held.low, _CENT)
            else:
                held.low, held.high = _NO_BAND

    def _look(self) -> None:
        """Equity is higher than ever, or so low that somebody waits for it: note it, act on it, and say when to look
        again.
        """
        value, alarm = self._value, self._alarm
        risen = value > self.peak
        if risen:
            self._deepest = self.max_drawdown
            self.peak = self._low = value
        elif value < self._low:
            self._low = value
        if alarm is not None and value < alarm.level and self.confirm()[1] > alarm.limit:
            self._alarm = None
            alarm.on_breach()
        guard = self._guard
        if guard is not None and (risen or value < guard.level):
            guard.level = guard.look()
        self._trip = max(_level(self._alarm), _level(guard))
        self._floor = max(self.peak * (1.0 - self.max_drawdown), self._trip)
        self._set_bands()


def _level(called: _Alarm | _Guard | None) -> float:
    return called.level if called is not None else -math.inf


def _sets(kind: type, held: Held) -> bool:
    """Whether events of a kind set the mark: those of a better one than so far do from their first on."""
    if held.source is not kind and _SOURCES.index(held.source) < _SOURCES.index(kind):
        return False
    held.source = kind
    return True


def _lost(value: float, best: float) -> float:
    if value >= best:
        return 0.0
    return 1.0 - value / best if best > 0 else 1.0


def _lost_exactly(value: Decimal, best: Decimal) -> Decimal:
    if value >= best:
        return ZERO
    return money.divide(best - value, best) if best > ZERO else ONE
