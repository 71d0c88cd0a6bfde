"""From the config's feeds to the parts that bring a market in."""

from __future__ import annotations

from collections.abc import Sequence

from bus.values import Instrument
from config.schema import Process, Trading
from daemon.live import Accept
from daemon.run import Clock, Feed


def feeds(
    trading: Trading, process: Process, instruments: Sequence[Instrument], accept: Accept, clock: Clock
) -> list[Feed]:
    return []
