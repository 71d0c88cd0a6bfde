"""A session's directory: one per run, written even when the run ends badly.

The manifest says how the session came to be (build, config, seed, data by hash) and, at the end, how it ended.
Nothing in it enters the journal's chain except through the journal's own root record.
"""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import orjson

if sys.platform != "win32":
    import fcntl

_FULL: int | None = getattr(fcntl, "F_FULLFSYNC", None)  # a Mac's fsync stops at the drive's own memory
MANIFEST = "manifest.json"
JOURNAL = "journal.db"
REJECTED = "rejected.jsonl"
CURVE = "curve.json"
PACKAGES = (
    "daemon", "feeds", "bus", "portfolio", "strategies", "risk", "brokers", "sim", "config", "sandbox", "research",
    "apex_core", "logos",
)  # fmt: skip


class SessionError(Exception):
    """The directory is not a session, or cannot become one; the text says which and what to do."""


class Session:
    """Paths of one session and its manifest."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest

    @property
    def journal(self) -> Path:
        return self.path / JOURNAL

    def write(self) -> None:
        """Replace the manifest whole: a reader never sees half of one."""
        replace_file(self.path / MANIFEST, orjson.dumps(self.manifest, option=orjson.OPT_INDENT_2) + b"\n")

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> Session:
        """Start a session in a directory that holds none. Raises SessionError where one does."""
        if (path / MANIFEST).exists() or (path / JOURNAL).exists():
            raise SessionError(f"{path} already holds a session; name another directory with --out")
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SessionError(f"cannot make the session directory {path}: {error.strerror}") from error
        try:
            (path / MANIFEST).open("xb").close()
        except FileExistsError:  # two chose the same name at the same moment
            raise SessionError(f"{path} already holds a session, begun just now; try again") from None
        session = cls(path, {"format": 1, **manifest})
        session.write()
        return session

    @classmethod
    def open(cls, path: Path) -> Session:
        """Open a session written earlier. Raises SessionError for anything else."""
        file = path / MANIFEST
        if not file.is_file():
            raise SessionError(f"{path} is not a session: it has no {MANIFEST}")
        try:
            manifest = orjson.loads(file.read_bytes())
        except orjson.JSONDecodeError as error:
            raise SessionError(f"{file} is not readable: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("format") != 1:
            raise SessionError(f"{file} has a format this build does not know")
        return cls(path, manifest)


def new_directory(root: Path, now: datetime, name: str) -> Path:
    """``<root>/<UTC time>-<name>``, with a counter where two sessions start in the same second."""
    stem = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{name}"
    path, number = root / stem, 1
    while path.exists():
        number += 1
        path = root / f"{stem}-{number}"
    return path


def build() -> dict[str, Any]:
    """What ran: version, and a hash over the source files it was installed from."""
    try:
        version = metadata.version("argus-trader")
    except metadata.PackageNotFoundError:
        version = "uninstalled"
    libraries = ("msgspec", "numpy", "zstandard", "pyarrow", "uvloop")
    return {
        "version": version,
        "sha256": source_hash(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in libraries},
    }


def source_hash() -> str:
    """sha256 over the names and bytes of our Python files, in order."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(f"{file.relative_to(root).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def identity_of(path: Path) -> tuple[int, int]:
    """Which file a name stands for; (0, 0) where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_dev, stat.st_ino


def replace_file(path: Path, content: bytes) -> None:
    """Write beside, flush to disk, rename over: the old content or the new, never a mixture."""
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def force(path: Path) -> None:
    """Have the disk take what was written to a file, or which files a directory has. Raises OSError."""
    fd = os.open(path, os.O_RDONLY)
    try:
        if _FULL is None:
            os.fsync(fd)
        else:
            fcntl.fcntl(fd, _FULL)
    finally:
        os.close(fd)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
