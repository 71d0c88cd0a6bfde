"""Strategies by name: one of ours, ``module:Name``, or a file of yours.

``Name`` is a ``Strategy`` class or a function in the functional style (``generate_intent``); in a file it may be
left out when there is only one candidate. Parameters are checked against what the strategy takes, and converted to
the types it declares, before it is built.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from strategies import provenance
from strategies.port import BadParameter, Strategy

BUILT_IN: Mapping[str, str] = {
    "stub": "strategies.stub:Stub",
    "ema_cross": "strategies.ema_cross:EmaCross",
    "buy_and_hold": "strategies.buy_and_hold:BuyAndHold",
    "regime_trend_v1": "strategies.regime_trend_v1:RegimeTrendV1",
    "core_exposure_v1": "strategies.core_exposure_v1:CoreExposureV1",
    "trend_probe_v1": "strategies.trend_probe_v1:TrendProbeV1",
    "vol_probe_v1": "strategies.vol_probe_v1:VolProbeV1",
    "rsi": "strategies.rsi:RsiMomentum",
    "macd": "strategies.macd:MacdTrend",
    "bollinger": "strategies.bollinger:BollingerReversion",
    "keltner": "strategies.keltner:KeltnerReversion",
    "multivariate": "strategies.multivariate:Multivariate",
    "momentum": "strategies.momentum:Momentum",
    "mean_reversion": "strategies.mean_reversion:MeanReversion",
    "pairs_trading": "strategies.pairs_trading:PairsTrading",
    "funding_carry": "strategies.funding_carry:FundingCarry",
    "perp_momentum": "strategies.perp_momentum:PerpMomentum",
    "adaptive": "strategies.adaptive:Adaptive",
}
Maker = Callable[[], Strategy]
FUNCTION = "generate_intent"
ORDERS = "order_generator"


class UnknownStrategy(ValueError):  # what went wrong, in the user's words
    """No such strategy; the text says what was looked for and what there is."""


def load(use: str, params: Mapping[str, Any]) -> Strategy:
    """Build the strategy ``use`` with ``params``. Raises UnknownStrategy or BadParameter."""
    return maker(use, params)()


def maker(use: str, params: Mapping[str, Any]) -> Maker:
    """What builds the strategy, again and again, from the source as it is now. Raises UnknownStrategy; the builder
    raises BadParameter.
    """
    found = find(use)
    source = provenance.of_source(found, params)

    def make() -> Strategy:
        if inspect.isclass(found) and issubclass(found, Strategy):
            built: Strategy = build(use, found, params)
        else:
            from strategies.functional import Functional, OrderGenerator

            function: Any = found
            adapter = OrderGenerator if found.__name__ == ORDERS else Functional
            built = adapter(function, dict(params))
        built.provenance = source
        return built

    return make


def find(use: str) -> Callable[..., Any]:
    """The class or function that ``use`` names."""
    place, _, name = BUILT_IN.get(use, use).rpartition(":")
    if not place:
        place, name = name, ""
    if place.endswith(".py"):
        return _pick(_module_of_file(Path(place)), name, place)
    if not name:
        hint = difflib.get_close_matches(use, BUILT_IN, n=1)
        meant = f" (did you mean {hint[0]}?)" if hint else ""
        raise UnknownStrategy(
            f"no strategy {use!r}{meant}; ours are {', '.join(BUILT_IN)}; yours load as module:Name or file.py"
        )
    try:
        module = importlib.import_module(place)
    except Exception as error:  # a module may fail in any way while it is imported
        raise UnknownStrategy(
            f"cannot import {place!r} for strategy {use!r}: {type(error).__name__}: {error}"
        ) from error
    return _pick(module, name, place)


def _module_of_file(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise UnknownStrategy(f"no such file: {path}")
    spec = importlib.util.spec_from_file_location(f"_argus_user_{path.stem}", path)
    assert spec is not None, "a .py file always has a spec"
    assert spec.loader is not None, "and a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UnknownStrategy(f"{path} does not load: {type(error).__name__}: {error}") from error
    return module


def _pick(module: types.ModuleType, name: str, place: str) -> Callable[..., Any]:
    if name:
        found = getattr(module, name, None)
        if found is None or not (_is_strategy(found) or inspect.isfunction(found)):
            raise UnknownStrategy(
                f"{place} has no strategy {name!r}; it has {', '.join(_candidates(module)) or 'none'}"
            )
        return typing.cast("Callable[..., Any]", found)
    candidates = _candidates(module)
    if len(candidates) != 1:
        raise UnknownStrategy(
            f"{place} has {len(candidates)} strategies ({', '.join(candidates)}); name one: {place}:Name"
        )
    return typing.cast("Callable[..., Any]", getattr(module, candidates[0]))


def _candidates(module: types.ModuleType) -> list[str]:
    ours = [n for n, v in vars(module).items() if _is_strategy(v) and v.__module__ == module.__name__]
    return ours or [n for n, v in vars(module).items() if n in (FUNCTION, ORDERS) and inspect.isfunction(v)]


def _is_strategy(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Strategy) and value is not Strategy


S = typing.TypeVar("S", bound=Strategy)


def build(use: str, cls: type[S], params: Mapping[str, Any]) -> S:
    """A strategy with its parameters checked and converted. Raises BadParameter, which calls it ``use``."""
    takes = {} if cls.__init__ is object.__init__ else dict(inspect.signature(cls).parameters)
    types_of = typing.get_type_hints(cls.__init__) if takes else {}
    for name in params:
        if name not in takes:
            hint = difflib.get_close_matches(name, takes, n=1)
            meant = f" (did you mean {hint[0]}?)" if hint else ""
            raise BadParameter(f"{use} has no parameter {name!r}{meant}; it takes {', '.join(takes) or 'none'}")
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    missing = [n for n, p in takes.items() if p.default is p.empty and p.kind not in variadic and n not in params]
    if missing:
        raise BadParameter(f"{use} needs {', '.join(missing)}")
    return cls(**{name: _convert(use, name, value, types_of.get(name, Any)) for name, value in params.items()})


# --- the environment's names -----------------------------------------------------------------------------------


def environment_name(strategy: str, parameter: str) -> str:
    """``SG_RSI_LENGTH`` is the ``length`` of ``rsi``."""
    return f"SG_{strategy}_{parameter}".upper()


def parameters(use: str) -> list[str]:
    """The names of what a strategy takes."""
    found = find(use)
    return [] if getattr(found, "__init__", None) is object.__init__ else list(inspect.signature(found).parameters)


def environment_params(use: str, environ: Mapping[str, str]) -> dict[str, str]:
    """What the environment says of the parameters of a strategy of ours, by any of its names; of others nothing."""
    stem = (use if ":" not in use else use.rpartition(":")[0]).rpartition(".")[2]
    strategy = stem.removeprefix("sg_").removesuffix("_strategy")
    if strategy not in BUILT_IN or not any(name.startswith("SG_") for name in environ):
        return {}
    named = ((name, environ.get(environment_name(strategy, name))) for name in parameters(strategy))
    return {name: text for name, text in named if text is not None}


def _convert(use: str, name: str, value: Any, wanted: Any) -> Any:
    """A parameter as typed on a command line or in a config, as the type the strategy declares."""
    union = typing.get_origin(wanted) in (typing.Union, types.UnionType)
    options = [typing.get_origin(t) or t for t in (typing.get_args(wanted) if union else (wanted,))]
    if any(option is Any or not isinstance(option, type) for option in options):
        return value  # declared as nothing we could hold it to
    if value is None and types.NoneType in options:
        return None
    options = [option for option in options if option is not types.NoneType]
    for option in options:
        if isinstance(value, option) and not (isinstance(value, bool) and option is not bool):
            return value
    for option in options:
        try:
            if option is Decimal:
                return Decimal(str(value))
            if option is bool:
                return {"true": True, "1": True, "false": False, "0": False}[str(value).lower()]
            if option in (int, float, str):
                return option(str(value))
        except (ValueError, KeyError, InvalidOperation):
            continue
    names = " or ".join(getattr(option, "__name__", str(option)) for option in options)
    raise BadParameter(f"{use}: {name} must be {names}, not {value!r}")
