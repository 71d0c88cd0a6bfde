"""A session in plain words: ``session.md``, and the names and units that it and the report give to figures."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from bus import money
from daemon.reading.digest import Reading, iso_s
from daemon.reading.fold import text_of
from daemon.session import Session

SYNTHETIC = "SYNTHETIC RUN"
GAPS_SHOWN = 20

# name in portfolio/metrics.py: what a reader calls it, its unit ("%" shows a fraction as a percentage)
FIGURES: Mapping[str, tuple[str, str]] = {
    "total_return": ("Total return", "%"),
    "cagr": ("Compound annual growth", "% a year"),
    "sharpe": ("Sharpe ratio, annual", "ratio"),
    "sortino": ("Sortino ratio, annual", "ratio"),
    "max_drawdown": ("Largest drawdown", "% of the peak"),
    "max_drawdown_s": ("Longest time below a peak", "s"),
    "exposure": ("Time with a position", "% of the session"),
    "turnover": ("Turnover", "× opening equity"),
    "round_trips": ("Round trips", "count"),
    "win_rate": ("Round trips that won", "%"),
    "profit_factor": ("Won / lost", "ratio"),
    "expectancy": ("Mean result of a round trip", "{asset}"),
    "slippage_bps": ("Slippage against the arrival mid", "bps"),
}


def session_md(session: Session, reading: Reading) -> str:
    """What ran, on what, and what came of it. Synthetic runs say so in the first line."""
    manifest = session.manifest
    parts: list[str] = []
    if manifest.get("synthetic"):
        parts += [f"# {SYNTHETIC}", "", synthetic_note(manifest), ""]
    parts += [f"# Session {session.path.resolve().name}", "", opening_line(manifest, reading), ""]
    for title, lines in (
        ("Results", _table(results(manifest, reading))),
        ("Halts", _bullets(halts(reading))),
        ("Refusals", _table([(rule, f"{count:,}") for rule, count in reading.digest.refused.most_common()])),
        (
            "Rejected by the venue",
            _table([(code, f"{count:,}") for code, count in reading.digest.rejected.most_common()]),
        ),
        ("Gaps in the data", _bullets(gaps(reading))),
        ("Failures", _bullets(f"{iso_s(one.ns)} {one.what}" for one in reading.digest.failures)),
        (
            "Metrics",
            _table([(label, f"{text} {unit}") for label, text, unit in figures(manifest.get("metrics"), reading)]),
        ),
        ("Models and their assumptions", _bullets(manifest.get("models") or ())),
        (
            "Data",
            _bullets(f"`{d['path']}` ({d['venue']}, {d['kind']}), sha256 `{d['sha256']}`" for d in data(manifest)),
        ),
        ("The record", _bullets(record(reading))),
    ):
        parts += [f"## {title}", "", *(lines or ["None."]), ""]
    return "\n".join(parts).rstrip() + "\n"


def synthetic_note(manifest: Mapping[str, Any]) -> str:
    files = ", ".join(Path(str(item["path"])).name for item in data(manifest)) or "none"
    generator = manifest.get("synthetic_by") or "a generator that did not give its name"
    return f"Made by {generator}, not recorded from a market: it says nothing about a real one. Fixtures: {files}."


def opening_line(manifest: Mapping[str, Any], reading: Reading) -> str:
    digest = reading.digest
    files = f"{len(data(manifest))} {'file' if len(data(manifest)) == 1 else 'files'}"
    mode = str(manifest.get("mode", "session")).capitalize()
    if manifest.get("reason") is None:
        end = "It did not get to say how it ended: the process was killed, or is still running."
    else:
        end = f"Ended by: {manifest['reason']}, exit code {manifest.get('exit_code')}."
    inputs = (
        f"{manifest['inputs']:,} inputs" if isinstance(manifest.get("inputs"), int) else "an unknown number of inputs"
    )
    window = f"{iso_s(digest.start_ns)} to {iso_s(digest.last_ns)} by the session's clock"
    return f"{mode} of {files}, {inputs}, {window}. {end} The trading state at the end was {digest.state.value}."


def results(manifest: Mapping[str, Any], reading: Reading) -> list[tuple[str, str]]:
    """What the journal itself says, as label and text."""
    account, digest, orders = reading.account, reading.digest, reading.orders
    summary = manifest.get("summary") or {}
    equity = reading.equity()
    opening = digest.opened.opening if digest.opened is not None else {}
    rows = [
        ("Opened with", text_of(opening) or "nothing"),
        ("Equity at the end", "not known" if equity is None else f"{money.plain(equity)} {account.asset}"),
        ("Cash", text_of(account.cash) or "nothing"),
        ("Held", text_of({name: p.inventory for name, p in account.positions.items() if p.inventory}) or "flat"),
        ("Fees", text_of(account.fees) or "none"),
        ("Funding", text_of(account.funding) or "none"),
        ("Decisions", f"{digest.counts['Decision']:,}"),
        ("Orders", _orders(reading)),
        ("Fills", f"{digest.counts['OrderFilled']:,}"),
        ("Refused", f"{digest.counts['OrderRefused']:,}"),
    ]
    if orders.unfinished():
        rows.append(("Still open", f"{len(orders.unfinished()):,}"))
    heard = [f"{summary[name]:,} {name.replace('_', ' ')}" for name in HEARD if summary.get(name)]
    return [*rows, ("Heard", ", ".join(heard))] if heard else rows


HEARD = ("frames", "trades", "quotes", "depth_updates", "bars", "klines", "unparsed", "ignored", "duplicates", "late")


def figures(metrics: Mapping[str, float | None] | None, reading: Reading) -> Iterator[tuple[str, str, str]]:
    """Each metric as label, text and unit; one that does not exist is a dash."""
    asset = reading.account.asset
    for name, value in (metrics or {}).items():
        label, unit = FIGURES.get(name, (name, ""))
        if name.startswith("fees."):
            label, unit = "Fees paid", name.removeprefix("fees.")
        unit = unit.format(asset=asset)
        if value is not None and unit == "s":
            value, unit = duration(value)
        yield label, "–" if value is None else _number(value * 100 if unit.startswith("%") else value), unit


def halts(reading: Reading) -> Iterator[str]:
    for halt in reading.digest.halts:
        failed = ", ".join(f"{check.rule} {check.value} > {check.limit}" for check in halt.checks if not check.passed)
        yield f"{iso_s(halt.ns)} HALTED by {halt.rule}: {halt.reason}" + (
            f" (checks that failed: {failed})" if failed else ""
        )


def gaps(reading: Reading) -> Iterator[str]:
    found = reading.digest.all_gaps()
    for gap in found[:GAPS_SHOWN]:
        until = f" to {iso_s(gap.end_ns)}" if gap.end_ns > gap.start_ns else ""
        yield f"{iso_s(gap.start_ns)}{until} {gap.where}: {gap.what}" + (f", {gap.detail}" if gap.detail else "")
    if reading.digest.gap_count > GAPS_SHOWN:
        yield f"{reading.digest.gap_count:,} in all; every one is in state.jsonl"


def record(reading: Reading) -> Iterator[str]:
    digest = reading.digest
    yield f"{digest.counts.total():,} records, head `{digest.head.hex()}`"
    match reading.differences():
        case None:
            yield "The session never closed its account; the figures above are what its records make, by the last fills"
        case []:
            yield "Cash and equity at the close equal what the records make when they are added up again"
        case found:
            yield from (f"DIFFERENCE: {one}" for one in found)


def data(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    return list(manifest.get("data") or [])


def _orders(reading: Reading) -> str:
    ended = ", ".join(f"{count:,} {state.value}" for state, count in reading.orders.ended.most_common())
    return f"{reading.digest.counts['OrderSubmitted']:,}" + (f" ({ended})" if ended else "")


def duration(s: float) -> tuple[float, str]:
    """In the largest unit of which there are two."""
    return next(
        ((s / size, unit) for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")) if s >= 2 * size), (s, "s")
    )


def _number(value: float) -> str:
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1_000 else money.plain(Decimal(f"{value:.4g}"))


def _bullets(lines: Iterable[str]) -> list[str]:
    return [f"- {_one_line(line)}" for line in lines]


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    lines = [f"| {_one_line(left)} | {_one_line(right)} |" for left, right in rows]
    return ["| | |", "|---|---|", *lines] if lines else []


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
