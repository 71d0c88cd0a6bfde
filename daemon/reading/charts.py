"""The report's chart, as the plain description plotly.js draws: panels under one another on one time axis.

Nothing is told by colour alone: buys point up and sells down, gaps have a row of their own, halts are labelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bus.clock import SECOND
from bus.events import TradingStateChanged
from bus.values import Side
from daemon.reading.digest import Gap
from daemon.reading.drawing import Fills, Series

PRICE_PANELS = 4
BANDS = 200
GAPS = 5_000
FEW = 200

INK, MUTED, GRID = "#1d2733", "#5a6675", "#e3e7ec"
EQUITY, LOSS, PRICE, EXPOSURE = "#1f4e8c", "#a33b20", "#6b7684", "#4b6b57"
BUY, SELL, GAP, HALT = "#1662b5", "#c2500a", "#8a6d1f", "#a1121f"


def shown(series: Series) -> list[str]:
    """The instruments that get a price panel: those with the most markers first."""
    names = {*series.prices, *series.fills}
    return sorted(names, key=lambda name: (-len(series.fills.get(name, ())), name))[:PRICE_PANELS]


def figure(series: Series) -> dict[str, Any]:
    """``data`` and ``layout`` for plotly.js."""
    data: list[dict[str, Any]] = []
    panels = [_Panel("Equity", series.asset, 3.0), _Panel("Drawdown from the peak", "%", 1.5)]
    times = [_ms(ns) for ns in series.t_ns]
    below = drawdown(series.equity)
    data.append(_line("y", times, series.equity, name="Equity", colour=EQUITY, unit=series.asset))
    data.append(_line("y2", times, below, name="Drawdown", colour=LOSS, unit="%", fill="tozeroy"))
    for name in shown(series):
        panels.append(_Panel(name, series.quotes.get(name, ""), 3.0))
        data += _price(f"y{len(panels)}", name, series)
    if series.gross:
        panels.append(_Panel("Gross exposure", series.asset, 1.5, from_zero=True))
        look = {"name": "Exposure", "colour": EXPOSURE, "unit": series.asset, "fill": "tozeroy"}
        data.append(_line(f"y{len(panels)}", times, series.gross, **look))
    if series.gaps:
        panels.append(_Panel("Data gaps", "", 0.5, bare=True))
        data += _gap_row(f"y{len(panels)}", series.gaps)
    return {"data": data, "layout": _layout(panels, series)}


def drawdown(equity: Iterable[float | None]) -> list[float | None]:
    """Below the highest so far, in percent of it: 0 at a peak, negative under it."""
    below: list[float | None] = []
    peak = 0.0
    for value in equity:
        peak = peak if value is None else max(peak, value)
        below.append(None if value is None or peak <= 0 else 100.0 * (value / peak - 1.0))
    return below


def bands(gaps: Iterable[Gap], nearest_ns: int) -> list[tuple[int, int]]:
    """The stretches of gaps, merged where they overlap or are nearer than ``nearest_ns``."""
    merged: list[tuple[int, int]] = []
    for gap in sorted(gaps):
        if merged and gap.start_ns - merged[-1][1] <= nearest_ns:
            merged[-1] = merged[-1][0], max(merged[-1][1], gap.end_ns)
        else:
            merged.append((gap.start_ns, gap.end_ns))
    return merged


@dataclass(frozen=True)
class _Panel:
    title: str
    unit: str
    share: float
    from_zero: bool = False
    bare: bool = False


def _line(axis: str, x: Any, y: Any, *, name: str, colour: str, unit: str, **more: Any) -> dict[str, Any]:
    known = sum(value is not None for value in y)
    return {
        "type": "scatter",
        "mode": "lines" if known > 2 else "lines+markers",  # one point alone draws no line
        "x": x,
        "y": list(y),
        "yaxis": axis,
        "name": name,
        "line": {"color": colour, "width": 1.6},
        "fillcolor": _faint(colour),
        "hovertemplate": "%{y:,.8~g} " + unit,
        "showlegend": False,
        **more,
    }


def _price(axis: str, name: str, series: Series) -> list[dict[str, Any]]:
    traces = []
    quote = series.quotes.get(name, "")
    times, prices = series.prices.get(name, ((), ()))
    if times:
        traces.append(_line(axis, [_ms(ns) for ns in times], prices, name="Price", colour=PRICE, unit=quote))
    fills = series.fills.get(name)
    if fills is None:
        return traces
    for side, label, symbol, colour in (
        (Side.BUY, "Buy", "triangle-up", BUY),
        (Side.SELL, "Sell", "triangle-down-open", SELL),
    ):
        marks = fills.of(side)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": [_ms(ns) for ns, _ in marks],
                "y": [mark.price for _, mark in marks],
                "yaxis": axis,
                "name": label,
                "legendgroup": label,
                "showlegend": name == shown(series)[0],
                "text": [_said(label, mark, quote) for _, mark in marks],
                "hovertemplate": "%{text}<extra></extra>",
                "marker": {
                    "symbol": symbol,
                    "size": 11 if len(fills) < FEW else 8,
                    "color": colour,
                    "line": {"color": colour, "width": 1.6},
                },
            }
        )
    return traces


def _said(label: str, mark: Fills, quote: str) -> str:
    fills = "" if mark.count == 1 else f" in {mark.count:,} fills, on average"
    return _plain(f"{label} {mark.size:,.8g}{fills} at {mark.price:,.8g} {quote}")


def _gap_row(axis: str, gaps: Sequence[Gap]) -> list[dict[str, Any]]:
    """Each gap where it was, to be pointed at: a bar for a stretch, a tick for a moment."""
    x: list[float | None] = []
    text: list[str | None] = []
    for gap in gaps[:GAPS]:
        said = _plain(f"{gap.where}: {gap.what}" + (f", {gap.detail}" if gap.detail else ""))
        x += [_ms(gap.start_ns), _ms(gap.end_ns), None]
        text += [said, said, None]
    return [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "x": x,
            "y": [None if at is None else 0 for at in x],
            "yaxis": axis,
            "name": "Data gap",
            "text": text,
            "hovertemplate": "%{text}<extra></extra>",
            "line": {"color": GAP, "width": 6},
            "marker": {"symbol": "line-ns", "size": 12, "line": {"color": GAP, "width": 2}},
            "showlegend": True,
        }
    ]


def _layout(panels: Sequence[_Panel], series: Series) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "height": 90 + round(sum(panel.share * 74 + 26 for panel in panels)),
        "margin": {"l": 84, "r": 16, "t": 34, "b": 48},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": INK},
        "hovermode": "x",
        "hoversubplots": "axis",
        "dragmode": "zoom",
        "legend": {"orientation": "h", "x": 0.5, "xanchor": "center", "y": 1, "yanchor": "bottom"},
        "shapes": _bands(series) + [_halt(change.ns) for change in series.halts[:BANDS]],
        "annotations": [_halt_label(change, series) for change in series.halts[:3]],
        "xaxis": {
            "type": "date",
            "title": {"text": "Time (UTC)", "standoff": 22},
            "automargin": True,
            "anchor": "y" if len(panels) == 1 else f"y{len(panels)}",
            "gridcolor": GRID,
            "linecolor": GRID,
            "zeroline": False,
            "showspikes": True,
            "spikemode": "across",
            "spikethickness": 1,
            "spikecolor": MUTED,
            "spikedash": "dot",
            **_range(series),
        },
    }
    gap = 26 / (layout["height"] - 90)  # room for a panel's title, whatever the height
    room = 1.0 - gap * (len(panels) - 1)
    total = sum(panel.share for panel in panels)
    top = 1.0
    for number, panel in enumerate(panels, 1):
        height = room * panel.share / total
        layout["yaxis" if number == 1 else f"yaxis{number}"] = {
            "domain": [max(0.0, top - height), top],
            "title": {"text": panel.unit, "font": {"size": 12}, "standoff": 6},
            "automargin": True,
            "gridcolor": GRID,
            "zeroline": panel.from_zero,
            "zerolinecolor": GRID,
            "linecolor": GRID,
            "tickformat": ",.8~g",
            "nticks": 5,
            **({"rangemode": "tozero"} if panel.from_zero else {}),
            **(
                {"showticklabels": False, "showgrid": False, "range": [-1, 1], "fixedrange": True} if panel.bare else {}
            ),
        }
        layout["annotations"].append(_title(panel.title, top))
        top -= height + gap
    return layout


def _range(series: Series) -> dict[str, Any]:
    """The whole session with a little air, also where nothing happened at its edges."""
    air = max((series.end_ns - series.start_ns) // 100, SECOND // 2)
    return {"range": [_ms(series.start_ns - air), _ms(series.end_ns + air)]}


def _bands(series: Series) -> list[dict[str, Any]]:
    stretches = bands(series.gaps, max((series.end_ns - series.start_ns) // 1_000, 1))
    if len(stretches) > BANDS:  # the row of gaps still shows every one
        longest = sorted(stretches, key=lambda band: band[0] - band[1])[:BANDS]
        stretches = [(start, end) for start, end in longest if end > start]
    return [
        {
            "type": "rect",
            "layer": "below",
            "yref": "paper",
            "x0": _ms(start),
            "x1": _ms(end),
            "y0": 0,
            "y1": 1,
            "fillcolor": _faint(GAP),
            "line": {"color": GAP, "width": 0.8, "dash": "dot"},
        }
        for start, end in stretches
    ]


def _halt(ns: int) -> dict[str, Any]:
    line = {"color": HALT, "width": 2, "dash": "dash"}
    return {"type": "line", "yref": "paper", "x0": _ms(ns), "x1": _ms(ns), "y0": 0, "y1": 1, "line": line}


def _title(text: str, top: float) -> dict[str, Any]:
    place = {"xref": "paper", "yref": "paper", "x": 0, "y": top, "xanchor": "left", "yanchor": "bottom"}
    return {"text": f"<b>{_plain(text)}</b>", "font": {"size": 13}, "showarrow": False, **place}


def _halt_label(change: TradingStateChanged, series: Series) -> dict[str, Any]:
    late = 2 * change.ns > series.start_ns + series.end_ns  # then there is more room to the left
    return {
        "text": f" HALTED: {_plain(change.rule)} ",
        "font": {"color": HALT, "size": 12},
        "bgcolor": "rgba(255,255,255,0.85)",
        "showarrow": False,
        "x": _ms(change.ns),
        "y": 1,
        "yref": "paper",
        "xanchor": "right" if late else "left",
        "yanchor": "top",
    }


def _plain(text: str) -> str:
    """plotly.js reads a little HTML in its texts; ours are only ever text."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def _ms(ns: int) -> float:
    return ns / 1e6


def _faint(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.12)"
