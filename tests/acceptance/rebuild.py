"""A session checked by somebody else: this script shares no code with the project and believes none of its numbers.

    python rebuild.py RECORDING.jsonl.zst JOURNAL.jsonl

It reads a Binance spot recording by the venue's published rules, keeps the order book in exact decimals, and sends
every accepted market order of the journal (``argus journal SESSION --json``) through that book as it stood when the
order arrived: after all inputs heard before ``arrival_ns`` and none heard later. What is displayed is taken once, until
the feed speaks of that level again. Prices, sizes, fees, cash and final equity must come out as the journal has them,
to the last digit. Prints one JSON object; exits 1 at the first difference.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from decimal import Decimal, getcontext
from pathlib import Path
from typing import Any

import zstandard

getcontext().prec = 60
ZERO = Decimal(0)


class Book:
    """One symbol's book: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams"""

    def __init__(self) -> None:
        self.bids: dict[Decimal, Decimal] = {}
        self.asks: dict[Decimal, Decimal] = {}
        self.taken: dict[tuple[str, Decimal], Decimal] = {}
        self.id = -1
        self.waiting: list[dict[str, Any]] = []

    def snapshot(self, reply: dict[str, Any]) -> None:
        self.bids = {Decimal(price): Decimal(size) for price, size in reply["bids"]}
        self.asks = {Decimal(price): Decimal(size) for price, size in reply["asks"]}
        self.taken.clear()
        self.id = reply["lastUpdateId"]
        for diff in self.waiting:
            self.diff(diff)
        self.waiting.clear()

    def diff(self, diff: dict[str, Any]) -> None:
        if self.id < 0:
            self.waiting.append(diff)
            return
        if diff["u"] <= self.id:
            return
        if diff["U"] > self.id + 1:
            raise SystemExit(f"ids {self.id + 1} to {diff['U'] - 1} are missing")
        self.id = diff["u"]
        for side, levels, changes in (("bids", self.bids, diff["b"]), ("asks", self.asks, diff["a"])):
            for price, size in changes:
                self.taken.pop((side, Decimal(price)), None)
                if Decimal(size):
                    levels[Decimal(price)] = Decimal(size)
                else:
                    levels.pop(Decimal(price), None)

    def walk(self, buys: bool, size: Decimal, lot: Decimal) -> list[tuple[Decimal, Decimal]]:
        """What a market order gets, level by level, in whole lots."""
        side, levels = ("asks", self.asks) if buys else ("bids", self.bids)
        got = []
        for price in sorted(levels, reverse=not buys):
            left = levels[price] - self.taken.get((side, price), ZERO)
            part = size if left >= size else left // lot * lot
            if part > 0:
                got.append((price, part))
                self.taken[side, price] = self.taken.get((side, price), ZERO) + part
                size -= part
            if not size:
                break
        return got


def inputs(path: Path, symbol: str) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(time heard, what it is, its content) of the frames and replies about ``symbol``; time never goes back."""
    latest = 0
    with path.open("rb") as file:
        text = zstandard.ZstdDecompressor().stream_reader(file).read()
    for line in text.splitlines():
        item = json.loads(line)
        latest = max(latest, item.get("ts") or 0)
        if item.get("kind") == "http" and f"depth?symbol={symbol}" in item["url"]:
            yield latest, "snapshot", json.loads(item["raw"])
        elif "kind" not in item and '"data"' in item["raw"]:
            data = json.loads(item["raw"])["data"]
            if data.get("s") == symbol and data.get("e") in ("depthUpdate", "trade"):
                yield latest, data["e"], data


def check(what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise SystemExit(f"{what}: made again {ours}, the journal has {theirs}")


def main(recording: Path, journal: Path) -> None:
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    root, closed = records[0], records[-1]
    orders = {r["order"]["intent_id"]: r["order"] for r in records if r["type"] == "OrderApproved"}
    approved_ns = {r["order"]["intent_id"]: r["ns"] for r in records if r["type"] == "OrderApproved"}
    intents = {r["client_id"]: r["intent_id"] for r in records if r["type"] == "OrderSubmitted"}
    arrivals = sorted((r["arrival_ns"], r["seq"], r["client_id"]) for r in records if r["type"] == "OrderAccepted")
    fills = {
        client_id: [r for r in records if r["type"] == "OrderFilled" and r["client_id"] == client_id]
        for client_id in intents
    }
    traded = {order["instrument"] for order in orders.values()}
    check("instruments traded", len(traded), 1)
    terms = next(i for i in root["instruments"] if i["name"] in traded)
    base, quote, lot, rate = terms["base"], terms["quote"], Decimal(terms["lot"]), Decimal(terms["taker_fee"])

    cash = {asset: Decimal(amount) for asset, amount in root["opening"].items()}
    cash.setdefault(base, ZERO)
    fees: dict[str, Decimal] = {}
    book, waiting, last_price, made = Book(), iter(inputs(recording, terms["symbol"])), "", 0

    def hear(item: tuple[int, str, dict[str, Any]]) -> None:
        nonlocal last_price
        _, kind, content = item
        if kind == "trade":
            last_price = content["p"]
        else:
            book.diff(content) if kind == "depthUpdate" else book.snapshot(content)

    upcoming = next(waiting, None)
    for arrival_ns, _, client_id in arrivals:
        while upcoming is not None and upcoming[0] < arrival_ns:
            hear(upcoming)
            upcoming = next(waiting, None)
        order = orders[intents[client_id]]
        check(f"{client_id} is a market order", order["type"], "market")
        travelled = arrival_ns - approved_ns[intents[client_id]]
        check(f"{client_id} travels 50 to 200 ms", 50_000_000 <= travelled <= 200_000_000, True)
        buys = order["side"] == "buy"
        got = book.walk(buys, Decimal(order["size"]), lot)
        check(f"{client_id} fills", len(got), len(fills[client_id]))
        for (price, size), fill in zip(got, fills[client_id], strict=True):
            name = fill["fill_id"]
            in_base = terms["fee_asset"] == "received" and buys
            fee, asset = (size * rate, base) if in_base else (size * price * rate, quote)
            check(f"{name} price", price, Decimal(fill["price"]))
            check(f"{name} size", size, Decimal(fill["size"]))
            check(f"{name} fee", (fee, asset), (Decimal(fill["fee"]), fill["fee_asset"]))
            check(f"{name} arrival", (arrival_ns, "taker"), (fill["arrival_ns"], fill["liquidity"]))
            cash[quote] += -size * price if buys else size * price
            cash[base] += size if buys else -size
            cash[asset] -= fee
            fees[asset] = fees.get(asset, ZERO) + fee
            made += 1
    while upcoming is not None:
        hear(upcoming)
        upcoming = next(waiting, None)

    check("number of fills", made, sum(r["type"] == "OrderFilled" for r in records))
    check("cash", cash, {asset: Decimal(amount) for asset, amount in closed["cash"].items()})
    check("mark", Decimal(last_price), Decimal(closed["marks"][terms["name"]]))
    equity = cash[quote] + cash[base] * Decimal(last_price)
    check("equity", equity, Decimal(closed["equity"]))
    print(json.dumps({"fills": made, "fees": {a: _plain(f) for a, f in fees.items()}, "equity": _plain(equity)}))


def _plain(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
