"""From the config's words to the parts they name: limits, instruments, the venue's models, how a table is read.

A part of the wiring, kept beside it for length: nothing below ``daemon`` reads config, and what is made here is plain.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec

from bus.values import Instrument, Kind, MatchSource
from config import schema
from config.load import known_instruments
from config.schema import Trading, parse_interval
from daemon.errors import Usage
from feeds.columns import Content
from feeds.table import Stamp, TableSpec
from risk.extra import Terms as Extra
from risk.governor import Bands as GovernorBands
from risk.governor import Rules as Bands
from risk.oversight import Terms as Oversight
from risk.rules import Limits
from risk.sizing import Sizing
from sim import fees, latency, queue, slippage
from sim.models import Models
from strategies import council, feedback
from strategies.load import environment_params

_MS = 1_000_000


def instruments_of(trading: Trading) -> list[Instrument]:
    """The built-in table and the config's own, as the core knows instruments."""
    return [msgspec.convert(terms.row(), Instrument) for terms in known_instruments(trading.instruments)]


def limits_of(trading: Trading) -> Limits:
    return gate_limits(trading.limits)


RELOADABLE = frozenset(
    {
        "max_notional",
        "max_position",
        "symbol_position_limits",
        "max_drawdown_bps",
        "max_consecutive_rejects",
        "stale_data_threshold_s",
        "price_collar_bps",
        "order_rate",
        "max_open_orders",
    }
)
"""What of ``trading.limits`` is the gate's own, and can change while it runs."""


def limits_alone(before: Trading, now: Trading) -> schema.Limits:
    """The limits of ``now``, where nothing else has changed but what can be. Raises Usage naming what has."""
    was, limits = before.model_dump(), now.limits.model_dump()
    changed = [name for name, value in now.model_dump().items() if name != "limits" and value != was[name]]
    changed += [
        f"limits.{name}" for name, value in was["limits"].items() if name not in RELOADABLE and limits[name] != value
    ]
    if changed:
        raise Usage(f"only limits can change while running; restart for {', '.join(changed)}")
    return now.limits


def gate_limits(limits: schema.Limits) -> Limits:
    return Limits(
        max_notional=limits.max_notional,
        max_position=limits.max_position,
        symbol_position_limits=dict(limits.symbol_position_limits),
        max_drawdown_bps=float(limits.max_drawdown_bps),
        max_consecutive_rejects=limits.max_consecutive_rejects,
        stale_data_threshold_s=limits.stale_data_threshold_s,
        price_collar_bps=float(limits.price_collar_bps),
        max_orders=limits.order_rate.orders,
        max_orders_window_s=limits.order_rate.per_s,
        max_open_orders=limits.max_open_orders,
    )


def oversight_terms(trading: Trading) -> Oversight:
    limits, size = trading.limits, trading.sizing
    governor = trading.governor
    return Oversight(
        sizing=Sizing(**size.model_dump(exclude={"positions"})),
        bands=Bands(
            GovernorBands(**governor.peak.model_dump()),
            GovernorBands(**governor.session.model_dump()),
            governor.soft_scale,
            governor.panic_exit,
        ),
        extra=extra_terms(limits),
        returns_interval_ns=parse_interval(limits.returns_interval) if limits.returns_interval else 0,
        own_positions=size.positions == "own",
    )


def extra_terms(limits: schema.Limits) -> Extra:
    return Extra(**{name: getattr(limits, name) for name in Extra.__struct_fields__})


def council_rules(trading: Trading) -> council.Rules:
    chosen = trading.council
    return council.Rules(
        rule=chosen.rule,
        threshold=chosen.threshold,
        exit_threshold=chosen.exit_threshold,
        stands_bars=chosen.stands_bars,
        weights=dict(chosen.voters),
        regimes={regime: dict(factors) for regime, factors in chosen.regimes.items()},
        horizon_bars=chosen.horizon_bars,
        feedback=None if chosen.feedback.rule == "none" else feedback.Terms(**chosen.feedback.model_dump()),
    )


_LATENCY: Mapping[str, Callable[[Any], latency.Latency]] = {
    "fixed": lambda m: latency.FixedLatency(round(m.ms * _MS)),
    "uniform": lambda m: latency.UniformLatency(round(m.low_ms * _MS), round(m.high_ms * _MS)),
    "lognormal": lambda m: latency.LogNormalLatency(round(m.median_ms * _MS), m.sigma),
    "measured": lambda m: latency.MeasuredLatency([round(ms * _MS) for ms in m.samples_ms]),
}
_QUEUES: Mapping[str, Callable[[], queue.Queue]] = {
    "cancels_behind_us": queue.CancelsBehindUs,
    "cancels_pro_rata": queue.CancelsProRata,
}


def models_of(trading: Trading) -> Models:
    venue = trading.venue
    charged: fees.Fees = fees.InstrumentFees()
    if isinstance(venue.fees, schema.FixedFees):
        charged = fees.MakerTakerFees(venue.fees.maker, venue.fees.taker)
    return Models(
        entry=_LATENCY[venue.entry.model](venue.entry),
        acknowledgement=_LATENCY[venue.ack.model](venue.ack),
        cancel=_LATENCY[venue.cancel.model](venue.cancel),
        slippage=_slippage(venue.slippage),
        queue=_QUEUES[venue.queue](),
        fees=charged,
    )


def _slippage(model: Any) -> Mapping[MatchSource, slippage.Slippage]:
    """The default for each kind of data, changed where the config names another model for it."""
    match model:
        case schema.LastPrice():
            return slippage.LAST_PRICE
        case schema.SpreadPlusImpact():
            spread = slippage.SpreadPlusImpact(Decimal(str(model.half_spread_bps)), Decimal(str(model.impact_bps)))
            return {**slippage.DEFAULT, MatchSource.TRADE: spread, MatchSource.BAR: spread}
        case schema.NextOpen():
            return {**slippage.DEFAULT, MatchSource.BAR: slippage.NextOpen()}
    return slippage.DEFAULT


_ACCOUNTS: Mapping[str, tuple[str, Decimal]] = {
    "coinbase": ("USD", Decimal(100_000)),
    "coinbaseexchange": ("USD", Decimal(100_000)),
    "binancecoinm": ("BTC", Decimal(2)),
}
"""What an account at a venue is kept in, where that is not what the config's default says."""


def resolve(trading: Trading, chosen: Container[str], venues: Sequence[str], *, bars_only: bool) -> Trading:
    """Answer what the config left open and the data decides; what the config chose itself (``chosen``) is kept.

    The account is in the currency of its venue. Where only bars are known, a latency below a bar's length cannot be
    told from none, so the default one is none.
    """
    changes: dict[str, Any] = {}
    if "asset" not in chosen and "cash" not in chosen and venues[0] in _ACCOUNTS:
        asset, amount = _ACCOUNTS[venues[0]]
        changes.update(asset=asset, cash={asset: amount})
    if bars_only:
        default, instant = schema.Venue(), schema.FixedLatency()
        kept = trading.venue
        quick = {name: instant for name in ("entry", "cancel") if getattr(kept, name) == getattr(default, name)}
        changes["venue"] = kept.model_copy(update=quick)
    return trading.model_copy(update=changes)


def assumptions(trading: Trading) -> list[str]:
    """The venue's models in a reader's words, for reports."""
    venue = trading.venue
    return [
        f"{name}: {_words(getattr(venue, name))}" for name in ("entry", "ack", "cancel", "slippage", "queue", "fees")
    ]


def _words(model: Any) -> str:
    if isinstance(model, str):
        return model.replace("_", " ")
    given = ", ".join(f"{key} {value}" for key, value in model.model_dump().items() if key != "model")
    return str(model.model).replace("_", " ") + (f" ({given})" if given else "")


def table_spec(file: Path, tables: Iterable[Any], intervals: Sequence[str], instrument: str, asset: str) -> TableSpec:
    """How to read a table: as the first config entry that fits its name says, else by its columns alone."""
    for entry in tables:
        if fnmatch(file.name, entry.match):
            return TableSpec(
                instrument=instrument or entry.instrument,
                content=Content(entry.content),
                columns=dict(entry.columns),
                interval_ns=parse_interval(entry.interval) if entry.interval else None,
                stamp=Stamp.OPEN if entry.stamp == "start" else Stamp.END,
            )
    interval_ns = parse_interval(intervals[0]) if len(intervals) == 1 else None
    return TableSpec(instrument=instrument or f"table:DATA/{asset}", interval_ns=interval_ns)


def stated_instrument(name: str) -> Instrument:
    """Terms for an instrument that nothing describes: the finest steps, no minimum, 10 bps either way, taken in
    quote.
    """
    symbol = name.partition(":")[2]
    pair, _, settle = symbol.partition(":")
    base, _, quote = pair.partition("/")
    if not base or not quote:
        raise Usage(f"an instrument is named venue:BASE/QUOTE, as in binance:BTC/USDT, not {name!r}")
    fine, fee = Decimal("0.00000001"), Decimal("0.001")
    kind = Kind.SPOT if not settle else Kind.LINEAR if settle == quote else Kind.INVERSE
    return Instrument(name, symbol, base, quote, settle or quote, kind, fine, fine, maker_fee=fee, taker_fee=fee)


def with_variables(trading: Trading, environ: Mapping[str, str]) -> Trading:
    """What the environment says of the parameters of the configured strategies, where the config does not."""
    entries = [
        entry.model_copy(update={"params": {**environment_params(entry.use, environ), **entry.params}})
        for entry in trading.strategies
    ]
    return trading if entries == trading.strategies else trading.model_copy(update={"strategies": entries})


def strategy_name(use: str) -> str:
    """What the config would call it: the last word of ``use``."""
    return Path(use.rpartition(":")[2]).stem if ":" in use else Path(use).stem
