"""What a process finds around it: its environment and a ``.env`` beside it, and the names older documents used there.

``.env`` is read as those documents say: ``NAME=value`` a line, no quotes, ``#`` begins a remark. The environment goes
before it. Neither can raise what the process may do: no variable makes it trade live, and under ``argus run`` none
loosens a limit that the file or the defaults set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from config.schema import Regime

DOTENV = ".env"
ENVIRONMENT = "environment"

DOCUMENTED: Mapping[str, tuple[str, str]] = {
    **{f"REGIME_{field.upper()}": ("regime", field) for field in Regime.model_fields},
    "RISK_MAX_NOTIONAL": ("limits", "max_notional"),
    "RISK_MAX_DD_BPS": ("limits", "max_drawdown_bps"),
    "RISK_MAX_REJECTS": ("limits", "max_consecutive_rejects"),
    "RISK_STALE_DATA_THRESHOLD_S": ("limits", "stale_data_threshold_s"),
}
"""Variables of older documents, and the table and key of ``trading`` that each sets."""

CREDENTIALS = (
    *("COINBASE_API_KEY", "COINBASE_API_SECRET", "COINBASE_PORTFOLIO_UUID"),
    *("CCXT_API_KEY", "CCXT_API_SECRET", "ALPACA_KEY_ID", "ALPACA_SECRET_KEY"),
)

_PAPER_WORDS = ("1", "true", "yes", "on", "paper")


class Surroundings(dict[str, str]):
    """Every variable by name, those of ``.env`` under those of the environment; ``origins`` says where each is from."""

    def __init__(self, environ: Mapping[str, str], folder: Path | None = None) -> None:
        written = _read(folder / DOTENV) if folder is not None else {}
        super().__init__({**written, **environ})
        self.origins = {**dict.fromkeys(written, DOTENV), **dict.fromkeys(environ, ENVIRONMENT)}


def layers(environ: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    """The variables of each place, the weaker first."""
    for place in (DOTENV, ENVIRONMENT):
        found = {name: text for name, text in environ.items() if origin(environ, name) == place}
        if found or place == ENVIRONMENT:
            yield place, found


def origin(environ: Mapping[str, str], name: str) -> str:
    return environ.origins.get(name, ENVIRONMENT) if isinstance(environ, Surroundings) else ENVIRONMENT


def faults(environ: Mapping[str, str]) -> Iterator[str]:
    """Documented variables that cannot be followed as they stand."""
    if environ.get("RISK_MAX_POSITION"):
        yield (
            f"{origin(environ, 'RISK_MAX_POSITION')}, RISK_MAX_POSITION: counts units of what is traded, and several "
            "things are; set limits.symbol_position_limits (units of each) or limits.max_position (quote units)"
        )
    mode = environ.get("MODE", "paper").lower()
    if mode not in ("paper", "live"):
        yield f"{origin(environ, 'MODE')}, MODE = {mode!r}: must be paper or live"


def notes(environ: Mapping[str, str]) -> list[str]:
    """What the older names that are set here mean, each with where it was found. Never the value of a credential."""
    said = [
        f"trading.{table}.{key} = {environ[name]} from {name} ({origin(environ, name)})"
        for name, (table, key) in DOCUMENTED.items()
        if name in environ
    ]
    if module := environ.get("ARGUS_STRATEGY_MODULE"):
        function = environ.get("ARGUS_STRATEGY_FUNC") or "generate_intent"
        place = origin(environ, "ARGUS_STRATEGY_MODULE")
        said.append(f"strategy {module}:{function} from ARGUS_STRATEGY_MODULE ({place}) where no other is named")
    for name in ("MODE", "PRIME_DRY_RUN", "ARGUS_DRY_RUN"):
        if name in environ:
            paper = environ[name].lower() in _PAPER_WORDS
            meaning = "paper" if paper else "no variable makes it trade live: paper"
            said.append(f"{name} = {environ[name]} ({origin(environ, name)}): {meaning}")
    if "ARGUS_MODE" in environ:
        said.append(f"ARGUS_MODE = {environ['ARGUS_MODE']} ({origin(environ, 'ARGUS_MODE')}): there is one engine")
    return said


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return {}
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and name.strip().isidentifier():
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            found[name.strip()] = value
    return found
