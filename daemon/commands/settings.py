"""``argus config``: what can be set, what is set, and by whom."""

from __future__ import annotations

import sys
from importlib import resources
from pathlib import Path
from typing import Annotated

import orjson
import typer

from daemon.commands.words import Overrides

config = typer.Typer(no_args_is_help=True, help="What can be set, what is set, and by whom.")

File = Annotated[Path | None, typer.Option("--config", help="A TOML file; ARGUS_CONFIG's otherwise.")]


@config.command()
def schema() -> None:
    """Print the JSON schema of the configuration file, for editors."""
    from config.schema import Config

    found = Config.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    sys.stdout.write(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n")


@config.command()
def example(name: Annotated[str, typer.Argument(help="everything, spot or futures.")] = "everything") -> None:
    """Print one of the examples: a file to start from, with every field's unit and reason."""
    from daemon.errors import Usage

    found = resources.files("config").joinpath("examples", f"{name}.toml")
    if not found.is_file() or Path(name).name != name:
        raise Usage(f"no example {name!r}; there are everything, spot and futures")
    sys.stdout.write(found.read_text("utf-8"))


@config.command()
def show(file: File = None, set_: Overrides = None) -> None:
    """Print the configuration as it comes out, one JSON object; what older names set goes to stderr."""
    from config import load, surroundings
    from daemon.setup import credentials

    environ = credentials.here()
    loaded = load.load(file, set_ or (), environ)
    for note in surroundings.notes(environ):
        sys.stderr.write(credentials.redact(note) + "\n")
    sys.stdout.write(credentials.redact(loaded.model_dump_json(indent=2)) + "\n")
