"""Whether this machine and installation can run Argus: questions asked of the surroundings, answers as plain values.

Nothing is changed and nothing is printed. A finding that is not ``ok`` says what to do about it.
"""

from __future__ import annotations

import enum
import importlib.util
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bus.clock import SECOND
from daemon.session import PACKAGES

ROOT = Path(__file__).resolve().parents[2]
"""Where our packages live: the checkout, or site-packages."""

OLDEST_PYTHON = (3, 11)
OLDEST_SQLITE = (3, 38, 0)  # from here on the JSON functions that the journal's views use are always built in
FREE_WARN, FREE_FAIL = 2 * 1024**3, 256 * 1024**2


class Status(enum.StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """``todo`` is what to do, empty where nothing is."""

    name: str
    status: Status
    detail: str
    todo: str = ""


REQUIRED: Mapping[str, str] = {
    "msgspec": "events, wire formats, the journal",
    "numpy": "bar history and statistics",
    "orjson": "JSON at the edges",
    "pydantic": "settings",
    "pydantic-settings": "settings from the environment",
    "rich": "output on a terminal",
    "structlog": "logs",
    "typer": "the command line",
    "zstandard": "recordings",
}
OPTIONAL: Mapping[str, tuple[str, str]] = {
    "pandas": ("strategies in the functional style", "tables"),
    "pyarrow": ("Parquet files", "tables"),
    "plotly": ("report.html", "report"),
    "TA-Lib": ("regimes over a DataFrame", "indicators"),
    "aiohttp": ("REST and WebSocket connections", "live"),
    "ccxt": ("exchanges without a native protocol", "live"),
    "websockets": ("WebSocket connections", "live"),
}


def checks() -> list[Finding]:
    """What is installed, in the order in which it is best repaired; ``daemon/setup/checkup.py`` looks at the rest."""
    return [
        python(sys.version_info[:3]),
        packages(),
        *(required(name, purpose) for name, purpose in REQUIRED.items()),
        *(optional(name, purpose, extra) for name, (purpose, extra) in OPTIONAL.items()),
        event_loop(),
        sqlite(),
        zstd(),
        clock(),
        time_zones(),
    ]


def intruders(root: Path = ROOT, find: Callable[[str], Path | None] | None = None) -> list[str]:
    """Packages of ours that would be imported from elsewhere, each as a sentence. Cheap: run at every start.

    Others use these names too (``python-daemon`` ships a ``daemon``), and half of one with half of another would run.
    """
    find = find or _place
    found = []
    for name in PACKAGES:
        place = find(name)
        if place is None:
            found.append(f"package {name!r} is missing: it should be at {root / name}")
        elif place != root / name:
            found.append(f"package {name!r} comes from {place}{_owner(place)}, not from {root / name}")
    return found


def python(version: tuple[int, int, int]) -> Finding:
    text = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        return _fail("python", text, "install Python 3.11 or newer and make the environment again")
    return _ok("python", f"{text} at {sys.executable}")


def packages() -> Finding:
    found = intruders()
    if found:
        todo = "uninstall what it belongs to, or give Argus an environment of its own"
        return _fail("packages", "; ".join(found), todo)
    return _ok("packages", f"all {len(PACKAGES)} under {ROOT}")


def required(name: str, purpose: str) -> Finding:
    version = _version(name)
    if version is None:
        return _fail(name, f"missing; for {purpose}", f"pip install {name}")
    return _ok(name, f"{version}; for {purpose}")


def optional(name: str, purpose: str, extra: str) -> Finding:
    version = _version(name)
    if version is None:
        return _warn(name, f"missing; for {purpose}", f"if you need it: pip install 'argus-trader[{extra}]'")
    return _ok(name, f"{version}; for {purpose}")


def event_loop() -> Finding:
    version = _version("uvloop")
    if version is not None:
        return _ok("event loop", f"uvloop {version}")
    detail = "the standard one, slower than uvloop"
    if sys.platform == "win32":  # uvloop does not exist there
        return _ok("event loop", detail)
    return _warn("event loop", detail, "pip install uvloop")


def sqlite() -> Finding:
    """The library Python was built with, and whether it reads JSON: the journal's views do."""
    version, todo = sqlite3.sqlite_version, "use a Python whose SQLite is 3.38 or newer"
    db = sqlite3.connect(":memory:")
    try:
        works = db.execute("SELECT json_extract(value, '$[1]') FROM json_each('[[1,2]]')").fetchone() == (2,)
    except sqlite3.OperationalError:
        works = False
    finally:
        db.close()
    if not works:
        return _fail("sqlite", f"{version} without JSON functions", todo)
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        return _warn("sqlite", f"{version} is older than the journal was made for", todo)
    return _ok("sqlite", f"{version} with JSON functions")


def zstd() -> Finding:
    todo = "pip install --force-reinstall zstandard"
    try:
        import zstandard

        sample = b"argus " * 100
        works = zstandard.ZstdDecompressor().decompress(zstandard.ZstdCompressor().compress(sample)) == sample
    except Exception as error:  # a broken wheel can raise anything; whatever it was, recordings cannot be read
        return _fail("zstd", f"{type(error).__name__}: {error}", todo)
    if not works:
        return _fail("zstd", "gives back other bytes than it was given", todo)
    return _ok("zstd", "gives back the bytes it was given")


def free_at(path: Path) -> int:
    """Bytes that can still be written where ``path`` is or would be made."""
    return shutil.disk_usage(_existing(path)).free


def writable(var: Path, name: str = "sessions") -> Finding:
    """Whether sessions can be written. A folder that is not there yet is judged by the one it would be made in."""
    place = _existing(var)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        todo = f"make {place} a folder you can write to, or name another with --out"
        return _fail(name, f"cannot write to {place}: {error.strerror}", todo)
    return _ok(name, f"{var.resolve()} can be written")


def disk(free: int, var: Path) -> Finding:
    detail = f"{free / 1024**3:,.1f} GiB free for {var.resolve()}"
    if free < FREE_FAIL:
        return _fail("disk", detail, "free some space: a journal that cannot be written halts trading")
    if free < FREE_WARN:
        return _warn("disk", detail, "free some space before recording: recordings grow by the day")
    return _ok("disk", detail)


def clock(monotonic_ns: Callable[[], int] = time.monotonic_ns, wall_ns: Callable[[], int] = time.time_ns) -> Finding:
    """Whether monotonic time goes forward, in steps finer than a millisecond, and the wall clock has been set."""
    year = time.gmtime(wall_ns() // SECOND).tm_year
    if not 2024 <= year <= 2100:
        return _fail("clock", f"the year is {year}", "set the clock, and keep it set with NTP")
    stamps = [monotonic_ns() for _ in range(1_000)]
    steps = [after - before for before, after in pairwise(stamps) if after != before]
    if any(step < 0 for step in steps):
        return _fail("clock", "monotonic time went backwards", "do not trade on this machine")
    finest = min(steps, default=None)
    if finest is not None and finest <= SECOND // 1_000:
        return _ok("clock", f"monotonic, in steps of {finest:,} ns")
    detail = "did not move in 1,000 reads" if finest is None else f"moves in steps of {finest * 1_000 / SECOND:g} ms"
    return _warn("clock", f"monotonic time {detail}", "latencies shorter than its steps cannot be told here")


def time_zones() -> Finding:
    try:
        ZoneInfo("America/New_York")
    except (ZoneInfoNotFoundError, OSError):
        return _warn("time zones", "missing; for venues with trading hours", "pip install tzdata")
    return _ok("time zones", "there; sessions themselves are in UTC")


def _ok(name: str, detail: str) -> Finding:
    return Finding(name, Status.OK, detail)


def _warn(name: str, detail: str, todo: str) -> Finding:
    return Finding(name, Status.WARN, detail, todo)


def _fail(name: str, detail: str, todo: str) -> Finding:
    return Finding(name, Status.FAIL, detail, todo)


def _place(name: str) -> Path | None:
    """The folder, or the single file, that ``import name`` gives or would give."""
    loaded = sys.modules.get(name)
    spec = importlib.util.find_spec(name) if loaded is None else None
    if spec is not None:
        paths = [*(spec.submodule_search_locations or ()), spec.origin]
    else:
        paths = [*getattr(loaded, "__path__", ()), getattr(loaded, "__file__", None)]
    return next((Path(path).resolve() for path in paths if path), None)


def _owner(place: Path) -> str:
    """The installed distribution that a folder came with, where it says so. Slow: asked about intruders only."""
    for distribution in metadata.distributions():
        if place.parent != Path(str(distribution.locate_file(""))).resolve():
            continue
        if any(file.parts[0] == place.name for file in distribution.files or ()):
            return f" (installed by {distribution.metadata['Name']})"
    return ""


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest place above it that is there."""
    here = path.resolve()
    return next(place for place in (here, *here.parents) if place.exists())


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
