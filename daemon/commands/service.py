"""``argus install-service`` and ``argus fleet``: the daemon as a service, and several of them side by side."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from daemon.commands.words import Json, say_json

fleet = typer.Typer(no_args_is_help=True, help="Several agents side by side, each with its own settings and state.")


def install_service(
    config: Annotated[str, typer.Option(help="The configuration the service runs with.")] = "/etc/argus/argus.toml",
    user: Annotated[str, typer.Option(help="Whom it runs as.")] = "argus",
    state: Annotated[str, typer.Option(help="The folder it works in.")] = "/var/lib/argus",
    kind: Annotated[str, typer.Option(help="systemd, launchd or container; this platform's otherwise.")] = "",
    out: Annotated[Path, typer.Option(help="The folder to write to; nothing is enabled or started.")] = Path("service"),
) -> None:
    """Write the files that make a service of the daemon, and say what to do with them."""
    from daemon.errors import Usage
    from daemon.setup import install

    kind = kind or (install.LAUNCHD if sys.platform == "darwin" else install.SYSTEMD)
    if kind not in install.FILES:
        raise Usage(f"--kind is {', '.join(install.FILES)}, not {kind!r}")
    if out.resolve() == install.SOURCE.resolve():
        raise Usage(f"{out} is where these files come from; name another folder with --out")
    for path in install.write(kind, install.Place.here(config, user, state), out):
        typer.echo(str(path))
    typer.echo(_NEXT[kind].format(out=out, user=user, state=state), err=True)


_NEXT = {
    "systemd": (
        "sudo useradd --system --home-dir {state} {user}\n"
        "sudo cp {out}/argus.service {out}/argus@.service /etc/systemd/system/\n"
        "sudo cp {out}/argus.logrotate /etc/logrotate.d/argus\n"
        "sudo systemctl daemon-reload && sudo systemctl enable --now argus"
    ),
    "launchd": (
        "cp {out}/com.argus.daemon.plist ~/Library/LaunchAgents/\n"
        "launchctl load ~/Library/LaunchAgents/com.argus.daemon.plist"
    ),
    "container": "docker build -f {out}/Dockerfile -t argus .",
}


@fleet.command("status")
def fleet_status(
    configs: Annotated[list[Path] | None, typer.Option("--config", help="An agent's configuration; repeat it.")] = None,
    state_dirs: Annotated[list[Path] | None, typer.Option("--state-dir", help="An agent's state; repeat it.")] = None,
    json: Json = False,
) -> None:
    """Show every agent in a line; exit 3 where one is not running."""
    from rich.console import Console
    from rich.table import Table

    from daemon.errors import NOT_RUNNING, Usage
    from daemon.operating.fleet import agents, look

    found = [look(agent) for agent in agents(configs or (), state_dirs or ())]
    if not found:
        raise Usage("no agents: name each with --config FILE or --state-dir DIR")
    table = Table(box=None, pad_edge=False)
    for name in ("agent", "process", "mode", "trading", "equity", "positions", "orders", "findings", "beat"):
        table.add_column(name)
    for one in found:
        table.add_row(*(_cell(one, name) for name in _COLUMNS))
    Console(width=160, highlight=False).print(table)
    if json:
        say_json({"agents": found})
    if not all(one["running"] for one in found):
        raise typer.Exit(NOT_RUNNING)


_COLUMNS = ("agent", "process", "mode", "state", "equity", "positions", "orders", "findings", "beat_s")


def _cell(one: dict[str, Any], name: str) -> str:
    value = one.get(name)
    return "-" if value is None else f"{value:.0f} s ago" if name == "beat_s" else str(value)
