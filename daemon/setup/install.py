"""The files that make a service of the daemon, written for where it is installed.

They stand in ``deploy/``, for an installation in ``/opt/argus``, and are part of the package as ``daemon/service/``.
For another place its own words take the place of those.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from daemon.session import replace_file

SYSTEMD, LAUNCHD, ELSEWHERE = "systemd", "launchd", "container"
FILES: Mapping[str, tuple[str, ...]] = {
    SYSTEMD: ("argus.service", "argus@.service", "argus.logrotate"),
    LAUNCHD: ("com.argus.daemon.plist",),
    ELSEWHERE: ("Dockerfile",),
}


@dataclass(frozen=True)
class Place:
    """Where things are: ``python`` runs it, ``packages`` holds ours, ``argus`` is the command."""

    python: str
    packages: str
    argus: str
    config: str = "/etc/argus/argus.toml"
    user: str = "argus"
    state: str = "/var/lib/argus"

    @classmethod
    def here(cls, config: str, user: str, state: str) -> Place:
        """This installation."""
        beside = Path(sys.executable).with_name("argus")
        found = str(beside) if beside.exists() else shutil.which("argus")
        packages = str(Path(__file__).resolve().parents[1])
        return cls(sys.executable, packages, found or f"{sys.executable} -P -m daemon", config, user, state)


SOURCE = Path(__file__).parents[1] / "service"
_HIDDEN = {("/", "home"), ("/", "root")}  # by ProtectHome= (systemd.exec(5))
OPT = Place("/opt/argus/bin/python", "/opt/argus/lib/python3.11/site-packages/daemon", "/opt/argus/bin/argus")


def render(name: str, place: Place) -> str:
    """One file's text. A container is the same everywhere; an agent's own (``argus@``) is under its instance's name."""
    text = (SOURCE / name).read_text("utf-8")
    if name in FILES[ELSEWHERE]:
        return text
    at_home = any(PurePosixPath(path).parts[:2] in _HIDDEN for path in (place.python, place.packages, place.argus))
    words = {
        OPT.argus: place.argus,
        OPT.python: place.python,
        f"{OPT.packages}/": f"{place.packages}/",
        OPT.config: place.config,
        _of_agents(OPT.config): _of_agents(place.config),
        f"User={OPT.user}": f"User={place.user}",
        f"su {OPT.user} {OPT.user}": f"su {place.user} {place.user}",
        OPT.state: place.state,
        "ProtectHome=yes": f"ProtectHome={'read-only' if at_home else 'yes'}",
    }
    return re.sub("|".join(map(re.escape, words)), lambda match: words[match[0]], text)


def _of_agents(config: str) -> str:
    return str(Path(config).with_name("%i.toml"))


def write(kind: str, place: Place, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in FILES[kind]:
        replace_file(folder / name, render(name, place).encode())
        written.append(folder / name)
    return written
