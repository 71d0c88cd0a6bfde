"""Recordings of the invented market, line by line as the recorder would have written them at Binance spot.

They begin with a ``meta`` line that says SYNTHETIC and how to make the same again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from heapq import merge
from operator import itemgetter
from pathlib import Path

from bus import inputs
from bus.clock import MINUTE
from bus.inputs import Input
from feeds.frames import RecordingWriter
from sandbox.listing import exchange_info, spot_row, terms_of
from sandbox.model import LISTINGS, MS, MarketModel

START_NS = 1_767_603_600_000_000_000
"""2026-01-05 09:00 UTC."""

NOTE = "SYNTHETIC: an invented market, from sandbox.market; no venue ever sent this"
STREAMS = ("trade", "bookTicker", "depth@100ms", "kline_1m")

_REST = "https://api.binance.com/api/v3"
_WS = "wss://stream.binance.com:9443/stream?streams="


def generate(
    seed: int, minutes: float, symbols: Sequence[str] = ("BTCUSDT",), start_ns: int = START_NS
) -> Iterator[Input]:
    """All lines of one recording of ``minutes``; the same arguments give the same lines."""
    models = [MarketModel(seed, symbol, start_ns) for symbol in symbols]
    network = random.Random(f"{seed}:network")
    streams = "/".join(f"{symbol.lower()}@{stream}" for symbol in symbols for stream in STREAMS)
    recipe = {"seed": seed, "minutes": minutes, "symbols": list(symbols), "start_ns": start_ns}

    heard = start_ns
    yield Input(_json(recipe), kind=inputs.META, note=NOTE)
    yield Input("", heard, "spot", inputs.CONNECT, f"{_WS}{streams}")
    heard += 20 * MS
    yield Input(_exchange_info(symbols, heard), heard, "http", inputs.HTTP, f"{_REST}/exchangeInfo")
    for symbol, model in zip(symbols, models, strict=True):
        # The snapshot falls inside the first depth interval, so that the first depth frame bridges it; what else the
        # venue would have sent before it is nobody's loss.
        heard += 20 * MS
        for _ in model.frames(heard):
            pass
        yield Input(model.snapshot(), heard, "http", inputs.HTTP, f"{_REST}/depth?symbol={symbol}&limit=1000")

    until_ns = start_ns + round(minutes * MINUTE)
    for event_ns, raw in merge(*(model.frames(until_ns) for model in models), key=itemgetter(0)):
        # On the way for 2 ms and a bit; a frame never overtakes the one before it.
        heard = max(heard + 1, event_ns + 2 * MS + int(network.expovariate(1 / MS)))
        yield Input(raw, heard, "spot")


def write(
    path: Path, seed: int, minutes: float, symbols: Sequence[str] = ("BTCUSDT",), start_ns: int = START_NS
) -> int:
    """Write such a recording to the new file ``path``; returns its number of lines."""
    lines = 0
    writer = RecordingWriter(path)
    try:
        for line in generate(seed, minutes, symbols, start_ns):
            writer.write(line)
            lines += 1
    finally:
        writer.close()
    return lines


def _exchange_info(symbols: Sequence[str], now_ns: int) -> str:
    rows = [spot_row(terms_of("binance", symbol, *LISTINGS[symbol].steps())) for symbol in symbols]
    return _json(exchange_info(rows, now_ns // MS, futures=False))


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
