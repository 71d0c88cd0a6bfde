"""The control socket: what the process is doing, as versioned JSON over HTTP, and the one way to tell it something.

It listens on a unix socket beside the lock (0600, and whoever connects must be the same user or root); on the loopback
with a token where it is asked to, or where there are no unix sockets. A question reads and changes nothing. A command
carries a nonce, the wall time at which it lapses and the number of the start it is meant for; what passes
``verbs.py`` becomes an input of the core, with who said it, and has been done when the answer comes. An observer
hears what the bus says through a bounded inbox of its own: a slow one loses events and never slows or changes the core.

docs/control.md lists the routes and the fields.
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import socket
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import msgspec
from aiohttp import WSMsgType, web

from bus import events
from bus.bus import Bus, Subscription
from bus.clock import SECOND
from bus.events import Decision, IntentLogged, OrderRefused
from bus.inbox import Inbox, Overflow
from daemon.operating import verbs
from daemon.operating.peer import peer_of
from daemon.operating.verbs import Refused
from daemon.reading.show import named
from daemon.session import replace_file

VERSION = 1
ADDRESS = "control.json"
"""In the state directory: where the process listens."""
SOCKET, TOKEN = "control.sock", "control.token"
LONGEST_PATH = 100  # bytes of a unix socket's name; the least that a platform of ours takes is 104
LONGEST_LIFE_NS = 60 * SECOND
KEPT_DECISIONS = 256
OBSERVERS = 16
INBOX = 4096
_LOOK_S = 0.05
_KINDS: dict[str, type] = {**events.RECORDS, **{kind.__name__: kind for kind in events.MARKET_EVENTS}}


class Daemon(verbs.Process, Protocol):
    """As much of the running process as the socket serves."""

    @property
    def boot(self) -> int: ...
    def status(self) -> dict[str, Any]: ...
    def health(self) -> dict[str, Any]: ...
    def figures(self) -> dict[str, float]: ...
    def command(self, name: str, who: str, payload: dict[str, Any]) -> None: ...


class Given(msgspec.Struct, forbid_unknown_fields=True):
    """A command as it is sent."""

    name: str
    boot: int
    nonce: str
    expires_ns: int
    payload: dict[str, Any] = {}


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    payload: dict[str, Any] = {}


class Control:
    """``start`` listens, ``stop`` hangs up on everybody. ``port`` None: no loopback port; 0: one the system chooses."""

    def __init__(self, daemon: Daemon, directory: Path, port: int | None = None) -> None:
        self._daemon = daemon
        self._directory = directory
        self._port = port
        self._token = ""
        self._runner: web.AppRunner | None = None
        self._socket: Path | None = None
        self._nonces: dict[str, int] = {}
        self._decisions: deque[Any] = deque(maxlen=KEPT_DECISIONS)
        self._observers: set[Observer] = set()
        self.commands = self.refused = 0
        self.follow(daemon.core.bus)

    def follow(self, bus: Bus) -> None:
        """The process went on in another session: whoever listens hears that one."""
        for kind in (Decision, OrderRefused, IntentLogged):
            bus.subscribe(kind, self._decisions.append)
        for observer in self._observers:
            observer.follow(bus)

    @property
    def observers(self) -> int:
        return len(self._observers)

    @property
    def dropped(self) -> int:
        """Events that observers were too slow for, of those who listen now."""
        return sum(observer.inbox.dropped for observer in self._observers)

    # --- the socket ---------------------------------------------------------------------------------------------

    async def start(self) -> None:
        app = web.Application(client_max_size=256 << 10, middlewares=[self._admit])
        app.router.add_get("/v1/status", self._answer(self._daemon.status))
        app.router.add_get("/v1/positions", self._answer(self._positions))
        app.router.add_get("/v1/orders", self._answer(lambda: {"orders": self._daemon.status()["orders"]}))
        app.router.add_get("/v1/equity", self._answer(self._equity))
        app.router.add_get("/v1/decisions", self._answer(self._recent))
        app.router.add_get("/v1/findings", self._answer(self._findings))
        app.router.add_get("/v1/metrics", self._answer(self._daemon.figures))
        app.router.add_get("/v1/health", self._answer(self._daemon.health))
        app.router.add_get("/v1/stream", self._stream)
        app.router.add_post("/v1/preview", self._preview)
        app.router.add_post("/v1/commands", self._command)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5, handle_signals=False)
        await self._runner.setup()
        address: dict[str, Any] = {"version": VERSION, "pid": os.getpid(), "boot": self._daemon.boot}
        if hasattr(socket, "AF_UNIX"):
            self._socket = place_of(self._directory)
            self._socket.unlink(missing_ok=True)
            before = os.umask(0o177)  # there is no moment at which others could connect
            try:
                await web.UnixSite(self._runner, str(self._socket)).start()
            finally:
                os.umask(before)
            address["socket"] = str(self._socket)
        if self._port is not None or self._socket is None:
            self._token = secrets.token_urlsafe(32)
            site = web.TCPSite(self._runner, "127.0.0.1", self._port or 0)
            await site.start()
            address["port"] = self._runner.addresses[-1][1]
            write_private(self._directory / TOKEN, self._token.encode())
        write_private(self._directory / ADDRESS, json.dumps(address).encode() + b"\n")

    async def stop(self) -> None:
        for observer in list(self._observers):
            observer.close()
        if self._runner is not None:
            await self._runner.cleanup()
        for left in (self._socket, self._directory / TOKEN, self._directory / ADDRESS):
            if left is not None:
                left.unlink(missing_ok=True)

    @web.middleware
    async def _admit(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Nobody else's browser, nobody else's process."""
        if "Origin" in request.headers:
            return _no(403, "no page of a browser may talk to this socket")
        peer = peer_of(request.transport)
        if peer is None:
            if request.host.rpartition(":")[0] not in ("127.0.0.1", "localhost"):
                return _no(403, "this port is known by no other name than 127.0.0.1")
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if not (self._token and hmac.compare_digest(given.encode(), self._token.encode())):
                return _no(401, f"the token in {self._directory / TOKEN} is asked for: Authorization: Bearer …")
        elif peer.uid not in (os.getuid(), 0):
            return _no(403, f"uid {peer.uid} may not talk to this socket")
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _no(error.status, error.reason)

    # --- questions ----------------------------------------------------------------------------------------------

    def _answer(self, ask: Callable[[], Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(_: web.Request) -> web.StreamResponse:
            return _yes(ask())

        return answer

    def _positions(self) -> dict[str, Any]:
        core, held = self._daemon.core, []
        for name, position in core.ledger.positions.items():
            mark = core.market.mid(name)
            held.append(
                {
                    "instrument": name,
                    "size": named(position.size),
                    "realised": named(position.realised),
                    "mid": mark if mark > 0.0 else None,
                }
            )
        return {"positions": held, "cash": named(dict(sorted(core.ledger.cash.items())))}

    def _equity(self) -> dict[str, Any]:
        core = self._daemon.core
        worth, marks = core.worth()
        return {
            "equity": named(worth) if worth.is_finite() else None,
            "start": named(core.equity.start),
            "max_drawdown": core.equity.max_drawdown,
            "marks": named(marks),
            "curve": core.sampler.curve(),
        }

    def _recent(self) -> dict[str, Any]:
        return {"decisions": [{"type": type(one).__name__, **named(one)} for one in self._decisions]}

    def _findings(self) -> dict[str, Any]:
        return {"findings": msgspec.to_builtins(self._daemon.findings.all)}

    async def _preview(self, request: web.Request) -> web.StreamResponse:
        try:
            asked = msgspec.json.decode(await request.read(), type=Asked)
        except msgspec.DecodeError as error:
            return _no(400, f"not a question: {error}")
        return _yes(verbs.preview(self._daemon, asked.name, asked.payload))

    # --- commands -----------------------------------------------------------------------------------------------

    async def _command(self, request: web.Request) -> web.StreamResponse:
        try:
            given = msgspec.json.decode(await request.read(), type=Given)
        except msgspec.DecodeError as error:
            return _no(400, f"not a command: {error}")
        peer = peer_of(request.transport)
        daemon, who = self._daemon, peer.name if peer is not None else "token"
        try:
            self._once(given)
            payload = verbs.checked(daemon, given.name, given.payload)
            daemon.command(given.name, who, payload)
        except Refused as why:
            self.refused += 1
            return _no(409, str(why))
        self.commands += 1
        core = daemon.core
        return _yes({"done": given.name, "who": who, "state": core.switch.state.value, "records": core.chain.seq})

    def _once(self, given: Given) -> None:
        """A command is heard once, soon, and by the process it was meant for. Raises Refused."""
        now = time.time_ns()
        if given.boot != self._daemon.boot:
            raise Refused(f"it was meant for start {given.boot}; this is {self._daemon.boot}. Look again, then say it")
        if not now < given.expires_ns <= now + LONGEST_LIFE_NS:
            raise Refused("it has lapsed, or lives for longer than a minute, or the clocks differ")
        if len(given.nonce) < 8 or given.nonce in self._nonces:
            raise Refused("its nonce was used before, or is shorter than 8 characters")
        self._nonces = {nonce: until for nonce, until in self._nonces.items() if until > now}
        self._nonces[given.nonce] = given.expires_ns

    # --- the stream ---------------------------------------------------------------------------------------------

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        names = [name for name in request.query.get("types", "").split(",") if name]
        if unknown := [name for name in names if name not in _KINDS]:
            return _no(400, f"no such event: {unknown[0]}; there are {', '.join(_KINDS)}")
        if len(self._observers) >= OBSERVERS:
            return _no(503, f"{OBSERVERS} observers are listening already")
        wire = web.WebSocketResponse(timeout=0.5)
        await wire.prepare(request)
        observer = Observer(self._daemon.core.bus, [_KINDS[name] for name in names or events.RECORDS])
        self._observers.add(observer)
        try:
            await observer.tell(wire)
        except (ConnectionError, RuntimeError):
            pass  # hung up in the middle of a word
        finally:
            observer.close()
            self._observers.discard(observer)
        return wire


class Observer:
    """One who listens. What it is too slow for is dropped, the oldest first, and the count of that is told."""

    def __init__(self, bus: Bus, kinds: list[type], capacity: int = INBOX) -> None:
        self.inbox: Inbox[Any] = Inbox(capacity, Overflow.DROP_OLDEST)
        self._kinds = kinds
        self._subscriptions: list[Subscription] = []
        self._closed = False
        self.follow(bus)

    def follow(self, bus: Bus) -> None:
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions = [bus.subscribe(kind, self.inbox.put) for kind in self._kinds]

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            for subscription in self._subscriptions:
                subscription.close()
            self.inbox.close()

    async def tell(self, wire: web.WebSocketResponse) -> None:
        """Everything heard, a batch a message, until the other side hangs up."""
        while not self._closed:
            if batch := self.inbox.take(256):
                said = [{"type": type(event).__name__, **named(event)} for event in batch]
                await wire.send_bytes(_body({"dropped": self.inbox.dropped, "events": said}))
                continue
            try:
                message = await wire.receive(_LOOK_S)
            except TimeoutError:
                continue
            if message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR):
                return


def place_of(directory: Path) -> Path:
    """In the state directory, or where its name is too long for a socket, in the user's runtime directory."""
    place = directory.resolve() / SOCKET
    if len(os.fsencode(place)) <= LONGEST_PATH:
        return place
    stem = blake2b(os.fsencode(directory.resolve()), digest_size=8).hexdigest()
    root = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()) / f"argus-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    if root.is_symlink() or root.stat().st_uid != os.getuid():
        raise PermissionError(f"{root} is somebody else's: shorten process.state_dir, or set XDG_RUNTIME_DIR")
    return root / f"{stem}.sock"


def write_private(path: Path, content: bytes) -> None:
    """Readable by nobody else at any moment."""
    before = os.umask(0o177)
    try:
        replace_file(path, content)
    finally:
        os.umask(before)


def _body(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"v": VERSION, **value})


def _yes(value: dict[str, Any]) -> web.Response:
    return web.Response(body=_body(value), content_type="application/json")


def _no(status: int, why: str) -> web.Response:
    return web.Response(status=status, body=_body({"error": why}), content_type="application/json")
