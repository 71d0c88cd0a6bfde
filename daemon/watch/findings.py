"""What a person should look at, kept until somebody has: numbered, by level, with who acknowledged it.

A critical one that nobody acknowledged keeps trading from being armed, in this process and the next ones: what is open
is written beside the lock, because a restart is not an acknowledgement.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.session import replace_file

FILE = "findings.json"
KEPT = 200


class Level(enum.StrEnum):
    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


class Finding(msgspec.Struct):
    """``action`` names what was done about it, empty for nothing; ``by`` who acknowledged it."""

    number: int
    ns: int
    level: Level
    what: str
    action: str = ""
    by: str = ""


class Findings:
    """``on_new`` is told of each new one. Of those that nobody need look at any more the last ``KEPT`` are kept."""

    def __init__(self, directory: Path, now: Callable[[], int], on_new: Callable[[Finding], object]) -> None:
        self._path = directory / FILE
        self._now = now
        self._on_new = on_new
        try:
            self.all = msgspec.json.decode(self._path.read_bytes(), type=list[Finding])
        except FileNotFoundError:
            self.all = []
        except (OSError, msgspec.DecodeError) as error:
            self.all = []
            self.add(f"{self._path} is not readable ({error}): what was open in it is not known", Level.CRITICAL)

    def add(self, what: str, level: Level = Level.WARNING, action: str = "") -> Finding:
        """The same words once only, while nobody has acknowledged them."""
        for one in self.all:
            if one.what == what and one.level == level and not one.by:
                return one
        last = max((one.number for one in self.all), default=0)
        new = Finding(last + 1, self._now(), level, what, action)
        self.all.append(new)
        try:
            self._write()
        except OSError as error:  # who should look is told all the more
            new.action = "; ".join(filter(None, (action, f"not written down: {error}")))
        self._on_new(new)
        return new

    def acknowledge(self, number: int | None, who: str) -> int:
        """One, or all that are open; returns how many that were."""
        open_ = [one for one in self.open() if number is None or one.number == number]
        for one in open_:
            one.by = who
        self._write()
        return len(open_)

    def open(self) -> list[Finding]:
        return [one for one in self.all if not one.by]

    def blocking(self) -> list[Finding]:
        """Why nothing may be armed."""
        return [one for one in self.open() if one.level is Level.CRITICAL]

    def _write(self) -> None:
        done = [one for one in self.all if one.by or one.level is not Level.CRITICAL]
        gone = {one.number for one in done[:-KEPT]}
        self.all = [one for one in self.all if one.number not in gone]
        replace_file(self._path, msgspec.json.format(msgspec.json.encode(self.all)) + b"\n")
