"""The session's log: one JSON object a line in ``run.log``, ``noun.verb`` with fields. For people; nothing reads it
back.

The journal holds what was decided; what only a person debugging wants (the text of an error, where it was raised) is
here.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, TextIO

import structlog

RUN_LOG = "run.log"


class RunLog:
    """``event`` writes one line at a level (``debug``, ``info``, ``warning``, ``error``) with its fields."""

    def __init__(self, directory: Path, level: str) -> None:
        self._file: TextIO = (directory / RUN_LOG).open("a", encoding="utf-8", buffering=1)
        self._log = structlog.wrap_logger(
            structlog.WriteLogger(self._file),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
            cache_logger_on_first_use=True,
        )

    def event(self, level: str, event: str, **fields: Any) -> None:
        getattr(self._log, level)(event, **fields)

    def close(self) -> None:
        self._file.close()
