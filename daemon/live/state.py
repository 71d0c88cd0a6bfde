"""The state directory: who runs here, how often something has, and where the latest session is.

One process at a time holds it, by a lock that dies with the process. It belongs to one mode for good: a directory that
was paper's is never live's.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from daemon.errors import LockHeld, Usage
from daemon.session import MANIFEST, SessionError, force, replace_file

if sys.platform != "win32":
    import fcntl

LOCK = "lock"
STATE = "state.json"


class Kept(msgspec.Struct):
    """``boot`` counts starts and is part of every client order id; ``session`` is the latest, "" before the first."""

    mode: str
    boot: int = 0
    session: str = ""


class StateDirectory:
    """Held from ``open`` to ``close``."""

    def __init__(self, path: Path, kept: Kept, lock: Lock) -> None:
        self.path = path
        self.kept = kept
        self._lock = lock

    @classmethod
    def open(cls, path: Path, mode: str) -> StateDirectory:
        """Raises LockHeld, Usage where the directory is another mode's, SessionError where it cannot be read."""
        path.mkdir(parents=True, exist_ok=True, mode=0o750)
        lock = Lock(path / LOCK)
        try:
            kept = _read(path / STATE) or Kept(mode)
            if kept.mode != mode:
                raise Usage(f"{path} belongs to {kept.mode} sessions; give {mode} a state directory of its own")
        except BaseException:
            lock.release()
            raise
        return cls(path, kept, lock)

    @property
    def parent(self) -> Path | None:
        return Path(self.kept.session) if self.kept.session else None

    def boot(self) -> int:
        """Count this start; the number is on disk before anybody uses it."""
        self.kept.boot += 1
        self._write()
        return self.kept.boot

    def began(self, session: Path) -> None:
        """``session`` is the latest from now on."""
        self.kept.session = str(session.resolve())
        self._write()

    def close(self) -> None:
        self._lock.release()

    def _write(self) -> None:
        replace_file(self.path / STATE, msgspec.json.encode(self.kept) + b"\n")
        force(self.path)


def read(path: Path) -> Kept | None:
    """What a state directory says, without holding it; None where nothing ever ran there."""
    return _read(path / STATE)


def is_latest(session: Path) -> bool:
    """Whether ``session`` is what a process goes on from, running or not: then nobody can do without its recording.
    Where that cannot be told, it is.
    """
    try:
        manifest = msgspec.json.decode((session / MANIFEST).read_bytes(), type=_Kept)
        kept = _read(Path(manifest.state_dir) / STATE)
    except (FileNotFoundError, msgspec.ValidationError):  # no live session's, or an older one's
        return False
    except (OSError, msgspec.DecodeError, SessionError):
        return True
    return kept is not None and bool(kept.session) and Path(kept.session) == session.resolve()


class _Kept(msgspec.Struct):
    """Of a live session's manifest."""

    state_dir: str


class Lock:
    """An exclusive lock on a file, with the holder's process id in it. Where the platform or the file system has none,
    a file that only one can make is the lock, and that of a process that is gone counts for nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made: Path | None = None
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            _lock(self._fd)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
            os.close(self._fd)
            raise self._held(holder) from None
        except OSError:
            os.close(self._fd)
            self._made = path.with_name(path.name + ".pid")
            self._fd = self._make(self._made)
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
            if self._made is not None:
                self._made.unlink(missing_ok=True)

    def _make(self, path: Path) -> int:
        for _ in range(2):
            try:
                return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)
            except FileExistsError:
                holder = path.read_text("utf-8").strip()
                if holder.isdecimal() and _runs(int(holder)):
                    raise self._held(holder) from None
                path.unlink(missing_ok=True)
        raise self._held("")

    def _held(self, holder: str) -> LockHeld:
        return LockHeld(
            f"{self._path.parent} is in use by process {holder or '(unknown)'}: stop that one (argus stop), or give"
            " this one a state directory of its own (--set process.state_dir=...)"
        )


def _lock(fd: int) -> None:
    """Raises BlockingIOError where somebody has it, another OSError where there are no locks."""
    if sys.platform == "win32":
        raise OSError("no locks of this kind")
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _read(path: Path) -> Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise SessionError(
            f"{path} is not readable: {error}; restore it, or begin in another state directory"
        ) from None
