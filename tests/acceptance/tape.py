"""Recordings as lists of lines, to be cut, spliced and damaged; and one that needs nobody's data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from sandbox import market

Lines = list[bytes]

CAPTURE = "wss/binance_spot/btcusdt_20240808_20240809.jsonl.zst"


def read(path: Path) -> Lines:
    with path.open("rb") as file:
        return zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()


def write(path: Path, lines: Iterable[bytes]) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def synthetic(minutes: float = 1.0, seed: int = 3, symbols: Sequence[str] = ("BTCUSDT",)) -> Lines:
    return [msgspec.json.encode(item) for item in market.generate(seed, minutes, symbols)]


def diffs(lines: Lines) -> list[int]:
    """Where the depth updates are."""
    return _of_stream(lines, b"depth@100ms")


def quotes(lines: Lines) -> list[int]:
    return _of_stream(lines, b"bookTicker")


def trades(lines: Lines) -> list[int]:
    return _of_stream(lines, b"trade")


def payload(line: bytes) -> dict[str, Any]:
    """What a frame carries."""
    data: dict[str, Any] = json.loads(json.loads(line)["raw"])["data"]
    return data


def reply(line: bytes) -> dict[str, Any]:
    """What a REST answer says."""
    body: dict[str, Any] = json.loads(json.loads(line)["raw"])
    return body


def received_ns(line: bytes) -> int:
    ns: int = json.loads(line)["ts"]
    return ns


def snapshot_at(lines: Lines) -> int:
    """Where the first book snapshot is."""
    return next(at for at, line in enumerate(lines) if b"/depth?" in line)


def bridging(lines: Lines) -> int:
    """Which of the diffs is the one that bridges the snapshot: the first that ends behind it."""
    id = reply(lines[snapshot_at(lines)])["lastUpdateId"]
    return next(n for n, at in enumerate(diffs(lines)) if payload(lines[at])["u"] > id)


def snapshot_line(bids: dict[Any, Any], asks: dict[Any, Any], id: int, ns: int, symbol: str) -> bytes:
    """A book as the venue's REST answer to a question asked now."""
    sides = {
        "bids": [[str(price), str(bids[price])] for price in sorted(bids, reverse=True)],
        "asks": [[str(price), str(asks[price])] for price in sorted(asks)],
    }
    raw = json.dumps({"lastUpdateId": id, **sides})
    url = f"/api/v3/depth?symbol={symbol}&limit=1000"
    return json.dumps({"kind": "http", "ts": ns, "conn": "http", "url": url, "raw": raw}).encode()


def _of_stream(lines: Lines, stream: bytes) -> list[int]:
    frame = b'@%s\\",' % stream
    return [at for at, line in enumerate(lines) if frame in line]


def compressed(path: Path, lines: Lines) -> Path:
    path.write_bytes(zstandard.compress(b"".join(line + b"\n" for line in lines)))
    return path
