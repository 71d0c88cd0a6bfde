"""``argus run`` and ``argus record``: a live session, until a signal, the kill file, a command or the clock ends it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer
from rich.console import Console

from daemon.errors import CLEAN

_err = Console(stderr=True, soft_wrap=True, highlight=False)

ConfigFile = Annotated[Path | None, typer.Option(help="A TOML file; see config/examples/everything.toml.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one setting.")]
Out = Annotated[Path | None, typer.Option(help="The session's directory; a new one under var/sessions otherwise.")]
ForSeconds = Annotated[float | None, typer.Option("--for", metavar="SECONDS", help="Stop after so long.")]
Json = Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")]


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
    say = Aside(lambda text: _err.print(text, markup=False), "console")
    ended = run_async(running.run(request, feeding.feeds, say=say))
    say.close()
    _err.print(f"ended: {ended.reason}; exit code {ended.exit_code}", markup=False)
    if json:
        sys.stdout.write(orjson.dumps(ended.summary).decode() + "\n")
    if ended.exit_code != CLEAN:
        raise typer.Exit(ended.exit_code)
