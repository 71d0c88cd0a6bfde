"""Sessions that continue one another, looked at as one account's life."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from bus import journal
from bus.events import Decision, OrderFilled, OrderSubmitted, SessionClosed, SessionOpened, StateRestored
from daemon.live import state
from daemon.proof import refold
from daemon.proof.verify import verify
from daemon.reading.fold import Account, Orders
from daemon.session import Session
from tests.daemon.live_world import records

RESTING, IN_FLIGHT = 3, 1
"""What a session must at least have had open when it was killed."""


@dataclass
class Line:
    """What the journals of a whole line add up to."""

    account: Account = field(default_factory=Account)
    opening: dict[str, Decimal] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    fills: list[OrderFilled] = field(default_factory=list)


def latest(root: Path) -> Path | None:
    """The last session that began, by the state directory in ``root``."""
    kept = state.read(root / "state")
    return Path(kept.session) if kept is not None and kept.session else None


def open_at_the_end(session: Path) -> tuple[int, int]:
    """How many orders a session that was killed left resting, and how many on their way to the venue."""
    venue = refold.left_by(Session.open(session)).state.venue
    return sum(1 for one in venue.orders if one.shelf), sum(1 for one in venue.messages if one.what == "arrive")


def audit(line: Sequence[Path]) -> Line:
    """Every session verifies and begins disconnected, each in the state its parent left; every id occurs once; cash and
    position are the sum of the fills.
    """
    made = Line()
    account, orders = made.account, Orders()
    for number, path in enumerate(line):
        verdict = asyncio.run(verify(Session.open(path)))
        assert verdict.equal, f"{path.name}: {verdict.difference}"
        assert records(path, "TradingStateChanged")[0]["state"].value == "disconnected", path.name
        restored = 0
        for entry in journal.read(path / "journal.db"):
            event = entry.event()
            if not isinstance(event, StateRestored):
                orders.note(event, account.instruments)
            match event:
                case SessionOpened():
                    account.instruments |= {i.name: i for i in event.instruments}
                    if number == 0:
                        made.opening = event.opening
                        account.note(event)
                case StateRestored():
                    restored += 1
                    assert event.parent == line[number - 1].name
                    assert event.ledger.cash == account.cash
                    assert sorted(o.client_id for o in event.orders) == sorted(o.client_id for o in orders.unfinished())
                    assert {p.instrument.name: p.filled for p in event.ledger.positions} == {
                        name: position.size for name, position in account.positions.items()
                    }
                    account.instruments |= {i.name: i for i in event.instruments}
                case OrderFilled():
                    account.note(event)
                    made.fills.append(event)
                    made.ids.append(event.fill_id)
                case OrderSubmitted():
                    made.ids.append(event.client_id)
                case Decision():
                    made.ids.append(event.intent_id)
                case SessionClosed():
                    assert event.cash == account.cash
                case _:
                    account.note(event)
        assert restored == (number > 0), path.name
    assert len(made.ids) == len(set(made.ids))
    assert _summed(made) == account.cash
    return made


def _summed(line: Line) -> dict[str, Decimal]:
    """The wallets by the plainest sum there is: what there was, and what each fill moved."""
    cash = dict(line.opening)
    for fill in line.fills:
        terms = line.account.instruments[fill.instrument]
        sign = 1 if fill.side.value == "buy" else -1
        for asset, amount in (
            (terms.base, sign * fill.size),
            (terms.quote, -sign * fill.size * fill.price),
            (fill.fee_asset, -fill.fee),
        ):
            cash[asset] = cash.get(asset, Decimal(0)) + amount
    return cash
