"""What an intent came from, as hashes: the strategy's parameters and source, known when it is loaded, and the closed
bars it rests on, taken when there is an intent and never for a bar on which nothing is wanted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any

import orjson
from msgspec import structs

from bus.events import Bar, Intent
from bus.values import Provenance

_ROW = Struct("<q5d").pack


def of_source(found: Callable[..., Any], params: Mapping[str, Any]) -> Provenance:
    """Of a strategy's class or function and what it was given."""
    place = getattr(sys.modules.get(found.__module__), "__file__", None)
    try:
        code = hash_of(Path(place).read_bytes()) if place else ""
    except OSError:  # kept in an archive
        code = ""
    config = orjson.dumps([found.__qualname__, dict(params)], default=str, option=orjson.OPT_SORT_KEYS)
    return Provenance(hash_of(config), code)


def traced(intent: Intent, known: Provenance, window: Iterable[Bar]) -> Intent:
    """The intent with what it came from; ``window`` are the bars it rests on, none where it answers no bar."""
    rows = [_ROW(b.start_ns, b.open, b.high, b.low, b.close, b.volume) for b in window]
    if rows:
        known = structs.replace(known, window=hash_of(b"".join(rows)))
    return structs.replace(intent, provenance=known)


def hash_of(content: bytes) -> str:
    """The first 128 bits of the sha256, in hex."""
    return sha256(content).hexdigest()[:32]
