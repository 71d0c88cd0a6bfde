"""The rooms joined: who hears first, what a failure means, and that the same inputs give the same journal."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.clock import MINUTE, SECOND
from bus.events import (
    Bar,
    CancelRequested,
    Decision,
    Intent,
    OrderApproved,
    OrderFilled,
    OrderRefused,
    OrderSubmitted,
    PartFailed,
    PastBar,
    Quote,
    SessionClosed,
    SessionOpened,
    StrategyQuarantined,
    Trade,
    TradingStateChanged,
)
from bus.journal import Chain
from bus.values import Action, Instrument, Side, TradingState
from config.schema import Trading
from daemon.wiring import Core, build
from strategies.buy_and_hold import BuyAndHold
from strategies.port import Strategy, View, Wishes

BTC = Instrument("binance:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT", lot=D("0.001"), taker_fee=D("0.001"))
ETH = Instrument("binance:ETH/USDT", "ETHUSDT", "ETH", "USDT", "USDT", lot=D("0.001"), taker_fee=D("0.001"))
NAME = BTC.name
T0 = 1_000 * SECOND
RECORDED = (
    SessionOpened,
    TradingStateChanged,
    Decision,
    OrderApproved,
    OrderRefused,
    OrderSubmitted,
    OrderFilled,
    CancelRequested,
    StrategyQuarantined,
    PartFailed,
    SessionClosed,
)

Seats = Sequence[tuple[str, Strategy, Sequence[str] | None]]


class Session:
    """A core on the simulated venue, fed with rows; ``heard`` is what the journal hears, ``errors`` what was raised."""

    def __init__(self, *seats: tuple[str, Strategy], **trading: Any) -> None:
        self.chain = Chain()
        self.errors: list[str] = []
        named: Seats = [(id, strategy, None) for id, strategy in seats]
        self.core: Core = build(
            Trading.model_validate(trading),
            [BTC, ETH],
            ["binance"],
            self.chain,
            lambda where, error: self.errors.append(f"{where}: {type(error).__name__}"),
            named,
        )
        self.heard: list[Any] = []
        for event_type in RECORDED:
            self.core.bus.subscribe(event_type, self.heard.append)
        self.core.open(T0)

    def hear(self, *rows: Any) -> None:
        self.core.intake.accept_rows(rows)

    def all(self, *kinds: type) -> list[Any]:
        return [event for event in self.heard if type(event) in kinds]


def trade(price: float, seconds: float = 0.0, name: str = NAME) -> Trade:
    ns = T0 + round(seconds * SECOND)
    return Trade(name, price, 10.0, Side.BUY, 1, ns, ns)


def quote(bid: float, ask: float, seconds: float = 0.0) -> Quote:
    ns = T0 + round(seconds * SECOND)
    return Quote(NAME, bid, 50.0, ask, 50.0, 1, ns, ns)


class Does(Strategy):
    """Answers every trade with what the test says."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def on_trade(self, trade: Trade, view: View) -> Wishes:
        answer: Wishes = self._answer(trade, view)
        return answer


def buys_once() -> Does:
    left = [Intent(NAME, Action.BUY, D(1))]
    return Does(lambda _trade, _view: left.pop() if left else None)


class Asks(Strategy):
    """Writes down the regime at every bar."""

    needs_regime = True

    def __init__(self) -> None:
        self.told: list[str | None] = []

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        self.told.append(view.regime(bar.instrument, bar.interval_ns).label)
        return None


class Idle(Strategy):
    """Hears bars and asks nothing."""

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return None


class BuysEachBar(Strategy):
    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return Intent(bar.instrument, Action.BUY, D(1)) if bar.closed else None


def minute(n: int, close: float) -> Bar:
    start = T0 + n * MINUTE
    end = start + MINUTE
    return Bar(NAME, MINUTE, start, end, close, close + 1, close - 1, close, 1.0, 1, True, False, end)


# --- who hears first -------------------------------------------------------------------------------------------


def test_a_session_opens_with_its_root_and_is_armed_by_nobody() -> None:
    session = Session()

    opened, armed = session.heard
    assert isinstance(opened, SessionOpened)
    assert (opened.ns, opened.opening) == (T0, {"USDT": D(100_000)})
    assert (armed.state, armed.rule) == (TradingState.ARMED, "paper")


def test_a_strategy_sees_the_market_its_event_made() -> None:
    seen = []
    session = Session(("s", Does(lambda trade, view: seen.append((view.mid(NAME), view.now_ns)))))

    session.hear(trade(100.0, 1), trade(101.0, 2))

    assert seen == [(100.0, T0 + SECOND), (101.0, T0 + 2 * SECOND)]


def test_who_asks_is_told_the_regime_by_the_configured_numbers_and_nobody_else_pays() -> None:
    asks = Asks()
    session = Session(("s", asks), regime={"ema_fast": 2, "ema_slow": 4, "atr_len": 2})

    session.hear(*(minute(n, 100.0 + n) for n in range(30)))

    assert asks.told == [None] * 19 + ["TREND_UP"] * 11
    idle, asked = (sum(s.active for s in Session(("s", w)).core.bus._subscriptions[Bar]) for w in (Idle(), Asks()))
    assert asked == idle + 1, "regimes are told where somebody asks"


def test_a_strategy_sees_the_position_its_fill_made() -> None:
    seen: list[tuple[D, D, int]] = []

    class Watches(Does):
        def on_fill(self, fill: OrderFilled, view: View) -> Wishes:
            seen.append((fill.size, view.position(NAME), len(view.open_orders())))
            return None

    left = [Intent(NAME, Action.BUY, D(1))]
    session = Session(("s", Watches(lambda _t, _v: left.pop() if left else None)))

    session.hear(trade(100.0, 1), trade(100.0, 2), trade(100.0, 3))

    assert seen == [(D(1), D(1), 0)]


def test_from_intent_to_fill_everything_is_told_in_order() -> None:
    session = Session(("s", buys_once()))

    session.hear(quote(99.0, 101.0, 1), trade(100.0, 1), quote(99.0, 101.0, 2), trade(100.0, 2))

    story = [type(event) for event in session.all(Decision, OrderApproved, OrderSubmitted, OrderFilled)]
    assert story == [Decision, OrderApproved, OrderSubmitted, OrderFilled]
    assert session.core.ledger.position(NAME) == 1
    assert session.core.exposure.count() == 0
    assert session.errors == []


def test_what_answers_a_bar_of_the_past_is_missed_in_a_replay_too() -> None:
    """A live session asks for bars to warm up on; its replay hears them in one moment, and may not trade on them."""
    session = Session(("s", BuysEachBar()), bars={"intervals": ["1m"]})
    long_ago = T0 - 600 * SECOND
    past = PastBar(NAME, MINUTE, long_ago, long_ago + MINUTE, 90.0, 91.0, 89.0, 90.0, 1.0, 1, T0 + 2 * SECOND)

    session.hear(quote(99.0, 101.0, 1), trade(100.0, 1), past)
    session.hear(trade(100.0, 70), trade(100.0, 71))

    assert [refused.rule for refused in session.all(OrderRefused)] == ["missed"]
    assert [approved.order.intent_id for approved in session.all(OrderApproved)] == ["s-2"]


def test_no_order_fills_on_the_event_that_made_it() -> None:
    session = Session(("s", buys_once()))

    session.hear(trade(100.0, 1))

    assert session.all(OrderFilled) == []
    assert len(session.all(OrderSubmitted)) == 1


def test_closing_writes_down_what_the_account_is_worth() -> None:
    session = Session(("s", buys_once()))
    session.hear(trade(100.0, 1), trade(100.0, 2), trade(110.0, 3))

    session.core.close()

    (closed,) = session.all(SessionClosed)
    assert closed.equity == closed.cash["USDT"] + closed.cash["BTC"] * 110
    assert (closed.asset, closed.marks) == ("USDT", {NAME: D(110)})


# --- what a failure means --------------------------------------------------------------------------------------


def test_a_failing_strategy_is_quarantined_and_trading_goes_on() -> None:
    session = Session(("bad", Does(lambda _t, _v: 1 / 0)), ("good", BuyAndHold(0.05)))

    session.hear(trade(100.0, 1), trade(100.0, 2), trade(100.0, 3))

    assert [event.strategy for event in session.all(StrategyQuarantined)] == ["bad"]
    assert [event.strategy for event in session.all(OrderFilled)] == ["good"]
    assert session.core.switch.state is TradingState.ARMED
    assert len(session.errors) == 1
    assert "ZeroDivisionError" in session.errors[0]


def test_a_failing_part_of_the_core_halts_trading() -> None:
    session = Session(("s", buys_once()))

    def fails(_: OrderSubmitted) -> None:
        raise KeyError("ledger")

    session.core.bus.subscribe(OrderSubmitted, fails)
    session.hear(trade(100.0, 1), trade(100.0, 2))

    (failed,) = session.all(PartFailed)
    assert failed.error == "KeyError"
    assert session.core.switch.state is TradingState.HALTED
    asked = [event.who for event in session.all(CancelRequested)]
    assert asked == ["part_failed", "router"], "the first was there before the order"


def test_a_halt_that_fails_itself_does_not_go_round_for_ever() -> None:
    session = Session()

    def fails(_: object) -> None:
        raise KeyError

    session.core.bus.subscribe(PartFailed, fails)
    session.core.bus.subscribe(Quote, fails)
    session.hear(quote(99.0, 101.0, 1))

    assert len(session.all(PartFailed)) == 1
    assert session.core.switch.state is TradingState.HALTED


def test_an_account_that_cannot_be_valued_yet_opens_and_sends_nothing() -> None:
    session = Session(("s", Does(lambda _t, _v: Intent(NAME, Action.BUY, D(1)))), cash={"USDT": "1000", "XYZ": "5"})

    session.hear(trade(100.0, 1))
    session.core.close()

    assert [event.rule for event in session.all(OrderRefused)] == ["no_value"]
    assert session.all(OrderApproved, PartFailed) == []
    assert session.all(SessionClosed)[0].equity.is_nan()


# --- the same again --------------------------------------------------------------------------------------------

steps = st.lists(st.tuples(st.integers(9_000, 11_000), st.integers(0, 40), st.booleans()), min_size=1, max_size=40)


def rows_of(steps: list[tuple[int, int, bool]]) -> list[Trade]:
    seconds, rows = 0.0, []
    for cents, tenths, eth in steps:
        seconds += tenths / 10
        rows.append(trade(cents / 100, seconds, ETH.name if eth else NAME))
    return rows


def moody() -> Does:
    """Acts on the last digits of the price, so that a search finds every kind of wish."""

    def answer(trade: Trade, view: View) -> Wishes:
        cents = round(trade.price * 100)
        match cents % 5:
            case 0:
                return Intent(trade.instrument, Action.BUY, D(1))
            case 1:
                return [Intent(trade.instrument, Action.ENTER_LONG, D(5), limit=trade.price - 1)]
            case 2:
                return Intent(trade.instrument, Action.FLAT)
        return None

    return Does(answer)


def head(rows: list[Trade], batches: int, *seats: tuple[str, Strategy]) -> tuple[str, list[str]]:
    session = Session(*seats)
    for start in range(0, len(rows), batches):
        session.hear(*rows[start : start + batches])
        session.chain.seal()
    session.core.close()
    session.chain.seal(last=True)
    fills = [
        f"{f.intent_id} {f.arrival_ns} {f.price} {f.size}" for f in session.all(OrderFilled) if f.strategy == "mine"
    ]
    assert session.errors == []
    return session.chain.head.hex(), fills


@pytest.mark.property
@given(steps, st.integers(1, 10))
def test_the_same_inputs_give_the_same_journal_however_they_are_batched(steps, size: int) -> None:
    rows = rows_of(steps)

    assert head(rows, size, ("mine", moody())) == head(rows, len(rows), ("mine", moody()))


@pytest.mark.property
@given(steps)
def test_a_strategy_that_does_nothing_changes_nobodys_fills(steps) -> None:
    rows = rows_of(steps)

    _, alone = head(rows, 40, ("mine", moody()))
    _, among = head(rows, 40, ("idle", Does(lambda _t, _v: None)), ("mine", moody()))

    assert among == alone
