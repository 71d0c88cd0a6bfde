"""The process looks after itself: what is watched, what is wrong, and what is done about it by name.

A check answers with a problem or with nothing. A problem becomes a finding; where it names an action, that is taken,
and the finding says what it did. An action that keeps failing is left alone for a while. None of this enters the core,
except a halt, which is a command like any other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from daemon.watch.breaker import Breaker, Tripped
from daemon.watch.findings import Findings, Level

Action = Callable[[], str]
"""Does it and says what came of it. May raise."""


class Problem(NamedTuple):
    """``what`` stays the same while the problem does; numbers that move go into ``detail``."""

    what: str
    level: Level = Level.WARNING
    action: str = ""
    detail: str = ""


Look = Callable[[], Problem | None]


class Check(NamedTuple):
    """``slow`` ones read files and run in a thread: they may touch nothing that belongs to the loop."""

    name: str
    every_s: float
    look: Look
    slow: bool = False


class Health:
    """``audit`` is told of every action: its name, why, and what came of it."""

    def __init__(
        self,
        checks: Sequence[Check],
        actions: Mapping[str, Action],
        findings: Findings,
        audit: Callable[[str, str, str], object],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._actions = actions
        self._findings = findings
        self._audit = audit
        self._now_s = now_s
        self._due = {check.name: now_s() for check in checks}
        self._fuses = {name: Breaker(name, now_s, failures=3, rest_s=60.0, longest_s=3_600.0) for name in actions}
        self.problems: dict[str, Problem | None] = {check.name: None for check in checks}

    @property
    def well(self) -> bool:
        return not any(one is not None and one.level is Level.CRITICAL for one in self.problems.values())

    @property
    def breakers(self) -> Mapping[str, Breaker]:
        return self._fuses

    async def run(self) -> None:
        while True:
            for check in self._checks:
                if self._due[check.name] <= self._now_s():
                    found = await asyncio.to_thread(check.look) if check.slow else check.look()
                    self.note(check, found)
            await asyncio.sleep(0.5)

    def look(self) -> None:
        """All that are due, without a loop."""
        for check in self._checks:
            if self._due[check.name] <= self._now_s():
                self.note(check, check.look())

    def note(self, check: Check, found: Problem | None) -> None:
        self._due[check.name] = self._now_s() + check.every_s
        before, self.problems[check.name] = self.problems[check.name], found
        if found is None:
            return
        did = self._act(found) if found.action else ""
        if before is None or before.what != found.what:
            detail = f"{found.what} ({found.detail})" if found.detail else found.what
            self._findings.add(detail, found.level, did)

    def _act(self, problem: Problem) -> str:
        try:
            did = self._fuses[problem.action].call(self._actions[problem.action])
        except Tripped as resting:
            return f"{problem.action}: {resting}"
        except Exception as error:  # an action is outside help: it may fail in any way, and the watch goes on
            did = f"failed: {type(error).__name__}: {error}"
        self._audit(problem.action, problem.what, did)
        return f"{problem.action}: {did}"
