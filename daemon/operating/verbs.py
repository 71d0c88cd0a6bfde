"""What an operator may ask for, from what state, with what words; and what it would do, before it is done.

Everything is checked here, at the rim: what gets past becomes an input (``operator.py`` is the other half). A
refusal names the reason and what to do about it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import msgspec

from bus import money
from bus.values import TradingState
from config.load import ConfigError
from config.schema import Limits
from daemon import models
from daemon.errors import Usage
from daemon.live import ending
from daemon.watch.findings import Findings
from daemon.wiring import Core
from portfolio.equity import CannotValue
from risk.flatten import NAME as FLATTEN
from risk.rules import looser_than

T = TradingState
_OVER = frozenset({T.HALTED, T.STOPPING})
_ANY = frozenset(T)
_RUNNING = _ANY - _OVER
_ARMABLE = frozenset({T.RECONCILED, T.SHADOW})


class Refused(Exception):  # an answer, not an error
    """The command was not given; the text says why and what to do."""


class Process(Protocol):
    """As much of the running process as a command needs to be judged by."""

    @property
    def core(self) -> Core: ...
    @property
    def findings(self) -> Findings: ...
    @property
    def mode(self) -> str: ...
    def kill_file(self) -> str:
        """Why the kill file keeps trading from being armed; empty while it does not."""
        ...

    def limits_on_disk(self) -> Limits:
        """The configuration as it is now. Raises ConfigError, Usage where only a restart could take it up."""
        ...


# --- the words of each command ---------------------------------------------------------------------------------


class Said(msgspec.Struct, forbid_unknown_fields=True):
    """``reason`` is for the record."""

    reason: str = ""


class Routing(Said, kw_only=True):
    on: bool


class Mode(Said, kw_only=True):
    mode: str


class Within(Said):
    within_s: float = 30.0


class Acknowledged(Said):
    """Without a number: everything that is open."""

    number: int | None = None


Check = Callable[[Process, Any], dict[str, Any]]
"""Answers with the payload of the input. Raises Refused."""


def _as_said(_: Process, said: Said) -> dict[str, Any]:
    return {key: value for key, value in msgspec.to_builtins(said).items() if value not in ("", None)}


def _arm(process: Process, said: Said) -> dict[str, Any]:
    if blocking := process.findings.blocking():
        named = "; ".join(f"[{one.number}] {one.what}" for one in blocking)
        raise Refused(f"somebody must look first, and say argus ack NUMBER: {named}")
    if why := process.kill_file():
        raise Refused(f"{why}: remove it first")
    return _as_said(process, said)


def _clear(process: Process, said: Said) -> dict[str, Any]:
    """Nobody is told that it was done where it cannot be."""
    try:
        process.core.equity.value()
    except CannotValue as why:
        raise Refused(f"losses cannot be counted from here: {why}; wait until its market is heard") from why
    return _as_said(process, said)


def _mode(process: Process, said: Mode) -> dict[str, Any]:
    if said.mode not in ("paper", "live"):
        raise Refused(f"a mode is paper or live, not {said.mode!r}")
    return _as_said(process, said)


def _flatten(process: Process, said: Within) -> dict[str, Any]:
    if not 0.0 < said.within_s <= 3_600.0:
        raise Refused(f"within_s is at most an hour, not {said.within_s}")
    return _as_said(process, said)


def _acknowledged(process: Process, said: Acknowledged) -> dict[str, Any]:
    if not any(said.number in (None, one.number) for one in process.findings.open()):
        raise Refused("there is no open finding" + ("" if said.number is None else f" number {said.number}"))
    return _as_said(process, said)


def _reload(process: Process, said: Said) -> dict[str, Any]:
    try:
        limits = process.limits_on_disk()
    except (ConfigError, Usage) as error:
        raise Refused(str(error)) from error
    if models.extra_terms(limits) != process.core.oversight.terms.extra:
        raise Refused("the limits that are asked only where set (spread, VaR, budgets, …) change with the next start")
    gate = process.core.gate
    if gate.switch.state is T.ARMED and (looser := looser_than(gate.limits, models.gate_limits(limits))):
        raise Refused(f"limits may only tighten while armed; disarm first: {'; '.join(looser)}")
    return {**_as_said(process, said), "limits": _plain(limits)}


class Verb(NamedTuple):
    says: str
    words: type[Said] = Said
    states: frozenset[TradingState] = _ANY
    check: Check = _as_said


VERBS: Mapping[str, Verb] = {
    "arm": Verb("let orders through", states=_ARMABLE, check=_arm),
    "clear": Verb(
        "what a drawdown band closed was looked at: count losses from here on", states=_RUNNING, check=_clear
    ),
    "disarm": Verb("let no new order through; what is open stays", states=_RUNNING),
    "routing": Verb("on or off: note what strategies want and send none of it", Routing),
    "mode": Verb("paper or live, from the next start on", Mode, check=_mode),
    "shadow": Verb("keep the signals, cancel what is open, send nothing", states=_RUNNING),
    "halt": Verb("close the gate, cancel what is open, keep positions, stop"),
    "flatten": Verb("close the gate, cancel, close positions, verify flat, stop", Within, _RUNNING, _flatten),
    "roll": Verb("close the session and go on in a new one at once: orders and positions stay", states=_RUNNING),
    "stop": Verb("cancel what is open and end the session in order"),
    "reload": Verb("take the limits from the configuration as it is now", states=_RUNNING, check=_reload),
    "ack": Verb("a finding was looked at", Acknowledged, check=_acknowledged),
}


def checked(process: Process, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload of the input that the command becomes. Raises Refused."""
    verb = VERBS.get(name)
    if verb is None:
        raise Refused(f"no such command: {name!r}; there are {', '.join(VERBS)}")
    try:
        said = msgspec.convert(payload, verb.words)
    except msgspec.ValidationError as error:
        raise Refused(f"{name}: {error}") from error
    core = process.core
    if core.switch.state not in verb.states:
        raise Refused(f"{name} is not possible while trading is {core.switch.state.value}")
    if core.operator.closing and name not in ("halt", "stop", "ack", FLATTEN):
        raise Refused(f"{name} is not possible while everything is being closed; halt stops that")
    return verb.check(process, said)


def preview(process: Process, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What the command would do now: the states it goes through, the orders it touches. Nothing is done."""
    try:
        words = checked(process, name, payload)
    except Refused as why:
        return {"command": name, "possible": False, "why": str(why)}
    core = process.core
    orders = ending.open_orders(core) if name in ("shadow", "halt", FLATTEN, "stop") else []
    closes = {}
    if name == FLATTEN:
        closes = {
            one: {"size": money.plain(size), "mid": core.market.mid(one)}
            for one, size in sorted(core.operator.held_positions().items())
        }
    changes = {}
    if name == "reload":
        now, then = core.gate.limits, models.gate_limits(Limits.model_validate(words["limits"]))
        changes = {
            field: [str(getattr(now, field)), str(getattr(then, field))]
            for field in then.__struct_fields__
            if getattr(now, field) != getattr(then, field)
        }
    return {
        "command": name,
        "possible": True,
        "does": VERBS[name].says,
        "state": core.switch.state.value,
        "cancels": orders,
        "closes": closes,
        "changes": changes,
        "payload": words,
    }


def _plain(limits: Limits) -> dict[str, Any]:
    """As the journal's root has them: amounts as text."""
    from config.schema import Trading, canonical

    plain: dict[str, Any] = canonical(Trading(limits=limits))["limits"]
    return plain
