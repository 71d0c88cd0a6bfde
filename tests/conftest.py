"""What every test may ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bus import money

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"

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
