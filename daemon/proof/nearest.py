"""The nearest change that would have flipped a decision: which ones are tried, and in what order.

A decision is flipped when other orders come of the bar than did, and nothing is named that was not run: ``trial`` runs
the bar with the changes and returns what was seen. Nearest is fewest settings first, then the smallest distance. The
search goes outward, and no further than it has to:

1. one thing: a setting of what decided, or the bar's close;
2. a close at which somebody says something else, and then whatever stands in the way of that, lifted one after the
   other with the numbers that each refusal gives;
3. an entry that was refused at an earlier bar and that its strategy believes in ever since: the limits that refused
   it, from that bar on (``lead``; it takes a run of its own), and the close;
4. what the strategies are made of: more bars to warm up on, their parameters, each with a close and 2.

Settings are worked out from numbers; closes are searched outward on both sides, doubling, then halved in upon. A flip
between two points of that grid may be missed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from itertools import count as counter
from typing import NamedTuple

from bus.events import Bar, OrderRefused
from bus.values import Action
from config.load import ConfigError
from config.schema import Trading
from daemon.errors import Usage
from daemon.proof import ballots
from daemon.proof.changes import Changes, check
from daemon.proof.levers import (
    ARMED,
    SIZES,
    Step,
    Steps,
    apart,
    changes_of,
    count,
    distance,
    moved,
    plain,
    relaxed,
    tightened,
    together,
)
from daemon.proof.probe import Away, Facts
from daemon.proof.standin import numbers
from daemon.reading.digest import iso
from risk.translator import EXITS
from strategies.port import BadParameter

Trial = Callable[[Changes], Facts]

FINEST, DOUBLINGS = 1e-4, 14
FARTHEST = FINEST * 2 ** (DOUBLINGS - 1)
"""How far the close is moved at first and at last, as a fraction of it."""
HALVINGS = 10
LARGEST, LONGEST = 2**20, 1_024
"""What a size is multiplied by at most, and how many bars more there may have been."""
SAMPLES = (0.0, 0.05, -0.05, FARTHEST, -FARTHEST)
"""Closes at which a strategy is asked that is another one."""
FACTORS = (0.9, 1.1, 0.75, 1.25, 0.5, 2.0, 0.25, 4.0, 0.125, 8.0)
"""What its parameters are multiplied by."""
PATIENCE = 200
"""How many sets of changes are tried in one chain."""


class Flip(NamedTuple):
    """Changes that flip the decision, and the orders they lead to."""

    steps: Steps
    changes: Changes
    outcome: list[str]

    @property
    def distance(self) -> float:
        return distance(self.steps)


class Found(NamedTuple):
    """What was seen at a bar, and the changes that flip it, nearest first; ``lead`` is what else to begin with where
    there are none.
    """

    facts: Facts
    flips: list[Flip]
    lead: Steps = ()


def search(bar: Bar, trading: Trading, trial: Trial, *, whole: bool) -> Found:
    """What happened at the bar, and what would have made it otherwise; ``whole`` says that all bars before it are
    known.
    """
    looking = _Search(bar, trading, trial)
    if flips := looking.one() or looking.chains(looking.voices()):
        return Found(looking.base, flips)
    if lead := _lead(looking.base.away, trading):
        return Found(looking.base, [], lead)
    return Found(looking.base, looking.deep() if whole else [])


def follow(bar: Bar, trading: Trading, trial: Trial, base: Facts, lead: Steps) -> Found:
    """What flips the bar where ``lead`` is in force since an earlier one, or what else has to be since then."""
    looking = _Search(bar, trading, trial, base, lead)
    if flips := looking.closes():
        return Found(base, flips)
    return Found(base, [], looking.longer())


def deeper(bar: Bar, trading: Trading, trial: Trial, base: Facts) -> Found:
    """The last that there is to try."""
    return Found(base, _Search(bar, trading, trial, base).deep())


def searched() -> str:
    """The range that was looked through, in words."""
    return (
        "the settings of the rules that decided, one at a time or, where several refused, together; the council's "
        f"thresholds and weights (to {ballots.HEAVIEST:g} times theirs); the bar's close to {FARTHEST:.1%} below and "
        f"above, from {FINEST:.2%} on doubling, then halving; where none of these does, such a close and the settings "
        "that stand in its way; the limits that refused an entry earlier, from then on; "
        f"up to {LONGEST} more bars to warm up on, and the strategies' parameters, to {FACTORS[-1]:g} times theirs"
    )


def _lead(away: Iterable[Away], trading: Trading) -> Steps:
    """The limits that would have let pass what was turned away last, since then."""
    latest = max(away, key=lambda one: one.since_ns, default=None)
    if latest is None:
        return ()
    broken = [check for check in latest.refusal.checks if not check.passed]
    steps = [relaxed(check, latest.refusal, trading) for check in broken]
    if not steps or None in steps:
        return ()
    return (*(step for step in steps if step is not None), Step(f"since={iso(latest.since_ns)}", "", "", 0.0))


class _Search:
    """One bar. ``fixed`` is changed in every trial; a flip is against ``base``."""

    def __init__(self, bar: Bar, trading: Trading, trial: Trial, base: Facts | None = None, fixed: Steps = ()) -> None:
        self._bar = bar
        self._trading = trading
        self._trial = trial
        self._seen: dict[tuple[str, ...], Facts | None] = {}
        self._fixed = fixed
        self.base = base if base is not None else trial(Changes())

    # --- trying ---

    def _see(self, steps: Steps) -> Facts | None:
        """What comes of the changes; None where they cannot be."""
        steps = together(self._fixed, steps)
        words = tuple(step.word for step in steps)
        if words not in self._seen:
            try:
                changes = changes_of(steps, self._trading)
                check(changes, self._trading)
            except (ConfigError, BadParameter, Usage):
                self._seen[words] = None
            else:
                self._seen[words] = self._trial(changes)
        return self._seen[words]

    def _flips(self, steps: Steps) -> bool:
        facts = self._see(steps)
        return facts is not None and facts.outcome != self.base.outcome

    def _flip(self, steps: Steps) -> Flip:
        facts = self._see(steps)
        assert facts is not None, "it was tried"
        steps = together(self._fixed, steps)
        return Flip(steps, changes_of(steps, self._trading), facts.outcome)

    def _sorted(self, found: Iterable[Steps]) -> list[Flip]:
        each = dict.fromkeys(found)
        return [self._flip(steps) for steps in sorted(each, key=lambda steps: (count(steps), distance(steps)))]

    # --- one thing ---

    def one(self) -> list[Flip]:
        """A setting of what decided, or the close."""
        settings = [*self._lifts((), self.base), *self._bars_way()]
        found = [steps for steps in settings if self._flips(steps)]
        return self._sorted([*found, *((step,) for step in self._nearest_closes((), self._flips))])

    def closes(self) -> list[Flip]:
        """The close alone, or what is fixed alone."""
        if self._flips(()):
            return [self._flip(())]
        return self._sorted((step,) for step in self._nearest_closes((), self._flips))

    def longer(self) -> Steps:
        """What is fixed, and the settings in the way of the nearest close at which somebody is refused by a rule."""
        for steps in sorted(self.voices(), key=distance):
            facts = self._see(steps)
            for more in self._lifts(steps, facts) if facts is not None else ():
                if (led := together(self._fixed, more)) != self._fixed:
                    return led
        return ()

    def _bars_way(self) -> Iterator[Steps]:
        """What would have refused what was let through."""
        for approval in self.base.approved:
            order = approval.order
            for one in self.base.judged.get(order.intent_id, ()):
                if (step := tightened(one, order.instrument, order.strategy, self._trading)) is not None:
                    yield (step,)

    # --- one after the other ---

    def voices(self) -> list[Steps]:
        """The closes at which somebody begins to say something else, and nothing at all."""
        return [(), *((step,) for step in self._turns())]

    def chains(self, seeds: Iterable[Steps]) -> list[Flip]:
        """From each of the seeds on, lift what stands in the way until something flips: fewest first."""
        order = counter()
        heap: list[tuple[int, float, int, Steps]] = []
        pushed: set[Steps] = set()

        def push(steps: Steps) -> None:
            if steps not in pushed:
                pushed.add(steps)
                heapq.heappush(heap, (count(steps), distance(steps), next(order), steps))

        for seed in seeds:
            push(seed)
        found: list[Steps] = []
        for _ in range(PATIENCE):
            if not heap or (found and heap[0][0] > count(found[0])):
                break
            steps = heapq.heappop(heap)[-1]
            facts = self._see(steps)
            if facts is None:
                continue
            if facts.outcome != self.base.outcome:
                found.append(steps)
                continue
            for more in self._lifts(steps, facts):
                push(together(steps, more))
        return self._sorted(self._near(steps) for steps in found[:3])

    def _lifts(self, steps: Steps, facts: Facts) -> Iterator[Steps]:
        """What would lift what stands in the way after ``steps``."""
        trading = self._trading
        if trading.council.mode == "off" and facts.logged:
            yield (Step("council.mode=solo", "off", "", 1.0),)
        if facts.voted is not None and not facts.refused:
            yield from ballots.otherwise(facts.voted, trading)
        for refusal in facts.refused:
            broken = [relaxed(one, refusal, trading) for one in refusal.checks if not one.passed]
            if None in broken:
                continue
            lifted = tuple(step for step in broken if step is not None)
            if facts.halted is not None or refusal.rule == "routing":
                was = facts.halted.state.value if facts.halted is not None else "routing off"
                lifted = together(lifted, (Step(ARMED.word, was, "", 1.0),))
            if lifted:
                yield lifted
            else:
                yield from self._otherwise(steps, facts, refusal)

    def _otherwise(self, steps: Steps, facts: Facts, refusal: OrderRefused) -> Iterator[Steps]:
        """What lifts a refusal that no rule made. An exit is as large as what there is to leave."""
        match refusal.rule:
            case "translator":
                asked = next((d.intent.action for d in facts.decisions if d.intent_id == refusal.intent_id), None)
                if asked not in EXITS:
                    yield from self._sizes(steps, refusal)
            case "stale_data" | "no_market":
                close = next((float(step.to) for step in steps if step.setting == "close"), self._bar.close)
                yield (Step(f"market={close!r}", "none", "quote units", 1.0),)
            case "missed":
                path, was = "limits.missed_after_s", self._trading.limits.missed_after_s
                yield from self._ladder(steps, refusal, path, "s", Decimal(repr(was)))

    def _sizes(self, steps: Steps, refusal: OrderRefused) -> Iterator[Steps]:
        """A larger size, where an order came to too little, by what the method goes by."""
        sizing = self._trading.sizing
        for path, unit in SIZES[sizing.method]:
            was = getattr(sizing, path.partition(".")[2])
            yield from self._ladder(steps, refusal, path, unit, Decimal(str(was)))
        if sizing.method not in ("intent", "fixed_notional"):
            yield (Step("sizing.method=fixed_notional", sizing.method, "", 1.0),)

    def _ladder(self, steps: Steps, refusal: OrderRefused, path: str, unit: str, was: Decimal) -> Iterator[Steps]:
        """The setting multiplied until what refused does not any more, then halved in upon."""

        def at(to: Decimal) -> Step:
            return Step(f"{path}={to:f}", plain(was), unit, apart(float(to), float(was)))

        def passes(to: Decimal) -> bool:
            facts = self._see(together(steps, (at(to),)))
            return facts is not None and not any(
                (one.strategy, one.rule) == (refusal.strategy, refusal.rule) for one in facts.refused
            )

        low, high = was, was * 2
        while not passes(high):
            low, high = high, high * 2
            if high > was * LARGEST or self._see(together(steps, (at(high),))) is None:
                return
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (low, middle) if passes(middle) else (middle, high)
        yield (at(high),)

    def _near(self, steps: Steps) -> Steps:
        """The same set with each of its numbers that was guessed as near as it may be to what it was."""
        for place, step in enumerate(steps):
            if step.setting not in ("close", "warmup") and not step.setting.startswith("strategies."):
                continue
            near, far, kept = float(step.was), float(step.to), step
            for _ in range(HALVINGS):
                tried = moved(step, (near + far) / 2)
                if tried.word == kept.word:
                    break
                other = (*steps[:place], tried, *steps[place + 1 :])
                if self._flips(other):
                    steps, far, kept = other, float(tried.to), tried
                else:
                    near = float(tried.to)
        return steps

    # --- the close ---

    def _close(self, by: float) -> Step:
        return Step(f"close={self._bar.close * (1.0 + by)!r}", repr(self._bar.close), "quote units", abs(by))

    def _nearest_closes(self, besides: Steps, holds: Callable[[Steps], bool]) -> Iterator[Step]:
        """The nearest close on either side at which ``holds``, if there is one in range."""

        def at(by: float) -> bool:
            return holds((*besides, self._close(by)))

        reach = 0.0
        for doubling in range(DOUBLINGS):
            near, reach = reach, FINEST * 2**doubling
            hits = [sign for sign in (1.0, -1.0) if at(sign * reach)]
            for sign in hits:
                low, high = near, reach
                for _ in range(HALVINGS):
                    middle = (low + high) / 2.0
                    low, high = (low, middle) if at(sign * middle) else (middle, high)
                yield self._close(sign * high)
            if hits:
                return

    def _turns(self) -> Iterator[Step]:
        """The closes of the grid at which something else is said than at the one before."""
        for sign in (1.0, -1.0):
            before = _said(self.base)
            for doubling in range(DOUBLINGS):
                step = self._close(sign * FINEST * 2**doubling)
                facts = self._see((step,))
                if facts is not None and (now := _said(facts)) != before:
                    before = now
                    yield step

    # --- what strategies are made of ---

    def deep(self) -> list[Flip]:
        """Longer warmed up, or with other parameters."""
        bars = 1
        while bars <= LONGEST:
            if found := self.chains(self._spoken((Step(f"warmup={bars}", "0", "bars", 1.0),))):
                return found
            bars *= 4
        for steps in self._parameters():
            if found := self.chains(self._spoken(steps)):
                return found
        return []

    def _spoken(self, steps: Steps) -> Iterator[Steps]:
        """With closes at which somebody speaks who would not have."""
        for by in SAMPLES:
            close = () if not by else (self._close(by),)
            facts, without = self._see((*steps, *close)), self._see(close)
            if facts is not None and _said(facts) and (without is None or _said(facts) != _said(without)):
                yield (*steps, *close)

    def _parameters(self) -> Iterator[Steps]:
        """Each strategy's numbers, each for itself, and all that count something together."""
        for factor in FACTORS:
            for entry in self._trading.strategies:
                known = numbers(entry.use, entry.params)
                each = {name: self._param(entry.name, name, value, factor) for name, value in known.items() if value}
                yield from ((step,) for step in each.values())
                lengths = tuple(step for name, step in each.items() if isinstance(known[name], int))
                if len(lengths) > 1:
                    yield lengths

    def _param(self, strategy: str, name: str, was: int | float, factor: float) -> Step:
        to = max(1, round(was * factor)) if isinstance(was, int) else was * factor
        return Step(f"strategies.{strategy}.{name}={to!r}", repr(was), "", apart(to, was))


def _said(facts: Facts) -> list[tuple[str, Action]]:
    spoken = [(answer.strategy, intent.action) for answer in facts.answers for intent in answer.intents]
    return [(strategy, action) for strategy, action in spoken if action is not Action.HOLD]
