"""The council's calibration table beside a session: written at its end, for ``argus council`` and the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from daemon.session import Session, SessionError, replace_file
from strategies.council import Council

FILE = "council.json"
COLUMNS = ("Voter", "Weight>", "Votes>", "Hit rate>", "Brier>", "Correlation>", "Contribution>")


def document(council: Council) -> dict[str, Any]:
    """What ``council.json`` holds: the rules, each voter's weight now, and the table."""
    rules = council.rules
    return {
        "rule": rules.rule,
        "threshold": rules.threshold,
        "exit_threshold": rules.exit_threshold,
        "feedback": rules.feedback.rule if rules.feedback is not None else "none",
        "weights": council.weights(),
        **council.calibration.table(),
    }


def write(session: Session, council: Council) -> None:
    replace_file(session.path / FILE, orjson.dumps(document(council), option=orjson.OPT_INDENT_2) + b"\n")


def read(session: Session) -> dict[str, Any] | None:
    """The table as the session left it, or None. Raises SessionError where it cannot be read."""
    path = session.path / FILE
    try:
        found: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except orjson.JSONDecodeError as error:
        raise SessionError(f"{path} is not readable: {error}; without the file, the table is made again") from error
    return found


def parts(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The tables in it: of all bars, then of each regime."""
    if found["all"] is not None:
        yield "all bars", found["all"]
    yield from found["regimes"].items()


def rows(found: Mapping[str, Any], part: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """A line for each voter and one for the council itself."""
    for name, voter in part["voters"].items():
        yield (
            name,
            f"{found['weights'].get(name, 0.0):.4g}",
            f"{voter['votes']:,}",
            *map(_figure, (voter["hit_rate"], voter["brier"], voter["correlation"])),
            _figure(voter["contribution"], signed=True),
        )
    yield "council", "", f"{part['scored']:,}", _figure(part["hit_rate"]), _figure(part["brier"]), "", ""


def heading(name: str, part: Mapping[str, Any]) -> str:
    voters = part["effective_voters"]
    alike = "" if voters is None else f", as good as {voters:.1f} independent voters"
    return f"{name}: {part['bars']:,} bars{alike}"


def _figure(value: float | None, *, signed: bool = False) -> str:
    return "–" if value is None else f"{value:+.4f}" if signed else f"{value:.3f}"
