"""What every test may ask for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bus import money

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
SOAK_S = 60

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


# --- the soak, a process beside all tests ----------------------------------------------------------------------------


class Soak:
    """It ends by itself, or with whoever started it: when nobody reads what it says any more."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def said(self) -> str:
        """All of it, once it is over."""
        return self._process.communicate(timeout=300)[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever forks comes first, whoever waits for the soak last. A fork copies the page tables of this process, and
    what other tests leave in memory makes each of a thousand forks twice as slow.
    """
    items.sort(key=lambda item: (_soaks(item), item.get_closest_marker("forks") is None))


@pytest.fixture(scope="session", autouse=True)
def _beside(request: pytest.FixtureRequest) -> Iterator[Soak | None]:
    """Begun before the first test, where any test wants it."""
    if not any(map(_soaks, request.session.items)):
        yield None
        return
    command = [sys.executable, "-m", "benchmarks.soak", "--seconds", str(SOAK_S)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield Soak(process)
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with contextlib.suppress(ProcessLookupError):  # what it was meant to end itself
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def soak(_beside: Soak | None) -> Soak:
    assert _beside is not None
    return _beside


def _soaks(item: pytest.Item) -> bool:
    return "soak" in getattr(item, "fixturenames", ())
