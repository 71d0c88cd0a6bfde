"""``argus run`` and ``argus record``: a live session, until a signal, the kill file, a command or the clock ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from daemon.commands.words import ConfigFile, Json, Out, Overrides, say_json, stderr
from daemon.errors import CLEAN

ForSeconds = Annotated[float | None, typer.Option("--for", metavar="SECONDS", min=0, help="Stop after so long.")]


def run(
    config: ConfigFile = None,
    set_: Overrides = None,
    out: Out = None,
    for_: ForSeconds = None,
    json: Json = False,
) -> None:
    """Trade on paper against live market data, and record all of it."""
    _session("paper", config, set_, out, for_, json)


def record(
    config: ConfigFile = None,
    set_: Overrides = None,
    out: Out = None,
    for_: ForSeconds = None,
    json: Json = False,
) -> None:
    """Record live market data and do nothing else."""
    _session("record", config, set_, out, for_, json)


def _session(
    mode: str, config: Path | None, overrides: list[str] | None, out: Path | None, for_s: float | None, json: bool
) -> None:
    from daemon.aside import Aside
    from daemon.live import feeding
    from daemon.live import run as running
    from daemon.replay import run_async
    from daemon.setup import credentials

    request = running.RunRequest(config, overrides or (), out, for_s, credentials.here(), mode)
    say: Aside[str] = Aside(lambda text: stderr.print(text, markup=False), "console")
    ended = run_async(running.run(request, feeding.feeds, say=say))
    say.close()
    stderr.print(f"ended: {ended.reason}; exit code {ended.exit_code}", markup=False)
    if json:
        say_json(ended.summary)
    if ended.exit_code != CLEAN:
        raise typer.Exit(ended.exit_code)
