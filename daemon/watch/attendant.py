"""Everything that stands beside a live session and keeps it answerable: the control socket, the figures, the watchdog,
the checks. It sees all and changes nothing, except by commands, which are inputs like any other.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from bus.clock import SECOND
from config.schema import Limits
from daemon.watch.checks import Integrity, checks_of
from daemon.watch.findings import Findings, Level
from daemon.watch.health import Health
from daemon.watch.lag import Lag
from daemon.watch.watchdog import Notifier, Watchdog
from daemon.wiring import Core

if TYPE_CHECKING:
    from daemon.live.run import Live
    from daemon.live.sitting import Sitting

CONTROL, LAG, WATCHDOG, HEALTH = "control", "loop lag", "watchdog", "health"
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Attendant:
    """``start`` before the feeds, ``stop`` after the last word is written."""

    def __init__(self, live: Live) -> None:
        from daemon.operating.control import Control  # aiohttp is loaded for whoever runs, not for a replay
        from daemon.watch.metrics import Metrics

        self._live = live
        watch, control = live.process.watch, live.process.control
        self.lag = Lag()
        self.notifier = Notifier(live.request.environ)
        self.control = Control(self, live.state_directory, control.port if control.loopback else None)
        self.metrics = Metrics(self, watch.metrics_port) if watch.metrics_port else None
        self.watchdog = Watchdog(live.door, self.notifier, self._in_a_word, self._stuck)
        actions = {
            "collect_garbage": self._collect,
            "prune_recordings": self._prune,
            "reopen_log": live.log.reopen,
            "halt": self._halt,
        }
        self.integrity = Integrity(live.session.journal)
        self.checking = Health(checks_of(live, self.lag, self.integrity), actions, live.findings, self._audit)

    async def start(self) -> None:
        live = self._live
        await self.control.start()
        if self.metrics is not None:
            await self.metrics.start()
        live.tasks.start(LAG, self.lag.run, restarts=3)
        live.tasks.start(WATCHDOG, self.watchdog.run, restarts=3)
        live.tasks.start(HEALTH, self.checking.run, restarts=3)

    def turn_to(self, sitting: Sitting) -> None:
        """The process went on in another session: look at that one."""
        self.watchdog.door = sitting.door
        self.integrity.journal = sitting.session.journal
        self.control.follow(sitting.core.bus)

    async def stop(self) -> None:
        await self.control.stop()
        if self.metrics is not None:
            await self.metrics.stop()

    # --- what the socket and the figures are made of ------------------------------------------------------------

    @property
    def boot(self) -> int:
        return self._live.boot

    @property
    def mode(self) -> str:
        return self._live.request.mode

    @property
    def core(self) -> Core:
        return self._live.core

    @property
    def findings(self) -> Findings:
        return self._live.findings

    def status(self) -> dict[str, Any]:
        return self._live.status()

    def command(self, name: str, who: str, payload: dict[str, Any]) -> None:
        self._live.command(name, who, payload)

    def kill_file(self) -> str:
        return self._live.kill_file()

    def limits_on_disk(self) -> Limits:
        return self._live.limits_on_disk()

    def health(self) -> dict[str, Any]:
        return {
            "well": self.checking.well and not self._live.door.broken,
            "checks": {
                name: None if one is None else {"what": one.what, "level": one.level.value, "detail": one.detail}
                for name, one in self.checking.problems.items()
            },
            "breakers": {
                name: {"closed": one.closed, "trips": one.trips, "last": one.last}
                for name, one in self.checking.breakers.items()
            },
            "watchdog": {"fed": self.watchdog.fed, "every_s": self.watchdog.every_s},
        }

    def figures(self) -> dict[str, float]:
        """All in base units: seconds, bytes, counts, the account's currency; NaN for what nobody can say."""
        live, core = self._live, self.core
        worth, _ = core.worth()
        market, now = core.market, max(live.clock.read(), live.door.last_ns)
        heard = market.trades or market.quotes or market.bars
        figures = {
            "up": 1.0,
            "armed": float(core.switch.state.value == "armed"),
            "inputs_total": live.door.accepted,
            "frames_total": core.intake.frames,
            "unparsed_total": core.intake.unparsed,
            "records_total": core.chain.seq,
            "intents_total": core.runner.intents,
            "orders_total": core.router.orders,
            "refused_total": core.gate.refused,
            "fills_total": core.router.fills,
            "reconnects_total": live.reconnects,
            "open_orders": core.exposure.count(),
            "equity": float(worth),
            "drawdown_max_ratio": core.equity.max_drawdown,
            "loop_lag_p99_seconds": self.lag.percentile(0.99),
            "loop_lag_max_seconds": self.lag.percentile(1.0),
            "memory_bytes": rss_bytes(),
            "threads": threading.active_count(),
            "tasks": len(live.tasks.names),
            "asyncio_tasks": len(asyncio.all_tasks()),
            "files": open_files(),
            "clock_offset_seconds": live.status_of_clock() / SECOND,
            "findings_open": len(live.findings.open()),
            "findings_critical": len(live.findings.blocking()),
            "observers": self.control.observers,
            "observers_dropped": self.control.dropped,
            "commands_total": self.control.commands,
            "commands_refused_total": self.control.refused,
            "watchdog_fed_total": self.watchdog.fed,
            "queue_pending_records": len(core.chain.pending),
        }
        for name in heard:
            figures[f"feed_age_seconds/{name}"] = (now - market.heard_ns(name)) / SECOND
        return figures

    # --- what the checks may do ---------------------------------------------------------------------------------

    def _collect(self) -> str:
        before = rss_bytes()
        found = gc.collect()
        return f"{found} objects, {(before - rss_bytes()) / (1 << 20):.1f} MiB"

    def _prune(self) -> str:
        return f"{self._live.prune()} pieces of old recordings deleted"

    def _halt(self) -> str:
        self._live.command("halt", HEALTH, {"reason": "what is decided could not be kept"})
        return "halted"

    def _audit(self, action: str, why: str, did: str) -> None:
        self._live.log.event("warning", f"action.{action}", why=why, did=did)

    def _stuck(self, where: str) -> None:
        self._live.findings.add(f"a token got stuck: {where}", Level.CRITICAL)

    def _in_a_word(self) -> str:
        core = self.core
        return f"{self.mode} {core.switch.state.value}, {core.exposure.count()} open, {self._live.door.accepted} inputs"


def open_files() -> int:
    """0 where the platform does not say."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return 0


def rss_bytes() -> int:
    """What the process holds of memory now; where the platform does not say, the most it ever held, or 0."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * _PAGE
    except OSError:
        if sys.platform == "win32":
            return 0
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
