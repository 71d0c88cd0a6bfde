"""How an event gets to those who asked for it: code for each list of handlers, with a place in it for each of them.

CPython keeps what it learns of a call at the place of the call. A loop over handlers has one place for all of them and
learns nothing; written out, each place calls one handler, in three quarters of the time. The text is written once for
each number of handlers; every route then has a copy of its code, because the code is where the learning is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import cache
from types import CodeType, FunctionType
from typing import Any

import msgspec

from bus.clock import Clock

Handler = Callable[[Any], object]
OnFailure = Callable[[Handler, object, Exception], None]
Handlers = tuple[Handler, ...]
Follow = Callable[[Any, Iterator[Any], Clock, deque[object], Callable[[], bool]], Any]


class Route(msgspec.Struct, frozen=True, eq=False):
    """``deliver(event)`` calls all handlers in turn; one that raises is reported and the rest still run.

    ``follow(event, rest, clock, backlog, drain)`` delivers ``event`` and goes on with the ``rest``, turning the clock
    to each and draining the backlog after it, as long as nothing else is to be done: no timer, no other route, no
    event of another type or out of time. It returns the first that has to wait for that, not delivered yet, or None.
    """

    deliver: Handler
    follow: Follow


def route(event_type: type, handlers: Handlers, on_failure: OnFailure) -> Route:
    names: dict[str, object] = {f"handler{index}": handler for index, handler in enumerate(handlers)}
    names.update(kind=event_type, on_failure=on_failure)
    deliver, follow = (FunctionType(code.replace(), names) for code in _codes(len(handlers)))
    return Route(deliver, follow)


@cache
def _codes(count: int) -> tuple[CodeType, CodeType]:
    """Of both, for so many handlers."""
    made: dict[str, FunctionType] = {}
    calls = [
        f"    try: handler{index}(event)\n    except Exception as error: on_failure(handler{index}, event, error)\n"
        for index in range(count)
    ]
    all_calls = "".join(calls) or "    pass\n"
    text = _TEXT.format(calls=all_calls, calls_inside=all_calls.replace("    ", "        "))
    exec(compile(text, "<route>", "exec"), made)
    return made["deliver"].__code__, made["follow"].__code__


_TEXT = """
def deliver(event):
{calls}
def follow(event, rest, clock, backlog, drain):
{calls}
    if backlog and drain():
        return next(rest, None)
    now = clock.now
    for event in rest:
        ns = event.local_ns
        if type(event) is not kind or ns < now or clock.due <= ns:
            return event
        clock.now = now = ns
{calls_inside}
        if backlog and drain():
            return next(rest, None)
    return None
"""
