"""The session's log: one JSON object a line in ``run.log``, ``noun.verb`` with fields. For people; nothing reads it
back.

The journal holds what was decided; what only a person debugging wants (the text of an error, where it was raised) is
here. The file is written by a thread of its own: a disk that hangs costs lines, never the loop's time.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TextIO

from daemon.aside import Aside
from daemon.session import identity_of
from daemon.setup.credentials import redact

RUN_LOG = "run.log"


class RunLog:
    """``event`` writes one line at a level (``debug``, ``info``, ``warning``, ``error``) with its fields."""

    def __init__(self, directory: Path, level: str) -> None:
        import structlog  # with rich behind it: a tenth of the time and memory of importing daemon.app

        self.path = directory / RUN_LOG
        self._open()
        self._lines = Aside(self._write, "log")
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(_Lines(self._lines)),  # type: ignore[arg-type]  # it writes and flushes, no more
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
                _redacted,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
            cache_logger_on_first_use=True,
        )

    @property
    def dropped(self) -> int:
        """Lines that the disk was too slow for."""
        return self._lines.dropped

    def event(self, level: str, event: str, **fields: Any) -> None:
        getattr(self._log, level)(event, **fields)

    def reopen(self) -> str:
        """Begin again under the same name, after somebody moved the file away."""
        before = self._file
        self._open()
        before.close()
        return f"{self.path.name} begun again"

    def close(self) -> None:
        if self._lines.close():
            self._file.close()

    def _open(self) -> None:
        self._file: TextIO = self.path.open("a", encoding="utf-8", buffering=1)
        self.identity = identity_of(self.path)

    def _write(self, line: str) -> None:
        self._file.write(line)


class _Lines:
    """As much of a file as a logger needs."""

    name = RUN_LOG

    def __init__(self, lines: Aside[str]) -> None:
        self.write = lines

    def flush(self) -> None: ...


def _redacted(_logger: Any, _name: str, line: Any) -> str:
    """The last hand a line goes through: no secret that we know of is in it."""
    return redact(line)
