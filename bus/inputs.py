"""What may enter the core. A recorded line *is* an input, field for field.

Nothing else changes the core's state. ``ts`` is when we heard it, in integer nanoseconds UTC; None only on a
recording's ``meta`` lines, which carry no time of their own.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

FRAME = None
HTTP = "http"
CONNECT = "connect"
DISCONNECT = "disconnect"
RETIRE = "retire"
SWITCH = "switch"
TICK = "tick"
COMMAND = "command"
BROKER = "broker"
EXTERNAL = "external"
ROW = "row"
FAULT = "fault"
META = "meta"
SENT = "sent"
RESUME = "resume"
END = "end"

KINDS = frozenset(
    {HTTP, CONNECT, DISCONNECT, RETIRE, SWITCH, TICK, COMMAND, BROKER, EXTERNAL, ROW, FAULT, META, SENT, RESUME, END}
)


class Input(msgspec.Struct, gc=False, omit_defaults=True):
    """One line of a recording: a frame when ``kind`` is None, otherwise what ``kind`` says.

    ``conn`` names the connection, ``raw`` is the text exactly as it came (base64 when ``enc`` is ``"b64"``),
    ``url`` the request of an ``http`` or ``connect`` line, the new source of a ``switch``.
    """

    raw: str
    ts: Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)] | None = None
    conn: str | None = None
    kind: str | None = None
    url: str | None = None
    enc: str | None = None
    note: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What the ``raw`` of an external result says, as JSON; ``conn`` is the model it came from."""

    name: str
    instrument: str
    value: float


class Command(msgspec.Struct, frozen=True):
    """What the ``raw`` of a command says, as JSON: the whole of it travels with it, never a path to read later."""

    name: str
    who: str
    payload: dict[str, Any] = {}
