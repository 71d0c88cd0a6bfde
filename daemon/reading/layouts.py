"""A session's files under the names that older documents give them: ``argus export SESSION --layout logos|argus``.

Copies, made anew each time; the session's own directory stays what counts.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from daemon.live.execution_log import EXECUTION_LOG
from daemon.log import RUN_LOG
from daemon.session import Session, replace_file

LOGOS, ARGUS = "logos", "argus"
_SESSION_FILES = (
    *("state.json", "state.jsonl", "orders.csv", "trades.csv", "positions.csv", "account.csv", "session.md"),
)
_ARGUS_FILES: Mapping[str, str] = {
    "cortex.json": "cortex.json",
    "portfolio_state.json": "portfolio_state.json",
    "data/flight_recorder.csv": "flight_recorder.csv",
    "data/argus_execution.log": EXECUTION_LOG,
}
"""Where a file is to be found, and what it is called in a session."""


def write(session: Session, layout: str, folder: Path) -> list[Path]:
    """What the layout names and the session has; the paths written."""
    pieces = _logos(session) if layout == LOGOS else _argus(session)
    written = []
    for name, data in pieces:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, data)
        written.append(path)
    if layout == LOGOS and (log := session.path / RUN_LOG).is_file():
        written.append(_shared_log(folder / "logos" / "logs" / "live.log", session.path.name, log))
    return written


def _argus(session: Session) -> Iterator[tuple[str, bytes]]:
    for name, ours in _ARGUS_FILES.items():
        if (file := session.path / ours).is_file():
            yield name, file.read_bytes()
    # Live and paper are kept apart.
    state = "prime_state.json" if session.manifest["mode"] == "live" else "paper_prime_state.json"
    yield state, (session.path / "portfolio_state.json").read_bytes()


def _logos(session: Session) -> Iterator[tuple[str, bytes]]:
    place = f"runs/live/sessions/{session.path.name}"
    for name in _SESSION_FILES:
        if (file := session.path / name).is_file():
            yield f"{place}/{name}", file.read_bytes()
    if (log := session.path / RUN_LOG).is_file():
        yield f"{place}/logs/{RUN_LOG}", log.read_bytes()
    yield from _days((session.path / "trades.csv").read_text("utf-8"))


def _days(trades: str) -> Iterator[tuple[str, bytes]]:
    """``trades/<symbol>_<YYYYMMDD>.csv``: the executions of one instrument on one day (UTC)."""
    rows = csv.DictReader(io.StringIO(trades))
    days: dict[tuple[str, str], list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        symbol = row["instrument"].partition(":")[2].partition(":")[0].replace("/", "-")
        days[symbol, row["time"][:10].replace("-", "")].append(row)
    for (symbol, day), found in days.items():
        text = io.StringIO()
        table = csv.DictWriter(text, rows.fieldnames or ())
        table.writeheader()
        table.writerows(found)
        yield f"runs/live/trades/{symbol}_{day}.csv", text.getvalue().encode()


def _shared_log(path: Path, name: str, log: Path) -> Path:
    """One log for all sessions: each is in it once, under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    heading = f"# session {name}\n"
    before = path.read_text("utf-8") if path.is_file() else ""
    if heading not in before:
        replace_file(path, (before + heading + log.read_text("utf-8")).encode())
    return path
