"""Invented markets for trying strategies on: hours that go through every mood, and a perpetual that pays for being
held.

Drawn from a seed, so that the same call gives the same market. Whatever is written to a file says SYNTHETIC in its
first line, and everything made from it says so too.
"""

from __future__ import annotations

import json
import math
from functools import cache
from pathlib import Path
from random import Random
from typing import TextIO

from bus.clock import HOUR, SECOND
from bus.events import Bar

NOTE = "SYNTHETIC: an invented market, from research.harness.market; no venue ever sent this"
START = 1_704_067_200 * SECOND  # 2024-01-01

_MOODS = (
    (0.0, 0.004, 1.0),  # chop
    (0.004, 0.006, 1.0),  # up
    (0.0, 0.0008, 1.0),  # asleep
    (-0.004, 0.006, 1.0),  # down
    (0.0, 0.02, 1.0),  # wild
    (-0.005, 0.04, 8.0),  # panic
    (0.004, 0.006, 1.0),
)
"""Drift and deviation an hour, and how much busier every seventh hour is."""


@cache
def hours(count: int, seed: int = 11, instrument: str = "v:BTC/USDT") -> tuple[Bar, ...]:
    """Hourly bars of a market that trends, chops, sleeps, goes wild and panics by turns, 110 bars of each."""
    draw = Random(seed)
    price, bars = 100.0, []
    for n in range(count):
        drift, wild, busy = _MOODS[n // 110 % len(_MOODS)]
        before = price
        price *= math.exp(drift + draw.gauss(0.0, wild))
        high = max(before, price) * (1 + abs(draw.gauss(0.0, wild / 2)))
        low = min(before, price) * (1 - abs(draw.gauss(0.0, wild / 2)))
        volume = draw.uniform(1.0, 2.0) * (busy if n % 7 == 0 else 1.0)
        start = START + n * HOUR
        end = start + HOUR
        bars.append(Bar(instrument, HOUR, start, end, before, high, low, price, volume, 5, True, False, end))
    return tuple(bars)


def write_funding(spot: Path, perp: Path, *, days: int = 6, step_s: int = 25, seed: int = 5) -> None:
    """Two recordings of one market: trades of Binance spot, and trades and mark prices of its USD-M perpetual, whose
    funding pays shorts for the first two thirds of ``days`` and then charges them.
    """
    draw = Random(seed)
    price, trades = 40_000.0, 0
    with spot.open("w") as spot_file, perp.open("w") as perp_file:
        for file, conn, address in (
            (spot_file, "spot", "wss://stream.binance.com:9443/stream?streams=btcusdt@trade"),
            (perp_file, "perp", "wss://fstream.binance.com/stream?streams=btcusdt@trade/btcusdt@markPrice@1s"),
        ):
            _write(file, {"raw": "", "kind": "meta", "note": NOTE})
            _write(file, {"ts": START, "conn": conn, "raw": "", "kind": "connect", "url": address})
        for n in range(1, days * 86_400 // step_s):
            ns = START + n * step_s * SECOND
            ms = ns // 1_000_000
            price *= math.exp(draw.gauss(0.0, 0.0003))
            paying = n * step_s < days * 57_600
            rate = (0.0004 if paying else -0.0002) + draw.gauss(0.0, 0.00003)
            due = (ms // 28_800_000 + 1) * 28_800_000
            trades += 1
            maker = draw.random() < 0.5
            for file, conn, last in ((spot_file, "spot", price), (perp_file, "perp", price * 1.0004)):
                trade = {"e": "trade", "E": ms, "s": "BTCUSDT", "t": trades, "p": f"{last:.1f}", "q": "5.000", "T": ms}
                _frame(file, ns, conn, "btcusdt@trade", {**trade, "m": maker, **_TAIL[conn]})
            mark = {"e": "markPriceUpdate", "E": ms, "s": "BTCUSDT", "p": f"{price * 1.0004:.2f}"}
            mark |= {"i": f"{price:.2f}", "r": f"{rate:.8f}", "T": due}
            _frame(perp_file, ns, "perp", "btcusdt@markPrice@1s", mark)


_TAIL: dict[str, dict[str, object]] = {"spot": {"M": True}, "perp": {"X": "MARKET"}}


def _frame(file: TextIO, ns: int, conn: str, stream: str, data: dict[str, object]) -> None:
    raw = json.dumps({"stream": stream, "data": data}, separators=(",", ":"))
    _write(file, {"ts": ns, "conn": conn, "raw": raw})


def _write(file: TextIO, line: dict[str, object]) -> None:
    file.write(json.dumps(line, separators=(",", ":")) + "\n")
