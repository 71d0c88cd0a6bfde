"""The command ``argus sandbox``: venues on the loopback until somebody interrupts."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console

from daemon.errors import Usage
from daemon.replay import run_async
from sandbox.binance import Binance
from sandbox.clock import Clock, RunningClock
from sandbox.coinbase import Coinbase
from sandbox.dialect import Dialect
from sandbox.faults import Faults
from sandbox.model import LISTINGS
from sandbox.playback import BinanceTape, Reel, load
from sandbox.playback_products import CoinbaseTape
from sandbox.seeded import SeededProducts, SeededTape
from sandbox.server import Sandbox, Speakers
from sandbox.venue import Tape

SEED = 7


def seeded(seed: int = SEED, activity: float = 1.0, flood: int = 0, symbols: Sequence[str] = ("BTCUSDT",)) -> Speakers:
    """All venues, each with an invented market of its own."""

    def speakers(clock: Clock, faults: Faults) -> Sequence[Dialect]:
        def tape(venue: str) -> Tape:
            return SeededTape(venue, seed, symbols, activity, flood)

        return [
            Binance(tape("binance"), clock, faults, futures=False),
            Binance(tape("binanceusdm"), clock, faults, futures=True),
            Coinbase(SeededProducts(seed, symbols, activity, flood), clock, faults),
        ]

    return speakers


def recorded(reels: Sequence[Reel]) -> Speakers:
    """The venues that the recordings are of."""
    of: dict[str, list[Reel]] = {}
    for reel in reels:
        if reel.venue not in ("binance", "binanceusdm", "coinbase"):
            raise Usage(
                f"{reel.path} was heard at {reel.venue or 'nobody knows where'}; the sandbox does not speak that"
            )
        of.setdefault(reel.venue, []).append(reel)

    def speakers(clock: Clock, faults: Faults) -> Sequence[Dialect]:
        def venue(name: str, reels: list[Reel]) -> Dialect:
            if name == "coinbase":
                return Coinbase(CoinbaseTape(reels), clock, faults)
            return Binance(BinanceTape(name, reels), clock, faults, futures=name == "binanceusdm")

        return [venue(name, reels) for name, reels in of.items()]

    return speakers


def run(
    out: Console,
    err: Console,
    *,
    recordings: Sequence[Path],
    market: str,
    seed: int,
    symbols: Sequence[str],
    rate: float,
    port: int,
    activity: float,
    flood: int,
    json: bool,
) -> None:
    """Serve until SIGINT or SIGTERM. Says where as soon as it listens."""
    if market != "seeded":
        raise Usage(f"--market is seeded, not {market!r}")
    try:
        clock = RunningClock(rate)
    except ValueError as error:
        raise Usage(f"--rate: {error}") from error
    if unknown := [symbol for symbol in symbols if symbol not in LISTINGS]:
        raise Usage(f"no market for {unknown[0]!r}; there is one for {', '.join(LISTINGS)}")
    speakers = recorded(load(recordings)) if recordings else seeded(seed, activity, flood, symbols)
    sandbox = Sandbox(clock, speakers)
    run_async(_serve(sandbox, port, out, json=json))
    err.print("sandbox closed")


async def _serve(sandbox: Sandbox, port: int, out: Console, *, json: bool) -> None:
    await sandbox.start(port)
    assert sandbox.failed is not None
    stopped, loop = sandbox.failed, asyncio.get_running_loop()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C raises KeyboardInterrupt instead
            loop.add_signal_handler(number, stop)
    _tell(sandbox.address(), out, json=json)
    try:
        await stopped
    finally:
        await sandbox.stop()


def _tell(address: dict[str, Any], out: Console, *, json: bool) -> None:
    if json:
        sys.stdout.write(orjson.dumps(address).decode() + "\n")
        sys.stdout.flush()
        return
    for name, at in address["venues"].items():
        out.print(f"{name}: {at['ws']} {at['rest']}", markup=False)
    out.print(f"faults: {address['faults']}", markup=False)
