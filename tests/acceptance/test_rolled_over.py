"""A session that goes on in another at any moment decides and fills what one session would have, and neither knows."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bus.events import RECORDS, CommandGiven, OrderFilled, OrderRefused, StateRestored
from bus.journal import Chain
from bus.resume import MarketResumed, MarketState
from bus.values import Instrument
from config.schema import Trading
from daemon.live import memory, rolling
from daemon.wiring import Core, build
from strategies.port import View, Wishes
from tests.acceptance.test_accounting import ALL, LINEAR, SPOT, T0, Restless, market

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

    def __init__(self, seed: int) -> None:
        self.errors: list[str] = []
        self.heard: list[Any] = []
        trading = Trading.model_validate(
            {
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
        )
        self.core: Core = build(
            trading,
            ALL,
            ["v"],
            Chain(),
            lambda where, error: self.errors.append(f"{where}: {error!r}"),
            [("one", Forgetful(seed), None), ("two", Forgetful(seed + 1), [SPOT.name, LINEAR.name])],
            boot=1,
        )
        for kind in RECORDS.values():
            self.core.bus.subscribe(kind, self.heard.append)

    def begin(self) -> Session:
        self.core.begin(T0, None)
        self.core.gate.arm("paper", "a test")
        return self

    def go_on(self, before: Core) -> Session:
        """By what is written down, as text, and nothing else."""
        state = msgspec.json.encode(memory.remember(before, "before", 1, b"head"))
        known = msgspec.json.encode(rolling.market_of(before, "v"))
        core, now = self.core, before.clock.now
        core.begin(now, msgspec.json.decode(state, type=StateRestored))
        core.bus.publish(MarketResumed(now, "v", msgspec.json.decode(known, type=MarketState)))
        core.bus.publish(CommandGiven(now, "resume", rolling.ROLL, {"state": before.gate.state.value, "reason": ""}))
        return self

    def said(self) -> list[Any]:
        assert self.errors == []
        return [_without_measures(event) for event in self.heard if type(event).__name__ not in STATE]


def _without_measures(event: Any) -> Any:
    """What a refusal says of the account in float depends, in its last digit, on the order of a sum."""
    return (event.intent_id, event.rule) if isinstance(event, OrderRefused) else event


@pytest.mark.property
@given(st.integers(0, 10**9), st.lists(st.integers(5, 75), min_size=1, max_size=3))
@example(82, [26, 27])  # an order on its way met a book that was carried over, and crossed
def test_a_session_handed_over_at_any_moment_goes_on_as_if_it_had_not_been(seed: int, cuts: list[int]) -> None:
    events = market(seed, 80)
    whole = Session(seed).begin()
    whole.core.intake.accept_rows(events)

    line, at, said = Session(seed).begin(), 0, list[Any]()
    for cut in sorted({*cuts}):
        line.core.intake.accept_rows(events[at:cut])
        said, at = said + line.said(), cut
        line = Session(seed).go_on(line.core)
    line.core.intake.accept_rows(events[at:])

    assert said + line.said() == whole.said()
    assert line.core.ledger.state() == whole.core.ledger.state()
    assert line.core.equity.value() == whole.core.equity.value()
    assert line.core.equity.value_float() == pytest.approx(float(whole.core.equity.value()), abs=1e-6)
