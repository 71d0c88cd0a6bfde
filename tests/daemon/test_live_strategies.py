"""On paper, live, strategies say bar for bar what they say when the recording of it is played again, and fill alike;
and they say the same of a table of its bars. tests/acceptance/test_three_ways.py does so through processes and sockets.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daemon import app
from daemon.proof.verify import verify
from daemon.reading import events
from daemon.session import Session
from tests.daemon.live_world import Market, World, records
from tests.strategies.restless import STRATEGIES

CONFIG = """
[trading.bars]
intervals = ["1s"]
[trading.regime]
ema_fast = 3
ema_slow = 8
atr_len = 3
vol_lo = 0.000001
vol_hi = 0.02
[trading.venue.entry]
model = "fixed"
[trading.venue.slippage]
model = "last_price"
""" + "".join(f'[[trading.strategies]]\nuse = "{use}"\nparams = {{ {params} }}\n' for use, params in STRATEGIES.items())


def said(session: Path) -> list[tuple[Any, ...]]:
    found = []
    for record in records(session, "Decision"):
        intent = record["intent"]
        bars = intent.provenance.window  # the bars up to this one, so it names the bar as well
        found.append((record["strategy"], bars, intent.action.value, intent.exposure, intent.reason))
    return found


def filled(session: Path) -> list[tuple[Any, ...]]:
    return [(r["intent_id"], r["side"], r["price"], r["size"]) for r in records(session, "OrderFilled")]


@pytest.mark.asyncio
async def test_live_on_paper_replayed_and_from_a_table_they_say_the_same(tmp_path: Path) -> None:
    world = World(tmp_path, Market(90).lines(), config_text=CONFIG)
    live = (await world.run_through()).session
    assert (await verify(Session.open(live))).equal

    recording = sorted(live.rglob("inputs*.jsonl.zst"))
    request = app.Request(recording, config_file=world.config_file, out=tmp_path / "again")
    again = (await app.replay(request)).session.path

    table = tmp_path / "bars.csv"
    columns = ("start_ns", "open", "high", "low", "close", "volume", "interval_ns")
    bars = [bar for bar in events.stream(recording, ["Bar"], ["1s"], None) if bar["closed"]]
    table.write_text("\n".join([",".join(columns), *(",".join(str(bar[c]) for c in columns) for bar in bars)]) + "\n")
    request = app.Request([table], config_file=world.config_file, instrument="binance:BTC/USDT", out=tmp_path / "bars")
    tabled = (await app.replay(request)).session.path

    assert said(live) == said(again) == said(tabled)
    assert len({strategy for strategy, *_ in said(live)}) == len(STRATEGIES), "each of them spoke"
    assert filled(live) == filled(again) != []
