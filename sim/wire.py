"""What is on its way between us and the venue. A message is read when the clock reaches its time, never before; one
that takes no time is read at once.

Messages with the same time are read in the order they were sent. All of them are kept in ``Wire.messages`` until then,
so that a session can write down what was in flight when it stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bus.clock import Clock

Read = Callable[[Any], object]


class Message(msgspec.Struct, eq=False):
    """``read`` is the method that takes ``content`` when the time has come. What is on its way when a session is handed
    over holds all of its core in a circle: the collector must see it.
    """

    due_ns: int
    read: Read
    content: Any
    in_flight: dict[Message, None]

    def __call__(self) -> None:
        del self.in_flight[self]
        self.read(self.content)


class Wire:
    __slots__ = ("_clock", "messages")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.messages: dict[Message, None] = {}

    def send(self, due_ns: int, read: Read, content: object) -> None:
        if due_ns <= self._clock.now:  # no time passes on the way, so nothing can come between
            read(content)
            return
        self.put(due_ns, read, content)

    def put(self, due_ns: int, read: Read, content: object) -> None:
        """On its way again after a restart: overdue or not, it is read when the clock next turns."""
        message = Message(due_ns, read, content, self.messages)
        self.messages[message] = None
        self._clock.at(due_ns, message)
