"""The table of faults: what each kind may be told, and how a request for one is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

Kind = Literal[
    "drop",
    "freeze",
    "gap",
    "delay",
    "duplicate",
    "reorder",
    "malformed",
    "cut",
    "half_open",
    "slow_drip",
    "ignore",
    "rollover",
    "ban",
    "rest",
    "pause",
    "resume",
    "rewind",
]

_SCOPE = ("venue", "conn")
_LASTING = ("for_s", "count")
FIELDS: Mapping[str, tuple[str, ...]] = {
    "drop": (*_SCOPE, "stream", *_LASTING, "share", "seed"),
    "freeze": (*_SCOPE, "stream", *_LASTING),
    "gap": (*_SCOPE, "stream", *_LASTING),
    "delay": (*_SCOPE, "stream", *_LASTING, "delay_s"),
    "duplicate": (*_SCOPE, "stream", *_LASTING, "times"),
    "reorder": (*_SCOPE, "stream", *_LASTING, "span"),
    "malformed": (*_SCOPE, "stream", *_LASTING, "how"),
    "cut": (*_SCOPE, "for_s", "how"),
    "half_open": (*_SCOPE, "for_s"),
    "slow_drip": (*_SCOPE, "for_s", "bytes_per_s"),
    "ignore": (*_SCOPE, *_LASTING),
    "rollover": (*_SCOPE, "announce_s", "life_s"),
    "ban": ("venue", "for_s", "status"),
    "rest": ("venue", *_LASTING, "path", "status", "delay_s"),
    "pause": (),
    "resume": (),
    "rewind": ("venue", "stream", "id"),
}
"""Which fields each kind takes, beside ``kind``."""

DEPTH = ("*@depth", "level2:*")
ON_STREAMS = frozenset(("drop", "freeze", "gap", "delay", "duplicate", "reorder", "malformed"))
_HOW = {"cut": ("fin", "reset", "close"), "malformed": ("cut", "garbage", "utf8", "huge")}
_HUGE = 10 << 20
_SPEED = re.compile(r"@(\d+ms|1s|3s)$")


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """A fault as it is asked for. Empty: all venues, all streams, all connections."""

    kind: Kind
    venue: str = ""
    stream: str = ""  # a name or a pattern: btcusdt@depth, *@trade
    conn: int = 0
    for_s: float = 0.0
    count: int = 0
    share: float = 1.0
    seed: int = 0
    delay_s: float = 0.0
    times: int = 2
    span: int = 2
    how: str = ""
    bytes_per_s: float = 64.0
    announce_s: float = 0.0
    life_s: float = 0.0
    status: int = 0
    path: str = ""
    id: int = 0


class BadFault(ValueError):
    """A fault that cannot be; the text says why."""


def parse(body: bytes) -> Fault:
    """Raises BadFault."""
    try:
        fault = msgspec.json.decode(body, type=Fault)
        given = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise BadFault(f"{error}; kinds: {', '.join(FIELDS)}") from None
    takes = FIELDS[fault.kind]
    if extra := [name for name in given if name not in ("kind", *takes)]:
        raise BadFault(f"{fault.kind} takes {', '.join(takes) or 'nothing'}; not {extra[0]!r}")
    fault.stream = canonical(fault.stream)
    if fault.how and fault.how not in _HOW[fault.kind]:
        raise BadFault(f"how {fault.kind} goes is one of {', '.join(_HOW[fault.kind])}, not {fault.how!r}")
    numbers = ("for_s", "count", "delay_s", "bytes_per_s", "announce_s", "life_s")
    if wrong := [name for name in numbers if getattr(fault, name) < 0]:
        raise BadFault(f"{wrong[0]} must not be negative")
    if not 0 <= fault.share <= 1 or fault.times < 1 or fault.span < 2:
        raise BadFault("share is from 0 to 1, times at least 1, span at least 2")
    return fault


def canonical(name: str) -> str:
    """The stream we know under the name a client used: its speed is ours to choose."""
    return _SPEED.sub("", name)


def given(fault: Fault) -> dict[str, Any]:
    """What it was asked to be."""
    return {name: getattr(fault, name) for name in ("kind", *FIELDS[fault.kind])}


def broken(how: str, payload: bytes) -> bytes:
    """What a malformed frame carries in place of ``payload``."""
    match how:
        case "garbage":
            return b"\x00<html>502 Bad Gateway</html>"
        case "utf8":
            return payload[:-2] + b"\xff\xfe"
        case "huge":
            return b'{"stream":"' + b"x" * _HUGE + b'"}'
    return payload[: len(payload) // 2]
