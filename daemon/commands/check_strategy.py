"""``argus check-strategy``: the words of the command; the work is in ``daemon/proof/check_strategy.py``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from daemon.commands.words import Json, Overrides, say_json, stdout

if TYPE_CHECKING:
    from daemon.proof.check_strategy import Verdict


def check_strategy(
    strategy: Annotated[str, typer.Argument(metavar="STRATEGY", help="ema_cross, module:Name or file.py[:Name].")],
    data: Annotated[
        list[Path], typer.Option(help="A table or a recording; may be repeated, as for pairs.", metavar="FILE")
    ],
    params: Annotated[str, typer.Option(help="k=v,k=v or a JSON object.")] = "",
    cuts: Annotated[int, typer.Option(min=1, max=1_000, help="At how many moments the future is changed.")] = 50,
    bars: Annotated[int, typer.Option(min=20, help="How many rows of the data are used.")] = 1_000,
    interval: Annotated[list[str] | None, typer.Option(help="Length of bars, as 1m, 1h; may be repeated.")] = None,
    instrument: Annotated[
        list[str] | None, typer.Option(help="What a table is of, as binance:BTC/USDT; one for each table of bars.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A TOML file with the session's settings.")] = None,
    set_: Overrides = None,
    json: Json = False,
) -> None:
    """Try to fool a strategy with the future, and watch what it does besides answering; exit 1 if anything moved."""
    from daemon.app import Request
    from daemon.cli import parse_params, progress
    from daemon.errors import ERROR
    from daemon.proof import check_strategy as checker

    named = instrument or []
    request = Request(
        data,
        [strategy],
        [parse_params(params)] if params else (),
        interval or (),
        config,
        [*(set_ or ()), *([checker.tables(data, named)] if len(named) > 1 else ())],
        instrument=named[0] if len(named) == 1 else None,
        environ=os.environ,
    )
    with progress("attacking") as watch:
        verdict = checker.check(request, cuts=cuts, bars=bars, watch=watch)
    for line in lines(verdict):
        stdout.print(line, markup=False)
    if json:
        say_json(checker.document(verdict))
    if not verdict.clean:
        raise typer.Exit(ERROR)


def lines(verdict: Verdict) -> list[str]:
    from daemon.proof import check_strategy as checker

    said = [f"{verdict.strategy}: {verdict.rows} rows, {verdict.cuts} cuts, {verdict.answers} answers"]
    for name, words in checker.CHECKS.items():
        found = [finding for finding in verdict.findings if finding.check == name]
        said += [f"FAIL {words}: row {f.row}, {f.time}: {f.what}" for f in found] or [f"ok   {words}"]
    if not verdict.orders:
        said.append("note it wanted nothing on this data, so this says little: give it data it acts on")
    return said
