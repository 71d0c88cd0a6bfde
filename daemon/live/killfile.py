"""The kill file: while it is there nothing trades. Whoever can make a file can stop the daemon, and nothing else.

Only its presence matters, never what is in it. Where nobody can say whether it is there, it is.
"""

from __future__ import annotations

import os
from pathlib import Path


class KillFile:
    """``why`` says, in words, what ``look`` found last; empty while nothing is there."""

    EVERY_S = 0.05

    def __init__(self, path: Path) -> None:
        self._path = path
        self.why = ""
        self.look()

    @property
    def present(self) -> bool:
        return bool(self.why)

    def look(self) -> bool:
        try:
            os.lstat(self._path)  # a link to nowhere is a file that somebody put there
        except FileNotFoundError:
            self.why = ""
        except OSError as error:
            self.why = f"nobody can say whether the kill file {self._path} is there: {error.strerror}"
        else:
            self.why = f"the kill file {self._path} is there"
        return self.present
