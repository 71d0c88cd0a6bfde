"""``argus notify``: try the addresses, and say when a daemon has gone silent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from daemon.watch.notify import Notice

notify = typer.Typer(no_args_is_help=True, help="Messages to people; the addresses are in ARGUS_NOTIFY_URLS.")

StateDir = Annotated[Path, typer.Option(help="The daemon's state directory.")]


@notify.command()
def test() -> None:
    """Send one message to every address; exit 1 where one does not take it."""
    from daemon.errors import ERROR
    from daemon.watch.findings import Level
    from daemon.watch.notify import Notice

    if not _deliver(Notice("test", Level.INFO, "a test", "This is what a message looks like.")):
        typer.echo("not every address took it", err=True)
        raise typer.Exit(ERROR)
    typer.echo("sent")


@notify.command()
def missed(
    state_dir: StateDir = Path("var/state"),
    after: Annotated[float, typer.Option(min=1, help="Seconds of silence that are too many.")] = 60.0,
) -> None:
    """Say so if a daemon that did not end in order has gone silent; exit 3 then. For a timer or a supervisor."""
    from daemon.errors import NOT_RUNNING
    from daemon.watch import notify as notifier

    age = notifier.age_s(state_dir)
    if age is None or age <= after:
        typer.echo("nothing is missed")
        return
    _deliver(notifier.missed(age))
    typer.echo(f"no heartbeat for {age:.0f} s", err=True)
    raise typer.Exit(NOT_RUNNING)


def _deliver(notice: Notice) -> bool:
    from daemon.errors import Usage
    from daemon.setup import credentials
    from daemon.watch import notify as notifier

    try:
        deliver = notifier.channels(credentials.here())
    except ValueError as error:
        raise Usage(str(error)) from None
    if deliver is None:
        raise Usage(f"no address: set {credentials.NOTIFY_URLS} (see .env.example)")
    return deliver(notice)
