"""The words of an operator: ``argus status``, ``arm``, ``halt``, … Each is one question to the process that runs.

Exit codes: 0 done, 1 refused (the process says why), 3 nothing runs there, 5 it gives no answer.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from daemon.commands.words import Json, Overrides, say_json, stdout
from daemon.errors import Usage
from daemon.operating.client import TIMEOUT_S, Client

StateDir = Annotated[
    Path | None, typer.Option("--state-dir", help="Of the process to talk to; the configuration's otherwise.")
]
ItsConfig = Annotated[Path | None, typer.Option(help="The process's TOML file; see config/examples/everything.toml.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for an answer.")]
Reason = Annotated[str, typer.Option(help="For the record.")]
Switch = Annotated[str, typer.Argument(metavar="on|off")]


def client(
    state_dir: StateDir = None, config: ItsConfig = None, set_: Overrides = None, timeout: Timeout = TIMEOUT_S
) -> Client:
    if state_dir is None:
        from config import load
        from daemon.setup.credentials import here

        state_dir = load.load(config, set_ or (), here()).process.state_dir
    return Client(state_dir, timeout)


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options that say which process is meant: it is handed the client to that as ``to``."""
    own = inspect.signature(command, eval_str=True).parameters
    which = inspect.signature(client, eval_str=True).parameters

    def asked(**words: Any) -> None:
        to = client(**{name: words.pop(name) for name in which})
        command(to=to, **words)

    its = [one for one in own.values() if one.name not in ("to", "json")]
    taken = [*its, *which.values(), own["json"]]
    asked.__signature__ = inspect.Signature(taken)  # type: ignore[attr-defined]  # what inspect and typer look at
    asked.__annotations__ = {one.name: one.annotation for one in taken}
    asked.__name__, asked.__doc__ = command.__name__, command.__doc__
    return asked


@asking
def status(to: Client, json: Json = False) -> None:
    """Say what the running process is doing; exit 3 where none runs, 5 where it gives no answer."""
    found = to.status()
    if json:
        say_json(found)
        return
    from daemon.reading.digest import iso_s

    pending = f", {found['mode_pending']} from the next start on" if found["mode_pending"] else ""
    routing = "" if found["routing"] else ", routing off"
    _line(f"{found['mode']}{pending}: {found['state']}{routing}, start {found['boot']}, session {found['session']}")
    rolls = f", rolls over at {iso_s(found['next_roll_ns'])}" if found["next_roll_ns"] else ""
    _line(f"  since {iso_s(found['started_ns'])}{rolls}")
    _line(
        f"equity {found['equity'] or 'unknown'} {found['asset']}, {found['inputs']} inputs, {found['records']} records"
    )
    for name, size in found["positions"].items():
        _line(f"  held: {size} {name}")
    for one in found["orders"]:
        _line(f"  open: {one['side']} {one['leaves']} {one['instrument']} at {one['price']} ({one['client_id']})")
    for what in found["findings"]:
        _line(f"  found: {what}")


@asking
def findings(to: Client, json: Json = False) -> None:
    """List what somebody should look at; a critical one keeps trading from being armed until it is acknowledged."""
    found = to.get("findings")
    if json:
        say_json(found)
        return
    for one in found["findings"]:
        seen = f" (seen by {one['by']})" if one["by"] else ""
        did = f" → {one['action']}" if one["action"] else ""
        _line(f"[{one['number']}] {one['level']}: {one['what']}{did}{seen}")


def plain(name: str, says: str) -> Callable[..., None]:
    """A command that takes nothing but a reason."""

    def command(to: Client, reason: Reason = "", json: Json = False) -> None:
        _give(name, {"reason": reason}, to, json)

    command.__name__, command.__doc__ = name, says
    return asking(command)


arm = plain("arm", "Let orders through.")
clear = plain("clear", "Leave a drawdown band: losses count from here on. What it put in shadow waits for an arm.")
disarm = plain("disarm", "Let no new order through; what is open stays.")
shadow = plain("shadow", "Keep the signals, cancel what is open, send nothing.")
halt = plain("halt", "Close the gate, cancel what is open, keep positions, end. The next start does not arm itself.")
stop = plain("stop", "Cancel what is open and end the session in order. The next start goes on where it was.")
roll = plain("roll", "Close the session and go on in a new one at once; open orders and positions stay.")
reload = plain(
    "reload",
    "Take the limits from the process's configuration file as it is now; while armed they may only get tighter.",
)


@asking
def routing(
    to: Client,
    switch: Switch,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Off: strategies go on, what they want is noted and refused."""
    _give("routing", {"on": _switch(switch), "reason": reason}, to, json)


@asking
def mode(
    to: Client,
    mode: Annotated[str, typer.Argument(metavar="paper|live")],
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Ask for another mode. No running process changes its own: it is noted as pending until the next start."""
    _give("mode", {"mode": mode, "reason": reason}, to, json)


@asking
def flatten(
    to: Client,
    within: Annotated[float, typer.Option(metavar="SECONDS", help="How long to try.")] = 30.0,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Close the gate, cancel what is open, close every position by market orders, verify, end."""
    _give("flatten", {"within_s": within, "reason": reason}, to, json)


@asking
def ack(
    to: Client,
    number: Annotated[int | None, typer.Argument(metavar="[NUMBER]", help="All that are open without one.")] = None,
    reason: Reason = "",
    json: Json = False,
) -> None:
    """Say that you have looked at a finding."""
    payload = {"reason": reason, **({} if number is None else {"number": number})}
    _give("ack", payload, to, json)


@asking
def preview(
    to: Client,
    command: Annotated[str, typer.Argument(metavar="COMMAND", help="arm, halt, flatten, reload, …")],
    words: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]…", help="As on=off, within_s=10.")] = None,
    json: Json = False,
) -> None:
    """Say what a command would do now, without doing it."""
    payload = dict(_word(word) for word in words or ())
    found = to.preview(command, payload)
    if json:
        say_json(found)
        return
    if not found["possible"]:
        _line(f"{command} is refused now: {found['why']}")
        return
    _line(f"{command}: {found['does']} (trading is {found['state']})")
    for one in found["cancels"]:
        _line(f"  cancels: {one['side']} {one['leaves']} {one['instrument']} ({one['client_id']})")
    for name, one in found["closes"].items():
        _line(f"  closes: {one['size']} {name} at about {one['mid']}")
    for name, (before, after) in found["changes"].items():
        _line(f"  changes: {name} {before} → {after}")


COMMANDS = (
    status,
    findings,
    arm,
    disarm,
    routing,
    mode,
    clear,
    shadow,
    halt,
    flatten,
    stop,
    roll,
    reload,
    ack,
    preview,
)


def _give(name: str, payload: Mapping[str, Any], to: Client, json: bool) -> None:
    answer = to.command(name, {key: value for key, value in payload.items() if value != ""})
    if json:
        say_json(answer)
    else:
        _line(f"{name}: done by {answer['who']}; trading is {answer['state']}")


def _switch(word: str) -> bool:
    if word not in ("on", "off"):
        raise Usage(f"on or off, not {word!r}")
    return word == "on"


def _word(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise Usage(f"KEY=VALUE, not {text!r}")
    if value in ("on", "off"):
        return key, value == "on"
    try:
        return key, orjson.loads(value)
    except orjson.JSONDecodeError:
        return key, value


def _line(text: str) -> None:
    stdout.print(text, markup=False)
