"""Two sessions of one market side by side: where they decided and filled alike, and by which model where they did not.

A decision is the same where the strategy, the bars it rests on (their hash, so the bar and all before it that count),
the action, the exposure and the reason are. Its fills are compared with those of its counterpart: matched against the
same, by the same model, after the same time on the wire, at the same prices. What is the first of these that differs
names the difference.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from bus import journal
from bus.clock import SECOND
from bus.events import CouncilVoted, Decision, OrderFilled, OrderRefused
from daemon.reading.digest import iso
from daemon.session import Session

Key = tuple[str, str, str, float | None, str]

SAME = "the same"
SHOWN = 3


class Side:
    """What is compared of one session."""

    def __init__(self, session: Session) -> None:
        self.name = session.path.resolve().name
        self.models = dict(line.split(": ", 1) for line in session.manifest.get("models") or ())
        self.decisions: list[Decision] = []
        self.fills: defaultdict[str, list[OrderFilled]] = defaultdict(list)
        self.refused: dict[str, str] = {}
        self.start_ns = self.end_ns = 0
        self._rests_on: dict[str, str] = {}
        voted = ""
        for entry in journal.read(session.journal):
            event = entry.event()
            self.start_ns = self.start_ns or event.ns
            self.end_ns = event.ns
            match event:
                case CouncilVoted():
                    voted = f"{event.instrument} {event.bar_end_ns}"
                case Decision():
                    self.decisions.append(event)
                    came_from = event.intent.provenance
                    self._rests_on[event.intent_id] = came_from.window if came_from is not None else voted
                case OrderFilled():
                    self.fills[event.intent_id].append(event)
                case OrderRefused():
                    self.refused[event.intent_id] = event.rule

    def key(self, decision: Decision) -> Key:
        """The council's decisions rest on no bars of their own, but on the votes on one."""
        intent = decision.intent
        rests_on = self._rests_on[decision.intent_id]
        return decision.strategy, rests_on, intent.action.value, intent.exposure, intent.reason


@dataclass
class Comparison:
    """``alone`` and ``fills`` count what differs, or does not, by why."""

    names: tuple[str, str]
    decisions: tuple[int, int]
    together: int = 0
    in_order: bool = False
    models: dict[str, tuple[str, str]] = field(default_factory=dict)
    alone: Counter[str] = field(default_factory=Counter)
    fills: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def same(self) -> bool:
        return self.in_order and not self.alone and set(self.fills) <= {SAME}

    def note(self, counter: Counter[str], why: str, example: str) -> None:
        counter[why] += 1
        if why != SAME and len(shown := self.examples.setdefault(why, [])) < SHOWN:
            shown.append(example)


def compare(one: Session, other: Session) -> Comparison:
    """Raises JournalError."""
    here, there = Side(one), Side(other)
    found = Comparison((here.name, there.name), (len(here.decisions), len(there.decisions)))
    found.models = {
        name: (here.models.get(name, "-"), there.models.get(name, "-"))
        for name in here.models | there.models
        if here.models.get(name) != there.models.get(name)
    }
    found.in_order = [here.key(d) for d in here.decisions] == [there.key(d) for d in there.decisions]
    waiting: defaultdict[Key, list[Decision]] = defaultdict(list)
    for decision in there.decisions:
        waiting[there.key(decision)].append(decision)
    for decision in here.decisions:
        if (alike := waiting[here.key(decision)]) and (counterpart := alike.pop(0)):
            found.together += 1
            why, example = _fills(here, there, decision, counterpart)
            if why:
                found.note(found.fills, why, f"{iso(decision.ns)} {decision.intent_id}: {example}")
        else:
            _alone(found, decision, here, there)
    for decision in (one for left in waiting.values() for one in left):
        _alone(found, decision, there, here)
    return found


def lines(found: Comparison) -> list[str]:
    """For a reader, the verdict first."""
    here, there = found.names
    said = [
        f"{here} against {there}: {'the same' if found.same else 'not the same'};"
        f" {found.together:,} decisions alike of {found.decisions[0]:,} and {found.decisions[1]:,}"
        + (", in one order" if found.in_order else "")
    ]
    said += [f"model {name}: {a} here, {b} there" for name, (a, b) in found.models.items()]
    for what, counter in (("decisions", found.alone), ("fills of decisions", found.fills)):
        for why, count in counter.most_common():
            said.append(f"{count:,} {what}: {why}")
            said += [f"  {example}" for example in found.examples.get(why, ())]
    return said


def document(found: Comparison) -> dict[str, Any]:
    return {
        "sessions": list(found.names),
        "same": found.same,
        "decisions": list(found.decisions),
        "together": found.together,
        "in_order": found.in_order,
        "models": {name: list(pair) for name, pair in found.models.items()},
        "alone": dict(found.alone),
        "fills": dict(found.fills),
        "examples": found.examples,
    }


def _alone(found: Comparison, decision: Decision, whose: Side, other: Side) -> None:
    if decision.ns < other.start_ns:
        why = f"before {other.name} began: it warmed up on less"
    elif decision.ns > other.end_ns:
        why = f"after {other.name} ended: its last bar was still forming"
    else:
        why = f"only in {whose.name}: they rest on other bars, or on another position"
    intent = decision.intent
    found.note(found.alone, why, f"{iso(decision.ns)} {decision.strategy}: {intent.action.value} ({intent.reason})")


def _fills(here: Side, there: Side, a: Decision, b: Decision) -> tuple[str, str]:
    """Why the two did not fill alike, and the figures; no reason where neither filled for the same one."""
    mine, theirs = here.fills[a.intent_id], there.fills[b.intent_id]
    if not mine or not theirs:
        ends = [
            "filled" if fills else f"refused by {refused}" if refused else "not filled"
            for fills, refused in (
                (mine, here.refused.get(a.intent_id)),
                (theirs, there.refused.get(b.intent_id)),
            )
        ]
        return ("", "") if ends[0] == ends[1] else (f"{ends[0]} here, {ends[1]} there", "")
    ways = [_ways(fills) for fills in (mine, theirs)]
    waits = [fills[0].arrival_ns - one.ns for fills, one in ((mine, a), (theirs, b))]
    prices = [_average(fills) for fills in (mine, theirs)]
    sizes = [sum(fill.size for fill in fills) for fills in (mine, theirs)]
    example = f"{sizes[0]} at {prices[0]:.8g} here, {sizes[1]} at {prices[1]:.8g} there"
    if ways[0] != ways[1]:
        return f"matched against {ways[0]} here, {ways[1]} there", example
    if waits[0] != waits[1] and here.models.get("entry") != there.models.get("entry"):
        return "entry latency", f"{waits[0] / SECOND:.3f} s here, {waits[1] / SECOND:.3f} s there; {example}"
    if sizes[0] == sizes[1] and prices[0] == prices[1]:
        return SAME, ""
    if prices[0] == prices[1]:
        return "another size: equity, or the instrument's steps, differ", example
    return f"another price, though matched against {ways[0]} in both", example


def _ways(fills: Iterable[OrderFilled]) -> str:
    return ", ".join(sorted({f"{fill.source.value} by {fill.model}" for fill in fills}))


def _average(fills: Iterable[OrderFilled]) -> float:
    total, size = Decimal(0), Decimal(0)
    for fill in fills:
        total += fill.size * fill.price
        size += fill.size
    return float(total) / float(size)
