"""What a strategy's callbacks do besides answering: read the clock, draw at random, open files, talk to the network.

Three nets, spread only while a callback runs. Python's profiler sees every C function that is called, however it was
imported: that finds the clocks and the global random generator. The interpreter's audit events name files, sockets,
processes and threads. And the global generators are compared with what they were. What happens inside an import or a
log line is let be. ``numpy.datetime64("now")`` is invisible to all three.
"""

from __future__ import annotations

import datetime
import gc
import os
import random
import sys
import sysconfig
from collections.abc import Callable, Iterator
from functools import wraps
from types import FrameType, ModuleType
from typing import Any, NamedTuple

import msgspec


class Effect(NamedTuple):
    """``call`` is what was called and ``where`` the strategy's line, file:number."""

    kind: str
    call: str
    where: str


CLOCK, CHANCE, NETWORK, WRITE, READ, PROCESS = (
    "the wall clock",
    "unseeded randomness",
    "the network",
    "a file write",
    "a file read",
    "another process or thread",
)

_TIMES = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "localtime", "ctime"}
_DATES = {"now", "utcnow", "today"}
_DRAWS = {"random", "getrandbits", "seed"}
_NAMES = _TIMES | _DATES | _DRAWS | {"urandom", "getrandom", "process_time", "process_time_ns"}

_AUDITED = {
    **dict.fromkeys(("socket", "urllib", "http", "ftplib", "smtplib", "poplib", "imaplib", "nntplib"), NETWORK),
    **dict.fromkeys(("subprocess", "_thread"), PROCESS),
    **dict.fromkeys(("shutil", "tempfile"), WRITE),
}
"""By the first word of the event's name."""
_AUDITED_WHOLE = {
    **dict.fromkeys(("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.kill"), PROCESS),
    **dict.fromkeys(
        ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"), WRITE
    ),
    "os.putenv": WRITE,
    "sqlite3.connect": WRITE,
    "time.sleep": CLOCK,
}
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_HERE = __file__

_watching: Watcher | None = None


class Watcher:
    """``around`` a callback notes what it does. ``found`` keeps the first of each, with its ``place``."""

    def __init__(self) -> None:
        global _hooked  # noqa: PLW0603  # an audit hook cannot be taken back: there is one for the process's life
        self.found: dict[tuple[str, str], tuple[Effect, Any]] = {}
        self.place: Callable[[], Any] = lambda: None
        if not _hooked:
            sys.addaudithook(_audit)
            _hooked = True

    def around(self, callback: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(callback)
        def watched(*args: Any, **named: Any) -> Any:
            global _watching  # noqa: PLW0603
            before = _generators()
            _watching = self
            collecting = gc.isenabled()
            gc.disable()  # who hears of collections may look at the clock then, as hypothesis does: not the callback
            sys.setprofile(self._profile)
            try:
                answer = callback(*args, **named)
                # A generator does its work when it is walked, which must not be after we have looked away.
                return list(answer) if isinstance(answer, Iterator) else answer
            finally:
                sys.setprofile(None)
                _watching = None
                if collecting:
                    gc.enable()
                for name, was, is_now in zip(("random", "numpy.random"), before, _generators(), strict=True):
                    if was != is_now and not any(kind == CHANCE for kind, _ in self.found):
                        self.note(Effect(CHANCE, name, ""))

        return watched

    def note(self, effect: Effect) -> None:
        self.found.setdefault((effect.kind, effect.call), (effect, self.place()))

    def _profile(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "c_call" and called.__name__ in _NAMES and (kind := _kind(called)) is not None:
            self._at(frame, kind, _words(called))

    def _at(self, frame: FrameType | None, kind: str, call: str) -> None:
        where = ""
        while frame is not None:
            file = frame.f_code.co_filename
            if file == _HERE:
                break
            if file.startswith("<frozen importlib") or frame.f_globals.get("__name__") == "logging":
                return
            if not where and not file.startswith((*_LIBRARIES, "<")):
                where = f"{os.path.basename(file)}:{frame.f_lineno}"
            frame = frame.f_back
        self.note(Effect(kind, call, where))


_hooked = False


def _audit(event: str, args: tuple[Any, ...]) -> None:
    watcher = _watching
    if watcher is None:
        return
    call = event
    if event == "open":
        path, mode, flags = args
        if isinstance(path, int) or path is None:
            return
        writes = (isinstance(mode, str) and any(letter in mode for letter in "wax+")) or (flags or 0) & _WRITING
        kind, call = (WRITE if writes else READ), f"open({os.fsdecode(path)!r})"
    else:
        found = _AUDITED_WHOLE.get(event) or _AUDITED.get(event.partition(".")[0])
        if found is None:
            return
        kind = found
    watcher._at(sys._getframe(1), kind, call)


def _kind(called: Any) -> str | None:
    owner, name = getattr(called, "__self__", None), called.__name__
    if isinstance(owner, ModuleType):
        if owner.__name__ == "time":
            return CLOCK
        return CHANCE if name in {"urandom", "getrandom"} else None
    if name in _DATES:
        return CLOCK if isinstance(owner, type) and issubclass(owner, datetime.date) else None
    # A generator of the strategy's own, seeded, is as good as a table.
    return CHANCE if name in _DRAWS and owner is getattr(random, "_inst", None) else None


def _words(called: Any) -> str:
    owner = called.__self__
    if isinstance(owner, ModuleType):
        module = "os" if owner.__name__ == "posix" else owner.__name__
        return f"{module}.{called.__name__}"
    return f"{owner.__module__}.{owner.__name__}.{called.__name__}" if isinstance(owner, type) else "random.random"


def _generators() -> tuple[Any, Any]:
    """Where the global generators stand; numpy's where somebody has loaded it."""
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is None:
        return random.getstate(), None
    state = numpy_random.get_state()
    return random.getstate(), (state[1].tobytes(), *state[2:])


def plain(value: Any) -> str:
    """Any answer as text that two equal ones share: NaN is NaN, numpy's numbers are numbers."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {plain(value[key])}" for key in sorted(value, key=str)) + "}"
        case list() | tuple():
            return "[" + ", ".join(map(plain, value)) + "]"
        case msgspec.Struct():
            return type(value).__name__ + plain(msgspec.structs.asdict(value))
        case float():
            return repr(float(value) + 0.0)
    item = getattr(value, "item", None)
    return plain(item()) if callable(item) and getattr(value, "shape", None) == () else repr(value)
