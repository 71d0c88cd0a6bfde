"""The telephone: opens sockets and asks over REST. One session a feed; certificates are always checked."""

from __future__ import annotations

import ssl
from typing import NamedTuple

import aiohttp

_CONNECT_S, _REQUEST_S, _CLOSE_S = 10.0, 20.0, 1.0
_REPLY_MAX = 1 << 26


class Refused(Exception):  # a fact about the other side
    """Nobody answered, or the answer was no; ``retry_after_s`` is how long the venue does not want to hear from us."""

    def __init__(self, why: str, retry_after_s: float = 0.0) -> None:
        super().__init__(why)
        self.retry_after_s = retry_after_s


class Reply(NamedTuple):
    url: str
    raw: str


class Network:
    """``proxy`` is an address for both kinds of traffic; ``ca_file`` adds an authority of one's own to the system's."""

    def __init__(self, proxy: str = "", ca_file: str = "") -> None:
        self._proxy = proxy or None
        self._ca_file = ca_file
        self._session: aiohttp.ClientSession | None = None

    async def dial(self, url: str, size_max: int) -> aiohttp.ClientWebSocketResponse:
        """A socket that answers no pings by itself, since they count against the venue's limits. Raises Refused."""
        try:
            return await self._opened().ws_connect(
                url,
                proxy=self._proxy,
                autoping=False,
                autoclose=True,
                compress=0,  # nothing that could unfold to any size
                max_msg_size=size_max,
                timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_S),
            )
        except aiohttp.WSServerHandshakeError as error:
            after = error.headers.get("Retry-After", "") if error.headers is not None else ""
            raise Refused(f"{url}: HTTP {error.status}", _seconds(after)) from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Refused(f"{url}: {_said(error)}") from error

    async def get(self, url: str) -> Reply:
        """The answer to a GET. Raises Refused."""
        try:
            async with self._opened().get(url, proxy=self._proxy) as answer:
                raw = await answer.content.read(_REPLY_MAX)
                while not answer.content.at_eof() and len(raw) < _REPLY_MAX:
                    raw += await answer.content.read(_REPLY_MAX)
                if answer.status != 200:
                    after = _seconds(answer.headers.get("Retry-After", ""))
                    raise Refused(f"{url}: HTTP {answer.status} {raw[:200].decode(errors='replace')}", after)
                return Reply(url, raw.decode())
        except (aiohttp.ClientError, OSError, TimeoutError, UnicodeError) as error:
            raise Refused(f"{url}: {_said(error)}") from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            authorities = ssl.create_default_context()
            if self._ca_file:
                authorities.load_verify_locations(self._ca_file)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=authorities),
                timeout=aiohttp.ClientTimeout(total=_REQUEST_S, sock_connect=_CONNECT_S),
                trust_env=False,  # a proxy is what the configuration names, never what the environment slips in
            )
        return self._session


def _seconds(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 86_400.0)
    except ValueError:
        return 0.0


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
