"""Whole sessions, live and replayed: a panic that closes what is held, and strategies that own a part of a position."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from decimal import Decimal as D
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from bus.clock import SECOND
from bus.inputs import Input
from bus.values import Side
from daemon import app
from tests.acceptance.command import argus
from tests.daemon import sharers
from tests.daemon.live_world import START_NS, World, records
from tests.daemon.test_bands_outlive import TRADE, URL

CONFIG = """
[trading.bars]
intervals = ["1s"]
[trading.regime]
ema_fast = 3
ema_slow = 8
atr_len = 3
vol_lo = 0.000001
vol_hi = 0.004
panic_hi = 0.008
[trading.governor]
panic_exit = true
peak = { soft = 1, hard = 1, kill = 1 }
[trading.sizing]
positions = "own"
[trading.limits]
max_position = 1000000
max_notional = 1000000
max_drawdown_bps = 9000
[trading.venue]
entry = { model = "fixed" }
cancel = { model = "fixed" }
slippage = { model = "last_price" }
fees = { model = "fixed", maker = 0, taker = 0 }
[[trading.instruments]]
name = "binance:BTC/USDT"
symbol = "BTCUSDT"
base = "BTC"
quote = "USDT"
settle = "USDT"
lot = 0.00001
""" + "".join(
    f'[[trading.strategies]]\nuse = "{sharers.__file__}:{name}"\nname = "{name.lower()}"\n'
    for name in ("Holder", "Comer")
)
CALM, WILD, AFTER = 30, 6, 30


def market() -> Iterator[Input]:
    """Seconds that go nowhere, some in which everybody runs, and calm again."""
    yield Input("", START_NS, "binance/spot", "connect", URL)
    price, now = 50_000.0, START_NS
    for second in range(CALM + WILD + AFTER):
        wild = CALM <= second < CALM + WILD
        for part in range(4):
            now += SECOND // 4
            price *= 1 + (0.012 if wild else 0.00002) * (1 if (second + part) % 2 else -1)
            raw = TRADE.format(ms=now // 1_000_000, id=second * 4 + part, price=price, size=9.0 if wild else 0.5)
            yield Input(raw, now, "binance/spot")


def verified(session: Path) -> None:
    said = argus("verify", session, "--json")
    assert said.code == 0, said.out


def parts(session: Path) -> tuple[list[dict[str, Any]], dict[str, D]]:
    """Each fill with what its strategy held before it, and what each held at the end; the governor's are shared out."""
    own: dict[str, D] = {"holder": D(0), "comer": D(0)}
    fills = []
    for fill in records(session, "OrderFilled"):
        size = fill["size"] if fill["side"] is Side.BUY else -fill["size"]
        fills.append({**fill, "own": own.get(fill["strategy"])})
        if fill["strategy"] in own:
            own[fill["strategy"]] += size
        else:
            own = dict.fromkeys(own, D(0))  # it closes all there is
    return fills, own


def test_a_panic_closes_what_each_owns_and_every_session_verifies(tmp_path: Path) -> None:
    world = World(tmp_path, market(), config_text=CONFIG)
    live = asyncio.run(world.run_through()).session
    request = app.Request(
        sorted(live.rglob("inputs*.jsonl.zst")), config_file=world.config_file, out=tmp_path / "again"
    )
    again = asyncio.run(app.replay(request)).session.path

    for session in (live, again):
        verified(session)
        said = [one for one in records(session, "TradingStateChanged") if one["rule"] == "panic"]
        assert ["average true range" in one["reason"] for one in said] == [True, False], (
            "it began once and was over once"
        )
        begun, over = (one["ns"] for one in said)
        exits = [one for one in records(session, "Decision") if one["strategy"] == "governor"]
        assert exits
        assert all(one["intent"].reduce_only and begun <= one["ns"] < over for one in exits)

        fills, left = parts(session)
        closing = [fill for fill in fills if fill["strategy"] == "governor"]
        assert closing[0]["ns"] == begun, "no latency: in the very bar that said so"
        assert sum(one["size"] for one in closing) >= D("0.5")
        between = [one for one in records(session, "OrderApproved") if begun <= one["ns"] < over]
        assert {one["order"].strategy for one in between} <= {"governor", "comer"}
        assert all(one["order"].side is Side.SELL for one in between), "nothing comes in while it lasts"
        assert [r["rule"] for r in records(session, "OrderRefused") if begun < r["ns"] < over].count("panic") >= 3
        assert any(fill["strategy"] == "holder" and fill["ns"] >= over for fill in fills), (
            "and in again when it is over"
        )

        out = [fill for fill in fills if fill["strategy"] == "comer" and fill["side"] is Side.SELL]
        assert len(out) > 5
        assert all(fill["size"] == fill["own"] == D("0.2") for fill in out), "its own part, and not the holder's"
        assert left["holder"] == D("0.5")
        document = orjson.loads((session / "portfolio_state.json").read_bytes())
        sizes = {name: D(held["binance:BTC/USDT"]["size"]) for name, held in document["strategies"].items()}
        assert sizes == left

    def decided(session: Path) -> list[tuple[Any, ...]]:
        return [(r["strategy"], r["ns"], r["intent"].action, r["intent"].reason) for r in records(session, "Decision")]

    assert decided(live) == decided(again)
    assert all(a <= b for a, b in pairwise(ns for _, ns, *_ in decided(live)))
