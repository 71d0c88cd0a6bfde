"""Reads the configuration: defaults < TOML file < environment < ``--set``, the later over the earlier, table by table.

Whatever is wrong becomes one ``ConfigError`` that names where the value came from, the setting, the value, what is
allowed and what to do; the command line turns it into exit code 4. Also reads the built-in table of instruments.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from config import surroundings
from config.schema import Config, InstrumentTerms, Trading, Venue

PREFIX = "ARGUS__"
DELIMITER = "__"
FILE_VARIABLE = "ARGUS_CONFIG"


class ConfigError(Exception):
    """The configuration cannot be used; the text says why and what to do, one line for each fault."""


class _Layer(NamedTuple):
    origin: str
    values: dict[str, Any]


def load(
    path: Path | None, overrides: Sequence[str], environ: Mapping[str, str], *, only_tighter: bool = False
) -> Config:
    """The resolved configuration; without ``path`` the file is the one ARGUS_CONFIG names, if any.

    ``only_tighter``: variables may tighten limits and not loosen them. Raises ConfigError with every fault at once.
    """
    if path is None and environ.get(FILE_VARIABLE):
        path = Path(environ[FILE_VARIABLE])
    faults = list(surroundings.faults(environ))
    # The models a venue starts from, so that `venue.entry.low_ms = 20` says of which model.
    layers = [_Layer("the defaults", {"trading": {"venue": Venue().model_dump()}}), *_named_strategy(environ)]
    if path is not None:
        layers += _kept(faults, _file, path)
    below = len(layers)
    for place, found in surroundings.layers(environ):
        layers += _documented(found, place)
        layers += _environment(found, place, faults)
    above = len(layers)
    for text in overrides:
        layers += _kept(faults, _override, text)
    try:
        config = _resolved(layers)
        if only_tighter and not faults:
            faults += _looser(_resolved(layers[:below]), _resolved(layers[:above]))
    except ConfigError as error:
        faults.append(str(error))
    if faults:
        raise ConfigError("\n".join(dict.fromkeys(faults)))
    return config


Made = TypeVar("Made")


def _kept(faults: list[str], make: Callable[..., Made], *words: Any) -> list[Made]:
    """What ``make`` makes, or nothing and its fault among the others."""
    try:
        return [make(*words)]
    except ConfigError as error:
        faults.append(str(error))
        return []


_LESS_IS_LOOSER = ("per_s", "cooldown_s", "verify_wallet", "confidence", "horizon_s", "maintenance", "stress")
"""Besides what begins with ``min_``. A cap that is not set (None) can only be tightened."""


def _looser(below: Config, above: Config) -> list[str]:
    """Limits that variables would loosen."""
    found: list[str] = []

    def compare(path: str, was: Any, wanted: Any) -> None:
        if isinstance(was, Mapping):
            for key in was:
                if key in wanted:
                    compare(f"{path}.{key}", was[key], wanted[key])
                else:
                    found.append(f"environment: trading.{path}.{key}: would be gone, and variables only tighten limits")
        elif isinstance(was, (int, float, Decimal)):
            table, _, name = path.rpartition(".")
            reverse = name in _LESS_IS_LOOSER or name.startswith("min_") or table.endswith("stresses")
            if wanted is None or (wanted < was if reverse else wanted > was):
                found.append(
                    f"environment: trading.{path} = {wanted}: looser than {was}, and variables only tighten limits; "
                    "set it in the file"
                )

    compare("limits", below.trading.limits.model_dump(), above.trading.limits.model_dump())
    return found


def changed(trading: Trading, overrides: Sequence[str]) -> Trading:
    """A resolved ``trading`` with settings changed, each as ``--set`` takes them."""
    layers = [_Layer("the session", {"trading": trading.model_dump()}), *(_override(text) for text in overrides)]
    return _resolved(layers).trading


def _resolved(layers: Sequence[_Layer]) -> Config:
    try:
        return Config.model_validate(_merged(layers))
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(fault, layers) for fault in error.errors())) from None


def known_instruments(extra: Sequence[InstrumentTerms] = ()) -> list[InstrumentTerms]:
    """The built-in table, with ``extra`` added to it or, under the same name, in place of its entries."""
    text = resources.files("config").joinpath("instruments.toml").read_text("utf-8")
    table = tomllib.loads(text, parse_float=Decimal)["instruments"]
    listed = TypeAdapter(list[InstrumentTerms]).validate_python(table)
    return list({terms.name: terms for terms in [*listed, *extra]}.values())


# --- the layers ------------------------------------------------------------------------------------------------


def _file(path: Path) -> _Layer:
    try:
        text = path.read_text("utf-8-sig")  # Windows editors like to begin a file with a byte-order mark
        return _Layer(str(path), tomllib.loads(text, parse_float=Decimal))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); name a TOML file that exists") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: is not TOML: {error}; correct that line") from None


def _environment(environ: Mapping[str, str], place: str, faults: list[str]) -> list[_Layer]:
    """One layer for all variables of ours; each must arrive somewhere, or it was misspelt."""
    faults += [
        f"{place}: {name}: settings begin with {PREFIX}, with two underscores; rename it"
        for name in environ
        if re.match(r"ARGUS_(TRADING|PROCESS)_", name, re.IGNORECASE)
    ]
    ours = {name: text for name, text in environ.items() if name.upper().startswith(PREFIX)}
    for name in list(ours):
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            # Names of variables have no case and no colons, so they cannot name an instrument.
            table, _, key = name.rpartition(DELIMITER)
            faults.append(f"{place}: {name}: {key!r} cannot be part of a name; set the table: {table}={{...}}")
            del ours[name]
    values: dict[str, Any] = {}
    if ours:
        from config.environment import read_variables

        values = read_variables(ours, PREFIX, DELIMITER, _value)
    for name in ours:
        path = _path_of_variable(name)
        if _depth(values, path) < len(path):
            close = _nearest(path[0], Config.model_fields) if len(path) > 1 else ""
            faults.append(f"{place}: {name}: there is no such setting, or it is set as a whole as well{close}")
    if not values:
        return []
    match values:
        case {"trading": {"cash": dict(cash)}}:
            values["trading"]["cash"] = {asset.upper(): amount for asset, amount in cash.items()}
    return [_Layer(place, values)]


def _named_strategy(environ: Mapping[str, str]) -> list[_Layer]:
    """The strategy that older documents name in the environment: it runs where nobody names another."""
    module = environ.get("ARGUS_STRATEGY_MODULE", "")
    if not module:
        return []
    function = environ.get("ARGUS_STRATEGY_FUNC") or "generate_intent"
    entry = {"use": f"{module}:{function}", "name": module.rpartition(".")[2]}
    return [_Layer("environment, ARGUS_STRATEGY_MODULE", {"trading": {"strategies": [entry]}})]


def _documented(environ: Mapping[str, str], place: str) -> list[_Layer]:
    """Variables that older documents name for a setting of ours."""
    return [
        _Layer(f"{place}, {name}", {"trading": {table: {key: _value(environ[name])}}})
        for name, (table, key) in surroundings.DOCUMENTED.items()
        if name in environ
    ]


def _path_of_variable(name: str) -> list[str]:
    return name[len(PREFIX) :].lower().split(DELIMITER)


def _override(text: str) -> _Layer:
    key, equals, value = text.partition("=")
    path = key.strip().split(".")
    if not equals or not all(path):
        raise ConfigError(f"--set {text}: must be key=value, as in limits.max_notional=5000")
    if path[0] not in Config.model_fields:
        path.insert(0, "trading")
    values: Any = _value(value.strip())
    if values == "none" and _may_be_none(path):
        values = None
    for step in reversed(path):
        values = {step: values}
    return _Layer(f"--set {text}", values)


def _may_be_none(path: Sequence[str]) -> bool:
    """Whether the setting is one that may not be there at all."""
    kind: Any = Config
    for step in path:
        field = kind.model_fields.get(step) if _is_table(kind) else None
        kind = None if field is None else field.annotation
    return type(None) in get_args(kind)


def _value(text: str) -> Any:
    """A TOML value, else the text itself: ``5000``, ``true``, ``["1m"]``, ``{a = 1}``, ``next_open``."""
    try:
        match tomllib.loads(f"value = {text}", parse_float=Decimal):
            case {"value": value, **rest} if not rest:
                return value
    except tomllib.TOMLDecodeError:
        pass
    return text


def _merged(layers: Sequence[_Layer]) -> dict[str, Any]:
    """The uppermost first: what settings of theirs say together of a table does not depend on their order."""
    values: dict[str, Any] = {}
    for layer in reversed(layers):
        values = _merge(layer.values, values)
    return values


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any], *, is_model: bool = False) -> dict[str, Any]:
    """``upper`` over ``lower``; lists and values are replaced whole, and so is the table of one of several models where
    it now names another.
    """
    if is_model and "model" in upper and lower.get("model", upper["model"]) != upper["model"]:
        return dict(upper)
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            value = _merge(below, value, is_model=key in _MODELS)
        merged[key] = value
    return merged


_MODELS = frozenset(name for name, field in Venue.model_fields.items() if field.discriminator)
"""The tables whose ``model`` says which settings there are."""


# --- what to say about a fault ---------------------------------------------------------------------------------

_WORDS = {
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dict_type": "must be a table",
    "list_type": 'must be a list, as in ["a", "b"]',
    "path_type": "must be a path",
    "union_tag_not_found": "must name its model",
}
"""What we say where pydantic speaks of Python."""


def _explain(fault: Any, layers: Sequence[_Layer]) -> str:
    place = _place(fault["loc"])
    path, kind = place.path, fault["type"]
    # The layer that leads furthest down the path set the value; of equals, the later.
    layer = max(reversed(layers), key=lambda each: _depth(each.values, path))
    where = f"{_origin(layer, path)}: {_dotted(path)}"
    match kind:
        case "extra_forbidden":
            return f"{where}: there is no such setting{_nearest(str(path[-1]), place.owner.model_fields)}"
        case "missing":
            return f"{where}: is missing{_meaning(place.field)}; add it"
        case "union_tag_invalid":
            return f"{where}.model = {fault['ctx']['tag']!r}: must be one of {fault['ctx']['expected_tags']}"
    words = _WORDS.get(kind) or re.sub("^(Input|Decimal input|List|Dictionary|String) should", "must", fault["msg"])
    words = words.removeprefix("Value error, ")
    return f"{where}{_shown(fault['input'])}: {words}{_meaning(place.field)}; {_remedy(place.field)}"


def _dotted(path: Sequence[str | int]) -> str:
    """``trading.strategies[0].name``"""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _shown(value: object) -> str:
    match value:
        case dict() | BaseModel():
            return ""
        case Decimal():
            return f" = {value}"
    return f" = {value!r}"


class _Place(NamedTuple):
    """Where in the schema a fault is: the path without pydantic's own marks, the table, the field if it is one."""

    path: list[str | int]
    owner: type[BaseModel]
    field: FieldInfo | None


def _place(location: Sequence[str | int]) -> _Place:
    path: list[str | int] = []
    owner: type[BaseModel] = Config
    field: FieldInfo | None = None
    kind: Any = Config
    for step in location:
        if _is_table(kind):
            owner, field = kind, kind.model_fields.get(step)
            kind = field.annotation if field is not None else None
            path.append(step)
        elif field is not None and field.discriminator:
            # A model's name: pydantic puts it into the location, nobody writes it there.
            kind = {each.model_fields["model"].default: each for each in get_args(kind)}[step]
        elif get_origin(kind) in (dict, list) and step != "[key]":
            kind = get_args(kind)[-1]
            path.append(step)
    return _Place(path, owner, field)


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _depth(values: Any, path: Sequence[str | int]) -> int:
    """How far down ``path`` leads in ``values``."""
    for depth, step in enumerate(path):
        try:
            values = values[step]
        except (KeyError, IndexError, TypeError):
            return depth
    return len(path)


def _origin(layer: _Layer, path: Sequence[str | int]) -> str:
    return (
        layer.origin
        if layer.origin not in (surroundings.ENVIRONMENT, surroundings.DOTENV)
        else f"{layer.origin}, {PREFIX}{DELIMITER.join(map(str, path)).upper()}"
    )


def _nearest(wrong: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(wrong, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; the settings here are {', '.join(known)}"


def _meaning(field: FieldInfo | None) -> str:
    return f" ({field.description})" if field is not None and field.description else ""


def _remedy(field: FieldInfo | None) -> str:
    if field is None or field.is_required():
        return "correct it"
    default = field.default
    plain = isinstance(default, str | int | float | Decimal | Path)
    return (
        f"correct it, or leave it out for the default {default}"
        if plain
        else "correct it, or leave it out for the default"
    )
