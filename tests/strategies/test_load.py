"""Strategies by name, module and file: built with checked parameters, or refused in the user's words."""

from __future__ import annotations

import hashlib
import sys
import textwrap
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from strategies.buy_and_hold import BuyAndHold
from strategies.ema_cross import EmaCross
from strategies.functional import Functional, OrderGenerator
from strategies.load import BUILT_IN, UnknownStrategy, environment_name, environment_params, load
from strategies.port import BadParameter, Strategy
from strategies.stub import Stub

HEAD = """
from __future__ import annotations
from decimal import Decimal
from typing import Any, Literal
from strategies.port import Strategy
"""


def written(folder: Path, body: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(HEAD + textwrap.dedent(body))
    return path


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a module and have Python find it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(body: str, name: str) -> str:
        written(tmp_path, body, f"{name}.py")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


@pytest.mark.parametrize(
    ("use", "params", "cls"),
    [
        ("stub", {}, Stub),
        ("ema_cross", {"fast": 2, "slow": 5}, EmaCross),
        ("buy_and_hold", {}, BuyAndHold),
        ("strategies.stub:Stub", {}, Stub),
    ],
)
def test_ours_load_by_name(use: str, params: dict[str, Any], cls: type[Strategy]) -> None:
    assert type(load(use, params)) is cls


# --- a user's own ----------------------------------------------------------------------------------------------


def test_a_file_with_one_strategy_needs_no_name(tmp_path: Path) -> None:
    path = written(tmp_path, "class Mine(Strategy): pass")

    assert type(load(str(path), {})).__name__ == "Mine"


def test_a_strategy_that_was_only_imported_is_not_a_candidate(tmp_path: Path) -> None:
    path = written(tmp_path, "from strategies.stub import Stub\nclass Mine(Strategy): pass")

    assert type(load(str(path), {})).__name__ == "Mine"


def test_a_file_with_a_function_is_a_functional_strategy(tmp_path: Path) -> None:
    path = written(tmp_path, "def generate_intent(df, ctx, *, closed_only=True): return {}\ndef helper(): pass")

    assert isinstance(load(str(path), {"anything": 1}), Functional)


def test_one_of_several_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "class One(Strategy): pass\nclass Two(Strategy): pass\ndef other(df, ctx, **_): return {}")

    assert type(load(f"{path}:Two", {})).__name__ == "Two"
    assert isinstance(load(f"{path}:other", {}), Functional)


def test_a_module_is_found_by_its_name(module: Any) -> None:
    name = module("class Mine(Strategy): pass", "user_strategies_found")

    assert type(load(f"{name}:Mine", {})).__name__ == "Mine"


@pytest.mark.parametrize(
    ("body", "name", "says"),
    [
        ("class One(Strategy): pass\nclass Two(Strategy): pass", "", r"2 strategies \(One, Two\); name one"),
        ("x = 1", "", "0 strategies"),
        ("class One(Strategy): pass", ":Other", "no strategy 'Other'; it has One"),
        ("x = 1", ":x", "no strategy 'x'; it has none"),
        ("class One: pass", ":One", "no strategy 'One'"),
        ("", ":Strategy", "no strategy 'Strategy'"),
        ("1 / 0", "", "does not load: ZeroDivisionError"),
        ("def f(:", "", "does not load: SyntaxError"),
        ("import no_such_module_anywhere", "", "does not load: ModuleNotFoundError"),
    ],
)
def test_a_file_that_names_no_one_strategy_is_refused(tmp_path: Path, body: str, name: str, says: str) -> None:
    path = written(tmp_path, body)

    with pytest.raises(UnknownStrategy, match=says):
        load(f"{path}{name}", {})


@pytest.mark.parametrize(
    ("use", "says"),
    [
        ("ema_cros", "did you mean ema_cross"),
        ("nothing_like_it", "ours are stub, ema_cross, buy_and_hold"),
        ("", "no strategy ''"),
        (":Name", "no strategy"),
        ("no.such.module:Name", "cannot import 'no.such.module'"),
        ("..:Name", "cannot import"),
        ("strategies.stub:Nothing", "no strategy 'Nothing'; it has Stub"),
        ("missing.py", "no such file"),
        ("missing.py:Name", "no such file"),
    ],
)
def test_a_name_for_nothing_is_refused_with_what_there_is(use: str, says: str) -> None:
    with pytest.raises(UnknownStrategy, match=says):
        load(use, {})


@pytest.mark.parametrize(("body", "error"), [("1 / 0", "ZeroDivisionError"), ("def f(:", "SyntaxError")])
def test_a_module_that_fails_while_it_is_imported_is_refused(module: Any, body: str, error: str) -> None:
    name = module(body, f"user_strategies_{error.lower()}")

    with pytest.raises(UnknownStrategy, match=error):
        load(f"{name}:Mine", {})


# --- parameters ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "given", "built"),
    [
        ("int", 5, 5),
        ("int", "5", 5),
        ("float", 5, 5.0),
        ("float", "0.5", 0.5),
        ("bool", "true", True),
        ("bool", "0", False),
        ("bool", True, True),
        ("str", 5, "5"),
        ("Decimal", "0.1", D("0.1")),
        ("Decimal", 0.1, D("0.1")),
        ("Decimal | None", "0.1", D("0.1")),
        ("Decimal | None", None, None),
        ("int | float", "0.5", 0.5),
        ("list[int]", [1, 2], [1, 2]),
        ("dict[str, float]", {"a": 0.5}, {"a": 0.5}),
        ("Literal['a', 'b']", "a", "a"),
        ("Any", 5, 5),
    ],
)
def test_a_parameter_becomes_what_the_strategy_declares(
    tmp_path: Path, declared: str, given: object, built: object
) -> None:
    path = written(
        tmp_path,
        f"""
        class Mine(Strategy):
            def __init__(self, x: {declared}) -> None:
                self.x = x
        """,
    )

    strategy: Any = load(str(path), {"x": given})

    assert strategy.x == built
    assert type(strategy.x) is type(built)


def test_a_parameter_without_a_declared_type_is_handed_on_as_it_is(tmp_path: Path) -> None:
    path = written(tmp_path, "class Mine(Strategy):\n    def __init__(self, x=1, **more): self.x, self.more = x, more")

    strategy: Any = load(str(path), {"x": 5})

    assert (strategy.x, strategy.more) == (5, {})


@pytest.mark.parametrize(
    ("use", "params", "says"),
    [
        ("ema_cross", {"fasst": 5}, "no parameter 'fasst' \\(did you mean fast\\?\\); it takes fast, slow"),
        ("ema_cross", {"zzz": 5}, "it takes fast, slow, size"),
        ("stub", {"x": 1}, "it takes none"),
        ("ema_cross", {"fast": "many"}, "fast must be int, not 'many'"),
        ("ema_cross", {"fast": 1.5}, "fast must be int, not 1.5"),
        ("ema_cross", {"fast": True}, "fast must be int, not True"),
        ("ema_cross", {"fast": None}, "fast must be int, not None"),
        ("ema_cross", {"size": "much"}, "size must be Decimal"),
        ("ema_cross", {"fast": 200, "slow": 50}, "below slow"),
        ("ema_cross", {"fast": 0}, "at least 1"),
        ("ema_cross", {"size": "0"}, "size must be positive"),
        ("ema_cross", {"size": "NaN"}, "size must be positive"),
        ("ema_cross", {"size": "Infinity"}, "size must be positive"),
        ("buy_and_hold", {"exposure": 0}, "above 0 and at most 1"),
        ("buy_and_hold", {"exposure": 1.5}, "above 0 and at most 1"),
        ("buy_and_hold", {"exposure": float("nan")}, "above 0 and at most 1"),
    ],
)
def test_a_parameter_that_makes_no_sense_is_refused_in_words(use: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(BadParameter, match=says):
        load(use, params)


def test_a_missing_parameter_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "class Mine(Strategy):\n    def __init__(self, level: float, size: int = 1): ...")

    with pytest.raises(BadParameter, match="needs level"):
        load(str(path), {})


def test_a_function_named_order_generator_is_one(tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text("def order_generator(df, ctx, *, closed_only=True):\n    return []\n")

    assert isinstance(load(str(file), {}), OrderGenerator)


def test_what_is_loaded_knows_its_source_and_its_parameters(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def generate_intent(df, ctx, *, closed_only=True):\n    return {'action': 'HOLD'}\n")
    one, other = load(str(file), {}).provenance, load(str(file), {"n": 3}).provenance
    file.write_text(file.read_text() + "# edited\n")
    edited = load(str(file), {}).provenance

    assert one is not None
    assert other is not None
    assert edited is not None
    assert (one.config == other.config, one.code == other.code) == (False, True)
    assert (one.config == edited.config, one.code == edited.code) == (True, False)
    assert one.code == hashlib.sha256(file.read_bytes().removesuffix(b"# edited\n")).hexdigest()[:32]


def test_the_function_of_a_strategy_of_ours_has_the_source_of_the_strategy() -> None:
    cls, function = load("rsi", {}).provenance, load("strategies.rsi:generate_intent", {}).provenance

    assert cls is not None
    assert function is not None
    assert cls.code == function.code != ""
    assert cls.config != function.config, "they are two things to load"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_each_of_ours_loads_with_its_defaults(name: str) -> None:
    assert isinstance(load(name, {}), Strategy)


def test_the_environments_names_of_parameters_are_those_of_ours_only() -> None:
    environ = {"SG_RSI_LENGTH": "9", "SG_MINE_LENGTH": "8", "SG_STUB_LENGTH": "7"}

    assert environment_params("rsi", environ) == {"length": "9"}
    assert environment_params("strategies.rsi:RsiMomentum", environ) == {"length": "9"}
    assert environment_params("mine.py", environ) == {}
    assert environment_params("stub", environ) == {}
    assert environment_name("rsi", "horizon_hours") == "SG_RSI_HORIZON_HOURS"
