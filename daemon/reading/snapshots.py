"""The session as of its last record, for other programs: ``state.json``, ``portfolio_state.json``, ``cortex.json``.

Amounts are exact text in the first two; ``cortex.json`` keeps the fields, numbers and time format its readers know.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from bus import money
from bus.clock import SECOND
from daemon.reading.digest import Digest, Reading, iso
from daemon.reading.fold import Amounts, Position
from portfolio.books import Netting


def state(reading: Reading) -> dict[str, Any]:
    digest, account, equity = reading.digest, reading.account, reading.equity()
    return {
        "equity": None if equity is None else money.plain(equity),
        "asset": account.asset,
        "cash": _plain(account.cash),
        "positions": {name: money.plain(position.size) for name, position in account.positions.items()},
        "trading_state": digest.state.value,
        "open_orders": [life.client_id for life in reading.orders.unfinished()],
        "last_bar": iso(digest.passed.last_end_ns) if digest.passed is not None else None,
        "last_event": iso(digest.last_ns),
        "closed": digest.closed is not None,
        "differences": reading.differences(),
        "journal_head": digest.head.hex(),
    }


def portfolio_state(reading: Reading) -> dict[str, Any]:
    """What a later session would need to go on from: wallets and open lots."""
    account = reading.account
    return {
        "as_of": iso(reading.digest.last_ns),
        "asset": account.asset,
        "cash": _plain(account.cash),
        "fees": _plain(account.fees),
        "funding": _plain(account.funding),
        "positions": [_position(position) for position in account.positions.values()],
        "strategies": {
            strategy: {
                name: {
                    "size": money.plain(part.size),
                    "realised": money.plain(part.realised),
                    "asset": part.asset,
                    "trips": part.trips.count,
                    "won": part.trips.wins,
                }
                for name, part in parts.items()
            }
            for strategy, parts in reading.books.positions.items()
        },
        "netting": {name: _netting(reading.books.netting(name)) for name in account.positions},
    }


def cortex(mode: str, reading: Reading, peak: Decimal | None) -> dict[str, Any]:
    """The last thing a strategy decided, holding included, and how the account stood."""
    digest, equity = reading.digest, reading.equity()
    said = _last_said(digest)
    use = _uses(digest).get(said.strategy, "")
    external = ":" in use or use.endswith(".py")
    module, _, function = use.rpartition(":") if ":" in use else (use, "", "")
    drawdown = min(0.0, float(equity) / float(peak) - 1.0) if equity is not None and peak else None
    return {
        "timestamp_utc": f"{datetime.fromtimestamp(said.ns // SECOND, UTC):%Y-%m-%d %H:%M:%S}",
        "mode": mode,
        "intent_action": said.action,
        "intent_reason": said.reason,
        "intent_source": "external" if external else "built_in",
        "external_strategy_module": module if external else None,
        "external_strategy_func": function or None,
        "p_long": said.meta.get("p_long"),
        "conf_min": said.meta.get("conf_min"),
        "equity_usd": None if equity is None else float(equity),
        "drawdown_frac": drawdown,
        "dd_band": digest.band,
        "dry_run": mode != "live",
        "wallet_verified": reading.differences() == [],
        "strategy": said.strategy or None,
        "equity_asset": reading.account.asset,
    }


class _Said(NamedTuple):
    ns: int
    strategy: str
    action: str
    reason: str
    meta: Mapping[str, Any]


def _last_said(digest: Digest) -> _Said:
    decision, passed = digest.decision, digest.passed
    if passed is not None and passed.strategies and (decision is None or passed.ns > decision.ns):
        reasons = passed.reasons[-1] if passed.reasons else []
        return _Said(passed.ns, passed.strategies[-1], "HOLD", reasons[-1] if reasons else "", {})
    if decision is None:
        return _Said(digest.last_ns, "", "HOLD", "", {})
    intent = decision.intent
    return _Said(decision.ns, decision.strategy, intent.action.value, intent.reason, intent.meta or {})


def _uses(digest: Digest) -> Mapping[str, str]:
    """What each strategy was loaded from, by its name."""
    entries = digest.opened.trading.get("strategies", []) if digest.opened is not None else []
    return {str(entry.get("name", "")): str(entry.get("use", "")) for entry in entries}


def _netting(one: Netting) -> dict[str, str]:
    return {word: money.plain(size) for word, size in one._asdict().items()}


def _position(position: Position) -> dict[str, Any]:
    return {
        "instrument": position.terms.name,
        "size": money.plain(position.size),
        "realised": money.plain(position.realised),
        "asset": position.asset,
        "lots": [
            {"size": money.plain(lot.size), "price": money.plain(lot.price), "time": iso(lot.ns)}
            for lot in position.lots
        ],
    }


def _plain(amounts: Amounts) -> dict[str, str]:
    return {asset: money.plain(amounts[asset]) for asset in sorted(amounts)}
