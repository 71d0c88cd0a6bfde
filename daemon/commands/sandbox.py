"""``argus sandbox``: the words of the command; what it does is in the layer above and known by name."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from daemon.commands.words import stderr, stdout
from daemon.errors import Usage

RUN = "sandbox.command:run"


def sandbox(
    recording: Annotated[
        list[Path] | None, typer.Option(help="A recording to play instead of the invented market; may be repeated.")
    ] = None,
    market: Annotated[str, typer.Option(help="Which invented market: seeded.")] = "seeded",
    seed: Annotated[int, typer.Option(help="Seed of the invented market.")] = 7,
    symbol: Annotated[
        list[str] | None, typer.Option(help="A symbol of the invented market: BTCUSDT (alone, without this), ETHUSDT.")
    ] = None,
    rate: Annotated[float, typer.Option(help="How much faster than the wall the sandbox's time runs.")] = 1.0,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the venues; 0 lets the system choose.")] = 0,
    activity: Annotated[float, typer.Option(help="How busy the invented market is: 2 is twice as many events.")] = 1.0,
    flood: Annotated[int, typer.Option(min=0, help="Prints a second on top, of one lot each.")] = 0,
    json: Annotated[bool, typer.Option("--json", help="Say the addresses as one JSON object.")] = False,
) -> None:
    """Serve Binance's and Coinbase's public market data on 127.0.0.1, with faults on request."""
    module, _, name = RUN.partition(":")
    try:
        command = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as missing:
        if missing.name != "aiohttp":
            raise
        raise Usage("a sandbox needs aiohttp: pip install 'argus-trader[live]'") from missing
    command(
        stdout,
        stderr,
        recordings=recording or (),
        market=market,
        seed=seed,
        symbols=symbol or ("BTCUSDT",),
        rate=rate,
        port=port,
        activity=activity,
        flood=flood,
        json=json,
    )
