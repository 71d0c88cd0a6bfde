"""A session that goes on in another at any moment decides and fills what one session would have, and neither knows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from bus.clock import DAY, SECOND
from bus.events import (
    RECORDS,
    Bar,
    CancelRequested,
    CommandGiven,
    Decision,
    Intent,
    MarkPrice,
    OrderFilled,
    OrderRefused,
    PairIntent,
    StateRestored,
    StrategyQuarantined,
)
from bus.journal import Chain
from bus.resume import MarketResumed, MarketState
from bus.values import Action, Instrument, Kind, Side
from config.schema import Trading
from daemon.live import memory, rolling
from daemon.wiring import Core, build
from strategies.ema_cross import EmaCross
from strategies.port import Strategy, View, Wishes
from tests.acceptance.test_accounting import ALL, IN_BASE, LINEAR, LOT, SPOT, T0, Restless, market

Seats = Sequence[tuple[str, Strategy, Sequence[str] | None]]
STATE = ("StateRestored", "SessionOpened", "TradingStateChanged", "CommandGiven")


class Forgetful(Restless):
    """What it wants follows from what it hears alone: there is nothing to hand over."""

    def __init__(self, seed: int, instruments: tuple[Instrument, ...] = ALL) -> None:
        super().__init__(seed, instruments)
        self._seed = seed

    def on_trade(self, trade: Any, view: View) -> Wishes:
        self._random = random.Random(f"{self._seed} {trade.instrument} {trade.id}")
        return super().on_trade(trade, view)

    def on_fill(self, fill: OrderFilled, view: View) -> Wishes:
        self._random = random.Random(f"{self._seed} {fill.fill_id}")
        return super().on_fill(fill, view)


class Session:
    """One of a line, on a venue of its own. ``heard`` is all that was recorded, save for how it began."""

    def __init__(self, settings: dict[str, Any], instruments: Sequence[Instrument], seats: Seats | None = None) -> None:
        self.errors: list[str] = []
        self.heard: list[Any] = []
        self.core: Core = build(
            Trading.model_validate(settings),
            instruments,
            ["v"],
            Chain(),
            lambda where, error: self.errors.append(f"{where}: {error!r}"),
            seats,
            boot=1,
        )
        for kind in RECORDS.values():
            self.core.bus.subscribe(kind, self.heard.append)

    def begin(self) -> Session:
        self.core.begin(T0, None)
        self.core.switch.arm("paper", "a test")
        return self

    def start_from(self, before: Core) -> Session:
        """By what is written down, as text, and nothing else; the market is heard anew."""
        state = msgspec.json.encode(memory.remember(before, "before", 1, b"head"))
        self.core.begin(before.clock.now, msgspec.json.decode(state, type=StateRestored))
        return self

    def go_on(self, before: Core) -> Session:
        """The same, and the market as it is known there."""
        known = msgspec.json.encode(rolling.market_of(before, "v"))
        core, now = self.start_from(before).core, before.clock.now
        core.bus.publish(MarketResumed(now, "v", msgspec.json.decode(known, type=MarketState)))
        core.bus.publish(CommandGiven(now, "resume", rolling.ROLL, {"state": before.switch.state.value, "reason": ""}))
        return self

    def said(self) -> list[Any]:
        assert self.errors == []
        return [_without_measures(event) for event in self.heard if type(event).__name__ not in STATE]


def _without_measures(event: Any) -> Any:
    """What a refusal says of the account in float depends, in its last digit, on the order of a sum."""
    return (event.intent_id, event.rule) if isinstance(event, OrderRefused) else event


def restless(seed: int) -> Session:
    settings = {
        "cash": {"USDT": 10_000, "BTC": 5, "ETH": 5},
        "limits": {
            "max_notional": 1_000,
            "max_position": 2_000,
            "max_consecutive_rejects": 1_000,
            "order_rate": {"orders": 2 + seed % 40, "per_s": 1},
            "verify_wallet": True,
            "budgets": {"one": 1_500, "two": 1_500},
        },
        "sizing": {"positions": ("net", "own")[seed % 2]},
        "strategies": [{"name": name, "use": "stub"} for name in ("one", "two")],
        "venue": {"ack": {"model": "uniform", "low_ms": 0.0, "high_ms": 100.0}},
        "seed": seed,
    }
    return Session(
        settings, ALL, [("one", Forgetful(seed), None), ("two", Forgetful(seed + 1), [SPOT.name, LINEAR.name])]
    )


def goes_on_as_if_nothing_had_been(make: Callable[[], Session], events: Sequence[Any], cuts: Iterable[int]) -> None:
    whole = make().begin()
    whole.core.intake.accept_rows(events)

    line, at, said = make().begin(), 0, list[Any]()
    for cut in sorted({*cuts}):
        line.core.intake.accept_rows(events[at:cut])
        said, at = said + line.said(), cut
        line = make().go_on(line.core)
    line.core.intake.accept_rows(events[at:])

    assert said + line.said() == whole.said()
    assert line.core.ledger.state() == whole.core.ledger.state()
    assert line.core.equity.value() == whole.core.equity.value()
    assert line.core.equity.value_float() == pytest.approx(float(whole.core.equity.value()), abs=1e-6)


@pytest.mark.property
@given(st.integers(0, 10**9), st.lists(st.integers(5, 75), min_size=1, max_size=3))
@example(82, [26, 27])  # an order on its way met a book that was carried over, and crossed
def test_a_session_handed_over_at_any_moment_goes_on_as_if_it_had_not_been(seed: int, cuts: list[int]) -> None:
    goes_on_as_if_nothing_had_been(lambda: restless(seed), market(seed, 80), cuts)


def test_a_name_that_another_strategy_has_now_begins_anew_and_pulls_what_the_other_had_open() -> None:
    events = market(3, 200)
    before = restless(3).begin()
    before.core.intake.accept_rows(events[:80])
    left = {order.intent_id for order in before.core.exposure.open_orders(strategy="one")}
    assert left
    ids = [event.intent_id for event in before.said() if isinstance(event, Decision)]

    settings = {"strategies": [{"name": name, "use": "stub"} for name in ("one", "two")]}
    after = Session(settings, ALL, [("one", EmaCross(1, 2), None), ("two", Forgetful(4), [SPOT.name, LINEAR.name])])
    after.go_on(before.core)
    after.core.intake.accept_rows(events[80:])

    said = after.said()
    pulled = {e.intent_id for e in said if isinstance(e, CancelRequested) and e.who == "restart"}
    assert pulled == left
    assert not [event for event in said if isinstance(event, StrategyQuarantined)]
    later = [event.intent_id for event in said if isinstance(event, Decision) and event.strategy == "one"]
    assert later
    assert not {*later} & {*ids}, "ids are never used again"


def test_a_pair_of_a_strategy_that_is_gone_is_nobody_s_to_close() -> None:
    events = market(3, 60)
    before = restless(3).begin()
    before.core.intake.accept_rows(events[:30])
    entry = Intent(SPOT.name, Action.BUY, size=D("0.01"))
    pair = PairIntent(entry, structs.replace(entry, instrument=IN_BASE.name))
    before.core.runner._take_any(before.core.runner._seats[0], pair)
    assert before.core.runner.pairs()

    settings = {"strategies": [{"name": "two", "use": "stub"}]}
    after = Session(settings, ALL, [("two", Forgetful(4), [SPOT.name, LINEAR.name])]).go_on(before.core)
    after.core.intake.accept_rows(events[30:])

    assert after.core.runner.pairs() == []
    assert after.said()


# --- the strategies of the house, alone and in council ----------------------------------------------------------


def listed(symbol: str, base: str, kind: Kind) -> Instrument:
    name = f"v:{base}/USDT" + (":USDT" if kind is Kind.LINEAR else "")
    return Instrument(name, symbol, base, "USDT", "USDT", kind=kind, lot=LOT, taker_fee=D("0.001"))


BTC, ETH = listed("BTC", "BTC", Kind.SPOT), listed("ETH", "ETH", Kind.SPOT)
BTC_PERP, ETH_PERP = listed("BTCP", "BTC", Kind.LINEAR), listed("ETHP", "ETH", Kind.LINEAR)
LISTED = (BTC, ETH, BTC_PERP, ETH_PERP)
SPOTS, PERPS = [BTC.name, ETH.name], [BTC_PERP.name, ETH_PERP.name]

HOUSE: list[tuple[str, dict[str, Any], list[str] | None]] = [
    ("buy_and_hold", {"exposure": 0.05}, None),
    ("ema_cross", {"fast": 2, "slow": 5}, None),
    ("regime_trend_v1", {"adx_len": 3, "adx_min": 10.0}, None),
    ("core_exposure_v1", {"confirm": 2}, None),
    ("trend_probe_v1", {"confirm": 1, "min_confidence": 0.1}, None),
    ("vol_probe_v1", {"length": 4, "exit_len": 3, "memory": 2, "horizon_hours": 3}, None),
    ("rsi", {"length": 3, "short": True}, None),
    ("macd", {"fast": 2, "slow": 4, "signal": 2, "trend_only": False, "short": True}, None),
    ("bollinger", {"length": 4, "deviations": 1.0, "short": True, "stop": 2.0}, None),
    ("keltner", {"length": 4, "atr_len": 3, "ranges": 1.0, "short": True, "stop": 2.5}, None),
    ("multivariate", {"short": True}, None),
    ("momentum", {"fast": 2, "slow": 4, "short": True, "horizon_hours": 2}, None),
    ("mean_reversion", {"window": 5, "threshold": 1.0, "short": True, "stop": 2.0}, None),
    ("pairs_trading", {"first": SPOTS[1], "second": SPOTS[0], "window": 10, "threshold": 0.8, "leave": 0.3}, SPOTS),
    ("pairs_trading", {"first": PERPS[1], "second": PERPS[0], "window": 10, "threshold": 0.8, "leave": 0.3}, PERPS),
    ("funding_carry", {"perp": PERPS[0], "hedge": SPOTS[0], "periods": 2}, [PERPS[0], SPOTS[0]]),
    ("perp_momentum", {"fast": 2, "slow": 5, "atr_len": 3, "band": 0.0005}, PERPS),
    (
        "adaptive",
        {"params": {"fast": 2, "slow": 5}, "explore": {"fast": [1, 3]}, "trial_bars": 8, "margin": 1e-4},
        None,
    ),
]


def hours(chance: random.Random, length: int) -> list[Any]:
    """Bars of an hour that trend, turn and panic together, all heard at the same moment, and the perpetuals' marks."""
    hour = 3_600 * SECOND
    began, drift, wild = T0 // hour * hour, 0.0, 0.3
    last = {one.name: 100.0 for one in LISTED}
    events: list[Any] = []
    for number in range(length):
        if chance.random() < 0.1:
            drift, wild = chance.choice([-0.4, -0.2, 0.0, 0.2, 0.4]), chance.choice([0.05, 0.3, 1.0, 2.5])
        move, start = drift + chance.gauss(0.0, wild), began + number * hour
        end = start + hour
        for one in LISTED:
            if number > 1 and chance.random() < 0.03:
                continue
            opened, volume = last[one.name], chance.randint(0, 3_000) / 1_000
            close = last[one.name] = max(5.0, round(opened + move + chance.gauss(0.0, wild / 3), 2))
            high, low = round(max(opened, close) + wild / 4, 2), round(min(opened, close) - wild / 4, 2)
            events.append(Bar(one.name, hour, start, end, opened, high, low, close, volume, 5, True, False, end))
            if one.kind is Kind.LINEAR and chance.random() < 0.5:
                due = (end // (8 * hour) + 1) * 8 * hour + 7 * SECOND  # when nothing else is due
                rate = chance.choice([-0.0003, 0.0001, 0.0004, 0.0006])
                events.append(MarkPrice(one.name, close, close, rate, due, end, end))
    return events


def household(chance: random.Random, seed: int) -> dict[str, Any]:
    """Some of the strategies, under some of the rules."""

    def perhaps(share: float, settings: dict[str, Any]) -> dict[str, Any]:
        return settings if chance.random() < share else {}

    chosen = chance.sample(HOUSE, chance.choice([1, 2, 3, 6]))
    names = [f"s{number}" for number in range(len(chosen))]
    latencies: list[dict[str, Any]] = [
        {"model": "fixed", "ms": 0.0},
        {"model": "uniform", "low_ms": 100.0, "high_ms": 59_000.0},
    ]
    feedback: list[dict[str, Any]] = [
        {},
        {"rule": "hedge", "every_bars": 5, "min_votes": 2, "rate": 0.3},
        {"rule": "realised", "rate": 0.3},
    ]
    council = {
        "mode": "council",
        "rule": chance.choice(["weighted", "headcount"]),
        "threshold": chance.choice([0.2, 0.4, 0.6]),
        "exit_threshold": chance.choice([0.0, 0.1, 0.2]),
        "stands_bars": chance.choice([0, 1, 3]),
        "horizon_bars": chance.choice([1, 2]),
        "feedback": chance.choice(feedback),
    }
    sized = chance.choice(["equity_fraction", "vol_target", "kelly", "exposure_confidence"])
    return {
        "cash": {"USDT": 10_000, **perhaps(0.5, {"BTC": 5, "ETH": 5})},
        "limits": {
            "max_notional": 3_000,
            "max_position": 5_000,
            "stale_data_threshold_s": 20_000,
            "max_consecutive_rejects": 1_000,
            **perhaps(0.2, {"cooldown_s": 5_000.0}),
            **perhaps(0.3, {"budgets": dict.fromkeys(names, 300)}),
            **perhaps(0.2, {"max_gross": 0.3, "max_net": 0.2}),
            **perhaps(0.2, {"max_money_at_risk": 300}),
            **perhaps(0.2, {"max_open_orders": 3}),
            **perhaps(0.2, {"max_var": 0.01, "min_returns": 3, "returns": 20, "returns_interval": "1h"}),
            **perhaps(0.2, {"max_correlation": 0.5, "min_returns": 3, "returns": 20, "returns_interval": "1h"}),
            **perhaps(0.2, {"min_atr": 0.0001}),
        },
        "sizing": {
            **perhaps(0.4, {"positions": "own"}),
            **perhaps(0.5, {"method": sized, "kelly_min_trades": 2}),
        },
        "governor": {
            **perhaps(0.3, {"panic_exit": True}),
            **perhaps(0.3, {"peak": {"soft": 0.002}}),  # the others pull what is open again at a hand-over
        },
        "regime": {
            "ema_fast": 2,
            "ema_slow": 3,
            "atr_len": 2,
            **perhaps(0.3, {"vol_hi": 0.01, "panic_hi": 0.01, "panic_vol": 0.5}),
        },
        "council": chance.choice([{}, council]),
        "strategies": [
            {"name": name, "use": use, "params": params, "instruments": heard or []}
            for name, (use, params, heard) in zip(names, chosen, strict=True)
        ],
        "venue": {"entry": chance.choice(latencies), "ack": chance.choice(latencies)},
        "seed": seed,
    }


@pytest.mark.property
@given(st.integers(0, 10**9), st.lists(st.integers(5, 150), min_size=1, max_size=3))
def test_the_strategies_of_the_house_never_know_that_their_session_was_handed_over(seed: int, cuts: list[int]) -> None:
    chance = random.Random(seed)
    settings, events = household(chance, seed), hours(chance, chance.randint(15, 40))
    goes_on_as_if_nothing_had_been(lambda: Session(settings, LISTED), events, cuts)


@pytest.mark.property
@given(st.integers(0, 10**9), st.lists(st.integers(5, 100), min_size=1, max_size=3))
def test_under_whatever_settings_a_session_goes_on_the_account_is_one_and_nothing_stays_open(
    seed: int, cuts: list[int]
) -> None:
    """Strategies gone, new, of another kind or with other parameters; a council or none; rules, sizes and lots changed,
    and instruments no longer heard.
    """
    chance = random.Random(seed)
    events, heard = hours(chance, 30), list(LISTED)
    line, at, said = Session(household(chance, seed), heard).begin(), 0, list[Any]()

    def play(until: int | None) -> None:
        names = {one.name for one in heard}
        line.core.intake.accept_rows([event for event in events[at:until] if event.instrument in names])

    for cut in sorted({*cuts}):
        play(cut)
        said, at = said + line.said(), cut
        heard = [structs.replace(i, lot=chance.choice([LOT, LOT * 10])) for i in chance.sample(LISTED, 3)]
        line = Session(household(chance, seed), heard).start_from(line.core)
        line.core.switch.arm("anna", "looked")
    play(None)
    core = line.core
    core.switch.halt("operator", "anna")
    core.clock.turn(core.clock.now + DAY)
    said += line.said()

    assert not [event for event in said if isinstance(event, StrategyQuarantined)]
    fills = [event for event in said if isinstance(event, OrderFilled)]
    for name in (one.name for one in LISTED):
        sizes = (fill.size if fill.side is Side.BUY else -fill.size for fill in fills if fill.instrument == name)
        assert core.ledger.position(name) == sum(sizes, D(0))
    assert not core.exposure.open_orders()
    assert not core.router.state()
    assert not list(core.venue.open_orders())
    for asset in ("BTC", "ETH"):
        assert core.venue.account.total(asset) == core.ledger.holding(asset)
