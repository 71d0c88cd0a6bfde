"""The packages are where their lists say, come from one place, and a core that only replays loads nothing heavy."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from daemon.session import PACKAGES
from daemon.setup.doctor import intruders
from tests.acceptance import tape
from tests.feeds import table_files
from tests.feeds.table_files import T0

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
TOOLS: dict[str, Any] = PROJECT["tool"]
NOT_INSTALLED = {"tests", "benchmarks"}
SOURCES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]


def folders() -> set[str]:
    """Every folder at the top that holds Python."""
    tops = {path.relative_to(ROOT).parts[0] for path in ROOT.glob("*/**/*.py")}
    return {name for name in tops if not name.startswith(".") and name not in ("var", "build", "dist")}


def test_the_folders_are_the_packages_and_what_is_not_installed():
    assert folders() == {*PACKAGES, *NOT_INSTALLED}


def test_every_package_resolves_under_one_root():
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert [Path(place) for place in spec.submodule_search_locations or ()] == [ROOT / name]
    assert intruders() == []


def test_setuptools_installs_every_package_and_every_package_in_one():
    nested = {".".join(path.parent.relative_to(ROOT).parts) for path in SOURCES}

    assert set(TOOLS["setuptools"]["packages"]) == {*PACKAGES, *nested}


def test_the_linter_knows_what_is_ours():
    assert set(TOOLS["ruff"]["lint"]["isort"]["known-first-party"]) == folders()


def test_types_are_checked_in_every_folder():
    assert set(TOOLS["mypy"]["files"]) == folders()


def test_imports_are_watched_in_every_package():
    contract = next(c for c in TOOLS["importlinter"]["contracts"] if c["type"] == "layers")
    layers = [name.strip() for layer in contract["layers"] for name in layer.split("|")]

    assert set(TOOLS["importlinter"]["root_packages"]) == set(PACKAGES)
    assert sorted(layers) == sorted(PACKAGES)


def test_the_entry_point_is_there():
    module, _, name = PROJECT["project"]["scripts"]["argus"].partition(":")

    assert callable(getattr(importlib.import_module(module), name))


# --- what a replay loads ---------------------------------------------------------------------------------------

CORE = {"annotated_types", "msgspec", "orjson", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}
CORE |= {"zstandard"}
SPOKEN_TO = {"annotated_doc", "attr", "pygments", "rich", "shellingham", "structlog", "typer"}
TABLES = {"cython_runtime", "numpy", "pyarrow"}
NOT_FOR_TABLES = {"pyarrow.compute", "pyarrow.dataset"}  # 9 MB and 2 MB
NETWORK = {"http", "urllib.request", "xmlrpc"}
ROOMS = {
    "daemon.live.catchup", "daemon.live.execution_log", "daemon.live.memory", "daemon.live.recorder",
    "daemon.operating.operator",
    "daemon.reading.digest", "daemon.reading.fold",
    "daemon.setup.credentials",
}  # fmt: skip
"""What wiring takes from the rooms of the daemon where everything else belongs to other commands."""
AT_THE_END = {f"daemon.reading.{name}" for name in ("calibration", "export", "narrative", "snapshots", "summary")}
IN_EVERY_STRATEGY = {
    f"strategies.{name}"
    for name in (
        *("calibration", "council", "exits", "feedback", "history", "indicators", "legs", "load", "port", "provenance"),
        *("regime", "runner", "votes"),
    )
}
LOADED = """
import json, sys
import daemon.app
at_import = sorted(sys.modules)
from daemon.cli import app, guarded
code = guarded(lambda: app(sys.argv[1:]))
json.dump({"code": code, "import": at_import, "replay": sorted(sys.modules)}, sys.stderr)
"""


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, set[str]]]:
    """What was loaded by importing the core, and by a replay of a file with these words besides."""

    def replay(file: Path, *words: str) -> dict[str, set[str]]:
        folder = tmp_path_factory.mktemp("loaded")
        config = folder / "quiet.toml"
        config.write_text("")
        rest = ("--config", config, "--out", folder / "session", "--json")
        done = subprocess.run(
            [sys.executable, "-c", LOADED, "replay", *map(str, (file, *words, *rest))],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        loaded = json.loads(done.stderr[done.stderr.index('{"code"') :])
        assert loaded["code"] == 0
        return {when: set(loaded[when]) for when in ("import", "replay")}

    return replay


@pytest.fixture(scope="module")
def of_a_recording(replayed, tmp_path_factory) -> dict[str, set[str]]:
    file = tape.compressed(tmp_path_factory.mktemp("tape") / "a.jsonl.zst", tape.synthetic(0.2))
    more = ("--strategy", "regime_trend_v1", "--strategy", "rsi")
    found: dict[str, set[str]] = replayed(
        file, "--strategy", "ema_cross", "--params", "fast=5,slow=20", "--interval", "1s", *more
    )
    return found


@pytest.fixture(scope="module")
def of_a_table(replayed, tmp_path_factory) -> dict[str, set[str]]:
    columns = {"ts": [T0, T0 + 1], "price": [1.0, 2.0], "size": [1.0, 1.0], "side": ["buy", "sell"]}
    file = table_files.write_parquet(tmp_path_factory.mktemp("table") / "a.parquet", columns)
    found: dict[str, set[str]] = replayed(file, "--strategy", "ema_cross")
    return found


def test_importing_the_core_loads_these_libraries_and_no_more(of_a_recording):
    assert others(of_a_recording["import"]) <= CORE
    assert not NETWORK & of_a_recording["import"]


def test_a_replay_of_a_recording_loads_none_of_the_heavy_ones(of_a_recording):
    assert "feeds.binance.protocol" in of_a_recording["replay"]
    assert others(of_a_recording["replay"]) <= CORE | SPOKEN_TO | {"numpy"}  # for its figures, at the end
    assert not NETWORK & of_a_recording["replay"]


def test_a_replay_of_a_table_loads_as_little_of_pyarrow_as_reads_it(of_a_table):
    assert "pyarrow.parquet" in of_a_table["replay"]
    assert others(of_a_table["replay"]) <= CORE | SPOKEN_TO | TABLES
    assert not (NETWORK | NOT_FOR_TABLES) & of_a_table["replay"]


def test_no_command_loads_what_belongs_to_another(of_a_table):
    rooms = {f"daemon.{path.name}" for path in (ROOT / "daemon").iterdir() if path.is_dir()} - {"daemon.commands"}
    upper = {"research", "sandbox", "apex_core", "logos"}

    assert inside(of_a_table["import"], rooms) <= ROOMS
    assert inside(of_a_table["replay"], rooms) <= ROOMS | AT_THE_END | {"daemon.operating.client"}
    assert not inside(of_a_table["replay"], {*upper, "feeds.binance", "feeds.coinbase"})
    assert inside(of_a_table["replay"], {"strategies"}) <= IN_EVERY_STRATEGY | {"strategies.ema_cross"}


def others(modules: set[str]) -> set[str]:
    """The libraries among them, by the first part of their names: neither ours nor Python's."""
    tops = {name.partition(".")[0] for name in modules}
    return {name for name in tops - {*sys.stdlib_module_names, *PACKAGES} if not name.startswith("_")}


def inside(modules: set[str], packages: set[str]) -> set[str]:
    return {name for name in modules if any(name.startswith(f"{package}.") for package in packages)}


# --- what no file may hold -------------------------------------------------------------------------------------

BANNED = {"wait_for", "wait", "TaskGroup", "create_task", "ensure_future"}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_of_asyncio_that_loses_tasks_is_used(path):
    """A task belongs to whoever supervises it; on 3.11 ``wait_for`` can swallow a cancellation."""
    used = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Attribute(value=ast.Name(id="asyncio"), attr=name):
                used.add(name)
            case ast.ImportFrom(module="asyncio", names=names):
                used |= {alias.name for alias in names}

    assert not used & BANNED


def test_no_tracked_file_holds_a_path_of_somebodys_machine():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are part of the project")
    somebodys = re.compile(r"(?<![\w.~}])/(?:home|Users|root|work|mnt)/\w|[A-Z]:\\\\?Users\\")
    found = []
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and path.suffix not in (".png", ".zst", ".gz", ".parquet"):
            text = path.read_text("utf-8", errors="replace")
            found += [f"{name}: {match[0]}" for match in somebodys.finditer(text)]

    assert found == []
