"""``argus council``: how good the voters have been."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.commands.words import Json, Moved, SessionDir, say_json, stdout

if TYPE_CHECKING:
    from daemon.session import Session


def council(
    session: SessionDir,
    data: Moved = None,
    json: Json = False,
) -> None:
    """Print the council's calibration: hit rate, Brier score, correlation and contribution of each voter, by regime."""
    from rich.table import Table

    from daemon.errors import Usage
    from daemon.reading import calibration
    from daemon.session import Session

    written = Session.open(session)
    mode = written.manifest["config"]["trading"].get("council", {}).get("mode", "solo")
    if mode != "council":
        raise Usage(f"{session} ran in mode {mode}: nobody voted; replay it with --set council.mode=council")
    found = calibration.read(written) or made_again(written, data or ())
    for name, part in calibration.parts(found):
        shown = Table(title=calibration.heading(name, part), title_justify="left", box=None)
        for column in calibration.COLUMNS:
            shown.add_column(column.rstrip(">"), justify="right" if column.endswith(">") else "left")
        for row in calibration.rows(found, part):
            shown.add_row(*row)
        stdout.print(shown, markup=False)
    if json:
        say_json(found)


def made_again(written: Session, data: Sequence[Path]) -> dict[str, Any]:
    """The table of a session that left none, from its inputs."""
    from bus.journal import Chain
    from daemon.cli import progress
    from daemon.proof.again import reopen
    from daemon.reading import calibration
    from daemon.replay import Stop

    core, through = reopen(written, data).begin(Chain())
    with progress("making the table again") as watch:
        through(Stop(), watch)
    assert core.council is not None, "the session's config says so"
    return calibration.document(core.council)
