"""What a session is doing, in one object: the greater part of what ``argus status`` says."""

from __future__ import annotations

from typing import Any

from bus import money
from daemon.live import ending
from daemon.live.sitting import Sitting
from daemon.wiring import Core
from portfolio.equity import CannotValue


def of(sitting: Sitting) -> dict[str, Any]:
    """JSON-ready: amounts are text, times ns."""
    core = sitting.core
    worth, _ = core.worth()
    states = {sent.client_id: sent.state.value for sent in core.router.state()}
    return {
        "session": str(sitting.session.path),
        "started_ns": sitting.started_ns,
        "parent": sitting.session.manifest["parent"],
        "routing": core.gate.routing,
        "held": core.operator.held,
        "state": core.switch.state.value,
        "latched": core.switch.latched,
        "inputs": sitting.door.accepted,
        "records": core.chain.seq,
        "head": core.chain.head.hex(),
        "equity": money.plain(worth) if worth.is_finite() else None,
        "asset": core.equity.asset,
        "cash": {asset: money.plain(amount) for asset, amount in sorted(core.ledger.cash.items())},
        "positions": {
            name: money.plain(position.size) for name, position in core.ledger.positions.items() if position.lots
        },
        "money_at_risk": _money_at_risk(core),
        "orders": [{**order, "state": states[order["client_id"]]} for order in ending.open_orders(core)],
        "untradeable": core.market.untradeable(),
        "recording": sitting.recorder.failed or "on",
        "durable": sitting.durable.records,
    }


def _money_at_risk(core: Core) -> dict[str, str] | None:
    """The worst from here, by instrument: every resting order fills, and each position gaps by its stress."""
    try:
        return {name: money.plain(lost) for name, lost in core.oversight.extra.money_at_risk().items()}
    except CannotValue:
        return None
