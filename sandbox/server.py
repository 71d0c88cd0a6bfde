"""``argus sandbox``: venues on the loopback, and the port through which things go wrong on request.

One server speaks for all venues. A socket's or a request's path says which is meant: ``/api/v3/…``, ``/ws`` and
``/stream`` are Binance spot, ``/fapi/v1/…`` and sockets below ``/public``, ``/market`` or ``/fut`` are Binance USD-M.
A pump turns the market by the sandbox's clock and writes what everyone hears, joined.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import orjson
from aiohttp import WSMsgType, web

from bus.clock import SECOND
from sandbox.clock import Clock
from sandbox.dialect import Dialect
from sandbox.fault import BadFault, Fault, parse
from sandbox.faults import Faults, Refusal
from sandbox.wire import PING, PONG, Connection

HOST = "127.0.0.1"  # and nothing else, whoever asks
STEP_S = 0.001  # the shortest sleep of the pump
IDLE_S = 0.05  # the longest
SLICE_S = 0.02  # of the wall's time, the most that is told at once
MESSAGE_MAX = 1 << 20
_USDM = ("public", "market", "private", "fut", "fapi", "fstream")
_GONE_KEPT = 500

Speakers = Callable[[Clock, Faults], Sequence[Dialect]]


class Sandbox:
    """The venues, their clock, and what goes wrong. ``start`` listens; ``turn`` is for clocks that a test turns."""

    def __init__(self, clock: Clock, speakers: Speakers) -> None:
        self.clock = clock
        self.connections: dict[int, Connection] = {}
        self.faults = Faults(clock, self.connections)
        self.venues = {venue.name: venue for venue in speakers(clock, self.faults)}
        self.port = self.fault_port = 0
        self._told_ns = clock.read()
        self._numbers = 0
        self._gone: deque[dict[str, Any]] = deque(maxlen=_GONE_KEPT)
        self._runners: list[web.AppRunner] = []
        self._beat: asyncio.TimerHandle | None = None
        self.failed: asyncio.Future[None] | None = None  # done only when the pump has died, with what killed it

    # --- life ---

    async def start(self, port: int = 0) -> None:
        """Listen. With a clock that runs by itself, the market begins to move as well."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self.port = await self._listen(app, port)
        faults = web.Application()
        faults.router.add_get("/faults", self._get_faults)
        faults.router.add_post("/faults", self._post_fault)
        faults.router.add_delete("/faults", self._end_faults)
        self.fault_port = await self._listen(faults, 0)
        self.failed = asyncio.get_running_loop().create_future()
        if not math.isinf(self.clock.wait_s(self.clock.read() + SECOND)):
            self._pump()

    async def stop(self) -> None:
        if self._beat is not None:
            self._beat.cancel()
        for connection in list(self.connections.values()):
            connection.cut("sandbox stopped")
        for runner in self._runners:
            await runner.cleanup()

    def address(self) -> dict[str, Any]:
        """Where everything is."""
        rest, ws = f"http://{HOST}:{self.port}", f"ws://{HOST}:{self.port}"
        sockets = {"binance": ws, "binanceusdm": ws, "coinbase": f"{ws}/coinbase"}
        return {
            "ws": ws,
            "rest": rest,
            "faults": f"http://{HOST}:{self.fault_port}/faults",
            "pid": os.getpid(),
            "clock": self.clock.shared(),
            "venues": {name: {"ws": sockets[name], "rest": rest} for name in self.venues},
        }

    # --- time ---

    def pump(self, until_ns: int | None = None) -> None:
        """Everything up to ``until_ns``, or to now."""
        now = self.clock.read() if until_ns is None else until_ns
        if not self.clock.paused:
            for venue in self.venues.values():
                venue.advance(now)
        self._told_ns = now
        self.faults.tick(now)
        for connection in list(self.connections.values()):
            connection.flush(now)

    def _pump(self) -> None:
        """Pump, and again when something is due. A timer and no task: there is nothing in it to wait for."""
        assert self.failed is not None
        try:
            # Behind (the machine slept, or is too slow), it catches up in slices and answers requests in between.
            self.pump(min(self.clock.read(), self._told_ns + round(SLICE_S * SECOND * self.clock.rate)))
        except Exception as error:
            self.failed.set_exception(error)
            return
        due = min(self.faults.due(), *(venue.due() for venue in self.venues.values()))
        behind = self._told_ns < self.clock.read() - SECOND * SLICE_S * self.clock.rate
        sleep_s = 0.0 if behind else min(IDLE_S, max(STEP_S, self.clock.wait_s(due)))
        self._beat = asyncio.get_running_loop().call_later(sleep_s, self._pump)

    # --- the venues' port ---

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        venue = self._venue(request)
        if venue is None:
            return web.Response(status=404, text="no such venue in this sandbox")
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._socket(request, venue)
        return await self._rest(request, venue)

    def _venue(self, request: web.Request) -> Dialect | None:
        first = request.path.strip("/").partition("/")[0]
        if first in _USDM:
            return self.venues.get("binanceusdm")
        if first in ("", "coinbase", "v2") or request.path.startswith("/api/v3/brokerage"):
            return self.venues.get("coinbase")
        return self.venues.get("binance")

    async def _rest(self, request: web.Request, venue: Dialect) -> web.StreamResponse:
        delay_s, refusal = self.faults.rest(venue.name, request.path)
        answer = venue.rest(request.path, request.query)  # as it was when it was asked for, however late it arrives
        wait_s = venue.weigh(answer.weight)
        if delay_s:
            await asyncio.sleep(delay_s / self.clock.rate)
        if refusal is not None:
            return _refused(refusal)
        if wait_s is not None:
            return _refused(Refusal(429, wait_s))
        body = answer.body if isinstance(answer.body, str) else orjson.dumps(answer.body).decode()
        headers = {"X-MBX-USED-WEIGHT-1M": str(venue.weight)}
        return web.Response(status=answer.status, text=body, content_type="application/json", headers=headers)

    async def _socket(self, request: web.Request, venue: Dialect) -> web.StreamResponse:
        now = self.clock.read()
        refusal = self.faults.refuse_connect(venue.name)
        if not venue.may_connect() and refusal is None:
            refusal = Refusal(429, 300)
        transport = request.transport
        assert transport is not None
        if refusal is not None:
            if not refusal.status:
                transport.abort()
            return _refused(refusal)
        # Read through the framework, written past it: frames are encoded once for all who hear them.
        socket = web.WebSocketResponse(autoping=False, autoclose=False, compress=False, max_msg_size=MESSAGE_MAX)
        try:
            await socket.prepare(request)
        except ConnectionResetError:  # gone before it was here
            return _refused(Refusal(0))
        self._numbers += 1
        connection = Connection(self._numbers, venue.name, now, transport)
        self.connections[connection.number] = connection
        venue.open(connection, request.path, request.query)
        self.faults.connected(connection)
        try:
            await self._listen_to(socket, connection, venue)
        finally:
            connection.cut("closed by the client")
            self._gone.append(self._describe(connection))
            venue.leave(connection)
            del self.connections[connection.number]
        return socket

    async def _listen_to(self, socket: web.WebSocketResponse, connection: Connection, venue: Dialect) -> None:
        while not connection.closed:
            message = await socket.receive()
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                if connection.deaf and message.type is WSMsgType.CLOSE:
                    continue
                connection.close(message.data if isinstance(message.data, int) else 1000, "", "closed by the client")
                return
            if connection.deaf or not venue.within_limits(connection):
                continue
            if message.type is WSMsgType.TEXT and self.faults.ignores(connection):
                continue
            if message.type is WSMsgType.TEXT:
                venue.hear(connection, message.data)
            elif message.type in (WSMsgType.PING, WSMsgType.PONG):
                opcode = PING if message.type is WSMsgType.PING else PONG
                venue.control(connection, opcode, bytes(message.data))
            connection.flush(self.clock.read())

    # --- the fault port ---

    async def _get_faults(self, request: web.Request) -> web.Response:
        return _json(self.report())

    async def _post_fault(self, request: web.Request) -> web.Response:
        try:
            fault = parse(await request.read())
            if fault.venue and fault.venue not in self.venues:
                raise BadFault(f"no venue {fault.venue!r} here; there are {', '.join(self.venues)}")
            if fault.kind == "rewind":
                self._rewind(fault)
            number = self.faults.post(fault)
        except BadFault as error:
            return _json({"error": str(error)}, status=400)
        return _json({"number": number, "clock_ns": self.clock.read()})

    def _rewind(self, fault: Fault) -> None:
        """One venue's market and the clock of all go back to where a frame had just been sent, and stand still there.

        Raises BadFault.
        """
        if fault.venue not in self.venues:
            raise BadFault(f"which venue is to go back? There are {', '.join(self.venues)}")
        self._told_ns = self.venues[fault.venue].rewind(fault.stream, fault.id)
        self.clock.rewind(self._told_ns)

    async def _end_faults(self, request: web.Request) -> web.Response:
        number = request.query.get("number")
        self.faults.end(int(number) if number else None)
        return _json(self.report())

    def report(self) -> dict[str, Any]:
        """What GET /faults answers: what was fired, what runs, and how each client behaved."""
        now = self.clock.read()
        venues = {name: {**venue.report(), "behind_s": self._behind(venue, now)} for name, venue in self.venues.items()}
        return {
            **self.faults.report(),
            "clock_ns": now,
            "clock": self.clock.shared(),
            "paused": self.clock.paused,
            "venues": venues,
            "connects": sum(venue.connects for venue in self.venues.values()),
            "broken": {name: dict(venue.broken) for name, venue in self.venues.items() if venue.broken},
            "connections": [*self._gone, *(self._describe(each) for each in self.connections.values())],
        }

    def _behind(self, venue: Dialect, now_ns: int) -> float:
        return max(0, now_ns - venue.due()) / SECOND

    def _describe(self, connection: Connection) -> dict[str, Any]:
        return {
            "number": connection.number,
            "venue": connection.venue,
            "opened_ns": connection.opened_ns,
            "age_s": (self.clock.read() - connection.opened_ns) / SECOND,
            "messages": connection.messages,
            "busiest_second": connection.busiest,
            "frames": connection.frames,
            "subscriptions": list(connection.streams),
            "half_open": connection.deaf,
            "closed": connection.closed,
        }

    async def _listen(self, app: web.Application, port: int) -> int:
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        self._runners.append(runner)
        await runner.setup()
        site = web.TCPSite(runner, HOST, port)
        await site.start()
        bound: int = runner.addresses[0][1]
        return bound


def _refused(refusal: Refusal) -> web.Response:
    headers = {"Retry-After": str(refusal.retry_after_s)} if refusal.retry_after_s else {}
    body = {
        429: {"code": -1003, "msg": "Too many requests; please use the websocket for live updates to avoid bans."},
        418: {"code": -1003, "msg": "Way too many requests; IP banned."},
    }.get(refusal.status, {"code": -1000, "msg": "An unknown error occurred while processing the request."})
    return web.Response(
        status=refusal.status or 503,
        text=orjson.dumps(body).decode(),
        content_type="application/json",
        headers=headers,
    )


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
