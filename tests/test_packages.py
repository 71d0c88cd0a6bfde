"""The packages are where their lists say, come from one place, and a core that only replays loads nothing heavy."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from daemon.session import PACKAGES
from daemon.setup.doctor import intruders
from tests.acceptance import tape

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

HEAVY = ("pandas", "pyarrow", "ccxt", "talib", "plotly")
LOADED = """
import json, sys
import daemon.app
at_import = sorted(sys.modules)
from daemon.cli import app, guarded
code = guarded(lambda: app(sys.argv[1:]))
json.dump({"code": code, "import": at_import, "replay": sorted(sys.modules)}, sys.stderr)
"""


def test_a_replay_with_an_event_style_strategy_loads_nothing_heavy(tmp_path):
    recording = tape.compressed(tmp_path / "a.jsonl.zst", tape.synthetic(0.2))
    config = tmp_path / "quiet.toml"
    config.write_text("")
    words = ("replay", recording, "--strategy", "ema_cross", "--params", "fast=5,slow=20", "--interval", "1s")
    more = ("--strategy", "regime_trend_v1", "--strategy", "rsi")
    rest = (*more, "--config", config, "--out", tmp_path / "session", "--json")

    done = subprocess.run(
        [sys.executable, "-c", LOADED, *map(str, words), *map(str, rest)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = json.loads(done.stderr[done.stderr.index('{"code"') :])
    assert loaded["code"] == 0
    assert "feeds.binance.protocol" in loaded["replay"]
    assert not set(HEAVY) & set(loaded["import"])
    assert not set(HEAVY) & set(loaded["replay"])


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
