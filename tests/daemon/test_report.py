"""The report: one file, no network, nothing hidden, whatever state the session was left in."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import (
    BookInvalidated,
    BookRestored,
    DataGap,
    FeedLost,
    OrderRefused,
    OrderRejected,
    SessionClosed,
    TradingStateChanged,
)
from bus.values import Check, Side, TradingState
from daemon.reading import charts, drawing
from daemon.reading.digest import Gap
from daemon.reading.drawing import Buckets, Fills
from daemon.reading.report import ReportError, write_report
from daemon.session import Session
from daemon.setup.doctor import ROOT
from tests.daemon.synthetic import PERP, SPOT, START, D, Story, write_curve

pytest.importorskip("plotly", reason="the report is drawn with plotly, an extra")

BUY, SELL = Side.BUY, Side.SELL
METRICS: dict[str, float | None] = {
    "total_return": 0.00123,
    "max_drawdown_s": 90_000.0,
    "cagr": None,
    "expectancy": 3.2,
    "fees.USDT": 2.0,
}


class Page(HTMLParser):
    """What a browser would load, and what a person would read."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._silent = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def drawn(session: Session, metrics: dict[str, float | None] | None = None) -> tuple[Page, dict[str, Any]]:
    """The page, and the figure that is in it."""
    text = write_report(session, metrics).read_text()
    found = re.search(r"^const figure = (.*);$", text, re.MULTILINE)
    assert found is not None
    return Page(text), json.loads(found[1])


def traces(figure: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [trace for trace in figure["data"] if trace["name"] == name]


def a_full_session(path: Path, **manifest: Any) -> Session:
    story = Story(path, **manifest)
    story.trade(BUY, "2", "100", fee="1")
    story.tell(FeedLost(story.now, "ws1", "reset by peer"))
    story.tell(BookInvalidated(story.now, SPOT.name, "disconnected"))
    story.tell(BookRestored(story.now, SPOT.name, 7))
    story.tell(DataGap(story.now, SPOT.name, "trade", 11, 15))
    story.tell(OrderRefused(story.now, "i1", "trend", SPOT.name, "max_notional", "200 > 100", []))
    story.trade(SELL, "1", "210", instrument=PERP)
    session = story.close("99999", {"USDT": "99799", "BTC": "2"}, {SPOT.name: "100", PERP.name: "210"})
    write_curve(session, [100_000.0, None, 99_999.0], {SPOT.name: [None, 100.0, 101.0]})
    return session


# --- one file --------------------------------------------------------------------------------------------------


def test_the_page_loads_nothing(tmp_path):
    page, _ = drawn(a_full_session(tmp_path / "s"))

    assert [tag for tag, _ in page.tags if tag in ("link", "img", "iframe", "object", "base", "form", "a")] == []
    assert [attrs for _, attrs in page.tags if {"src", "href", "srcset", "action"} & attrs.keys()] == []
    (policy,) = [attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_no_style_reaches_out(tmp_path):
    text = write_report(a_full_session(tmp_path / "s"), None).read_text()

    style = text[text.index("<style>") : text.index("</style>")]
    assert not re.search(r"url\(|@import|http", style)


def test_the_chart_offers_no_button_that_sends_it_somewhere(tmp_path):
    text = write_report(a_full_session(tmp_path / "s"), None).read_text()

    assert "displaylogo: false" in text
    assert 'modeBarButtons: [["toImage"]' in text  # a list of what is there, so a newer plotly.js cannot add to it


def test_plotly_knows_every_word_of_the_figure(tmp_path):
    import plotly.graph_objects as go

    _, figure = drawn(a_full_session(tmp_path / "s"))

    go.Figure(figure)  # raises ValueError for a property that does not exist


def test_names_from_outside_cannot_become_markup(tmp_path):
    nasty = "</script><script>alert(1)</script><b>&"
    story = Story(tmp_path / "s", models=[nasty], synthetic=True, synthetic_by=nasty)
    story.tell(OrderRefused(story.now, "i", "trend", SPOT.name, nasty, nasty, []))
    story.tell(DataGap(story.now, SPOT.name, nasty, 1, 2))
    story.tell(OrderRejected(story.now, "c", nasty, nasty))
    story.tell(TradingStateChanged(story.now, TradingState.HALTED, nasty, nasty, []))

    text = write_report(story.leave(), {nasty: 1.0}).read_text()

    assert "<script>alert" not in text
    assert Page(text).text.count("alert(1)") >= 6
    figure = re.search(r"^const figure = (.*);$", text, re.MULTILINE)
    assert figure is not None
    assert "<" not in figure[1]


def test_drawing_a_report_does_not_load_the_python_side_of_plotly(tmp_path):
    session = a_full_session(tmp_path / "s")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
        "from pathlib import Path; from bus import money\n"
        "from daemon.reading.report import write_report; from daemon.session import Session\n"
        "money.install(); before = 'plotly' in sys.modules\n"
        f"write_report(Session.open(Path({str(session.path)!r})), None)\n"
        "print(before, 'plotly.graph_objs' in sys.modules, 'pandas' in sys.modules)"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert said == "False False False\n"


def test_without_plotly_it_says_what_to_install(tmp_path, monkeypatch):
    session = a_full_session(tmp_path / "s")
    monkeypatch.setitem(sys.modules, "plotly", None)

    with pytest.raises(ReportError, match=r"argus-trader\[report\]"):
        write_report(session, None)
    assert not (session.path / "report.html").exists()


# --- what it says ----------------------------------------------------------------------------------------------


def test_a_synthetic_run_is_announced_above_everything(tmp_path):
    page, _ = drawn(a_full_session(tmp_path / "s", synthetic=True, synthetic_by="demo generator 1"))

    assert page.text.startswith("SYNTHETIC RUN: s SYNTHETIC RUN Made by demo generator 1")


def test_a_recorded_run_is_not(tmp_path):
    page, _ = drawn(a_full_session(tmp_path / "s"))

    assert "SYNTHETIC" not in page.text


def test_metrics_have_names_and_units_and_a_dash_where_there_is_none(tmp_path):
    page, _ = drawn(a_full_session(tmp_path / "s"), METRICS)

    for row in (
        "Total return 0.123 %",
        "Compound annual growth – % a year",
        "Longest time below a peak 25 h",
        "Mean result of a round trip 3.2 USDT",
        "Fees paid 2 USDT",
    ):
        assert row in page.text


def test_metrics_of_the_manifest_stand_in_for_none(tmp_path):
    page, _ = drawn(a_full_session(tmp_path / "s", metrics={"sharpe": 1.5}))

    assert "Sharpe ratio, annual 1.5 ratio" in page.text


def test_the_page_says_where_everything_came_from(tmp_path):
    session = a_full_session(tmp_path / "s")

    page, _ = drawn(session)

    for said in (
        "made/up.jsonl test recording " + "cd" * 32,
        "entry: uniform (low_ms 50, high_ms 200)",
        "max_notional 1",
        "ws1 feed lost reset by peer",
        "Cash and equity at the close equal what the records make",
        "Build 0.1.0, source sha256 " + "ab" * 32,
    ):
        assert said in page.text
    assert re.search(r"\d+ records, head [0-9a-f]{64}", page.text)


def test_a_halt_cannot_be_missed(tmp_path):
    story = Story(tmp_path / "s")
    failed = [Check("session_drawdown", False, "412.0", "400")]
    story.tell(TradingStateChanged(story.now, TradingState.HALTED, "session_drawdown", "412.0 > 400", failed))

    page, figure = drawn(story.leave())

    assert "Trading was halted" in page.text
    assert [shape["line"]["dash"] for shape in figure["layout"]["shapes"]] == ["dash"]
    assert any("HALTED: session_drawdown" in note["text"] for note in figure["layout"]["annotations"])


def test_an_account_that_does_not_add_up_cannot_be_missed(tmp_path):
    story = Story(tmp_path / "s")
    story.tell(SessionClosed(story.now, D(100_001), "USDT", {"USDT": D(100_001)}, {}))

    page, _ = drawn(story.leave())

    assert "The account does not add up" in page.text


def test_only_the_last_fills_are_listed_and_it_says_so(tmp_path):
    story = Story(tmp_path / "s")
    for _ in range(drawing.LAST_FILLS + 3):
        story.trade(BUY, "0.001", "100")

    page, _ = drawn(story.leave())

    assert "The last 200 of 203" in page.text
    assert "c-trend-203" in page.text
    assert "c-trend-3 " not in page.text


# --- the chart -------------------------------------------------------------------------------------------------


def test_buys_and_sells_differ_by_shape_and_say_their_size(tmp_path):
    _, figure = drawn(a_full_session(tmp_path / "s"))

    (buys,) = [trace for trace in traces(figure, "Buy") if trace["x"]]
    (sells,) = [trace for trace in traces(figure, "Sell") if trace["x"]]
    assert (buys["marker"]["symbol"], buys["text"]) == ("triangle-up", ["Buy 2 at 100 USDT"])
    assert (sells["marker"]["symbol"], sells["text"]) == ("triangle-down-open", ["Sell 1 at 210 USDT"])


def test_every_panel_has_a_title_and_a_unit(tmp_path):
    _, figure = drawn(a_full_session(tmp_path / "s"))

    layout = figure["layout"]
    titles = [note["text"] for note in layout["annotations"]]
    units = [axis["title"]["text"] for name, axis in layout.items() if name.startswith("yaxis")]
    panels = ["Equity", "Drawdown from the peak", SPOT.name, PERP.name, "Gross exposure", "Data gaps"]
    assert titles == [f"<b>{panel}</b>" for panel in panels]
    assert units == ["USDT", "%", "USDT", "USDT", "USDT", ""]
    assert layout["xaxis"]["title"]["text"] == "Time (UTC)"


def test_gaps_are_marked_where_they_were(tmp_path):
    _, figure = drawn(a_full_session(tmp_path / "s"))

    (row,) = traces(figure, "Data gap")
    at = [(x - START / 1e6) / 1e3 for x in row["x"] if x is not None]
    assert at == [6.0, 16.0, 7.0, 8.0, 9.0, 9.0]  # lost to the end; the book; the missing ids
    assert [(shape["x0"], shape["x1"]) for shape in figure["layout"]["shapes"]] == [
        ((START + 6e9) / 1e6, (START + 16e9) / 1e6)
    ]


def test_a_curve_with_holes_keeps_them(tmp_path):
    _, figure = drawn(a_full_session(tmp_path / "s"))

    assert traces(figure, "Equity")[0]["y"] == [100_000.0, None, 99_999.0]
    assert traces(figure, "Drawdown")[0]["y"] == [0.0, None, pytest.approx(-0.001)]


def test_a_session_that_was_killed_is_drawn_from_its_fills(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(BUY, "2", "100", fee="1")

    page, figure = drawn(story.leave())

    assert traces(figure, "Equity")[0]["y"] == [100_000.0, 99_999.0]
    assert traces(figure, "Exposure") == []
    assert "equity is drawn at fills" in page.text
    assert "It did not get to say how it ended" in page.text


def test_a_session_in_which_nothing_happened_is_drawn_too(tmp_path):
    page, figure = drawn(Story(tmp_path / "s").leave())

    assert traces(figure, "Equity")[0]["mode"] == "lines+markers"  # one point alone draws no line
    assert "Nothing was filled." in page.text


def test_thousands_of_fills_share_markers_and_the_page_says_so(tmp_path):
    story = Story(tmp_path / "s")
    for number in range(1500):
        story.trade(BUY if number % 2 else SELL, "0.001", "100")

    page, figure = drawn(story.leave())

    markers = sum(len(trace["x"]) for name in ("Buy", "Sell") for trace in traces(figure, name))
    assert 0 < markers <= drawing.MARKERS
    assert f"1,500 fills are drawn as {markers:,} markers" in page.text


def test_more_gaps_than_can_be_told_apart_do_not_shade_what_was_there():
    every_second = [Gap(START + i * 10**9, START + i * 10**9, "ids missing", "x", "") for i in range(10_000)]
    one_long = Gap(START + 50 * 10**9, START + 60 * 10**9, "feed lost", "ws", "")
    series = drawing.Series("USDT", START, START + 10_000 * 10**9, gaps=[*every_second[::25], one_long])

    shapes = charts.figure(series)["layout"]["shapes"]

    assert len(shapes) == 1
    assert (shapes[0]["x1"] - shapes[0]["x0"]) / 1e3 == pytest.approx(10)


@pytest.mark.property
@given(
    st.lists(
        st.tuples(st.sampled_from([BUY, SELL]), st.integers(0, 10**12), st.integers(1, 1000), st.integers(1, 1000))
    ),
    st.integers(2, 20),
)
def test_sharing_markers_loses_no_fill(fills, most):
    buckets: Buckets[Side, Fills] = Buckets(most, Fills.both)

    for side, ns, size, price in sorted(fills, key=lambda fill: fill[1]):
        buckets.add(side, ns, Fills(1, size, size * price))

    assert len(buckets) <= most
    for side in (BUY, SELL):
        mine = [fill for fill in fills if fill[0] is side]
        marks = [mark for _, mark in buckets.of(side)]
        assert sum(mark.count for mark in marks) == len(mine)
        assert sum(mark.size for mark in marks) == sum(size for _, _, size, _ in mine)
        assert sum(mark.quoted for mark in marks) == sum(size * price for _, _, size, price in mine)
        assert [ns for ns, _ in buckets.of(side)] == sorted(ns for ns, _ in buckets.of(side))


@pytest.mark.property
@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 50))), st.integers(0, 20))
def test_bands_cover_every_gap_and_never_touch(drawn_gaps, nearest):
    gaps = [Gap(start, start + length, "feed lost", "x", "") for start, length in drawn_gaps]

    found = charts.bands(gaps, nearest)

    assert all(any(start <= gap.start_ns and gap.end_ns <= end for start, end in found) for gap in gaps)
    assert all(after[0] - before[1] > nearest for before, after in pairwise(found))
    assert all(any(gap.start_ns == start for gap in gaps) for start, _ in found)
