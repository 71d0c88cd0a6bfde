"""``argus``: the command line. Words in, one call, words out; what a command does is in the module it names.

Reports go to stdout, everything else to stderr; with ``--json`` the last line of stdout is one JSON object. Exit
codes: 0 clean, 1 error, 2 usage, 3 not running, 4 config, 5 timeout, 7 breaker or kill, 8 orders left open, 9 lock
held.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from bus import money
from daemon.commands import control as operating
from daemon.commands import running
from daemon.commands.check_strategy import check_strategy
from daemon.commands.council import council
from daemon.commands.notify import notify
from daemon.commands.sandbox import sandbox
from daemon.commands.service import fleet, install_service
from daemon.commands.settings import config as settings
from daemon.commands.why import why
from daemon.commands.words import (
    ConfigFile,
    Interval,
    Json,
    Moved,
    OfInstrument,
    Out,
    Overrides,
    SessionDir,
    say_json,
    stderr,
    stdout,
)
from daemon.errors import (
    CLEAN,
    CONFIG,
    ERROR,
    LOCKED,
    NOT_RUNNING,
    TIMEOUT,
    USAGE,
    LockHeld,
    NotRunning,
    TimedOut,
    Usage,
)
from daemon.operating.client import SaidNo

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Replay, verify and report trading sessions.",
)
UPPER = {"demo": "sandbox.demo:run"}
"""Commands of the layers above this one, by name: resolved when they are used."""

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE…", help="Recordings (.jsonl[.zst|.gz]) or tables (.parquet, .csv[.gz]).")
]


def _readable(venue: str | None) -> str | None:
    from daemon.sources import VENUES

    if venue is not None and venue not in VENUES:
        raise Usage(f"--venue is one of {', '.join(VENUES)}, not {venue!r}")
    return venue


Venue = Annotated[
    str | None, typer.Option(help="The venue, where a recording does not say it itself.", callback=_readable)
]


def main() -> None:
    """Entry point of ``argus`` and ``python -m daemon``."""
    if sys.argv[1:2] == ["panic"]:  # by a process that has nothing of ours in it but one file
        panic = Path(__file__).parent / "operating" / "panic.py"
        os.execv(sys.executable, [sys.executable, "-I", str(panic), *sys.argv[2:]])
    from daemon.setup.doctor import intruders

    money.install()
    if found := intruders():
        stderr.print("\n".join(found), style="red", markup=False)
        sys.exit(ERROR)
    sys.path.append(os.getcwd())  # a user's own strategies live where they work; behind everything installed
    sys.exit(guarded(app))


def guarded(call: Callable[[], Any]) -> int:
    """Run a command; what the user can mend comes back as one line and an exit code, never as a traceback."""
    try:
        call()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else CLEAN
    except KeyboardInterrupt:
        return ERROR
    except BrokenPipeError:  # whoever read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        from daemon.setup.credentials import redact

        stderr.print(redact(f"argus: {error}"), style="red", markup=False)
        return code
    return CLEAN


def exit_code(error: Exception) -> int | None:
    """What the user's mistake is worth; None for a mistake of ours."""
    from bus.journal import JournalError
    from config.load import ConfigError
    from daemon.session import SessionError
    from daemon.sources import BadSource
    from feeds.columns import NotATable
    from feeds.frames import NotARecording
    from strategies.load import UnknownStrategy
    from strategies.port import BadParameter

    for kinds, code in (
        ((Usage, BadSource, UnknownStrategy, BadParameter), USAGE),
        ((ConfigError,), CONFIG),
        ((LockHeld,), LOCKED),
        ((NotRunning,), NOT_RUNNING),
        ((TimedOut,), TIMEOUT),
        ((SaidNo,), ERROR),
        ((NotARecording, NotATable, SessionError, JournalError, OSError), ERROR),
    ):
        if isinstance(error, kinds):
            return code
    return None


@app.command()
def replay(
    files: Files,
    strategy: Annotated[
        list[str] | None, typer.Option(help="rsi, … (a wrong name lists all), module:Name or file.py; may be repeated.")
    ] = None,
    params: Annotated[
        list[str] | None, typer.Option(help="k=v,k=v or a JSON object; one for each --strategy, in order.")
    ] = None,
    interval: Interval = None,
    config: ConfigFile = None,
    set_: Overrides = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the simulated venue's draws.")] = None,
    venue: Venue = None,
    instrument: OfInstrument = None,
    speed: Annotated[str, typer.Option(help="max, or times real time: 1, 10, …")] = "max",
    out: Out = None,
    json: Json = False,
) -> None:
    """Run recorded market data through strategies, the risk gate and the simulated venue."""
    from config import surroundings
    from daemon import app as daemon
    from daemon.reading.summary import print_result, print_terms
    from daemon.setup import credentials

    request = daemon.Request(
        files,
        strategy or (),
        [parse_params(text) for text in params or ()],
        interval or (),
        config,
        set_ or (),
        seed,
        venue,
        parse_speed(speed),
        out,
        instrument,
        credentials.here(),
    )
    for note in surroundings.notes(request.environ):
        stderr.print(credentials.redact(note), markup=False)
    if config is None:
        print_terms(stderr, daemon.resolve(request).trading)
    with progress("replaying") as watch:
        result = asyncio.run(
            daemon.replay(request, watch, lambda text: stderr.print(text, style="yellow", markup=False))
        )
    print_result(stderr if json else stdout, stderr, result)
    if json:
        say_json(result.summary)


@app.command()
def verify(
    session: SessionDir,
    data: Moved = None,
    json: Json = False,
) -> None:
    """Run a session again and compare every record; exit 1 names the first that differs."""
    from daemon.proof import verify as verifier
    from daemon.session import Session

    with progress("verifying") as watch:
        verdict = asyncio.run(verifier.verify(Session.open(session), data or (), watch))
    for note in verdict.notes:
        stderr.print(note, style="yellow", markup=False)
    if verdict.equal:
        stdout.print(f"{verdict.same} records, every one the same")
    else:
        stdout.print(verdict.difference, markup=False)
    if json:
        found = {"equal": verdict.equal, "same": verdict.same, "difference": verdict.difference}
        say_json({**found, "notes": verdict.notes})
    if not verdict.equal:
        raise typer.Exit(ERROR)


@app.command()
def journal(
    session: SessionDir,
    type: Annotated[list[str] | None, typer.Option(help="Only records of this type; may be repeated.")] = None,
    json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line: seq, ns, type, hash and the fields.")
    ] = False,
) -> None:
    """Print a session's journal."""
    from bus.events import RECORDS
    from bus.journal import read
    from daemon.reading.show import record_line

    for name in type or ():
        if name not in RECORDS:
            raise Usage(f"no record type {name!r}; there are {', '.join(RECORDS)}")
    for entry in read(_journal_of(session)):
        if not type or entry.type in type:
            sys.stdout.write(record_line(entry, as_json=json) + "\n")


@app.command()
def events(
    files: Files,
    type: Annotated[list[str] | None, typer.Option(help="Trade, Quote, Bar, …; may be repeated.")] = None,
    interval: Interval = None,
    venue: Venue = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Print the events a recording holds."""
    from daemon.reading.events import stream

    for event in stream(files, type or (), interval or (), venue):
        if json:
            sys.stdout.write(orjson.dumps(event).decode() + "\n")
        else:
            sys.stdout.write(" ".join(f"{k}={v}" if k != "type" else str(v) for k, v in event.items()) + "\n")


@app.command()
def export(
    session: SessionDir,
    layout: Annotated[
        str, typer.Option(help="logos or argus: also under the names of older documents; see docs/aliases.md.")
    ] = "",
    to: Annotated[Path, typer.Option(help="The folder that a layout is written under.")] = Path(),
    json: Json = False,
) -> None:
    """Rebuild a session's readable files (orders, trades, positions, session.md, …) from its journal."""
    from daemon.reading import export as exporter
    from daemon.reading import layouts
    from daemon.session import Session

    if layout not in ("", layouts.LOGOS, layouts.ARGUS):
        raise Usage(f"--layout is logos or argus, not {layout!r}")
    opened = Session.open(session)
    written = list(exporter.export(opened))
    if layout:
        written += layouts.write(opened, layout, to)
    for path in written:
        stdout.print(str(path), markup=False)
    if json:
        say_json({"session": str(session), "files": [str(path) for path in written]})


@app.command()
def report(
    session: SessionDir,
    against: Annotated[
        Path | None,
        typer.Option(metavar="SESSION", help="Another session of the same market: say what differs, by what."),
    ] = None,
    json: Json = False,
) -> None:
    """Write report.html and session.md: one page that needs no network."""
    from daemon.reading import against as comparing
    from daemon.reading import export as exporter
    from daemon.reading.report import write_report
    from daemon.session import Session

    opened = Session.open(session)
    exporter.export(opened)
    found = comparing.compare(opened, Session.open(against)) if against is not None else None
    said = comparing.lines(found) if found is not None else []
    page = write_report(opened, opened.manifest.get("metrics"), said)
    for line in [*said, str(page)]:
        stdout.print(line, markup=False)
    if json:
        compared = {"against": comparing.document(found)} if found is not None else {}
        say_json({"session": str(session), "report": str(page), **compared})


@app.command()
def doctor(
    config: Annotated[Path | None, typer.Option(help="The TOML file to look at; ARGUS_CONFIG's otherwise.")] = None,
    online: Annotated[bool, typer.Option(help="Also ask the configured venues what time it is.")] = False,
    json: Json = False,
) -> None:
    """Look over this installation and its settings, and say what is missing and what to do about it."""
    from daemon.setup import checkup, credentials
    from daemon.setup.doctor import checks

    findings = [*checks(), *checkup.checks(config, credentials.here(), online=online)]
    for finding in findings:
        mark = {"ok": "[green]ok  [/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}[finding.status]
        todo = f" → {finding.todo}" if finding.todo else ""
        stdout.print(mark, end=" ")
        stdout.print(credentials.redact(f"{finding.name}: {finding.detail}{todo}"), markup=False)
    failed = any(finding.status == "fail" for finding in findings)
    if json:
        say_json({"ok": not failed, "findings": [[f.name, f.status, f.detail, f.todo] for f in findings]})
    if failed:
        raise typer.Exit(ERROR)


@app.command()
def demo(
    for_: Annotated[float, typer.Option("--for", metavar="SECONDS", min=1, help="How long to trade.")] = 30.0,
    json: Json = False,
) -> None:
    """Trade an invented market live, on paper, and show the result. Needs no network and no data."""
    module, _, name = UPPER["demo"].partition(":")
    summary = getattr(importlib.import_module(module), name)(stdout, stderr, for_)
    if json:
        say_json(summary)


app.command()(sandbox)
app.command()(council)
app.command()(running.run)
app.command()(running.record)
for _word in operating.COMMANDS:
    app.command()(_word)
app.command()(why)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def panic() -> None:
    """End a process that does not listen, within 3 s, and write down what was open. See `argus panic --help`."""


app.command()(check_strategy)
app.add_typer(settings, name="config")
app.add_typer(notify, name="notify")
app.add_typer(fleet, name="fleet")
app.command()(install_service)


def parse_params(text: str) -> dict[str, Any]:
    """``k=v,k=v`` or a JSON object. Raises Usage."""
    if text.lstrip().startswith("{"):
        try:
            found = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            raise Usage(f"--params is not JSON: {error}") from error
        return dict(found)
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if wrong := [key for key, equals, _ in pairs if not equals or not key.strip()]:
        raise Usage(f"--params takes k=v,k=v or a JSON object; {wrong[0]!r} has no '='")
    params = {key.strip(): value.strip() for key, _, value in pairs}
    if len(params) < len(pairs):
        raise Usage(f"--params names a parameter twice: {text}")
    return params


def parse_speed(text: str) -> float | None:
    if text == "max":
        return None
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = 0.0
    if not 0.0 < speed < 1e9:
        raise Usage(f"--speed is max or a positive number of times real time, not {text!r}")
    return speed


@contextmanager
def progress(what: str) -> Iterator[Callable[[float], None] | None]:
    """A bar with rate and time left on a terminal, nothing elsewhere."""
    if not stderr.is_terminal:
        yield None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(show_speed=True), TimeRemainingColumn())
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        yield lambda fraction: bar.update(task, completed=fraction)


def _journal_of(session: Path) -> Path:
    from daemon.session import Session

    return Session.open(session).journal


__all__: Sequence[str] = ("app", "main")
