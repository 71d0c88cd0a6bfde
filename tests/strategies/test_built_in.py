"""Our own strategies: against the textbook in pandas, and through a restart."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import BookInvalidated, BookSnapshot, Decision, Intent
from bus.values import Action
from strategies.buy_and_hold import BuyAndHold
from strategies.ema_cross import EmaCross
from strategies.port import Strategy
from strategies.stub import Stub
from tests.strategies.world import BTC, ETH, T0, World, bar, trade

VIEW: Any = None  # none of them looks at it
prices = st.lists(st.integers(1, 2_000).map(lambda n: n / 16), min_size=1, max_size=60)
windows = st.tuples(st.integers(1, 8), st.integers(1, 8)).map(lambda w: (w[0], w[0] + w[1]))


def wishes(strategy: Strategy, closes: list[float], start: int = 0) -> list[Any]:
    return [strategy.on_bar(bar(start + n, close), VIEW) for n, close in enumerate(closes)]


def crossings(closes: list[float], fast: int, slow: int) -> list[tuple[Action | None, float]]:
    """What the textbook does at each bar, and how far apart its averages are."""
    series = pd.Series(closes)
    gap = series.ewm(span=fast, adjust=False).mean() - series.ewm(span=slow, adjust=False).mean()
    acts: list[tuple[Action | None, float]] = []
    long = False
    for n, apart in enumerate(gap):
        action = None
        if n + 1 >= slow and (apart > 0) is not long:
            long = bool(apart > 0)
            action = Action.ENTER_LONG if long else Action.EXIT_LONG
        acts.append((action, abs(float(apart))))
    return acts


@pytest.mark.property
@given(prices, windows)
def test_ema_cross_does_what_the_textbook_does(closes: list[float], windows: tuple[int, int]) -> None:
    fast, slow = windows

    acted = wishes(EmaCross(fast, slow), closes)

    for heard, (wish, (action, apart)) in enumerate(zip(acted, crossings(closes, fast, slow), strict=True), 1):
        if heard >= slow and apart < 1e-9:
            return  # too close for two ways of rounding to agree from here on
        assert (wish.action if wish else None) is action


@pytest.mark.property
@given(prices, prices, windows)
def test_ema_cross_goes_on_after_a_restart_as_if_there_had_been_none(before, after, windows) -> None:
    through = EmaCross(*windows)
    wishes(through, before)
    state = msgspec.json.decode(msgspec.json.encode(through.state()))
    restarted = EmaCross(*windows)

    restarted.restore(state)

    assert wishes(restarted, after, len(before)) == wishes(through, after, len(before))


@pytest.mark.property
@given(prices, windows, st.integers(0, 60))
def test_cutting_the_future_off_changes_no_past_decision(closes: list[float], windows, cut: int) -> None:
    assert wishes(EmaCross(*windows), closes)[:cut] == wishes(EmaCross(*windows), closes[:cut])


def test_ema_cross_keeps_instruments_apart_and_names_its_size() -> None:
    strategy = EmaCross(1, 2, D("0.5"))
    strategy.on_bar(bar(0, 100.0), VIEW)
    strategy.on_bar(bar(0, 100.0, ETH), VIEW)

    assert strategy.on_bar(bar(1, 110.0), VIEW) == Intent(
        BTC.name, Action.ENTER_LONG, size=D("0.5"), reason="fast above slow"
    )
    assert strategy.on_bar(bar(1, 90.0, ETH), VIEW) is None, "it is flat already"


def test_ema_cross_reads_trades_where_there_are_no_bars_and_only_bars_where_there_are() -> None:
    for builds_bars, expected in ((False, 1), (True, 0)):
        world = World(builds_bars=builds_bars)
        world.seat(EmaCross(1, 2))

        world.hear(trade(100.0), trade(110.0))

        assert len(world.decided) == expected


def test_buy_and_hold_buys_each_instrument_once_as_soon_as_there_is_a_market() -> None:
    world = World()
    world.seat(BuyAndHold(0.5))

    world.hear(BookInvalidated(T0, BTC.name, "no snapshot yet"), trade())
    assert world.decided == []

    world.hear(BookSnapshot(BTC.name, [(99.0, 1.0)], [(101.0, 1.0)], 1, 0, T0), trade(), trade())
    world.hear(trade(instrument=ETH), trade(instrument=ETH))
    wanted = [decision.intent for decision in world.decided if isinstance(decision, Decision)]
    assert wanted == [
        Intent(name, Action.ENTER_LONG, exposure=0.5, reason="there is a market") for name in (BTC.name, ETH.name)
    ]


def test_buy_and_hold_remembers_through_a_restart_what_it_bought() -> None:
    strategy, world = BuyAndHold(), World()
    strategy.restore(msgspec.json.decode(b'{"bought": ["%s"]}' % BTC.name.encode()))
    world.seat(strategy)

    world.hear(trade(), trade(instrument=ETH))

    assert [d.intent.instrument for d in world.decided if isinstance(d, Decision)] == [ETH.name]
    assert strategy.state() == {"bought": sorted([BTC.name, ETH.name])}


def test_the_stub_holds_at_every_bar_and_nothing_else() -> None:
    world = World()
    world.seat(Stub())

    world.hear(trade(), bar(0), bar(1))

    assert world.decided == []
    assert [reason for _, reason in world.reasons] == ["stub", "stub"]


def test_one_without_a_state_has_nothing_to_restore() -> None:
    strategy = Stub()

    strategy.restore(strategy.state())

    assert strategy.state() == {}
