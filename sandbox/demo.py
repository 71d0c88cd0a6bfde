"""``argus demo``: a small synthetic market, traded by ``ema_cross``, shown as a report. No network, no data, no
config.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from daemon.app import Request, replay
from daemon.replay import run_async
from daemon.report import write_report
from daemon.summary import print_result
from sandbox import market

FOLDER = Path("var/demo")
SEED = 7
MINUTES = 20.0


def run(out: Console, err: Console) -> dict[str, Any]:
    """Generate, replay, report; returns the replay's summary with the report's path."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    recording = FOLDER / "synthetic.jsonl.zst"
    err.print(f"generating {MINUTES:g} minutes of a synthetic BTCUSDT market (seed {SEED}) …")
    market.write(recording, seed=SEED, minutes=MINUTES)
    err.print("replaying it with ema_cross on 1 s bars …")
    request = Request([recording], ["ema_cross"], [{"fast": 10, "slow": 40}], ["1s"], out=FOLDER / "session", seed=SEED)
    result = run_async(replay(request))
    print_result(out, err, result)
    page = write_report(result.session, result.session.manifest["metrics"])
    out.print(f"report: {page}", markup=False)
    return {**result.summary, "report": str(page)}
