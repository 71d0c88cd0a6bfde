"""What makes an event a record of the journal."""

from __future__ import annotations

import msgspec


class Record(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What every journaled event shares."""

    ns: int
