"""Whole sessions that fall into a drawdown band and are killed there: the band stands, and only the operator ends it.

What the gate may have let through is worked out here again from the recordings and the journals alone: a price, cash,
a position, the peak and the start, input by input in the order in which they were heard, across all sessions.
"""

from __future__ import annotations

import asyncio
import copy
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import numpy as np  # noqa: F401  # here once, not in each of the processes that part from this one
import orjson
import pytest

from bus import inputs, journal
from bus.clock import SECOND
from bus.events import (
    CommandGiven,
    Decision,
    Intent,
    OrderApproved,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderSubmitted,
    TradingStateChanged,
)
from bus.inputs import Input
from bus.values import Order, Side, TradingState
from daemon.live.recorder import pieces
from daemon.live.run import Live
from daemon.operating import control, verbs  # noqa: F401
from daemon.proof.verify import verify
from daemon.session import Session
from feeds.frames import Recording
from risk.governor import Band
from tests.daemon import pusher
from tests.daemon.lineage import latest
from tests.daemon.live_world import World, records
from tests.daemon.test_killed import heard_until, in_a_process, rig

SOFT, HARD, KILL = D("0.01"), D("0.02"), D("0.03")
LIMITS = ((Band.KILL, KILL), (Band.HARD, HARD), (Band.SOFT, SOFT))
CONFIG = f"""
[trading.cash]
USDT = 100000
[trading.limits]
max_position = 1000000
max_notional = 1000000
max_drawdown_bps = 9000
order_rate = {{ orders = 1000, per_s = 1 }}
[trading.governor]
peak = {{ soft = {SOFT}, hard = {HARD}, kill = {KILL} }}
soft_scale = 0.5
[trading.venue]
entry = {{ model = "fixed" }}
cancel = {{ model = "fixed" }}
slippage = {{ model = "last_price" }}
fees = {{ model = "fixed", maker = 0, taker = 0 }}
[[trading.instruments]]
name = "binance:BTC/USDT"
symbol = "BTCUSDT"
base = "BTC"
quote = "USDT"
settle = "USDT"
lot = 0.00001
[[trading.strategies]]
use = "{pusher.__file__}"
"""
TRADE = (
    '{{"stream":"btcusdt@trade","data":{{"e":"trade","E":{ms},"s":"BTCUSDT","t":{id},"p":"{price:.2f}","q":"{size}",'
    '"T":{ms},"m":false,"M":true}}}}'
)
URL = "wss://stream.binance.com:9443/stream?streams=btcusdt@trade"
UP, DOWN = 1.001, 0.999
ORDER = (Band.OK, Band.SOFT, Band.HARD, Band.KILL)


class Market:
    """Trades a quarter of a second apart, each a step from the last; where it goes, the test decides as it goes."""

    def __init__(self, since_ns: int, price: float) -> None:
        self.now, self.price, self.id = since_ns, price, 0

    def connect(self) -> Input:
        return Input("", self.now, "binance/spot", inputs.CONNECT, URL)

    def step(self, factor: float) -> Input:
        self.now += SECOND // 4
        self.id += 1
        self.price *= factor
        size = pusher.QUIET if self.id % 6 == 0 else 0.5
        raw = TRADE.format(ms=self.now // 1_000_000, id=self.id, price=self.price, size=size)
        return Input(raw, self.now, "binance/spot")


Script = Callable[[Live, Market], Iterator[Input]]


def falls_into(band: Band) -> Script:
    """Higher first, so that the peak is a new one, and then down until the band is entered."""

    def play(live: Live, market: Market) -> Iterator[Input]:
        for _ in range(16):
            yield market.step(UP)
        while live.core.switch.band is not band:
            yield market.step(DOWN)
        yield from stays(10)(live, market)

    return play


def goes_on_into(band: Band) -> Script:
    def play(live: Live, market: Market) -> Iterator[Input]:
        while live.core.switch.band is not band:
            yield market.step(DOWN)
        yield from stays(10)(live, market)

    return play


def recovers(live: Live, market: Market) -> Iterator[Input]:
    """Far above every level that was crossed."""
    for _ in range(60):
        yield market.step(UP)


def stays(count: int) -> Script:
    def play(live: Live, market: Market) -> Iterator[Input]:
        for number in range(count):
            yield market.step(UP if number % 2 else DOWN)

    return play


def says(*words: str) -> Script:
    """An operator's words among the trades, each checked as the control socket checks it."""

    def play(live: Live, market: Market) -> Iterator[Input]:
        yield from stays(6)(live, market)
        assert live.core.switch.state is not TradingState.DISCONNECTED
        for word in words:
            live.command(word, "ada(1000)", verbs.checked(live.attendant, word, {"reason": "looked"}))
            yield from stays(6)(live, market)

    return play


def session(root: Path, scripts: tuple[Script, ...], dies: tuple[str, Callable[[Live], bool]] | None) -> int:
    """One session from its start to its death, or to its orderly end: how its process ended."""
    since = heard_until(latest(root)) + SECOND
    price = last_price(latest(root))

    def act() -> None:
        market = Market(since, price)

        def items() -> Iterator[Input]:
            yield market.connect()
            for script in scripts:
                yield from script(lives[0], market)

        lives: list[Live] = []
        world = World(root, items(), config_text=CONFIG)
        world.clock.now = since

        def rigged(live: Live) -> None:
            lives.append(live)
            if dies is not None:
                rig(live, dies[0], 0, dies[1])

        ended = asyncio.run(world.run_through(rig=rigged))
        assert ended.exit_code == 0, ended

    return in_a_process(act)


def last_price(path: Path | None) -> float:
    price = 50_000.0
    for item in recorded(path) if path is not None else ():
        price = price_of(item) or price
    return float(price)


def recorded(path: Path) -> Iterator[Input]:
    for piece in pieces(path):
        for batch in Recording(piece).batches():
            yield from batch


def price_of(item: Input) -> float:
    return float(trade_of(item).get("p", 0.0))


def trade_of(item: Input) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(item.raw).get("data", {}) if item.kind is None else {}
    return found


# --- the twin ---------------------------------------------------------------------------------------------------


class Twin:
    """What must be so: told of inputs and records in their order, it says no where the gate should have."""

    def __init__(self, limits: Sequence[tuple[Band, D]] = LIMITS) -> None:
        self._limits = limits
        self.price = self.held = D(0)
        self.cash = self.peak = D(100_000)
        self.band = Band.OK
        self.crossed: list[Band] = []
        self.told: list[Band] = []
        self.approved: list[tuple[Band, str]] = []
        self.cleared_by: list[str] = []
        self._wanted: dict[str, Intent] = {}
        self._open: dict[str, tuple[Side, D]] = {}
        self._client: dict[str, str] = {}

    def hear(self, price: float) -> None:
        self.price = D(str(price))
        self._look()

    def _look(self) -> None:
        equity = self.cash + self.held * self.price
        self.peak = max(self.peak, equity)
        lost = self.peak - equity
        reached = next((band for band, limit in self._limits if lost >= limit * self.peak), Band.OK)
        if ORDER.index(reached) > ORDER.index(self.band):
            self.band = reached
            self.crossed.append(reached)

    def note(self, event: object) -> None:
        match event:
            case Decision():
                self._wanted[event.intent_id] = event.intent
            case OrderApproved():
                self._approved(event.order)
            case OrderRefused():
                self._open.pop(event.intent_id, None)
            case OrderSubmitted():
                self._client[event.client_id] = event.intent_id
            case OrderFilled():
                size = event.size if event.side is Side.BUY else -event.size
                self.held += size
                self.cash -= size * event.price
                self._open[event.intent_id] = event.side, event.leaves
                self._look()
            case OrderCancelled() | OrderExpired() | OrderRejected():
                del self._open[self._client[event.client_id]]
            case CommandGiven(name="clear"):
                self.band = Band.OK
                self.peak = self.cash + self.held * self.price
                self.cleared_by.append(event.who)
            case TradingStateChanged(rule="drawdown_band") if "only the operator" not in event.reason:
                if "bps below" in event.reason:
                    self.told.append(Band(event.reason.partition(":")[0]))

    def _approved(self, order: Order) -> None:
        assert self.told == self.crossed, "the band comes before any later approval"
        assert self.band is not Band.KILL, f"{order.intent_id} passed in the kill band"
        resting = sum((leaves for side, leaves in self._open.values() if side is order.side), D(0))
        reduces = order.reduce_only or (order.side is Side.SELL and self.held - resting - order.size >= 0)
        wanted = D(str(self._wanted[order.intent_id].size))
        if self.band is Band.HARD:
            assert reduces, f"{order.intent_id} passed in the hard band and is no way out"
        if self.band is Band.SOFT and not reduces:
            wanted /= 2
        assert order.size == wanted
        self._open[order.intent_id] = order.side, order.size
        self.approved.append((self.band, "out" if reduces else "in"))


def follow(line: list[Path], twin: Twin) -> list[Band]:
    """Tell the twin of everything in its order; the band that each session left."""
    left = []
    for path in line:
        told: deque[Any] = deque(entry.event() for entry in journal.read(path / "journal.db"))
        for item in recorded(path):
            price, before = price_of(item), copy.copy(twin)
            if not told and not (price and float(trade_of(item)["q"]) == pusher.QUIET):
                break  # it led to a record that was never written, so it has not happened
            if price:
                twin.hear(price)
            if not told and twin.band is not before.band:
                twin.__dict__.update(before.__dict__)
                twin.crossed = list(twin.told)
                break
            while told and told[0].ns <= item.ts:
                twin.note(told.popleft())
            assert twin.told == twin.crossed, "a band is entered in the very input whose mark crosses it, and once"
        assert not told, "the recording explains the journal"
        left.append(twin.band)
    return left


# --- the line ---------------------------------------------------------------------------------------------------


def times_in(band: Band, count: int, after: Band | None = None) -> Callable[[Live], bool]:
    """True at the so-manieth moment in which the account is in ``band``, counted from when it was in ``after``."""
    left, seen = [count], {after: after is None}

    def when(live: Live) -> bool:
        now = live.core.switch.band
        seen[after] |= now is after
        left[0] -= seen[after] and now is band
        return left[0] <= 0

    return when


def at_trade(count: int) -> Callable[[Live], bool]:
    return lambda live: live.door.accepted >= count


LINE: tuple[tuple[tuple[Script, ...], tuple[str, Callable[[Live], bool]] | None, Band], ...] = (
    ((falls_into(Band.SOFT),), ("flushed", times_in(Band.SOFT, 1)), Band.OK),  # the crossing was never written
    ((goes_on_into(Band.SOFT),), ("committed", times_in(Band.SOFT, 1)), Band.SOFT),
    ((says("disarm", "arm", "reload"), recovers), ("recorded", at_trade(70)), Band.SOFT),
    ((falls_into(Band.HARD),), ("done", times_in(Band.HARD, 2)), Band.HARD),
    ((says("disarm", "arm", "shadow", "arm"), recovers), ("heard", at_trade(80)), Band.HARD),
    ((falls_into(Band.KILL),), None, Band.KILL),  # stopped in order
    ((says("arm", "disarm", "arm"), recovers), ("committed", at_trade(80)), Band.KILL),
    ((says("clear"),), ("committed", lambda live: live.core.switch.band is Band.OK), Band.OK),
    ((stays(12), says("arm"), stays(12)), ("flushed", at_trade(30)), Band.OK),
    ((falls_into(Band.HARD), says("clear"), stays(8)), ("recorded", times_in(Band.OK, 4, after=Band.HARD)), Band.OK),
    ((stays(12), falls_into(Band.SOFT)), None, Band.SOFT),
)


def test_a_band_outlives_kills_and_restarts_and_only_the_operator_ends_it(tmp_path: Path) -> None:
    line: list[Path] = []
    for scripts, dies, _ in LINE:
        code = session(tmp_path, scripts, dies)
        assert code == (-signal.SIGKILL if dies is not None else 0)
        line.append(latest(tmp_path) or tmp_path)
    for path in line:
        verdict = asyncio.run(verify(Session.open(path)))
        assert verdict.equal, f"{path.name}: {verdict.difference}"
        assert not records(path, "InputFaulted"), "every word was allowed"

    twin = Twin()
    left = follow(line, twin)

    assert left == [band for *_, band in LINE]
    assert twin.cleared_by == ["ada(1000)"] * 2
    assert set(twin.approved) == {
        (Band.OK, "in"),
        (Band.OK, "out"),
        (Band.SOFT, "in"),
        (Band.SOFT, "out"),
        (Band.HARD, "out"),
    }


@pytest.mark.asyncio
async def test_nobody_is_told_that_a_band_is_cleared_where_nothing_says_what_is_held_is_worth(tmp_path: Path) -> None:
    assert session(tmp_path, (falls_into(Band.HARD),), ("committed", times_in(Band.HARD, 2))) == -signal.SIGKILL
    world = World(tmp_path, (), config_text=CONFIG)
    live = world.start()
    live.door.begin({}, live._restored)

    with pytest.raises(verbs.Refused, match="nothing says what BTC is worth; wait until its market is heard"):
        verbs.checked(live.attendant, "clear", {})
    live.door.command("clear", "ada(1000)")  # somebody found another way in

    assert live.core.switch.band is Band.HARD
    live.recorder.close()
    live.door.journal.close()
    world.held.close()
