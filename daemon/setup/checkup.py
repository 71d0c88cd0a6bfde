"""The part of ``argus doctor`` that looks at what was set rather than at what was installed.

Settings, folders, which credentials are there (never what they are) and, when asked to go online, how far this clock is
from the venues'.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import orjson

from config.load import FILE_VARIABLE, ConfigError, load
from config.schema import Config, Endpoint
from config.surroundings import notes
from daemon.setup.credentials import NAMES, find
from daemon.setup.doctor import Finding, Status, disk, free_at, writable

SKEW_WARN_MS, SKEW_FAIL_MS = 250.0, 1_000.0
_TIME: Mapping[str, tuple[str, str, Callable[[Mapping[str, object]], float]]] = {
    "binance": ("https://api.binance.com", "/api/v3/time", lambda said: float(str(said["serverTime"]))),
    "binanceusdm": ("https://fapi.binance.com", "/fapi/v1/time", lambda said: float(str(said["serverTime"]))),
    "coinbase": (
        "https://api.coinbase.com",
        "/api/v3/brokerage/time",
        lambda said: float(str(said["epochMillis"])),
    ),
}
"""Where a venue says what time it is, and the milliseconds in its answer."""


def checks(path: Path | None, environ: Mapping[str, str], *, online: bool = False) -> list[Finding]:
    """In the order in which they are best put right."""
    try:
        config = load(path, (), environ, only_tighter=True)
    except ConfigError as error:
        return [
            Finding("settings", Status.FAIL, line, "correct it; argus config example shows every setting")
            for line in str(error).splitlines()
        ]
    where = str(path or environ.get(FILE_VARIABLE) or "the defaults")
    found = [Finding("settings", Status.OK, where)]
    found += [Finding("settings", Status.OK, note) for note in notes(environ)]
    found += _folders(config)
    found += credentials(environ)
    found.append(Finding("limits", Status.OK, _limits(config)))
    if online:
        found += [
            skew(feed.venue, config.process.endpoints.get(feed.venue, Endpoint())) for feed in config.trading.feeds
        ]
    return found


def credentials(environ: Mapping[str, str]) -> Iterator[Finding]:
    """Which are there and where from. Paper needs none, so that none is missing."""
    for name in NAMES:
        try:
            secret = find(name, environ)
        except ConfigError as error:
            yield Finding(name, Status.FAIL, str(error), "make it readable by its owner only")
            continue
        if secret is not None:
            yield Finding(name, Status.OK, f"there, from {secret.origin}")
    if not any(environ.get(name) for name in NAMES):
        yield Finding("credentials", Status.OK, "none in the environment; replay and paper need none")


def skew(venue: str, said: Endpoint, fetch: Callable[[str], bytes] | None = None) -> Finding:
    """How far this clock is from the venue's, to half the time the question took."""
    name = f"clock against {venue}"
    if venue not in _TIME:
        return Finding(name, Status.WARN, "it does not say what time it is")
    own, path, read = _TIME[venue]
    url = (said.rest or own).rstrip("/") + path
    try:
        began = time.time()
        answer = read(orjson.loads((fetch or _fetch)(url)))
        ended = time.time()
    except (OSError, ValueError, KeyError) as error:
        return Finding(name, Status.WARN, f"{url}: {error}", "look at the network, then ask again")
    off_ms, within_ms = (began + ended) / 2 * 1_000 - answer, (ended - began) / 2 * 1_000
    detail = f"{off_ms:+.0f} ms, to within {within_ms:.0f} ms"
    if abs(off_ms) - within_ms > SKEW_FAIL_MS:
        return Finding(name, Status.FAIL, detail, "keep the clock set with NTP: venues refuse requests that far off")
    if abs(off_ms) - within_ms > SKEW_WARN_MS:
        return Finding(name, Status.WARN, detail, "keep the clock set with NTP")
    return Finding(name, Status.OK, detail)


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return bytes(answer.read())


def _folders(config: Config) -> Iterator[Finding]:
    process = config.process
    for name, folder in (
        ("sessions", process.out_dir),
        ("state", process.state_dir),
        ("kill file", process.kill_file.parent),
    ):
        yield writable(folder, name)
    yield disk(free_at(process.out_dir), process.out_dir)
    if process.kill_file.exists():
        yield Finding("kill file", Status.WARN, f"{process.kill_file} is there: nothing trades", "remove it to trade")


def _limits(config: Config) -> str:
    limits = config.trading.limits
    return (
        f"order {limits.max_notional}, position {limits.max_position} {config.trading.asset}, "
        f"loss {limits.max_drawdown_bps} bps, data {limits.stale_data_threshold_s:g} s old"
    )
