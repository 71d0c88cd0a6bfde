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
        typer.Option(help="Run that bar with a change: close=PRICE, limits.max_notional=5000, …; may be repeated."),
    ] = None,
    data: Moved = None,
    json: Json = False,
) -> None:
    """Say what was decided at a closed bar, by whom, what stood in the way, and what would have changed it."""
    from config.schema import parse_interval
    from daemon.cli import progress
    from daemon.errors import Usage
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
        key = explainer.choose(explainer.bars_of(again, watch), instrument, moment, length)
    with progress("running up to it") as watch:
        if what_if:
            found = explainer.Found(explainer.run_with(again, key, changes, watch), None)
        else:
            found = explainer.explain(again, [key], watch=watch)[key]
        said = explainer.document(again.trading.council.mode, found)
        if what_if:
            before = explainer.run_with(again, key, explainer.UNCHANGED)
            flipped = before.outcome != found.facts.outcome
            said |= {"what_if": changes.words(), "was": explainer.decision(before), "flipped": flipped}
    for note in again.notes:
        stderr.print(note, style="yellow", markup=False)
    for line in lines(said):
        stdout.print(line, markup=False)
    if json:
        say_json(said)


def lines(said: Mapping[str, Any]) -> Iterator[str]:
    """The explanation as a person reads it: the decision, then who and what led to it, then what would change it."""
    bar = said["bar"]
    yield f"{said['instrument']} {said['time']}: {said['decision']}"
    if said.get("what_if"):
        outcome = "flipped" if said["flipped"] else "the same"
        yield f"  what if  {', '.join(said['what_if'])}: {outcome}, it was {said['was']}"
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
    if (blocker := said["blocker"]) is not None:
        since = f" (since {blocker['since']})" if "since" in blocker else ""
        yield f"  blocked  by {blocker['stage']}, {blocker['rule']}: {blocker['reason']}{since}"
    if said["changes"] is not None:
        for change in said["changes"]:
            leads = ", ".join(change["orders"]) or "no order"
            what = " and ".join(change["what_if"])
            yield f"  flips    {what} (was {change['was']}, {change['distance']:.3%} off): {leads}"
        if not said["changes"]:
            yield f"  flips    nothing that was tried: {said['searched']}"


def _session(path: Path | None) -> Any:
    from daemon.errors import Usage
    from daemon.session import MANIFEST, Session

    if path is None:
        found = sorted(Path("var/sessions").glob(f"*/{MANIFEST}"), key=lambda file: file.stat().st_mtime)
        if not found:
            raise Usage("there is no session under var/sessions; name one with --session DIR")
        path = found[-1].parent
    return Session.open(path)
