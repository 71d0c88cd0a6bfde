"""What can be wrong with a request, and the exit code it deserves."""

from __future__ import annotations

CLEAN = 0
ERROR = 1
USAGE = 2
NOT_RUNNING = 3
CONFIG = 4
TIMEOUT = 5
UNRECONCILED = 6
KILLED = 7
ORDERS_LEFT = 8
LOCKED = 9


class Usage(ValueError):  # the user's words, ours to answer
    """The command was asked for something that cannot be; the text says what to change."""


class LockHeld(RuntimeError):  # somebody else's, so nothing here is wrong
    """Another process has the state directory; the text says which and what to do."""


class NotRunning(RuntimeError):
    """There is no process to talk to."""


class TimedOut(RuntimeError):
    """There is a process, and it does not answer."""
