"""Where the rooms are joined: the one place that knows every part and the order in which they hear an event.

For a market event: market (book, last prices) → equity's watch → venue → bars → strategies. For an order event:
journal → ledger → exposure → router → strategies. Live, paper and replay differ only in what is plugged in here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from msgspec import structs

from brokers.outbox import Outbox
from brokers.router import Router
from bus import money
from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import (
    ENDED,
    HANDED_OVER,
    Bar,
    CancelRequested,
    PartFailed,
    SessionClosed,
    SessionOpened,
    StateRestored,
)
from bus.inputs import Input
from bus.journal import FORMAT, Chain
from bus.market import Market
from bus.rng import Draws
from bus.route import Handler, OnFailure
from bus.values import Instrument, TradingState
from config.schema import Trading, canonical, parse_interval
from daemon.intake import Intake
from daemon.live import memory
from daemon.live.catchup import Present
from daemon.live.execution_log import Both, ExecutionLog
from daemon.models import council_rules, limits_of, models_of, oversight_terms
from daemon.operating.operator import Operator
from daemon.passing import passing
from daemon.sampler import Sampler
from feeds.bars import BarBuilder, EmptyBars
from feeds.freshness import Freshness, Watched
from portfolio.equity import CannotValue, Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from portfolio.metrics import SlippageMeter
from risk.confirm import Answers, Confirmation
from risk.flatten import Flatten
from risk.gate import Gate
from risk.oversight import Oversight
from risk.switch import Switch
from sim.exchange import Exchange
from strategies import load
from strategies.council import NAME, Council, logged
from strategies.history import History
from strategies.port import Strategy, View, Witness
from strategies.regime import RegimeEngine, Thresholds
from strategies.runner import Runner

OnError = Callable[[str, Exception], None]


def _ignore(_item: Input, _reason: str) -> None: ...


@dataclass
class Core:
    """A wired core, ready for inputs. ``rejecting`` is told of frames nobody could read; the rim points it at a
    source.
    """

    bus: Bus
    clock: Clock
    chain: Chain
    market: Market
    ledger: Ledger
    exposure: Exposure
    equity: Equity
    slippage: SlippageMeter
    sampler: Sampler
    venue: Exchange
    bars: BarBuilder | None
    runner: Runner
    gate: Gate
    router: Router
    outbox: Outbox
    history: History
    trading: Trading
    instruments: Sequence[Instrument]
    council: Council | None
    regimes: RegimeEngine | None
    oversight: Oversight
    freshness: Freshness
    present: Present
    operator: Operator
    intake: Intake = field(init=False)
    switch: Switch = field(init=False)
    rejecting: Callable[[Input, str], None] = _ignore

    def __post_init__(self) -> None:
        self.intake = Intake(self.clock, self.bus, self._reject)
        self.switch = self.gate.switch

    def _reject(self, item: Input, reason: str) -> None:
        self.rejecting(item, reason)

    def open(self, now: int) -> None:
        """Write the root record at the time of the first input, arm the gate and start the strategies."""
        self._root(now, dict(sorted(self.trading.cash.items())))
        self.switch.arm("paper", "a simulated venue needs no operator to arm it")
        self.sampler.start()
        self.oversight.start()
        self.freshness.start(expecting=False)
        self.runner.start()

    def begin(self, now: int, restored: StateRestored | None) -> None:
        """A live session's start: disconnected, and where it continues another, in that one's state."""
        self._root(now, dict(sorted(self.trading.cash.items())) if restored is None else {})
        if restored is not None:
            self.bus.publish(structs.replace(restored, ns=now))
            memory.recall(self, restored)
        self.switch.enter(TradingState.DISCONNECTED, "start", "every start begins here")
        self.sampler.start()
        self.oversight.start()
        self.freshness.start(expecting=True)
        if restored is not None:
            others = self.runner.restore(restored.seats, restored.sent)
            gone = {seat.id for seat in restored.seats} - {entry.name for entry in self.trading.strategies}
            for order in self.exposure.open_orders():
                if order.strategy in gone or order.strategy in others:
                    self.bus.publish(CancelRequested(now, order.intent_id, "restart", f"{order.strategy} is gone"))
        else:
            self.runner.start()

    def _root(self, now: int, opening: dict[str, Decimal]) -> None:
        self.clock.now = now
        trading = canonical(self.trading)
        self.bus.publish(SessionOpened(now, FORMAT, trading, list(self.instruments), opening, self.trading.seed))

    def close(self) -> None:
        """The inputs ended: show what was still forming, and write down what the account is worth. What is handed over
        has not ended: strategies and bars go on in the next session.
        """
        outcome = HANDED_OVER if self.operator.handing_over else ENDED
        if outcome == ENDED:
            self.runner.stop()
            if self.bars is not None:
                self.bars.finish()
        cash = dict(sorted(self.ledger.cash.items()))
        worth, marks = self.worth()
        self.bus.publish(SessionClosed(self.clock.now, worth, self.equity.asset, cash, marks, outcome))

    def worth(self) -> tuple[Decimal, dict[str, Decimal]]:
        """Equity and the marks it is made of; NaN where something held has no price: never a number that leaves part of
        the account out.
        """
        try:
            return self.equity.value(), self.equity.marks()
        except CannotValue:
            return Decimal("NaN"), {}


def build(
    trading: Trading,
    instruments: Sequence[Instrument],
    venues: Sequence[str],
    chain: Chain,
    on_error: OnError,
    strategies: Sequence[tuple[str, Strategy, Sequence[str] | None]] | None = None,
    step_ns: int = SECOND,
    boot: int | None = None,
    make_bus: Callable[[OnFailure], Bus] = Bus,
    log: ExecutionLog | None = None,
) -> Core:
    """Join the parts for a session on the simulated venue.

    ``strategies`` (id, strategy, instruments) stand in for those the config names; ``step_ns`` is the finest step
    that the report's samples need. A live session has a ``boot``, the number of its process's start, and obeys
    commands; ``log`` tells a person of it. ``make_bus`` may make a bus that is watched. Raises UnknownStrategy,
    BadParameter.
    """
    clock = Clock()
    failures: list[Callable[[Handler, object, Exception], None]] = []
    bus = make_bus(lambda handler, event, error: failures[0](handler, event, error))  # noqa: PLW0108  # filled in below
    chain.attach(bus)
    market = Market(list(instruments))
    market.attach(bus)
    cash = dict(sorted(trading.cash.items()))  # as the journal's root has it, whatever the order of the file
    ledger = Ledger(market.instruments, cash)
    ledger.attach(bus)
    exposure = Exposure(ledger, market, trading.asset)
    slippage = SlippageMeter(exposure)
    slippage.attach(bus)
    exposure.attach(bus)
    equity = Equity(ledger, market, clock, trading.asset)
    equity.attach(bus)
    sampler = Sampler(clock, market, equity, ledger, step_ns)

    venue = Exchange(clock, bus, market, Draws(trading.seed), models_of(trading), cash)
    router = Router(bus, clock, outbox := Outbox(boot or 0), dict.fromkeys(venues, venue))
    router.attach(bus)
    venue.attach(bus)

    bars = None
    if trading.bars.intervals:
        bars = BarBuilder(
            clock, bus, [parse_interval(text) for text in trading.bars.intervals], EmptyBars(trading.bars.empty)
        )
        bars.attach(bus)

    present = Present(clock, round(trading.limits.missed_after_s * SECOND))
    present.attach(bus)
    if boot is not None:
        present.follow(bus)

    confirmation = _confirmation(trading, clock, bus)
    oversight = Oversight(
        bus,
        clock,
        market,
        ledger,
        exposure,
        equity,
        oversight_terms(trading),
        confirmation,
        lambda: _unlike(ledger, venue),
    )
    seats = load_all(trading) if strategies is None else list(strategies)
    thresholds = Thresholds(**trading.regime.model_dump())
    regimes = None
    if trading.council.mode == "council" or oversight.needs_regime or any(s.needs_regime for _, s, _ in seats):
        regimes = RegimeEngine(bus, thresholds)
        regimes.attach(bus)
    oversight.attach(bus)
    history = History(max((s.history for _, s, _ in seats), default=0), thresholds)
    history.attach(bus)
    holds = trading.journal.holds
    witness: Witness | None = chain if holds else None
    if log is not None:
        witness = log if witness is None else Both(witness, log)
    runner = Runner(bus, clock, builds_bars=bars is not None, witness=witness)

    def view(id: str) -> View:
        return View(id, clock, market, ledger, exposure, equity, history, runner.call_at, regimes)

    voters = [runner.add(id, strategy, wanted, view(id)) for id, strategy, wanted in seats]
    council, sitting = None, list[str]()
    if trading.council.mode == "council":
        sitting.append(NAME)
        assert regimes is not None, "a council weighs its voters by the regime"
        council = Council(
            bus,
            clock,
            view(NAME),
            council_rules(trading),
            voters,
            regimes.label,
            lambda instrument: traded.trips if (traded := ledger.positions.get(instrument)) is not None else None,
            witness,
        )
        council.attach(bus)
        runner.divert = council.hear
    elif trading.council.mode == "off":
        runner.divert = logged(bus, clock)

    def hearers(instrument: str) -> list[str]:
        return [*runner.hearers(instrument), *sitting]

    if holds:
        bus.subscribe(Bar, passing(chain, clock, equity, hearers))

    gate = Gate(
        bus, clock, market, ledger, exposure, equity, limits_of(trading), default_notional=trading.sizing.notional
    )
    gate.oversee(oversight)
    gate.attach(bus)
    gate.missed = present.missed
    if confirmation is not None:
        runner.stamp = confirmation.stamp
        if council is not None:
            council.stamp = confirmation.stamp
    operator = Operator(bus, clock, gate, runner, Flatten(clock, gate, ledger, exposure))
    if boot is not None:
        operator.attach(bus)
    if log is not None:
        log.attach(bus, hearers)
    freshness = Freshness(clock, bus, market, _watched(trading))
    freshness.attach(bus)
    failures.append(_failure_policy(bus, clock, runner, on_error))
    core = Core(
        bus,
        clock,
        chain,
        market,
        ledger,
        exposure,
        equity,
        slippage,
        sampler,
        venue,
        bars,
        runner,
        gate,
        router,
        outbox,
        history,
        trading,
        instruments,
        council,
        regimes,
        oversight,
        freshness,
        present,
        operator,
    )
    core.intake.obeys = boot is not None
    return core


def _confirmation(trading: Trading, clock: Clock, bus: Bus) -> Confirmation | None:
    """The venue is simulated here, so a missing model is said and not waited for."""
    chosen = trading.confirmation
    if chosen.conf_min is None:
        return None
    answers = None
    if chosen.model == "external":
        answers = Answers(clock, chosen.max_age_s)
        answers.attach(bus)
    return Confirmation(chosen.conf_min, answers, bypass=True)


def _unlike(ledger: Ledger, venue: Exchange) -> str:
    """How the wallet differs from what the venue says, nothing where it does not. What is on its way differs; an asset
    that an open contract pays in is not compared: the venue counts its result at average cost, we first in, first out.
    """
    open_in = {p.asset for p in ledger.positions.values() if p.lots and not p.spot}
    return ", ".join(
        f"{asset}: {money.plain(amount)} here, {money.plain(there)} there"
        for asset, amount in sorted(ledger.cash.items())
        if asset not in open_in and (there := venue.account.total(asset)) != amount
    )


def _watched(trading: Trading) -> list[Watched]:
    return [
        Watched(instrument, stream, round(getattr(feed.max_age_s, stream) * SECOND))
        for feed in trading.feeds
        for instrument in feed.instruments
        for stream in feed.streams
    ]


def load_all(trading: Trading) -> list[tuple[str, Strategy, Sequence[str] | None]]:
    """The configured strategies under their names, which no other strategy can change."""
    return [(name, make(), instruments) for name, make, instruments in makers(trading)]


def makers(trading: Trading) -> list[tuple[str, load.Maker, Sequence[str] | None]]:
    """What builds them: every session of a process has new ones, of the source that was there at its start."""
    return [(s.name, load.maker(s.use, s.params), s.instruments or None) for s in trading.strategies]


def _failure_policy(
    bus: Bus, clock: Clock, runner: Runner, on_error: OnError
) -> Callable[[Handler, object, Exception], None]:
    """A strategy that raises is quarantined; anything else that raises is the core itself, and halts trading."""

    def failed(handler: Handler, event: object, error: Exception) -> None:
        name: Any = getattr(handler, "__qualname__", repr(handler))
        on_error(f"{name} on {type(event).__name__}", error)
        seat = getattr(handler, "seat", None)
        if seat is not None:
            runner.quarantine(seat, type(event).__name__, error)
        elif not isinstance(event, PartFailed):  # the halt itself failing must not halt for ever
            bus.publish(PartFailed(clock.now, str(name), type(error).__name__))

    return failed
