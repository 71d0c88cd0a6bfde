"""The council: several voters, one closed bar, one decision.

A voter is a strategy like any other; in council mode its intents on a closed bar are votes. What counts is its
**stance**, the position it would be in were it alone: long, flat or short, since it last said so. HOLD keeps the
stance, for ``stands_bars`` bars or to the intent's own horizon; who never spoke, whose stance ran out, or who was
quarantined abstains. Votes join on the bar (instrument, interval, end), and the council hears the bar after its last
voter, so nothing is waited for and nothing comes late.

An exit stands until it has come about: one that was refused, or ended unfilled, is asked for again with the next bar,
while the votes still want it.

How votes are counted is in ``votes.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

import msgspec
from msgspec import convert, structs, to_builtins

from bus.bus import Bus
from bus.clock import NEVER, SECOND, Clock
from bus.events import Bar, CouncilVoted, Decision, Intent, IntentLogged, OrderFilled, WeightChanged
from bus.values import Action, Ballot, Kind, Side
from portfolio.lots import RoundTrips
from strategies.calibration import Calibration
from strategies.exits import Exits
from strategies.feedback import Change, Feedback, Terms
from strategies.port import View, Witness
from strategies.votes import AFTER, FLAT, LEAVING, LONG, SHORT, Support, blend, of, support, verdict

NAME = "council"
_IS_ACTIVE = attrgetter("active")


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """``weights`` of voters by name (1 where not named); ``regimes`` multiply them by regime and name; ``rule`` is one
    of ``votes.RULES``. ``horizon_bars`` is how far ahead a vote is held to; without ``feedback`` no outcome reaches a
    weight.
    """

    rule: str
    threshold: float
    exit_threshold: float
    stands_bars: int
    weights: Mapping[str, float]
    regimes: Mapping[str, Mapping[str, float]]
    horizon_bars: int
    feedback: Terms | None


class Seated(Protocol):
    """A voter's seat, as the runner keeps it."""

    id: str
    active: bool
    instruments: frozenset[str] | None


class _Stance:
    """What a voter last said of an instrument: until which bar and until when it counts."""

    __slots__ = ("confidence", "direction", "intent", "last_bar", "until_ns")

    def __init__(self, direction: int, intent: Intent, last_bar: int, until_ns: int) -> None:
        self.direction = direction
        self.confidence = intent.confidence
        self.intent = intent
        self.last_bar = last_bar
        self.until_ns = until_ns


class _Table:
    """The voters around one series of bars, and what each last said of it. ``bars`` counts those that closed;
    ``verdict`` is what the last of them came to.

    The count of a bar is kept, because the next is the same unless somebody speaks, a stance runs out (after
    ``last_bar`` or ``until_ns``), a voter fails, the regime turns or the weights change (``version``).
    """

    __slots__ = (
        "ballots",
        "bars",
        "last_bar",
        "present",
        "regime",
        "seats",
        "stances",
        "support",
        "until_ns",
        "verdict",
        "version",
        "voters",
        "votes",
        "weights",
    )

    def __init__(self, voters: Sequence[_Voter]) -> None:
        self.voters = voters
        self.seats = [voter.seat for voter in voters if voter.seat is not None]
        self.stances: dict[str, _Stance] = {}
        self.bars = 0
        self.verdict: int | None = None
        self.version = -1
        self.regime = ""
        self.present = 0
        self.last_bar = 0
        self.until_ns = 0
        self.ballots: list[Ballot] = []
        self.support: Support = (0.0, 0.0, 0.0)
        self.votes: list[float] = []
        self.weights: list[float] = []

    def counted(self, bar: Bar, regime: str, present: int, version: int) -> bool:
        """Whether the last count is that of ``bar`` too, on which nobody has spoken."""
        return (
            version == self.version
            and regime == self.regime
            and present == self.present
            and self.bars <= self.last_bar
            and bar.end_ns <= self.until_ns
        )


class _Voter:
    """``place`` is its place in rows of all voters. ``seat`` None: the config names it and no such strategy has a seat.
    It is absent.
    """

    __slots__ = ("name", "place", "seat", "weight")

    def __init__(self, place: int, name: str, weight: float, seat: Seated | None) -> None:
        self.place = place
        self.name = name
        self.weight = weight
        self.seat = seat

    def votes_on(self, instrument: str) -> bool:
        return self.seat is None or self.seat.instruments is None or instrument in self.seat.instruments


class Council:
    """``view`` is the council's own: it trades as a strategy of the name NAME. ``regime_of`` names the regime a bar
    closed in; ``witness`` is told what the council makes of each closed bar.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        view: View,
        rules: Rules,
        seats: Iterable[Seated],
        regime_of: Callable[[Bar], str],
        trips: Callable[[str], RoundTrips | None],
        witness: Witness | None,
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._view = view
        self.rules = rules
        self._regime_of = regime_of
        self._witness = witness
        seated = {seat.id: seat for seat in seats}
        names = [*seated, *(name for name in rules.weights if name not in seated)]
        self._voters = [
            _Voter(place, name, rules.weights.get(name, 1.0), seated.get(name)) for place, name in enumerate(names)
        ]
        self.calibration = Calibration(names, rules.horizon_bars)
        self.stamp: Callable[[Intent], Intent] | None = None
        self._feedback = Feedback(rules.feedback, names, trips) if rules.feedback is not None else None
        self._tables: dict[tuple[str, int], _Table] = {}
        self._spoken: dict[str, list[Intent]] = {}
        self._bar: tuple[str, int, int] | None = None
        self._version = 0
        self._asked: dict[str, tuple[int, float | None, float | None]] = {}
        self._exits = Exits(self._still_there)
        self.emitted = 0

    def state(self) -> dict[str, Any]:
        """What a restart must give back to ``restore``: the stances, what was asked for, the count of intents, votes
        that are not scored yet, and what feedback has learned. The calibration table begins anew with each session.
        """
        return {
            "emitted": self.emitted,
            "asked": {instrument: list(asked) for instrument, asked in self._asked.items()},
            "exits": self._exits.state(),
            "tables": [
                [
                    *series,
                    table.bars,
                    table.verdict,
                    [[name, s.direction, s.last_bar, s.until_ns, to_builtins(s.intent)]],
                ]
                for series, table in self._tables.items()
                for name, s in table.stances.items()
            ],
            "unscored": self.calibration.state(),
            "feedback": self._feedback.state() if self._feedback is not None else {},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.emitted = state["emitted"]
        self._asked = {
            instrument: (direction, exposure, size)
            for instrument, (direction, exposure, size) in state["asked"].items()
        }
        self._exits.restore(state["exits"])
        for instrument, interval_ns, bars, taken, stances in state["tables"]:
            table = self._table(instrument, interval_ns)
            table.bars, table.verdict = bars, taken
            for name, direction, last_bar, until_ns, intent in stances:
                table.stances[name] = _Stance(direction, convert(intent, Intent), last_bar, until_ns)
        self.calibration.restore(state.get("unscored", []))
        if self._feedback is not None and state["feedback"]:
            self._feedback.restore(state["feedback"])

    def tally(self, instrument: str, interval_ns: int) -> tuple[str, list[Ballot], Support]:
        """Regime, votes and support on the last closed bar of a series, on which nobody spoke."""
        table = self._tables[instrument, interval_ns]
        return table.regime, [structs.replace(b, answer=None) for b in table.ballots], table.support

    def rule_by(self, rules: Rules) -> None:
        """Count the bars from here on by other rules."""
        self.rules = rules
        self._version += 1
        for voter in self._voters:
            voter.weight = rules.weights.get(voter.name, 1.0)

    def weights(self) -> dict[str, float]:
        """What each voter weighs now, outside any regime."""
        learned = self._feedback.factors if self._feedback is not None else {}
        return {voter.name: voter.weight * learned.get(voter.name, 1.0) for voter in self._voters}

    def attach(self, bus: Bus) -> None:
        """After the last voter: whoever hears the bar earlier has voted on it when it gets here."""
        bus.subscribe(Bar, self.on_bar)
        self._exits.attach(bus)
        if self._feedback is not None:
            bus.subscribe(OrderFilled, self.on_fill)

    def hear(self, seat: Seated, intent: Intent, bar: Bar | None) -> None:
        """A voter's intent. One that does not answer a closed bar of its instrument is no vote."""
        if bar is None or intent.instrument != bar.instrument:
            why = "a vote answers a closed bar" if bar is None else "a vote is on the instrument of its bar"
            self._bus.publish(IntentLogged(self._clock.now, seat.id, intent, why))
            return
        id = (bar.instrument, bar.interval_ns, bar.end_ns)
        if id != self._bar:
            self._bar, self._spoken = id, {}
        self._spoken.setdefault(seat.id, []).append(intent)

    def on_bar(self, bar: Bar) -> None:
        if not bar.closed:
            return
        table = self._table(bar.instrument, bar.interval_ns)
        table.bars += 1
        spoken: Mapping[str, Sequence[Intent]] = {}
        if self._spoken:
            if self._bar == (bar.instrument, bar.interval_ns, bar.end_ns):
                spoken = self._spoken
            self._spoken = {}
        regime, present = self._regime_of(bar), sum(map(_IS_ACTIVE, table.seats))
        intent, standing = None, self._asked.get(bar.instrument)
        if spoken or not table.counted(bar, regime, present, self._version):
            table.regime, table.present = regime, present
            intent = self._count(table, spoken, bar)
        if intent is not None:
            self.emitted += 1
            id = self._view.last_intent_id = f"{NAME}-{self.emitted}"
            if self.stamp is not None:
                intent = self.stamp(intent)
            if standing is not None and intent.action in LEAVING:
                self._exits.follow(id, [bar.instrument, *standing])
            self._bus.publish(Decision(self._clock.now, id, NAME, intent))
        if self._witness is not None:
            if intent is not None:
                self._witness.acted(NAME)
            else:
                self._witness.held(NAME, self._shortfall(table.support))
        outcome = self.calibration.note(
            (bar.instrument, bar.interval_ns), regime, table.votes, table.weights, bar.close
        )
        if outcome is not None and self._feedback is not None:
            self._reweigh(self._feedback.score(outcome))

    def _count(self, table: _Table, spoken: Mapping[str, Sequence[Intent]], bar: Bar) -> Intent | None:
        """Count the votes on a bar on which something may have changed; what the council wants of it."""
        for name, intents in spoken.items():
            self._listen(table, name, intents, bar)
        ballots = self._ballots(table, spoken, bar)
        found = table.support = support(self.rules.rule, ballots)
        intent = self._intent(table, ballots, found, bar.instrument)
        if spoken or intent is not None:
            action = intent.action if intent is not None else Action.HOLD
            self._bus.publish(
                CouncilVoted(
                    self._clock.now, bar.instrument, bar.interval_ns, bar.end_ns, table.regime, ballots, found,
                    self.rules.threshold, action,
                )
            )  # fmt: skip
        return intent

    def _table(self, instrument: str, interval_ns: int) -> _Table:
        table = self._tables.get((instrument, interval_ns))
        if table is None:
            voters = [voter for voter in self._voters if voter.votes_on(instrument)]
            table = self._tables[instrument, interval_ns] = _Table(voters)
        return table

    def on_fill(self, fill: OrderFilled) -> None:
        """Whoever closed it: a way out that the governor took ends what the council entered."""
        if self._feedback is not None:
            self._reweigh(self._feedback.filled(fill.instrument))

    def _reweigh(self, changes: Iterable[Change]) -> None:
        """Write down what feedback did to the weights; ballots read the factors themselves."""
        assert self._feedback is not None, "somebody changed them"
        rule = self._feedback.terms.rule
        for change in changes:
            self._version += 1
            self._bus.publish(WeightChanged(self._clock.now, change.voter, rule, *change[1:]))

    def _listen(self, table: _Table, name: str, intents: Sequence[Intent], bar: Bar) -> None:
        """Take in what a voter said on this bar, in the order in which it said it."""
        before = table.stances.get(name)
        direction = before.direction if before is not None and self._stands(before, table, bar) else None
        for intent in intents:
            if intent.exposure and direction and intent.action in LEAVING:
                intent = structs.replace(intent, size=None)  # it leaves an exposure: less of the same stance
                continue
            direction = AFTER[intent.action][direction]
            if direction == SHORT and self._is_spot(intent.instrument):
                direction = FLAT  # what cannot be held short can only be left
        assert direction is not None, "whoever spoke has a stance"
        until = bar.end_ns + intent.horizon_s * SECOND if intent.horizon_s else NEVER
        if intent.expires_ns:
            until = min(until, intent.expires_ns)
        table.stances[name] = _Stance(direction, intent, table.bars + self.rules.stands_bars, until)

    def _stands(self, stance: _Stance, table: _Table, bar: Bar) -> bool:
        return table.bars <= stance.last_bar and bar.end_ns <= stance.until_ns

    def _ballots(self, table: _Table, spoken: Mapping[str, Sequence[Intent]], bar: Bar) -> list[Ballot]:
        factors = self.rules.regimes.get(table.regime, {})
        learned = self._feedback.factors if self._feedback is not None else None
        ballots = table.ballots = []
        votes = table.votes = [math.nan] * len(self._voters)
        weights = table.weights = [0.0] * len(self._voters)
        last_bar, until_ns = NEVER, NEVER
        for voter in table.voters:
            weight = voter.weight * factors.get(voter.name, 1.0)
            if learned is not None:
                weight *= learned[voter.name]
            weights[voter.place] = weight
            stance = table.stances.get(voter.name)
            if stance is None or voter.seat is None or not voter.seat.active or not self._stands(stance, table, bar):
                ballots.append(Ballot(voter.name, None, None, 0.0, weight))
                continue
            last_bar, until_ns = min(last_bar, stance.last_bar), min(until_ns, stance.until_ns)
            votes[voter.place] = stance.direction * stance.confidence
            answers = spoken.get(voter.name)
            answer = answers[-1].action if answers else None
            ballots.append(Ballot(voter.name, answer, stance.direction, stance.confidence, weight))
        table.version, table.last_bar, table.until_ns = self._version, last_bar, until_ns
        return ballots

    def _intent(self, table: _Table, ballots: Sequence[Ballot], found: Support, instrument: str) -> Intent | None:
        """What the council wants, where its verdict has changed and is not what it asked for already.

        It asks again only when a voter says so on this bar, and only where the terms have changed or what was asked
        for never came about: as the voters would, each for itself.
        """
        standing, *terms = self._asked.get(instrument, (FLAT, None, None))
        target = verdict(found, standing, self.rules.threshold, self.rules.exit_threshold)
        changed, table.verdict = target != table.verdict, target
        if target is None:
            return None
        behind = [b for b in ballots if b.stance == target]
        said = [(b, table.stances[b.voter].intent) for b in behind]
        exposure = blend((i.exposure, b.weight * b.confidence) for b, i in said if i.exposure is not None)
        size = blend((float(i.size), b.weight * b.confidence) for b, i in said if i.size is not None)
        said_now = any(b.answer is not None for b in behind)
        if target != standing:
            asks = changed or said_now
        else:
            asks = said_now and ([exposure, size] != terms or not self._is_there(instrument, target))
        if not asks:
            return None
        self._asked[instrument] = (target, exposure, size)
        if self._feedback is not None and target != FLAT:
            held = bool(self._view.position(instrument))
            self._feedback.entered(instrument, target, [b.voter for b in behind], held=held)
        if target == FLAT:
            exposure = size = None
        names = ", ".join(b.voter for b in behind) or "its support is gone"
        return Intent(
            instrument,
            _ENTRIES.get(target) or _EXITS[standing],
            size=size if exposure is None else None,
            exposure=exposure,
            confidence=min(1.0, of(found, target)) if target != FLAT else 1.0,
            horizon_s=min((i.horizon_s for _, i in said if i.horizon_s), default=0),
            reason=f"{len(behind)} of {len(ballots)}: {names}",
        )

    def _still_there(self, exit: Sequence[Any]) -> None:
        """An exit did not come about: what was asked for before it stands, and the next bar is counted again."""
        instrument, direction, exposure, size = exit
        self._asked[instrument] = (direction, exposure, size)
        self._version += 1
        for (name, _), table in self._tables.items():
            if name == instrument:
                table.verdict = None

    def _is_there(self, instrument: str, target: int) -> bool:
        """Whether what is held, or on its way, is what ``target`` means. Less than a lot is nothing."""
        held = self._view.position(instrument)
        for order in self._view.open_orders(instrument):
            held += order.leaves if order.order.side is Side.BUY else -order.leaves
        known = self._view.instruments.get(instrument)
        if known is not None and abs(held) < known.lot:
            return target == FLAT
        return (held > 0) - (held < 0) == target

    def _is_spot(self, instrument: str) -> bool:
        known = self._view.instruments.get(instrument)
        return known is not None and known.kind is Kind.SPOT

    def _shortfall(self, found: Support) -> str:
        best = max(found)
        if not best:
            return ""
        stance = ("long", "flat", "short")[found.index(best)]
        return f"{stance} {best:.4g} of {self.rules.threshold:.4g}"


_ENTRIES: Mapping[int, Action] = {LONG: Action.ENTER_LONG, SHORT: Action.ENTER_SHORT}
_EXITS: Mapping[int, Action] = {LONG: Action.EXIT_LONG, SHORT: Action.EXIT_SHORT, FLAT: Action.FLAT}


def logged(bus: Bus, clock: Clock) -> Callable[[Seated, Intent, Bar | None], None]:
    """Mode off: intents are written down and go nowhere."""

    def log(seat: Seated, intent: Intent, _: Bar | None) -> None:
        bus.publish(IntentLogged(clock.now, seat.id, intent, "routing is off"))

    return log
