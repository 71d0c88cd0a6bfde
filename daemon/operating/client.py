"""The other end of the control socket, for the command line: one question, one answer, nothing but the standard
library.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from daemon.errors import NotRunning, TimedOut

if TYPE_CHECKING:
    import http.client

ADDRESS, TOKEN = "control.json", "control.token"
TIMEOUT_S = 5.0
LIFE_S = 15.0


class SaidNo(Exception):  # the process's answer, for a person
    """The process refused; the text is its own."""


class Client:
    """Speaks to the process that holds ``directory``. Every call raises NotRunning, TimedOut or SaidNo."""

    def __init__(self, directory: Path, timeout_s: float = TIMEOUT_S) -> None:
        self._directory = directory
        self._timeout_s = timeout_s

    def status(self) -> dict[str, Any]:
        return self.get("status")

    def get(self, what: str) -> dict[str, Any]:
        return self._ask("GET", f"/v1/{what}")

    def preview(self, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        return self._ask("POST", "/v1/preview", {"name": name, "payload": payload})

    def command(self, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Give it to the very process that is there now: one that takes its place meanwhile does not hear it."""
        import secrets  # as with http below: a replay, which loads this for its exit codes, pays for neither

        body = {
            "name": name,
            "payload": payload,
            "boot": self._address()["boot"],
            "nonce": secrets.token_hex(16),
            "expires_ns": time.time_ns() + round(LIFE_S * 1e9),
        }
        return self._ask("POST", "/v1/commands", body)

    def _address(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self._directory / ADDRESS).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise NotRunning(f"nothing runs on {self._directory}") from error
        return found

    def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        import http.client

        wire, headers = self._connect()
        try:
            wire.request(method, path, None if body is None else json.dumps(body), headers)
            response = wire.getresponse()
            text = response.read()
        except TimeoutError as error:
            raise TimedOut(f"the process on {self._directory} gave no answer within {self._timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise NotRunning(f"the process on {self._directory} hung up") from error
        finally:
            wire.close()
        try:
            answer: dict[str, Any] = json.loads(text)
        except ValueError as error:
            raise SaidNo(f"no answer of this build's: {response.status} {text[:200]!r}") from error
        if response.status != http.client.OK:
            raise SaidNo(str(answer.get("error", response.reason)))
        return answer

    def _connect(self) -> tuple[http.client.HTTPConnection, dict[str, str]]:
        import http.client

        address, headers = self._address(), {"Content-Type": "application/json"}
        wire = http.client.HTTPConnection("127.0.0.1", int(address.get("port", 0)), timeout=self._timeout_s)
        try:
            if "socket" in address:
                wire.sock = socket.socket(socket.AF_UNIX)
                wire.sock.settimeout(self._timeout_s)
                wire.sock.connect(address["socket"])
            else:
                headers["Authorization"] = f"Bearer {(self._directory / TOKEN).read_text('utf-8').strip()}"
                wire.connect()
        except TimeoutError as error:
            wire.close()
            raise TimedOut(f"the process on {self._directory} does not take the call") from error
        except OSError as error:
            wire.close()
            raise NotRunning(f"nothing runs on {self._directory}: {error.strerror or error}") from error
        return wire, headers
