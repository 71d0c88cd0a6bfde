"""What can be wrong with a request, and the exit code it deserves."""

from __future__ import annotations

CLEAN = 0
ERROR = 1
USAGE = 2
CONFIG = 4


class Usage(ValueError):  # the user's words, ours to answer
    """The command was asked for something that cannot be; the text says what to change."""
