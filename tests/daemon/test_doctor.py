"""What ``argus doctor`` finds, and that a start on somebody else's packages is noticed."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bus.clock import SECOND
from daemon.session import PACKAGES
from daemon.setup import doctor
from daemon.setup.doctor import FREE_FAIL, FREE_WARN, ROOT, Status

YEAR_2026 = 1_767_225_600 * SECOND


def test_every_finding_that_is_not_ok_says_what_to_do():
    findings = doctor.checks()

    assert [finding for finding in findings if finding.status is not Status.OK and not finding.todo] == []
    assert len({finding.name for finding in findings}) == len(findings)


def test_this_installation_has_no_failure():
    assert [finding for finding in doctor.checks() if finding.status is Status.FAIL] == []


def test_looking_does_not_make_the_folder_it_looks_for(tmp_path):
    doctor.writable(tmp_path / "deep" / "var")

    assert list(tmp_path.iterdir()) == []


def test_all_our_packages_come_from_one_root():
    assert doctor.intruders() == []


def test_looking_for_intruders_is_cheap_enough_for_every_start():
    best = min(_seconds() for _ in range(5))

    assert best < 0.010


def _seconds() -> float:
    started = time.perf_counter()
    doctor.intruders()
    return time.perf_counter() - started


def test_a_foreign_package_is_named_with_its_place(tmp_path):
    def find(name: str) -> Path | None:
        return tmp_path / "feeds" if name == "feeds" else ROOT / name

    assert doctor.intruders(ROOT, find) == [
        f"package 'feeds' comes from {tmp_path / 'feeds'}, not from {ROOT / 'feeds'}"
    ]


def test_a_missing_package_is_named():
    found = doctor.intruders(ROOT, lambda name: None if name == "risk" else ROOT / name)

    assert found == [f"package 'risk' is missing: it should be at {ROOT / 'risk'}"]


def run(code: str, *paths: Path) -> str:
    """What a fresh interpreter prints, with ``paths`` before our own tree."""
    script = f"import sys; sys.path[:0] = {[str(path) for path in paths]}; sys.path.append({str(ROOT)!r})\n{code}"
    said = subprocess.run([sys.executable, "-c", script], cwd="/", capture_output=True, text=True, check=True)
    return said.stdout.strip()


@pytest.mark.parametrize("shape", ["sim/__init__.py", "sim.py"])
def test_a_real_package_that_shadows_ours_is_found(tmp_path, shape):
    foreign = tmp_path / shape
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("")

    said = run("from daemon.setup import doctor; print(*doctor.intruders(), sep='; ')", tmp_path)

    place = tmp_path / shape.removesuffix("/__init__.py")
    assert said == f"package 'sim' comes from {place}, not from {ROOT / 'sim'}"


def test_looking_for_intruders_imports_none_of_them():
    said = run(
        "from daemon.setup import doctor; doctor.intruders(); print({'sim', 'feeds', 'risk'} & set(sys.modules))"
    )

    assert said == "set()"


def test_the_list_of_packages_is_the_tree():
    assert sorted(PACKAGES) == sorted(
        path.parent.name
        for path in ROOT.glob("*/__init__.py")
        if path.parent.name not in ("tests", "benchmarks", "docs")
    )


@pytest.mark.parametrize(
    ("version", "status"), [((3, 10, 14), Status.FAIL), ((3, 11, 0), Status.OK), ((3, 14, 1), Status.OK)]
)
def test_python_must_be_new_enough(version, status):
    assert doctor.python(version).status is status


def test_a_missing_required_library_fails_and_a_missing_optional_one_warns():
    needed = doctor.required("no-such-library", "everything")
    wanted = doctor.optional("no-such-library", "some things", "tables")

    assert (needed.status, needed.todo) == (Status.FAIL, "pip install no-such-library")
    assert (wanted.status, wanted.todo) == (Status.WARN, "if you need it: pip install 'argus-trader[tables]'")


@pytest.mark.parametrize(
    ("free", "status"),
    [(FREE_FAIL - 1, Status.FAIL), (FREE_FAIL, Status.WARN), (FREE_WARN - 1, Status.WARN), (FREE_WARN, Status.OK)],
)
def test_how_much_room_is_enough(tmp_path, free, status):
    assert doctor.disk(free, tmp_path).status is status


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_fails(tmp_path):
    tmp_path.chmod(0o500)

    assert doctor.writable(tmp_path / "var").status is Status.FAIL


def test_a_file_in_the_place_of_the_folder_does_not_count_as_one(tmp_path):
    (tmp_path / "var").write_text("")

    assert doctor.writable(tmp_path / "var" / "sessions").status is Status.FAIL


@pytest.mark.parametrize(
    ("story", "step_ns", "wall_ns", "status"),
    [
        ("as it should be", 50, YEAR_2026, Status.OK),
        ("a coarse clock", 15_600_000, YEAR_2026, Status.WARN),
        ("one that stands still", 0, YEAR_2026, Status.WARN),
        ("one that runs backwards", -1, YEAR_2026, Status.FAIL),
        ("a wall clock nobody set", 50, 0, Status.FAIL),
    ],
)
def test_what_the_clock_is_good_for(story, step_ns, wall_ns, status):
    ticks = itertools.count(10**12, step_ns) if step_ns else itertools.repeat(10**12)

    assert doctor.clock(lambda: next(ticks), lambda: wall_ns).status is status, story
