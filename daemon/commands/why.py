"""``argus why``: the words of the command; the work is in ``daemon/proof/why.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from daemon.commands.words import Json, Moved, say_json, stderr, stdout


def why(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="binance:BTC/USDT, or BTC-USDT.")],
    moment: Annotated[
        str,
        typer.Argument(metavar="[TIME]", help="14:00, 2026-01-31T14:00 (UTC) or nanoseconds; the last bar without."),
    ] = "",
    session: Annotated[
        Path | None, typer.Option(help="The session's directory; the newest under var/sessions otherwise.")
    ] = None,
    interval: Annotated[str, typer.Option(help="Which bars, where a session has several lengths: 1m, 1h.")] = "",
    what_if: Annotated[
        list[str] | None,
        typer.Option(
            help="Run that bar with a change: close=PRICE, limits.max_notional=5000, strategies.NAME.PARAMETER=9, "
            "warmup=BARS, market=PRICE, state=armed, since=TIME; may be repeated."
        ),
    ] = None,
    data: Moved = None,
    json: Json = False,
) -> None:
    """Say what was decided at a closed bar, by whom, what stood in the way, and what would have changed it."""
    from config.schema import parse_interval
    from daemon.cli import progress
    from daemon.errors import Usage
    from daemon.proof import bars, telling
    from daemon.proof import why as explainer
    from daemon.proof.again import reopen

    if interval:
        try:
            length: int | None = parse_interval(interval)
        except ValueError as error:
            raise Usage(f"--interval {error}") from None
    else:
        length = None
    again = reopen(_session(session), data or ())
    changes = explainer.wanted(what_if or (), again)
    with progress("looking for the bar") as watch:
        key = bars.choose(bars.bars_of(again, watch, bars.last_asked(moment)), instrument, moment, length)
    with progress("running up to it") as watch:
        mode = again.trading.council.mode
        if what_if:
            facts = explainer.run_with(again, key, changes, watch)
            before = explainer.run_with(again, key, explainer.UNCHANGED)
            flipped = before.outcome != facts.outcome
            said = telling.document(mode, facts, None)
            said |= {"what_if": changes.words(), "was": telling.decision(before), "flipped": flipped}
        else:
            found = explainer.explain(again, [key], watch=watch)[key]
            said = telling.document(mode, found.facts, found.flips)
    for note in again.notes:
        stderr.print(note, style="yellow", markup=False)
    for line in lines(said):
        stdout.print(line, markup=False)
    if json:
        say_json(said)


def lines(said: Mapping[str, Any]) -> Iterator[str]:
    """The explanation as a person reads it: the decision, what stood in the way, what would have changed it, and then
    who and what led to it.
    """
    bar = said["bar"]
    yield f"{said['instrument']} {said['time']}: {said['decision']}"
    if said.get("what_if"):
        outcome = "flipped" if said["flipped"] else "the same"
        yield f"  what if  {', '.join(said['what_if'])}: {outcome}, it was {said['was']}"
    if (blocker := said["blocker"]) is not None:
        since = f" (since {blocker['since']})" if "since" in blocker else ""
        yield f"  blocked  by {blocker['stage']}, {blocker['rule']}: {blocker['reason']}{since}"
    if said["changes"] is not None:
        yield from _flips(said)
    yield f"  bar      {bar['open']} {bar['high']} {bar['low']} {bar['close']} volume {bar['volume']:g}"
    if (regime := said["regime"]) is not None:
        features = ", ".join(f"{name} {value:.4g}" for name, value in regime["features"].items())
        yield f"  regime   {regime['label'] or 'too early to tell'}" + (f" ({features})" if features else "")
    for vote in said["votes"]:
        reason = f": {vote['reason']}" if vote["reason"] else ""
        yield f"  {vote['strategy']:<8} {vote['action']}{reason}"
    if (council := said["council"]) is not None:
        long, flat, short = council["support"]
        yield f"  council  long {long:.4g}, flat {flat:.4g}, short {short:.4g}; needed {council['needed']:.4g}"
    for gate in said["gates"]:
        for check in gate["checks"]:
            kept = "ok  " if check["passed"] else "FAIL"
            yield f"  gate     {kept} {check['rule']} {check['value']} of {check['limit']}"


def _flips(said: Mapping[str, Any]) -> Iterator[str]:
    """The nearest change, then the others that were found."""
    word = "nearest"
    for change in said["changes"]:
        steps = " and ".join(map(_step, change["steps"]))
        yield f"  {word:<8} {steps}: {', '.join(change['orders']) or 'no order'}"
        word = "or"
    if not said["changes"]:
        yield f"  nearest  nothing that was tried: {said['searched']}"


def _step(step: Mapping[str, Any]) -> str:
    what = f"{step['setting']}={step['to']}"
    if step["setting"] == "since":
        return what
    unit = f" {step['unit']}" if step["unit"] else ""
    return f"{what} (was {step['from']}{unit}, {step['distance']:.3%} off)"


def _session(path: Path | None) -> Any:
    from daemon.errors import Usage
    from daemon.session import MANIFEST, Session

    if path is None:
        found = sorted(Path("var/sessions").glob(f"*/{MANIFEST}"), key=lambda file: file.stat().st_mtime)
        if not found:
            raise Usage("there is no session under var/sessions; name one with --session DIR")
        path = found[-1].parent
    return Session.open(path)
