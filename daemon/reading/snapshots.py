"""The session as of its last record, for other programs: ``state.json``, ``portfolio_state.json``, ``cortex.json``.

Amounts are exact text in the first two; ``cortex.json`` keeps the fields, numbers and time format its readers know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from bus import money
from bus.clock import SECOND
from bus.events import BarsPassed, Decision, FundingPaid, OrderFilled, Record, SessionOpened
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


class Said(NamedTuple):
    """What a strategy made of the moment, holding included."""

    ns: int
    strategy: str
    action: str
    reason: str
    meta: Mapping[str, Any]


class Stood(NamedTuple):
    """How the account stood; None for what nobody can say."""

    equity: Decimal | None
    peak: Decimal | None
    band: str
    verified: bool | None
    asset: str


def cortex(mode: str, said: Said, stood: Stood, uses: Mapping[str, str]) -> dict[str, Any]:
    """One decision and how the account stood, in the fields that the readers of ``cortex.json`` know. ``uses`` is what
    each strategy was loaded from, by its name.
    """
    use = uses.get(said.strategy, "")
    external = ":" in use or use.endswith(".py")
    module, _, function = use.rpartition(":") if ":" in use else (use, "", "")
    equity, peak = stood.equity, stood.peak
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
        "dd_band": stood.band,
        "dry_run": mode != "live",
        "wallet_verified": stood.verified,
        "strategy": said.strategy or None,
        "equity_asset": stood.asset,
    }


def of_decision(event: Decision) -> Said:
    intent = event.intent
    return Said(event.ns, event.strategy, intent.action.value, intent.reason, intent.meta or {})


def last_said(digest: Digest) -> Said:
    """The last thing a strategy decided, holding included."""
    decision, passed = digest.decision, digest.passed
    if passed is not None and passed.strategies and (decision is None or passed.ns > decision.ns):
        reasons = passed.reasons[-1] if passed.reasons else []
        return Said(passed.ns, passed.strategies[-1], "HOLD", reasons[-1] if reasons else "", {})
    return Said(digest.last_ns, "", "HOLD", "", {}) if decision is None else of_decision(decision)


class CortexHistory:
    """The decisions of a journal one after the other, as ``cortex`` has each: every one that wanted something, and of
    holding each that a strategy had not said of the bar before. Equity is the curve's last sample by then or, without a
    curve, by the last fills and bars; nobody can say of a moment in the past whether the wallet was the venue's.
    """

    def __init__(self, mode: str, reading: Reading, curve: Mapping[str, Any] | None) -> None:
        self._mode, self._reading = mode, reading
        self._times: list[int] = curve["t_ns"] if curve is not None else []
        self._samples: list[float | None] = curve["equity"] if curve is not None else []
        self._at = 0
        self._equity: Decimal | None = None
        self._peak: Decimal | None = None
        self._held: dict[str, str] = {}
        self._uses: Mapping[str, str] = {}

    def note(self, event: Record) -> Iterator[dict[str, Any]]:
        """The lines that a record makes, after the reading took it in."""
        match event:
            case SessionOpened():
                self._uses = uses_of(self._reading.digest)
                self._worth(self._reading.account.equity())
            case OrderFilled() | FundingPaid() if not self._times:
                self._worth(self._reading.account.equity())
            case Decision():
                self._held.pop(event.strategy, None)
                yield self._line(of_decision(event))
            case BarsPassed():
                yield from self._passed(event)

    def _passed(self, event: BarsPassed) -> Iterator[dict[str, Any]]:
        worth = dict(event.equity()) if not self._times else {}
        for number in range(event.count):
            end = event.first_end_ns + number * event.interval_ns
            self._worth(worth.get(end))
            for strategy, reasons in zip(event.strategies, event.reasons or [[]] * len(event.strategies), strict=True):
                reason = reasons[number] if reasons else ""
                acted = number == event.count - 1 and strategy in event.acted
                if not acted and self._held.get(strategy) != reason:
                    self._held[strategy] = reason
                    yield self._line(Said(end, strategy, "HOLD", reason, {}))

    def _line(self, said: Said) -> dict[str, Any]:
        while self._at < len(self._times) and self._times[self._at] <= said.ns:
            sample = self._samples[self._at]
            self._worth(None if sample is None else money.from_float(round(sample, 8)))
            self._at += 1
        stood = Stood(self._equity, self._peak, self._reading.digest.band, None, self._reading.account.asset)
        return cortex(self._mode, said, stood, self._uses)

    def _worth(self, equity: Decimal | None) -> None:
        if equity is not None:
            self._equity = equity
            self._peak = equity if self._peak is None else max(self._peak, equity)


def uses_of(digest: Digest) -> Mapping[str, str]:
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
