"""What many commands say alike: their options, and how they speak. Reports go to stdout, everything else to stderr."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

ConfigFile = Annotated[Path | None, typer.Option(help="A TOML file; see config/examples/everything.toml.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one setting.")]
SessionDir = Annotated[Path, typer.Argument(metavar="SESSION", help="The session's directory.")]
Moved = Annotated[list[Path] | None, typer.Option(help="Where the recording is now, if it moved; once per file.")]
Out = Annotated[Path | None, typer.Option(help="The session's directory; a new one under var/sessions otherwise.")]
Interval = Annotated[
    list[str] | None, typer.Option("--interval", help="Length of bars, as 1s, 1m, 1h; may be repeated.")
]
OfInstrument = Annotated[str | None, typer.Option("--instrument", help="What a table is of, as binance:BTC/USDT.")]
Json = Annotated[bool, typer.Option("--json", help="End stdout with one JSON object.")]

stdout = Console(soft_wrap=True, highlight=False)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def say_json(value: Any) -> None:
    sys.stdout.write(orjson.dumps(value).decode() + "\n")
    sys.stdout.flush()
