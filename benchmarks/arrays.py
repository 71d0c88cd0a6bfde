"""Generated trades and bars for the workloads, in the peers' layout: a seeded random walk, nobody's market.

``trades.npz``: ts (ns), price, size, side (+1 or -1); ``bars1m.npz`` and ``year1m.npz``: ts (bar open, ns), open, high,
low, close, volume.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

SEED = 11
TRADES = 1_000_000
YEAR_MINUTES = 525_600
MINUTE_NS = 60_000_000_000
START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z


def generate(folder: Path) -> None:
    """Write the three files, unless they are there."""
    if (folder / "year1m.npz").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    ts = START_NS + np.cumsum(rng.integers(10_000, 1_000_000_000, TRADES))
    price = np.round(30_000 + np.cumsum(rng.integers(-50, 51, TRADES)) / 100, 2)
    price = np.maximum(price, 1_000.0)
    size = np.round(rng.integers(1, 400, TRADES) / 1_000, 3)
    side = rng.choice(np.array([-1, 1], dtype=np.int8), TRADES)
    np.savez(folder / "trades.npz", ts=ts, price=price, size=size, side=side)
    starts = np.flatnonzero(np.diff(ts // MINUTE_NS, prepend=-1))
    np.savez(folder / "bars1m.npz", **_bars(ts[starts] // MINUTE_NS * MINUTE_NS, price, size, starts))
    steps = rng.integers(-400, 401, YEAR_MINUTES * 4) / 100
    walk = np.maximum(np.round(30_000 + np.cumsum(steps), 2), 1_000.0)
    year = START_NS + np.arange(YEAR_MINUTES) * MINUTE_NS
    volume = np.round(rng.integers(1, 20_000, len(walk)) / 1_000, 3)
    np.savez(folder / "year1m.npz", **_bars(year, walk, volume, np.arange(YEAR_MINUTES) * 4))


def _bars(ts: Any, price: Any, size: Any, starts: Any) -> dict[str, Any]:
    ends = np.append(starts[1:], len(price)) - 1
    return {
        "ts": ts,
        "open": price[starts],
        "high": np.maximum.reduceat(price, starts),
        "low": np.minimum.reduceat(price, starts),
        "close": price[ends],
        "volume": np.round(np.add.reduceat(size, starts), 3),
    }
