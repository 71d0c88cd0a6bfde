"""Each kind of fault at each native venue, as an operator sees it: a daemon and a sandbox, two processes on one clock.

What is asked of it: the instrument is untradeable in ``status`` within its age and a second, nothing is approved until
it has healed, it heals within ten seconds of the fault's end, and the venue's limits are kept. It
takes minutes, and judges by the clock: a campaign. That each fault heals is in the suite in ``tests/feeds``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.faults import KINDS, plan
from benchmarks.pair import FaultPort, daemon, sandbox, until_there
from bus import journal
from bus.clock import SECOND
from bus.events import OrderApproved
from daemon.live import state
from daemon.operating.client import Client
from sandbox.fault import FIELDS

RATE = 1.0
AGE_S, HEALED_S, FOR_S = 3.0, 10.0, 5.0
ASKED_S = 30.0
LATE_S = 1.0
INSTRUMENTS = {
    "binance": ("binance:BTC/USDT", "USDT"),
    "binanceusdm": ("binanceusdm:BTC/USDT:USDT", "USDT"),
    "coinbase": ("coinbase:BTC/USD", "USD"),
}
CONFIG = """
[test]
rate = {rate}
since_ns = {since_ns}
[trading]
asset = "{asset}"
cash = {{ {asset} = 100000 }}
[trading.bars]
intervals = ["1s", "1m"]  # Coinbase tells past bars of a minute, so there is something to ask for
[[trading.strategies]]
use = "strategies.ema_cross:EmaCross"
params = {{ fast = 1, slow = 2 }}
[[trading.feeds]]
venue = "{venue}"
instruments = ["{instrument}"]
max_age_s = {{ trade = {age_s}, quote = {age_s}, book = {age_s} }}
[process]
out_dir = "{root}/sessions"
state_dir = "{root}/state"
kill_file = "{root}/KILL"
[process.session]
roll_at = ""
[process.endpoints.{venue}]
ws = ["{ws}"]
rest = "{rest}"
"""


class Case(NamedTuple):
    """What to post, in this order; how long it lasts; and whether it must be noticed."""

    posts: Sequence[Mapping[str, Any]]
    lasts_s: float = FOR_S
    noticed: bool = True


CASES: Mapping[str, Case] = {
    "drop": Case([{"kind": "drop", "for_s": FOR_S}]),
    "freeze": Case([{"kind": "freeze", "for_s": FOR_S}]),
    "gap": Case([{"kind": "gap", "count": 9}], 0.0),
    "delay": Case([{"kind": "delay", "delay_s": 6, "for_s": FOR_S}], FOR_S + 6),
    "duplicate": Case([{"kind": "duplicate", "times": 3, "for_s": FOR_S}], noticed=False),
    "reorder": Case([{"kind": "reorder", "span": 3, "for_s": FOR_S}]),
    "malformed": Case([{"kind": "malformed", "how": "utf8", "for_s": 1}], 1.0),
    "cut": Case([{"kind": "cut", "how": "reset", "for_s": FOR_S}]),
    "half_open": Case([{"kind": "half_open", "for_s": FOR_S}]),
    "slow_drip": Case([{"kind": "slow_drip", "bytes_per_s": 40, "for_s": FOR_S}]),
    "ignore": Case([{"kind": "ignore", "count": 1}, {"kind": "cut", "how": "fin"}], 0.0),
    "rollover": Case([{"kind": "rollover"}], 0.0),
    "ban": Case([{"kind": "ban", "status": 418, "for_s": FOR_S}]),
    "rest": Case([{"kind": "rest", "status": 503, "count": 2}, {"kind": "cut", "how": "fin"}], 0.0),
    # A venue whose clock stands still is behind for good: as long as that is within the age it is not held against it.
    "pause": Case([{"kind": "pause"}, {"kind": "resume"}], 0.5, noticed=False),
    "resume": Case([{"kind": "pause"}, {"kind": "resume"}], 0.5, noticed=False),
}
TRIED = [pytest.param(venue, kinds, id=venue) for venue, kinds in ((v, list(CASES)) for v in INSTRUMENTS)]


class Pair:
    """The two processes. Times are seconds of the clock they share."""

    def __init__(self, client: Client, port: FaultPort, instrument: str) -> None:
        self._client = client
        self._port = port
        self._instrument = instrument
        self.untradeable: list[list[float]] = []  # the first and the last look of each time that ``status`` said so
        self._ill = False

    def look(self) -> tuple[float, str]:
        """Now, and why nothing may be traded."""
        status = self._client.status()
        time.sleep(0.01)
        now, why = status["now_ns"] / SECOND, status["untradeable"].get(self._instrument, "")
        if why and self._ill:
            self.untradeable[-1][1] = now
        elif why:
            self.untradeable.append([now, now])
        self._ill = bool(why)
        return now, why or ("" if status["state"] == "armed" else status["state"])

    def until(self, well: bool, within_s: float, since_s: float | None = None, what: str = "start") -> float:
        """When it was first seen to be so; fails after so long."""
        now, why = self.look()
        began = now if since_s is None else since_s
        while bool(why) == well:
            assert now - began <= within_s, f"{what}: {why or 'still tradeable'}"
            now, why = self.look()
        assert now - began <= within_s, what
        return now

    def go_through(self, kind: str) -> None:
        case = CASES[kind]
        fired = self.report()["fired"].get(kind, 0)
        began, _ = self.look()
        for post in case.posts:
            self._port.post(**post)
            if post["kind"] == "pause":
                time.sleep(0.5 / RATE)
        if case.noticed:
            seen = self.until(False, AGE_S + LATE_S, began, kind)
            over = max(seen, began + case.lasts_s)
            self.until(True, over - seen + HEALED_S, seen, kind)
        now, why = self.look()
        while now < began + case.lasts_s + 2.0:  # and it stays so
            assert not (why and not case.noticed), f"{kind}: {why}"
            now, why = self.look()
        self.until(True, HEALED_S, what=kind)
        while (
            self.report()["fired"].get(kind, 0) == fired
        ):  # what is asked for over REST may have its time still to come
            assert self.look()[0] < began + ASKED_S, f"{kind} hit nothing"

    def report(self) -> dict[str, Any]:
        return self._port.report()


@contextmanager
def pair(venue: str, root: Path) -> Iterator[Pair]:
    instrument, asset = INSTRUMENTS[venue]
    with sandbox("--rate", f"{RATE:g}") as said:
        config = root / "argus.toml"
        terms = {"venue": venue, "instrument": instrument, "asset": asset, "age_s": AGE_S, "root": root}
        config.write_text(CONFIG.format(**terms, **said["venues"][venue], **said["clock"]), "utf-8")
        with daemon(config, root / "run.out") as process:
            client = Client(root / "state", 30)
            until_there(client)
            yield Pair(client, FaultPort(said["faults"]), instrument)
            process.terminate()
            assert process.wait(60) == 0, (root / "run.out").read_text()


@pytest.mark.ordeal
@pytest.mark.skipif("ARGUS_CAMPAIGN" not in os.environ, reason="minutes of a market; make ordeals")
@pytest.mark.parametrize(("venue", "kinds"), TRIED)
def test_a_fault_is_noticed_traded_on_by_nobody_and_healed(tmp_path, venue, kinds):
    with pair(venue, tmp_path) as both:
        both.until(True, 60.0 + LATE_S)
        for kind in kinds:
            both.go_through(kind)
        report = both.report()

    assert report["broken"] == {}, "whatever happens, the venue's limits are kept"
    kept = state.read(tmp_path / "state")
    assert kept is not None
    records = journal.read(Path(kept.session) / "journal.db")
    approved = [event.ns / SECOND for entry in records if isinstance(event := entry.event(), OrderApproved)]
    assert approved
    assert len(both.untradeable) >= sum(CASES[kind].noticed for kind in kinds)
    assert not [ns for ns in approved for first, last in both.untradeable if first < ns < last]


def test_every_kind_of_fault_is_tried():
    kinds = set(FIELDS) - {"rewind"}  # no venue has its market again

    assert set(CASES) == set(KINDS) == kinds
    assert sorted(kind for kind, _ in plan(5, "binance", 2)) == sorted([*kinds, *kinds])
