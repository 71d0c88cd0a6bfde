"""Killed again and again while its market stands still, a daemon ends with the ledger of one that was never killed.

What is the same for both: the recording the sandbox plays, the settings, the seed. What is held equal besides, since
two runs over sockets never hear a frame at the same nanosecond and a daemon that has just come back is careful:

- The market goes on, for the one who comes back, right after the last frame that the state of the dead one includes
  (the sandbox's ``rewind``). What the socket had brought beyond that died with the process and comes again.
- The clock of both stands still meanwhile: messages on the wire have as long to go as they had.
- The market moves in steps (``steps.py``). Between two of them it says nothing that matters, and messages arrive with
  time to spare before the next, so that the order of what matters does not hang on a millisecond.
- Deaths are in the first half of a step. Until every stream was heard, a daemon that has come back approves nothing,
  and until its book is built nothing fills; this is over before there is something to miss.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from bus.clock import SECOND
from daemon.live.recorder import pieces
from daemon.proof import refold
from daemon.session import Session
from feeds.frames import Recording
from sandbox.playback import split
from tests.daemon.lineage import IN_FLIGHT, RESTING, Line, audit, latest, open_at_the_end
from tests.daemon.processes import Daemon, armed, ask, fault, report, write_config
from tests.daemon.stairs import wanted_by
from tests.daemon.steps import FIRST_NS, LATENCIES, MS, STEP_NS, Steps
from tests.sandbox.running import spawned

LINES, KILLS = 4, 50
RATE = 3
FIRST_LIFE, LAST_LIFE = 5, 15  # in steps
TOO_LATE_NS = SECOND // 2
AFTER_S = 7.0  # when the market has ended, until nothing is on its way any more
READY_S = 2.0
STAIRS = Path(__file__).with_name("stairs.py")


class Beside:
    """A daemon beside a sandbox that plays the steps."""

    def __init__(self, address: Mapping[str, Any], root: Path, steps: Steps) -> None:
        self.address = address
        self.config = write_config(root, address, STAIRS, entry=LATENCIES, cancel=LATENCIES)
        self.line: list[Path] = []
        self.late = 0
        self._steps = steps
        self._after = ("", 0)
        began = time.time()
        self.daemon = Daemon(self.config, address["clock"])
        self.daemon.until(armed)
        self._ready_s = self._longer_than(time.time() - began)

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        with self.daemon:
            pass

    def wait_until(self, market_ns: int, signs: int) -> int:
        """Until the sandbox has come to this time of the recording, and the daemon has acted on so many signs; by how
        much it is later by then.
        """
        while not (prints := ask(self.address, "/api/v3/trades?symbol=BTCUSDT&limit=1")):
            time.sleep(0.05)
        moved_ns: int = prints[0]["time"] * MS - self._steps.sent_ns[prints[0]["id"]]
        while (left_ns := market_ns + moved_ns - self._now_ns()) > 0:
            time.sleep(left_ns / SECOND / RATE)
        last = f"stairs-{wanted_by(signs)}"
        seen = self.daemon.until(lambda status: any(one["intent_id"] == last for one in status["orders"]), 3.0)
        return self._now_ns() - market_ns - moved_ns if seen else STEP_NS

    def die(self) -> None:
        """At once, whatever it is doing; the market stops where the dead one's memory does."""
        self.daemon.kill()
        fault(self.address, kind="pause")
        self._note()
        stream, id = self._after
        stood = fault(self.address, kind="rewind", venue="binance", stream=stream, id=id)
        self._stood_ns: int = stood["clock_ns"]

    def come_back(self) -> None:
        """Another process takes over, and time goes on when it is ready: for both at the moment it was told before."""
        while True:
            began, at = time.time(), time.time() + self._ready_s
            since_ns = (round(at * SECOND) * RATE - self._stood_ns) // (RATE - 1)
            self.daemon = Daemon(self.config, {"rate": RATE, "since_ns": since_ns})
            if self.daemon.until(lambda status: armed(status) and self._is_heard(), at - time.time()):
                self._ready_s = self._longer_than(time.time() - began)
                break
            self.late += 1  # the machine has other things to do: give it longer
            self._ready_s *= 2
            self.daemon.kill()
            self._note()
        time.sleep(max(0.0, at - time.time()))
        fault(self.address, kind="resume")

    def end(self) -> Line:
        """When the market is over; what the line of sessions comes to."""
        while report(self.address)["venues"]["binance"]["market"] != "ended":
            time.sleep(0.1)
        time.sleep(AFTER_S / RATE)
        self.daemon.stop()
        self._note()
        return audit(self.line)

    def _now_ns(self) -> int:
        now_ns: int = report(self.address)["clock_ns"]
        return now_ns

    def _longer_than(self, took_s: float) -> float:
        return max(READY_S, 2 * took_s)

    def _is_heard(self) -> bool:
        connections = report(self.address)["connections"]
        return any(not one["closed"] and len(one["subscriptions"]) == 3 for one in connections)

    def _note(self) -> None:
        session = latest(self.config.parent)
        assert session is not None
        if session not in self.line:
            self.line.append(session)
            self._after = last_heard(session) or self._after


def last_heard(session: Path) -> tuple[str, int] | None:
    """Stream and id of the last frame of the market that the session's state includes."""
    until_ns, last = refold.left_by(Session.open(session)).state.at_ns, None
    for ns, stream, body in frames(session):
        if ns <= until_ns:
            last = stream, body["t"] if "t" in body else body["u"]
    return last


def lateness_ms(session: Path) -> int:
    """By how much the latest trade came later than the quickest, on the session's own clock."""
    took = [ns // MS - body["T"] for ns, stream, body in frames(session) if stream.endswith("@trade")]
    return max(took, default=0) - min(took, default=0)


def frames(session: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """When each frame of the market was heard, its stream, and what it says."""
    for piece in pieces(session):
        for batch in Recording(piece).batches():
            for item in batch:
                if item.kind is None and item.raw.startswith('{"stream"') and (found := split(item.raw)):
                    yield item.ts or 0, found[0], orjson.loads(found[1])


def ledger(line: Line) -> dict[str, Any]:
    """Wallets, fees, and of every instrument what is held, what it cost and what was realised."""
    account = line.account
    held: dict[str, tuple[Decimal, ...]] = {
        name: (position.size, position.inventory, position.cost, position.realised)
        for name, position in account.positions.items()
    }
    return {"cash": account.cash, "fees": account.fees, "held": held}


def fills(line: Line) -> list[tuple[Any, ...]]:
    return [(one.intent_id, one.side, one.price, one.size, one.fee, one.liquidity) for one in line.fills]


@pytest.mark.ordeal
@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
@pytest.mark.skipif("ARGUS_CAMPAIGN" not in os.environ, reason="minutes of a market; make ordeals")
@pytest.mark.parametrize("number", range(LINES))
def test_killed_while_its_market_stands_still_a_line_ends_where_an_uninterrupted_run_does(tmp_path: Path, number: int):
    chance = random.Random(number)
    lives = [chance.randint(1, 3) for _ in range(KILLS)]
    steps = Steps(FIRST_LIFE + sum(lives) + LAST_LIFE, seed=number)
    recording = tmp_path / "steps.jsonl.zst"
    steps.write(recording)
    words = ("--recording", str(recording), "--rate", str(RATE))

    with spawned(*words) as address, Beside(address, tmp_path / "killed", steps) as killed:
        step = FIRST_LIFE
        for life in lives:
            step += life
            into_ns = round(chance.uniform(0.25, 1.05) * SECOND)
            while killed.wait_until(FIRST_NS + step * STEP_NS + into_ns, step + 1) > TOO_LATE_NS:
                step += 1  # the machine had other things to do, and the half of the step is over
                assert step < steps.count, "the market is over"
            killed.die()
            resting, in_flight = open_at_the_end(killed.line[-1])
            assert resting >= RESTING, killed.line[-1]
            assert in_flight >= IN_FLIGHT, killed.line[-1]
            killed.come_back()
        broken = killed.end()
    with spawned(*words) as address, Beside(address, tmp_path / "whole", steps) as whole:
        uninterrupted = whole.end()

    assert len(killed.line) >= KILLS + 1
    assert len(whole.line) == 1
    assert len(uninterrupted.fills) > KILLS
    late_ms = max(lateness_ms(session) for session in (*killed.line, *whole.line))
    why = f"a trade was heard {late_ms} ms late (1,500 may change an order), {killed.late} starts took too long"
    assert fills(broken) == fills(uninterrupted), why
    assert ledger(broken) == ledger(uninterrupted)
