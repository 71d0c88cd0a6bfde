"""The switch: what is pulled when trading closes, what is not pulled twice, and what an operator's leave forgets."""

from __future__ import annotations

from decimal import Decimal as D

from bus.events import CancelRequested, TradingStateChanged
from bus.state import GateState
from bus.values import Action, TradingState
from risk.governor import Bands, Rules
from risk.oversight import Terms
from risk.sizing import Sizing
from tests.risk.world import PERP, World

BUY, SELL = Action.BUY, Action.SELL


def test_what_only_reduces_stays_when_a_band_lets_out_and_takes_no_room_from_the_rest() -> None:
    bands = Rules(Bands(0.1, 0.2, 0.25), Bands())
    world = World(
        {"USDT": "10000"}, oversight=Terms(sizing=Sizing(notional=D(1_000)), bands=bands), max_drawdown_bps=1e4
    )
    world.hold("100", PERP)
    world.approve(SELL, D(60), PERP, limit=D(104), reduce_only=True)
    world.approve(SELL, D(90), PERP, limit=D(105))

    world.trade(80.0, PERP)

    assert world.switch.state is TradingState.REDUCING
    assert world.all(CancelRequested) == []


def test_what_a_halt_has_asked_back_is_not_asked_back_again_by_the_stop() -> None:
    world = World()
    world.approve(BUY, D(1), PERP, limit=D(99))
    world.switch.kill("ada")
    assert len(world.all(CancelRequested)) == 1

    world.switch.enter(TradingState.STOPPING, "SIGTERM", "")

    assert len(world.all(CancelRequested)) == 1
    assert world.all(TradingStateChanged)[-1].state is TradingState.STOPPING


def test_a_leave_forgets_the_rejects_that_halted_an_earlier_session() -> None:
    world = World(armed=False, max_consecutive_rejects=1)
    world.gate.recall(GateState(rejects=2, latched="consecutive_rejects", reason="2 in a row", approved_ns=[]))

    world.switch.relent()
    world.switch.arm("ada", "looked")
    world.reject(world.approve(BUY, D(1), PERP))

    assert (world.switch.state, world.switch.latched) == (TradingState.ARMED, "")


def test_a_state_is_entered_with_the_account_as_it_was_judged_by_before() -> None:
    """The record of a change says what led to it, by the rules that held until then."""
    bands = Rules(Bands(0.1, 0.2, 0.25), Bands())
    world = World(
        {"USDT": "10000"}, oversight=Terms(sizing=Sizing(notional=D(1_000)), bands=bands), max_drawdown_bps=1e4
    )
    world.hold("100", PERP)
    armed = [check.rule for check in world.gate._of_account()]

    world.trade(80.0, PERP)

    assert [check.rule for check in world.one(TradingStateChanged).checks] == armed
    assert [check.rule for check in world.gate._of_account()] != armed
