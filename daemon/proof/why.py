"""``argus why``: one closed bar of a session, and why it led to what it led to.

The session's inputs run again through its own wiring with a probe in the journal's place (``probe.py``). At the
bar, the process forks for each change that is tried: the child goes on with the change and reports what it saw, the
parent has seen nothing yet. Where there is no fork, each trial is a run of its own; both see the same.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec

from bus.clock import SECOND
from bus.events import Bar, CouncilVoted
from bus.journal import Chain
from bus.values import Action
from config.load import changed
from daemon.errors import Usage
from daemon.proof.again import Again, Through
from daemon.proof.nearest import Flip, Trial, search, searched
from daemon.proof.probe import SETTINGS, Answer, Changes, Facts, Key, Probe
from daemon.reading.digest import iso
from daemon.reading.show import named
from daemon.replay import Stop, Watch
from daemon.wiring import Core, load_all

CAN_FORK = hasattr(os, "fork")
UNCHANGED = Changes()


@dataclass
class Found:
    """One bar explained: what was seen, and the changes that flip it, nearest first (None: nobody looked)."""

    facts: Facts
    flips: list[Flip] | None


# --- which bar -------------------------------------------------------------------------------------------------


def bars_of(again: Again, watch: Watch | None = None) -> dict[tuple[str, int], array[int]]:
    """When the closed bars of the session ended, by instrument and interval. Nobody trades where nobody need."""
    ends: dict[tuple[str, int], array[int]] = {}
    chain = Chain()
    if again.live:  # it may go on from another's state, strategies included
        core, through = again.begin(chain)
    else:
        quiet = again.trading.model_copy(update={"council": type(again.trading.council)(), "strategies": []})
        core, through = again.begin(chain, quiet, strategies=[])

    def note(bar: Bar) -> None:
        if bar.closed:
            ends.setdefault((bar.instrument, bar.interval_ns), array("q")).append(bar.end_ns)

    core.bus.subscribe(Bar, note)
    through(Stop(), watch)
    return ends


def choose(ends: Mapping[tuple[str, int], Sequence[int]], instrument: str, moment: str, interval_ns: int | None) -> Key:
    """The bar that a person means: the last that had closed at ``moment``, or of all. Raises Usage saying what there
    is.
    """
    if not ends:
        raise Usage("the session has no closed bars, so no decision was made at one; replay it with --interval 1m")
    name = _instrument(sorted({name for name, _ in ends}), instrument)
    lengths = sorted(length for known, length in ends if known == name)
    if interval_ns is None and len(lengths) > 1:
        raise Usage(f"{name} has bars of {_lengths(lengths)}; say which with --interval")
    length = lengths[0] if interval_ns is None else interval_ns
    if length not in lengths:
        raise Usage(f"{name} has bars of {_lengths(lengths)}, not of {_lengths([length])}")
    series = ends[name, length]
    if not moment:
        return name, length, series[-1]
    ns = _moment(moment, series[-1])
    closed = [end for end in series if end <= ns]
    if not closed or ns >= series[-1] + length:
        raise Usage(
            f"no bar of {name} had closed at {iso(ns)}; its bars end from {iso(series[0])} to {iso(series[-1])}"
        )
    return name, length, closed[-1]


def _instrument(names: Sequence[str], wanted: str) -> str:
    """By its name, or by its symbol as people write it: BTC-USDT, btcusdt, BTC/USDT."""
    if wanted in names:
        return wanted

    def plain(text: str) -> str:
        return "".join(letter for letter in text.upper() if letter.isalnum())

    fits = [name for name in names if plain(wanted) in (plain(name), plain(name.partition(":")[2]))]
    if len(fits) != 1:
        what = "is none of the instruments with bars" if not fits else "may be several"
        raise Usage(f"{wanted!r} {what}: {', '.join(fits or names)}")
    return fits[0]


def _lengths(lengths: Iterable[int]) -> str:
    return ", ".join(f"{length / SECOND:g}s" for length in lengths)


def _moment(text: str, last_ns: int) -> int:
    """ISO 8601 (UTC where it says no zone), nanoseconds, or a time of day: its last before the session's end."""
    if text.isdecimal() and len(text) > 12:
        return int(text)
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        pass
    else:
        last = datetime.fromtimestamp(last_ns / SECOND, UTC)
        when = datetime.combine(last.date(), clock, clock.tzinfo or UTC)
        return _ns(when if when <= last else when - timedelta(days=1))
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise Usage(f"TIME is 14:00, 2026-01-31T14:00 or nanoseconds, not {text!r}") from None
    return _ns(when if when.tzinfo is not None else when.replace(tzinfo=UTC))


def _ns(when: datetime) -> int:
    since = when - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds * 1_000


# --- running it again ------------------------------------------------------------------------------------------


def run_with(again: Again, key: Key, changes: Changes, watch: Watch | None = None) -> Facts:
    """What is seen of the bar in a run of its own, with the changes in force from it on."""
    core, probe, through = _probed(again)
    seen: list[Facts] = []
    stop = Stop()

    def reached(bar: Bar) -> Bar | None:
        if _key(bar) != key:
            return None
        changes.apply(core)
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
    if fork:
        return _explain_forked(again, set(keys), watch)
    found = {}
    for key in keys:
        facts, flips = search(run_with(again, key, UNCHANGED).bar, again.trading, _alone(again, key))
        found[key] = Found(facts, flips)
    return found


def _alone(again: Again, key: Key) -> Trial:
    return lambda changes: run_with(again, key, changes)


def _explain_forked(again: Again, keys: set[Key], watch: Watch | None) -> dict[Key, Found]:
    core, probe, through = _probed(again)
    found: dict[Key, Found] = {}
    stop = Stop()

    def reached(bar: Bar) -> Bar | None:
        if _key(bar) not in keys:
            return None
        try:
            facts, flips = search(bar, core.trading, _fork)
        except _Child as child:
            changes, pipe = child.changes, child.pipe
            probe.reached, probe.done = _nothing, lambda facts: _report(pipe, _complete(core, facts))
            changes.apply(core)
            return changes.bar(bar)
        found[_key(bar)] = Found(facts, flips)
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
    """What ``--what-if`` asks for. Raises Usage, ConfigError."""
    close: float | None = None
    settings = []
    for text in texts:
        key, _, value = text.partition("=")
        if key.strip() == "close":
            try:
                close = float(value)
            except ValueError:
                close = -1.0
            if not 0.0 < close < float("inf"):
                raise Usage(f"--what-if close takes a price, not {value!r}")
        elif key.strip().removeprefix("trading.").partition(".")[0] in SETTINGS:
            settings.append(text)
        else:
            raise Usage(f"--what-if takes close=PRICE or a setting of {', '.join(SETTINGS)}, not {text!r}")
    mode = changed(again.trading, settings).council.mode
    if mode != again.trading.council.mode and (again.trading.council.mode, mode) != ("off", "solo"):
        raise Usage(f"--what-if cannot turn {again.trading.council.mode} into {mode} at a bar; replay the session")
    return Changes(close, tuple(settings))


# --- in words --------------------------------------------------------------------------------------------------


def document(mode: str, found: Found) -> dict[str, Any]:
    """Everything about the bar, JSON-ready."""
    facts, bar = found.facts, found.facts.bar
    flips = [_flip(flip) for flip in found.flips] if found.flips is not None else None
    return {
        "instrument": bar.instrument,
        "interval_s": bar.interval_ns / SECOND,
        "time": iso(bar.end_ns),
        "bar": {"start": iso(bar.start_ns), **{n: getattr(bar, n) for n in ("open", "high", "low", "close", "volume")}},
        "mode": mode,
        "decision": decision(facts),
        "orders": [named(approval.order) for approval in facts.approved],
        "blocker": blocker(mode, facts),
        "regime": named(facts.regime),
        "votes": [vote for answer in facts.answers for vote in _votes(answer)],
        "council": named(facts.voted) if facts.voted is not None else None,
        "gates": [
            {
                "intent_id": one.intent_id,
                "strategy": one.strategy,
                "action": one.intent.action.value,
                "reason": one.intent.reason,
                "checks": named(_checks(facts, one.intent_id)),
                "refused": next(
                    ({"rule": r.rule, "reason": r.reason} for r in facts.refused if r.intent_id == one.intent_id), None
                ),
            }
            for one in facts.decisions
        ],
        "nearest": flips[0] if flips else None,
        "changes": flips,
        "searched": searched() if flips is not None else None,
    }


def decision(facts: Facts) -> str:
    """The one word: the action that went to the venue, or HOLD."""
    passed = {approval.order.intent_id for approval in facts.approved}
    actions = [one.intent.action.value for one in facts.decisions if one.intent_id in passed]
    return ", ".join(dict.fromkeys(actions)) or Action.HOLD.value


def blocker(mode: str, facts: Facts) -> dict[str, str] | None:
    """What first stood between this bar and an order; None where nothing did."""
    if facts.refused:
        first = facts.refused[0]
        said = {"stage": "gate", "rule": first.rule, "reason": first.reason}
        if facts.halted is not None:
            said["since"] = f"{iso(facts.halted.ns)}: {facts.halted.rule}, {facts.halted.reason}"
        return said
    if facts.decisions:
        return None
    if mode == "off" and facts.logged:
        return {"stage": "routing", "rule": "council.mode", "reason": "routing is off: intents are written down only"}
    if facts.voted is not None and max(facts.voted.support) > 0.0:
        long, flat, short = facts.voted.support
        reason = f"long {long:.4g}, flat {flat:.4g}, short {short:.4g} of {facts.voted.needed:.4g}"
        if max(facts.voted.support) >= facts.voted.needed:
            reason += ": the council has asked for that already"
        return {"stage": "council", "rule": "threshold", "reason": reason}
    reasons = [f"{vote['strategy']}: {vote['reason']}" for a in facts.answers for vote in _votes(a) if vote["reason"]]
    return {"stage": "strategies", "rule": "HOLD", "reason": "; ".join(reasons) or "no strategy wanted anything"}


def _votes(answer: Answer) -> list[dict[str, Any]]:
    if not answer.intents:
        reason = f"it failed: {answer.failed}" if answer.failed else ""
        return [{"strategy": answer.strategy, "action": Action.HOLD.value, "confidence": None, "reason": reason}]
    return [{"strategy": answer.strategy, **named(intent)} for intent in answer.intents]


def _checks(facts: Facts, intent_id: str) -> Sequence[Any]:
    refused = next((refusal.checks for refusal in facts.refused if refusal.intent_id == intent_id), None)
    return refused if refused is not None else facts.judged.get(intent_id, [])


def _flip(flip: Flip) -> dict[str, Any]:
    return {
        "what_if": flip.changes.words(),
        "was": flip.was,
        "distance": flip.distance,
        "orders": flip.outcome,
    }
