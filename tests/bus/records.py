"""Records to fill a journal with."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal as D

import msgspec

from bus.events import (
    Bar,
    CancelRequested,
    DataGap,
    Decision,
    FeedOpened,
    FundingPaid,
    Intent,
    OrderApproved,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderSubmitted,
    Record,
    SessionOpened,
    Sheet,
    TradingStateChanged,
)
from bus.journal import Chain, Entry, Journal, read
from bus.values import (
    Action,
    Check,
    Instrument,
    Liquidity,
    MatchSource,
    Order,
    OrderType,
    Side,
    TradingState,
)

BTC = Instrument("v:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT")
CHECKS = [Check("max_notional", False, "20000", "10000")]
ORDER = Order("s-1", "s", BTC.name, Side.BUY, OrderType.LIMIT, D("0.5"), D("100.25"))

OPENED = SessionOpened(1, 1, {"seed": 7, "cash": {"USDT": "100"}}, [BTC], {"USDT": D(100)}, 7)
DECIDED = Decision(2, "s-1", "s", Intent(BTC.name, Action.BUY, size=0.5, limit=D("100.25"), meta={"why": [1, "é"]}))
APPROVED = OrderApproved(2, ORDER, 100.3)
REFUSED = OrderRefused(3, "s-2", "s", BTC.name, "max_notional", "20000 > 10000", CHECKS)
SUBMITTED = OrderSubmitted(3, "ag0-1", "s-1")
FILLED = OrderFilled(
    4,
    "ag0-1",
    "s-1",
    "s",
    BTC.name,
    "f-1",
    Side.BUY,
    D("100.25"),
    D("0.5"),
    D("0.05"),
    "USDT",
    Liquidity.TAKER,
    3,
    D(0),
    MatchSource.BOOK,
    "WalkTheBook",
)
REJECTED = OrderRejected(5, "ag0-2", "-2010", 'balance, "too" small\n')
FUNDED = FundingPaid(6, BTC.name, D("0.0001"), D("100.5"), D("0.5"), D("0.005"), "USDT")
GAP = DataGap(7, BTC.name, "trade", 5, 9)
HALTED = TradingStateChanged(8, TradingState.HALTED, "kill_switch", "pulled", CHECKS)
CANCEL = CancelRequested(9, "s-1", "s", "enough")
CONNECTED = FeedOpened(10, "market")
EVERY_KIND: list[object] = [
    OPENED,
    DECIDED,
    APPROVED,
    REFUSED,
    SUBMITTED,
    FILLED,
    REJECTED,
    FUNDED,
    GAP,
    HALTED,
    CANCEL,
    CONNECTED,
]


class Passed(msgspec.Struct, frozen=True):
    """The closed bar number ``end`` of an instrument, with what ``HEARERS`` made of it."""

    end: int
    instrument: str = BTC.name
    acted: tuple[str, ...] = ()
    reasons: tuple[tuple[str, str], ...] = ()
    sheet: Sheet | None = Sheet(D(100), ((BTC.name, D("0.5")),))
    interval: int = 1

    @property
    def bar(self) -> Bar:
        start = self.end - self.interval
        return Bar(self.instrument, self.interval, start, self.end, 1.0, 1.0, 1.0, 1.0, 1.0, 1, True, False, self.end)

    @property
    def marks(self) -> list[float]:
        return [float(self.end)] if self.sheet is not None else []


HEARERS = ["s", "t"]


def put(chain: Chain, event: object) -> None:
    """Have ``chain`` record one thing."""
    match event:
        case Passed():
            for strategy, reason in event.reasons:
                chain.held(strategy, reason)
            for strategy in event.acted:
                chain.acted(strategy)
            chain.passed(event.bar, event.end, lambda _: HEARERS, event.sheet, event.marks)
        case Record():
            chain.pending.append(event)
        case _:
            raise AssertionError(event)


def write(journal: Journal, events: Sequence[object], every: int = 0) -> Journal:
    """Journal ``events``, committing after each ``every`` of them, and close."""
    for number, event in enumerate(events, 1):
        put(journal, event)
        if every and number % every == 0:
            journal.commit()
    journal.close()
    return journal


def entries(journal: Journal) -> list[Entry]:
    return list(read(journal.path))
