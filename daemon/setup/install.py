"""The files that make a service of the daemon, filled in for where it is installed.

``daemon/service/`` holds them as templates, ``deploy/`` as they come out for an installation in ``/opt/argus``.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

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


OPT = Place("/opt/argus/bin/python", "/opt/argus/lib/python3.11/site-packages/daemon", "/opt/argus/bin/argus")


def render(name: str, place: Place) -> str:
    """One file's text. An agent's own (``argus@``) has everything under its instance's name."""
    agents = name == "argus@.service"
    template = "argus.service" if agents else name
    text = resources.files("daemon").joinpath("service", template).read_text("utf-8")
    at_home = any(path.startswith(("/home/", "/root/")) for path in (place.python, place.packages, place.argus))
    words = {
        "ARGUS": place.argus,
        "PYTHON": place.python,
        "PANIC": f"{place.packages}/operating/panic.py",
        "GUARDIAN": f"{place.packages}/watch/guardian.py",
        "CONFIG": str(Path(place.config).with_name("%i.toml")) if agents else place.config,
        "USER": place.user,
        "STATE": f"{place.state}/%i" if agents else place.state,
        "NAME": "argus/%i" if agents else "argus",
        "HOME": "read-only" if at_home else "yes",
    }
    text = re.sub(r"@([A-Z]+)@", lambda match: words[match[1]], text)
    if agents:
        text = text.replace(
            "# The daemon as one service; argus@.service is the same for several agents side by side.",
            "# One agent of several: systemctl start argus@spot argus@futures, each with its own settings and state.",
        ).replace("Description=Argus trading daemon", "Description=Argus trading agent %i")
    return text


def write(kind: str, place: Place, folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in FILES[kind]:
        replace_file(folder / name, render(name, place).encode())
        written.append(folder / name)
    return written
