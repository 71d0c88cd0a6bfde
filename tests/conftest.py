"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bus import money

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

_quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
settings.register_profile("default", max_examples=200, deadline=None, suppress_health_check=_quiet, derandomize=True)
settings.register_profile("campaign", max_examples=20_000, deadline=None, suppress_health_check=_quiet, print_blob=True)
settings.load_profile("default")


@pytest.fixture(autouse=True)
def _money() -> None:
    money.install()


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of real recordings kept beside the project; the test is skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs the real recordings in ../shared/data, which are not part of the project")
    return SHARED


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A working directory of its own, left again afterwards."""
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, the soak with its minute before all, so that no core is left with it at the end.
    Whoever forks comes next: a fork copies the page tables of this process, and what other tests leave in memory makes
    each of a thousand forks twice as slow.
    """
    items.sort(key=lambda item: (item.get_closest_marker("soak") is None, item.get_closest_marker("forks") is None))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests have measured, by ``record_property``: a figure nobody sees is a figure nobody has."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
