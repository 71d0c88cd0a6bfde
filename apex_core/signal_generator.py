"""The documented address of Layer 3, for those who run it once an hour: ``generate_signals()``.

It takes the bars so far from ``flight_recorder.csv`` (open, high, low, close, volume; the last row is still forming and
is left out), the strategy from ARGUS_STRATEGY_MODULE and ARGUS_STRATEGY_FUNC (without them the stub, which holds), runs
both through the same gate, account and simulated venue as any replay, and leaves ``cortex.json`` and
``paper_prime_state.json`` in the working directory. Always on paper: no variable makes it live.
"""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from bus import money
from config import load as config
from daemon import app, session
from daemon.replay import run_async

INSTRUMENT = "coinbase:BTC/USD"
PLACES = ("flight_recorder.csv", "data/flight_recorder.csv")


def generate_signals(bars: str | Path | None = None, instrument: str = INSTRUMENT) -> dict[str, Any]:
    """Decide on the last closed bar of ``bars``; the decision as ``cortex.json`` has it. Raises FileNotFoundError where
    there are no bars, and what a replay raises.
    """
    money.install()
    environ = dict(os.environ)
    closed = _closed(_found(bars))
    chosen = config.load(None, [], environ).trading.model_fields_set
    overrides = ["journal.holds=true"]
    if "asset" not in chosen and "cash" not in chosen:
        quote = instrument.rpartition("/")[2].partition(":")[0]
        overrides += [f"asset={quote}", f"cash={{{quote} = 1000}}"]
    started = datetime.now(UTC)
    out = session.new_directory(Path("var/sessions"), started, "signals")
    request = app.Request([closed], overrides=overrides, out=out, instrument=instrument, environ=environ)
    written: Path = run_async(app.replay(request)).session.path
    shutil.copyfile(written / "cortex.json", "cortex.json")
    shutil.copyfile(written / "portfolio_state.json", "paper_prime_state.json")
    cortex: dict[str, Any] = json.loads(Path("cortex.json").read_text())
    return cortex


def _found(bars: str | Path | None) -> Path:
    places = [Path(bars)] if bars is not None else [Path(place) for place in PLACES]
    for place in places:
        if place.is_file():
            return place
    looked = " or ".join(str(place) for place in places)
    raise FileNotFoundError(f"no bars: put open, high, low, close and volume by time into {looked}, oldest first")


def _closed(path: Path) -> Path:
    """The file without its last row, which is still forming; kept, so that the session can be verified later."""
    lines = path.read_bytes().splitlines(keepends=True)
    text = b"".join(lines[:-1])
    kept = Path("var/bars") / f"{path.stem}-{sha256(text).hexdigest()[:16]}.csv"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(text)
    return kept
