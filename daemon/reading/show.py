"""Journal records as text: for a person, or one JSON object a line."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import orjson

from bus import money
from bus.journal import Entry


def record_line(entry: Entry, *, as_json: bool) -> str:
    """``{"seq", "ns", "type", "hash", …fields}``, nested values under their own names, money as plain text."""
    event = entry.event()
    fields = {name: named(getattr(event, name)) for name in event.__struct_fields__ if name != "ns"}
    if as_json:
        head = {"seq": entry.seq, "ns": event.ns, "type": entry.type, "hash": entry.hash.hex()}
        return orjson.dumps({**head, **fields}).decode()
    shown = " ".join(f"{name}={value}" for name, value in fields.items())
    return f"{entry.seq:>8} {event.ns} {entry.type} {shown}"


def named(value: Any) -> Any:
    """A value with its fields' names, ready for JSON."""
    match value:
        case msgspec.Struct():
            return {name: named(getattr(value, name)) for name in value.__struct_fields__}
        case Decimal():
            return money.plain(value) if value.is_finite() else str(value)
        case dict():
            return {key: named(item) for key, item in value.items()}
        case list() | tuple():
            return [named(item) for item in value]
        case None | bool() | int() | float() | str():
            return value
    return value.value  # an enum
