"""The process's figures for Prometheus, and ``/healthz``, on the loopback.

Nothing is counted for it: a scrape asks for the figures as they are then, so a process that nobody scrapes pays
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

PREFIX = "argus_"


class Asked(Protocol):
    def figures(self) -> dict[str, float]: ...
    def health(self) -> dict[str, Any]: ...


class Metrics(Collector):
    """A figure is named ``name`` or ``name/instrument``; one that ends in ``_total`` only ever grows."""

    def __init__(self, asked: Asked, port: int) -> None:
        self._asked = asked
        self.port = port
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for full, value in self._asked.figures().items():
            name, _, instrument = full.partition("/")
            labels = ["instrument"] if instrument else []
            family = families.get(name)
            if family is None:
                kind = CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily
                family = families[name] = kind(PREFIX + name, name.replace("_", " "), labels=labels)
            family.add_metric([instrument] if instrument else [], value)
        return families.values()

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _healthz(self, _: web.Request) -> web.Response:
        health = self._asked.health()
        return web.Response(
            status=200 if health["well"] else 503, body=msgspec.json.encode(health), content_type="application/json"
        )
