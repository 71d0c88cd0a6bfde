"""``report.html``: a session on one page, in one file that needs no network.

Read from the journal in one pass, with the sampled curve where the session left one and its fills where not. The page
is ``daemon/reading/report.html`` with its holes filled; whatever fills them is escaped here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import orjson

from bus import journal, money
from bus.clock import SECOND
from bus.events import OrderFilled
from bus.values import ONE, Side
from daemon.reading import calibration, charts, narrative
from daemon.reading.digest import Gap, Reading, iso, iso_s
from daemon.reading.drawing import Drawn, Series
from daemon.reading.export import read_curve
from daemon.reading.fold import text_of
from daemon.session import Session, replace_file

GAPS_LISTED = 100
SHORT = Decimal("1E-8")
NOTICES = 10


class ReportError(Exception):
    """The report cannot be drawn; the text says what to do."""


def write_report(session: Session, metrics: Mapping[str, float | None] | None, compared: Sequence[str] = ()) -> Path:
    """Write ``report.html`` into the session. ``metrics`` None: those of the manifest, if it has any; ``compared`` says
    how another session of the same market differs (``daemon/reading/against.py``).

    Raises JournalError, FoldError, SessionError, and ReportError without plotly.
    """
    plotly = plotly_js()
    drawn = Drawn(read_curve(session))
    for entry in journal.read(session.journal):
        drawn.note(entry, entry.event())
    series = drawn.series()
    manifest, reading = session.manifest, drawn.reading
    name = session.path.resolve().name
    page = Template(resources.files("daemon.reading").joinpath("report.html").read_text(encoding="utf-8")).substitute(
        title=escape(f"{narrative.SYNTHETIC}: {name}" if manifest.get("synthetic") else name),
        banner=_banner(manifest),
        heading=escape(f"Session {name}"),
        opening=escape(narrative.opening_line(manifest, reading)),
        notices=_notices(reading),
        key="".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in _key(manifest, reading)),
        chart_note=escape(_chart_note(drawn, series)),
        sections=_sections(
            manifest,
            manifest.get("metrics") if metrics is None else metrics,
            drawn,
            calibration.read(session),
            compared,
        ),
        plotly=plotly,
        # "<" in a name must not end the script it stands in
        figure=orjson.dumps(charts.figure(series)).decode().replace("<", "\\u003c"),
    )
    path = session.path / "report.html"
    replace_file(path, page.encode())
    return path


def plotly_js() -> str:
    """The drawing library as plotly ships it, to be put into the page. Nothing of its Python side is loaded."""
    try:
        return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError) as error:
        raise ReportError("a report needs plotly: pip install 'argus-trader[report]'") from error


def _banner(manifest: Mapping[str, Any]) -> str:
    if not manifest.get("synthetic"):
        return ""
    note = escape(narrative.synthetic_note(manifest))
    return f'<div class="banner" role="alert"><strong>{narrative.SYNTHETIC}</strong>{note}</div>'


def _notices(reading: Reading) -> str:
    """What a reader must not miss: halts, and an account that does not add up."""
    parts = []
    for title, lines in (
        ("Trading was halted", list(narrative.halts(reading))),
        ("Something failed", [f"{iso_s(one.ns)} {one.what}" for one in reading.digest.failures]),
        ("The account does not add up", reading.differences() or []),
    ):
        if lines:
            more = [f"and {len(lines) - NOTICES:,} more, in state.jsonl"] if len(lines) > NOTICES else []
            parts.append(
                f'<div class="notice" role="alert"><strong>{title}</strong>{_list([*lines[:NOTICES], *more])}</div>'
            )
    return "".join(parts)


def _key(manifest: Mapping[str, Any], reading: Reading) -> Iterator[tuple[str, str]]:
    """The figures looked for first."""
    summary, digest, asset = manifest.get("summary") or {}, reading.digest, reading.account.asset
    start, end = summary.get("equity_start"), reading.equity()
    yield "Equity at the end", "not known" if end is None else f"{end:,.2f} {asset}"
    yield "Result", "not known" if start is None or end is None else _result(float(start), float(end), asset)
    fell = summary.get("max_drawdown")
    yield "Largest drawdown", "not known" if fell is None else f"{100 * fell:.3f} %"
    yield "Fills", f"{digest.counts['OrderFilled']:,}"
    yield "Orders", f"{digest.counts['OrderSubmitted']:,}"
    yield "Refused", f"{digest.counts['OrderRefused']:,}"
    yield "Fees", text_of({asset: _short(fee) for asset, fee in reading.account.fees.items()}) or "none"
    yield "Data gaps", f"{digest.gap_count:,}"


def _result(start: float, end: float, asset: str) -> str:
    return f"{end - start:+,.2f} {asset}" + (
        f" ({100 * (end / start - 1):+.3f}\N{NO-BREAK SPACE}%)" if start > 0 else ""
    )


def _short(amount: Decimal) -> Decimal:
    """For reading: the files beside the report have every digit."""
    return money.divide(amount, ONE, SHORT)


def _chart_note(drawn: Drawn, series: Series) -> str:
    notes = ["Drag to zoom in, double-click to zoom out; all times are UTC."]
    if drawn.curve is None:
        notes.append("No curve was sampled, so equity is drawn at fills, by their prices, and exposure is left out.")
    elif drawn.curve.get("step_ns"):
        step, unit = narrative.duration(drawn.curve["step_ns"] / SECOND)
        notes.append(f"Equity, prices and exposure were sampled every {step:.3g} {unit}.")
    fills = drawn.reading.digest.counts["OrderFilled"]
    markers = sum(len(marks) for marks in drawn.fills.values())
    if markers < fills:
        notes.append(
            f"{fills:,} fills are drawn as {markers:,} markers: fills of one side that come close together share one, "
            "at their average price."
        )
    left_out = len({*series.prices, *series.fills}) - len(charts.shown(series))
    if left_out:
        notes.append(f"Prices of {left_out} more instruments are left out: those shown have the most fills.")
    if drawn.reading.digest.gap_count:
        notes.append("Bands and dotted lines mark data known to be missing; the lowest row names every gap.")
    return " ".join(notes)


def _sections(
    manifest: Mapping[str, Any],
    metrics: Mapping[str, float | None] | None,
    drawn: Drawn,
    found: Mapping[str, Any] | None,
    compared: Sequence[str],
) -> str:
    reading, digest = drawn.reading, drawn.reading.digest
    counts, gaps = digest.counts, digest.all_gaps()
    refused = [(rule, f"{count:,}") for rule, count in digest.refused.most_common()]
    rejected = [(code, f"{count:,}") for code, count in digest.rejected.most_common()]
    return "".join(
        (
            _beside(
                ("Metrics", _table(METRICS, narrative.figures(metrics, reading), "No metrics were computed.")),
                ("Results", _table(RESULTS, narrative.results(manifest, reading), "")),
            ),
            *([_part("Against another session", _list(compared))] if compared else ()),
            *_council(found),
            _part("Positions", _table(POSITIONS, _positions(reading), "Nothing was traded.")),
            _beside(
                ("Refusals by rule", _table(REFUSED, refused, "Nothing was refused.")),
                ("Rejections by the venue", _table(REJECTED, rejected, "The venue rejected nothing.")),
            ),
            _part(
                "Gaps in the data",
                _table(GAPS, _gaps(gaps), "No data is known to be missing.", digest.gap_count, "first"),
            ),
            _part("Fills", _table(FILLS, _fills(drawn.last), "Nothing was filled.", counts["OrderFilled"], "last")),
            _part("Models and their assumptions", _list(manifest.get("models") or ["None were named."])),
            _part("Data", _table(DATA, _data(manifest), "No data set was named.")),
            _part("The record", _list(_record(manifest, reading))),
        )
    )


def _council(found: Mapping[str, Any] | None) -> Iterator[str]:
    """How good the council's voters were, of all bars and in each regime."""
    for name, part in calibration.parts(found) if found is not None else ():
        rows = calibration.rows(found or {}, part)
        yield _part(f"Council, {escape(calibration.heading(name, part))}", _table(calibration.COLUMNS, rows, ""))


def _part(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>"


def _beside(*parts: tuple[str, str]) -> str:
    return '<div class="columns">' + "".join(_part(title, content) for title, content in parts) + "</div>"


# Columns of the tables; one that ends in ">" is a number and stands right.
METRICS = ("Metric", "Value>", "Unit")
RESULTS = ("What", "Amount")
REFUSED = ("Rule", "Refused>")
REJECTED = ("Code", "Rejected>")
POSITIONS = ("Instrument", "Filled>", "Held>", "Average entry>", "Realised>", "In", "Funding>", "Fees")
GAPS = ("From (UTC)", "To (UTC)", "Where", "What", "Detail")
FILLS = ("Time (UTC)", "Instrument", "Side", "Size>", "Price>", "Fee>", "Of", "Liquidity", "Matched against", "Order")
DATA = ("File", "Venue", "Kind", "SHA-256")


def _positions(reading: Reading) -> Iterator[Sequence[str]]:
    for name, one in reading.account.positions.items():
        entry = "" if one.average_entry is None else money.plain(_short(one.average_entry))
        amounts = money.plain(one.size), money.plain(one.inventory), entry, money.plain(_short(one.realised))
        yield name, *amounts, one.asset, money.plain(_short(one.funding)), text_of(one.fees)


def _gaps(gaps: Sequence[Gap]) -> Iterator[Sequence[str]]:
    for gap in gaps[:GAPS_LISTED]:
        end = iso_s(gap.end_ns) if gap.end_ns > gap.start_ns else ""
        yield iso_s(gap.start_ns), end, gap.where, gap.what, gap.detail


def _fills(fills: Iterable[OrderFilled]) -> Iterator[Sequence[str]]:
    for fill in fills:
        amounts = map(money.plain, (fill.size, fill.price, fill.fee))
        matched = f"{fill.source.value}, {fill.model}"
        side = ("▲ " if fill.side is Side.BUY else "▼ ") + fill.side.value
        yield (
            iso(fill.ns)[:23] + "Z",
            fill.instrument,
            side,
            *amounts,
            fill.fee_asset,
            fill.liquidity.value,
            matched,
            fill.client_id,
        )


def _data(manifest: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    for item in narrative.data(manifest):
        yield tuple(str(item.get(name, "")) for name in ("path", "venue", "kind", "sha256"))


def _record(manifest: Mapping[str, Any], reading: Reading) -> Iterator[str]:
    yield from (line.replace("`", "") for line in narrative.record(reading))
    build = manifest.get("build") or {}
    yield f"Build {build.get('version', 'unknown')}, source sha256 {build.get('sha256', 'unknown')}"
    ended = manifest.get("ended") or "without a word"
    yield f"Seed {manifest.get('seed')}; started {manifest.get('started')}, ended {ended}"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], empty: str, total: int = 0, which: str = "") -> str:
    """``total`` is how many there are, of which the rows may be fewer: the first or the last."""
    numbers = [name.endswith(">") for name in columns]
    body = ["".join(_cell(text, number) for text, number in zip(row, numbers, strict=True)) for row in rows]
    if not body:
        return f"<p>{empty}</p>"
    head = "".join(
        f'<th{NUMBER if n else ""} scope="col">{escape(name.rstrip(">"))}</th>'
        for name, n in zip(columns, numbers, strict=True)
    )
    caption = f"<caption>The {which} {len(body):,} of {total:,}</caption>" if total > len(body) else ""
    lines = "".join(f"<tr>{line}</tr>" for line in body)
    return f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'


NUMBER = ' class="n"'


def _cell(text: str, number: bool) -> str:
    return f"<td{NUMBER if number else ''}>{escape(text)}</td>"


def _list(lines: Iterable[str]) -> str:
    return '<ul class="plain">' + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"
