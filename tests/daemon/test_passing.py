"""What is noted of a bar that passes is what the account was worth at it, to the last digit."""

from __future__ import annotations

from decimal import Decimal as D

from bus.clock import MINUTE
from bus.events import Bar, BarsPassed, Intent
from bus.values import Action
from strategies.port import Strategy, View, Wishes
from tests.daemon.test_wiring import NAME, T0, Session


class InAndOut(Strategy):
    """Buys at the third bar and sells at the eighth."""

    def __init__(self) -> None:
        self.heard = 0

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        self.heard += 1
        action = {3: Action.BUY, 8: Action.SELL}.get(self.heard)
        return None if action is None else Intent(NAME, action, D("0.5"))


def test_equity_at_each_bar_is_what_the_account_was_worth_at_it() -> None:
    session = Session(("s", InAndOut()), journal={"holds": True})
    worth: list[tuple[int, D]] = []
    session.core.bus.subscribe(Bar, lambda bar: worth.append((bar.end_ns, session.core.equity.value())))
    for n in range(12):
        end, close = T0 + (n + 1) * MINUTE, 100.0 + (n * 7) % 5 + n / 8
        session.hear(Bar(NAME, MINUTE, end - MINUTE, end, close, close, close, close, 1.0, 1, True, False, end))
    session.core.close()

    session.chain._close_pack()  # as the last seal does
    packed = [event for event in session.chain.pending if isinstance(event, BarsPassed)]

    assert [at for event in packed for at in event.equity()] == worth
    assert any(event.sheet is not None and event.sheet.held for event in packed)
