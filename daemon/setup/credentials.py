"""Secrets: where they come from, and that they go nowhere else.

A secret is looked for in the places from the safest on: systemd's credentials (``$CREDENTIALS_DIRECTORY``), the
platform's keyring where one is installed, the 0600 file that ``ARGUS_SECRETS_FILE`` names, and, never for live
trading, ``.env`` and the environment. Whatever is found is remembered here, so that ``redact`` can take it out of every
line that is written for people.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from config.load import ConfigError
from config.surroundings import CREDENTIALS, ENVIRONMENT, Surroundings, origin

SECRETS_FILE = "ARGUS_SECRETS_FILE"
NOTIFY_URLS = "ARGUS_NOTIFY_URLS"
NAMES = (*CREDENTIALS, NOTIFY_URLS)
REDACTED = "[redacted]"

_SHORTEST = 6
_SHORTEST_TOKEN, _SURELY_TOKEN = 8, 24
_IN_AN_ADDRESS = re.compile(r"[/?#&=@:,]+")
_SECRET_NAME = re.compile(r"(_KEY|_SECRET|_TOKEN|_PASSWORD|_PASSPHRASE|_UUID|_URLS|_KEY_ID)$", re.IGNORECASE)
_known: set[str] = set()


class Secret:
    """Shows itself to nobody who does not ask with ``reveal``."""

    __slots__ = ("_text", "origin")

    def __init__(self, text: str, origin: str) -> None:
        self._text = text
        self.origin = origin
        remember(text)

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"<secret from {self.origin}>"

    __str__ = __repr__


def here() -> Surroundings:
    """The process's environment and the ``.env`` of its folder; what looks like a secret in them is remembered."""
    found = Surroundings(os.environ, Path.cwd())
    for name, text in found.items():
        if name in NAMES or (_SECRET_NAME.search(name) and name.startswith("ARGUS_")):
            remember(text)
    return found


def remember(text: str) -> None:
    """``redact`` takes it, its lines and its words out from now on, and of an address what looks like a token in it."""
    words = text.split()
    _known.update(part for part in (text, *words) if len(part) >= _SHORTEST)
    for address in words:
        if "://" in address:
            _known.update(filter(_is_token, _IN_AN_ADDRESS.split(address)))


def _is_token(part: str) -> bool:
    return len(part) >= _SHORTEST_TOKEN and (len(part) >= _SURELY_TOKEN or any(map(str.isdecimal, part)))


def redact(text: str) -> str:
    for secret in sorted(_known, key=len, reverse=True):
        if secret in text:
            text = text.replace(secret, REDACTED)
    return text


def find(name: str, environ: Mapping[str, str], *, live: bool = False) -> Secret | None:
    """The secret of that name from the safest place that has it. Raises ConfigError for a file others can read."""
    return next(_places(name, environ, live=live), None)


def _places(name: str, environ: Mapping[str, str], *, live: bool) -> Iterator[Secret]:
    if (folder := environ.get("CREDENTIALS_DIRECTORY")) and (file := Path(folder) / name).is_file():
        yield Secret(file.read_text("utf-8").strip(), "systemd's credentials")
    if (text := _of_keyring(name)) is not None:
        yield Secret(text, "the keyring")
    if path := environ.get(SECRETS_FILE):
        written = _private(Path(path))
        if name in written:
            yield Secret(written[name], path)
    if not live and environ.get(name):
        yield Secret(environ[name], f"{origin(environ, name)}, {name}" if environ else ENVIRONMENT)


def _of_keyring(name: str) -> str | None:
    try:
        import keyring
    except ImportError:
        return None
    try:
        found: str | None = keyring.get_password("argus", name)
    except keyring.errors.KeyringError:  # a machine without one that is unlocked
        return None
    return found


def _private(path: Path) -> dict[str, str]:
    """``NAME=value`` lines of a file that nobody else can read."""
    try:
        about = path.stat()
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{SECRETS_FILE}: {path}: {error.strerror}; name a file that is there") from None
    if os.name == "posix" and stat.S_IMODE(about.st_mode) & 0o077:
        raise ConfigError(f"{SECRETS_FILE}: {path}: others can read it; chmod 600 {path}")
    pairs = (line.partition("=") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}
