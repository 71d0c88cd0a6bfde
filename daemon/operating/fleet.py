"""Several agents side by side: where each is, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from config.load import load
from daemon.errors import NotRunning, TimedOut, Usage
from daemon.live import state
from daemon.operating.client import Client, SaidNo
from daemon.watch import notify

PATIENCE_S = 2.0


class Agent(NamedTuple):
    name: str
    state_dir: Path


def agents(configs: Sequence[Path], state_dirs: Sequence[Path]) -> list[Agent]:
    """Those named; without any, every folder under ``var`` that a daemon keeps its state in. No two may share one."""
    found = [Agent(path.stem, load(path, (), {}).process.state_dir) for path in configs]
    found += [Agent(path.parent.name or path.name, path) for path in state_dirs]
    if not found:
        kept = sorted({*Path("var").glob("*/state.json"), *Path("var").glob("*/state/state.json")})
        found = [Agent(str(path.parent.relative_to("var")), path.parent) for path in kept]
    places: dict[Path, str] = {}
    for agent in found:
        other = places.setdefault(agent.state_dir.resolve(), agent.name)
        if other != agent.name:
            raise Usage(f"{other} and {agent.name} share {agent.state_dir}; give each a state directory of its own")
    return found


def look(agent: Agent) -> dict[str, Any]:
    """One agent in one flat object."""
    about: dict[str, Any] = {"agent": agent.name, "state_dir": str(agent.state_dir), "running": False}
    about["beat_s"] = notify.age_s(agent.state_dir)
    if (kept := state.read(agent.state_dir)) is not None:
        about.update(mode=kept.mode, session=kept.session, boot=kept.boot)
    try:
        said: Mapping[str, Any] = Client(agent.state_dir, PATIENCE_S).status()
    except NotRunning:
        return about | {"process": "not running"}
    except TimedOut:
        return about | {"process": "does not answer"}
    except SaidNo as error:
        return about | {"process": f"says {error}"}
    return about | {
        "running": True,
        "process": "running",
        "mode": said["mode"],
        "session": said["session"],
        "state": said["state"],
        "equity": said["equity"],
        "asset": said["asset"],
        "positions": len(said["positions"]),
        "orders": len(said["orders"]),
        "findings": len(said["findings"]),
    }
