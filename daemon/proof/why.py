"""``argus why``: one closed bar of a session, and why it led to what it led to.

The session's inputs run again through its own wiring with a probe in the journal's place (``probe.py``). At the
bar, the process forks for each change that is tried: the child goes on with the change and reports what it saw, the
parent has seen nothing yet. One run serves many bars. Where there is no fork, each trial is a run of its own; both see
the same.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

import msgspec

from bus.events import Bar, CouncilVoted
from bus.values import Action
from daemon.errors import Usage
from daemon.proof.again import Again, Through
from daemon.proof.changes import Changes, check, parse
from daemon.proof.levers import changes_of
from daemon.proof.nearest import Found, Trial, deeper, follow, search
from daemon.proof.probe import Facts, Key, Probe
from daemon.reading.digest import iso
from daemon.replay import Stop, Watch
from daemon.wiring import Core, load_all

CAN_FORK = hasattr(os, "fork")
UNCHANGED = Changes()
LEADS = 3
"""How many times what an earlier bar is to be led to is looked for anew."""


def run_with(again: Again, key: Key, changes: Changes, watch: Watch | None = None) -> Facts:
    """What is seen of the bar in a run of its own, with the changes in force from it on."""
    core, probe, through = _probed(again)
    seen: list[Facts] = []
    settle, stop = _settling(core, changes), Stop()

    def reached(bar: Bar) -> Bar | None:
        settle(bar, here := _key(bar) == key)
        if not here:
            return None
        changes.stage(core, probe, bar)
        return changes.bar(bar)

    def done(facts: Facts) -> None:
        seen.append(_complete(core, facts))
        stop("the bar was seen")

    probe.reached, probe.done = reached, done
    through(stop, watch)
    if not seen:
        raise Usage(f"no closed bar of {key[0]} ends at {iso(key[2])}")
    return seen[0]


def explain(
    again: Again, keys: Iterable[Key], *, fork: bool = CAN_FORK, watch: Watch | None = None
) -> dict[Key, Found]:
    """Every bar asked for, with the changes that would have flipped it."""
    trading, whole = again.trading, not again.continues
    each = _forked if fork else _alone
    found = each(again, set(keys), lambda _, bar, trial: search(bar, trading, trial, whole=whole), UNCHANGED, watch)
    bases = {key: one.facts for key, one in found.items() if one.lead}
    for _ in range(LEADS):
        led = {key: one.lead for key, one in found.items() if one.lead}
        for lead in dict.fromkeys(led.values()):
            found |= each(
                again,
                {key for key in led if led[key] == lead},
                lambda key, bar, trial: follow(bar, trading, trial, bases[key], led[key]),  # noqa: B023  # called here
                changes_of(lead, trading),
                watch,
            )
    if whole and (left := {key for key in bases if not found[key].flips}):
        found |= each(again, left, lambda key, bar, trial: deeper(bar, trading, trial, bases[key]), UNCHANGED, watch)
    return found


_Look = Callable[[Key, Bar, Trial], Found]


def _alone(again: Again, keys: set[Key], look: _Look, _: Changes, watch: Watch | None) -> dict[Key, Found]:
    return {key: look(key, run_with(again, key, UNCHANGED, watch).bar, _trial(again, key)) for key in keys}


def _trial(again: Again, key: Key) -> Trial:
    return lambda changes: run_with(again, key, changes)


def _forked(again: Again, keys: set[Key], look: _Look, lead: Changes, watch: Watch | None) -> dict[Key, Found]:
    """One run up to the last of the bars, with ``lead`` in force since when it says."""
    core, probe, through = _probed(again)
    found: dict[Key, Found] = {}
    settle, stop = _settling(core, lead), Stop()

    def reached(bar: Bar) -> Bar | None:
        if lead.since_ns:
            settle(bar, False)
        if _key(bar) not in keys:
            return None
        try:
            found[_key(bar)] = look(_key(bar), bar, _fork)
        except _Child as child:
            changes, pipe = child.changes, child.pipe
            probe.reached, probe.done = _nothing, lambda facts: _report(pipe, _complete(core, facts))
            if not changes.since_ns:
                changes.settle(core)
            changes.stage(core, probe, bar)
            return changes.bar(bar)
        if len(found) == len(keys):
            stop("every bar was seen")
        return None

    probe.reached, parent = reached, os.getpid()
    try:
        through(stop, watch)
    finally:
        if os.getpid() != parent:  # a child that lost its way must not go on as its parent
            os._exit(1)
    return found


def _settling(core: Core, changes: Changes) -> Callable[[Bar, bool], None]:
    """What puts the settings in force: at the bar that is ``here``, or at the first that is late enough."""
    left = [changes]

    def settle(bar: Bar, here: bool) -> None:
        if left and (bar.local_ns >= changes.since_ns if changes.since_ns else here):
            left.pop().settle(core)

    return settle


def _nothing(_: Bar) -> Bar | None:
    return None


class _Child(BaseException):  # not an error: how a child leaves the search that its parent goes on with
    def __init__(self, changes: Changes, pipe: int) -> None:
        super().__init__()
        self.changes = changes
        self.pipe = pipe


def _fork(changes: Changes) -> Facts:
    """Run the bar in a child of this process, which ends with it."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        raise _Child(changes, write)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    assert told, f"the child that tried {changes.words()} ended without a word"
    return msgspec.msgpack.decode(told, type=Facts)


def _report(pipe: int, facts: Facts) -> None:
    with os.fdopen(pipe, "wb") as out:
        out.write(_encode(facts))
    os._exit(0)  # nothing of the parent's may be ended twice


_encode = msgspec.msgpack.Encoder(enc_hook=lambda value: value.item()).encode


def _probed(again: Again) -> tuple[Core, Probe, Through]:
    trading = again.trading.model_copy(update={"journal": type(again.trading.journal)()})
    probe, seats = Probe(trading), load_all(trading)
    probe.watch(seats)
    core, through = again.begin(probe, trading, strategies=seats, make_bus=probe.bus)
    core.gate.on_judged = probe.judged
    return core, probe, through


def _key(bar: Bar) -> Key:
    return bar.instrument, bar.interval_ns, bar.end_ns


def _complete(core: Core, facts: Facts) -> Facts:
    """With the council's count, where it had nothing to write down."""
    bar = facts.bar
    if core.council is not None and facts.voted is None:
        regime, ballots, support = core.council.tally(bar.instrument, bar.interval_ns)
        needed = core.council.rules.threshold
        facts.voted = CouncilVoted(
            core.clock.now, bar.instrument, bar.interval_ns, bar.end_ns, regime, ballots, support, needed, Action.HOLD
        )
    return facts


def wanted(texts: Iterable[str], again: Again) -> Changes:
    """What ``--what-if`` asks for. Raises Usage, ConfigError, BadParameter."""
    changes = parse(texts, again.trading)
    check(changes, again.trading)
    if (changes.params or changes.warmup) and again.continues:
        raise Usage(
            "the session goes on from another, so what its strategies heard before is not here to be told again"
        )
    return changes
