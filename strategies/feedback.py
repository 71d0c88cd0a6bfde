"""What outcomes may do to the council's weights: one rule, chosen by name, bounded, each step a record. Off by default.

A rule moves a voter's **factor**, which multiplies its configured weight and never leaves [floor, ceiling]. Nothing
else that happens reaches a weight.

- ``hedge`` is the weighted majority of Littlestone and Warmuth (1994) in Freund and Schapire's form (Hedge, 1997): a
  voter's factor shrinks by exp(-rate × (its loss - the mean loss)), where the loss of a vote is its Brier score
  (an abstention's is that of knowing nothing, 1/4). Applied every ``every_bars`` scored bars.
- ``realised`` learns from fills: when a position the council entered is flat again, the factor of each voter behind its
  entry is multiplied by exp(rate) if the round trip earned money, fees included, and by exp(-rate) if it lost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from portfolio.lots import RoundTrips
from strategies.calibration import Outcome

HEDGE, REALISED = "hedge", "realised"
_KNOWS_NOTHING = 0.25


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """``min_votes``: how many scored votes a voter needs before ``hedge`` moves its factor."""

    rule: str
    rate: float
    floor: float
    ceiling: float
    every_bars: int
    min_votes: int


class Change(NamedTuple):
    voter: str
    before: float
    factor: float
    reason: str


class Feedback:
    """``factors`` by voter; every method that moves one yields the change. ``trips`` are an instrument's round trips as
    the ledger counts them, None where nothing was traded.
    """

    def __init__(self, terms: Terms, voters: Sequence[str], trips: Callable[[str], RoundTrips | None]) -> None:
        self.terms = terms
        self.factors = dict.fromkeys(voters, 1.0)
        self._names = list(voters)
        self._losses = dict.fromkeys(voters, 0.0)
        self._votes = dict.fromkeys(voters, 0)
        self._scored = 0
        self._trips = trips
        self._entries: dict[str, _Entry] = {}

    def state(self) -> dict[str, Any]:
        """JSON-ready, for a restart."""
        entries = {
            name: [e.direction, list(e.behind), e.turned[0], list(e.turned[1])] for name, e in self._entries.items()
        }
        return {
            "factors": dict(self.factors),
            "losses": dict(self._losses),
            "votes": dict(self._votes),
            "scored": self._scored,
            "entries": entries,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Voters who are no longer there are forgotten; trips are counted from here on."""
        for kept, name in ((self.factors, "factors"), (self._losses, "losses"), (self._votes, "votes")):
            kept.update({voter: value for voter, value in state[name].items() if voter in kept})
        self._scored = state["scored"]
        for instrument, (direction, behind, turned, turners) in state["entries"].items():
            entry = self._entry(instrument)
            entry.direction, entry.behind = direction, self._present(behind)
            entry.turned = (turned, self._present(turners))

    def _present(self, voters: Sequence[str]) -> list[str]:
        return [name for name in voters if name in self.factors]

    def _entry(self, instrument: str) -> _Entry:
        """Trips count from when the first is watched: earlier ones were nobody's here."""
        entry = self._entries.get(instrument)
        if entry is None:
            entry = self._entries[instrument] = _Entry()
            entry.count(self._trips(instrument))
        return entry

    def score(self, outcome: Outcome) -> Iterator[Change]:
        """``hedge``: a bar's outcome is known."""
        if self.terms.rule != HEDGE or not outcome.went:
            return
        up = 1.0 if outcome.went > 0 else 0.0
        self._scored += 1
        for name, vote in zip(self._names, outcome.votes, strict=True):
            if math.isnan(vote) or vote == 0.0:
                self._losses[name] += _KNOWS_NOTHING
            else:
                self._losses[name] += ((1.0 + vote) / 2.0 - up) ** 2
                self._votes[name] += 1
        if self._scored < self.terms.every_bars:
            return
        losses = {name: loss / self._scored for name, loss in self._losses.items()}
        mean = math.fsum(losses.values()) / len(losses)
        self._scored = 0
        self._losses = dict.fromkeys(self._names, 0.0)
        for name, loss in losses.items():
            if self._votes[name] >= self.terms.min_votes:
                yield from self._move(name, mean - loss, f"loss {loss:.4g}, mean {mean:.4g}")

    def entered(self, instrument: str, direction: int, behind: Sequence[str], *, held: bool) -> None:
        """The council asked for a position in ``direction`` while one was ``held``, or not; who was behind it."""
        entry = self._entry(instrument)
        if not held:
            entry.direction, entry.behind = direction, list(behind)
        elif direction != entry.direction:  # through zero: the trip under way has yet to end
            entry.turned = (direction, list(behind))

    def filled(self, instrument: str) -> Iterator[Change]:
        """``realised``: the ledger has taken in a fill."""
        trips, entry = self._trips(instrument), self._entries.get(instrument)
        if self.terms.rule != REALISED or trips is None or entry is None or trips.count == entry.trips:
            return
        result = (trips.wins - entry.wins) - (trips.losses - entry.losses)
        entry.count(trips)
        behind = entry.behind
        entry.direction, entry.behind = entry.turned
        entry.turned = (0, [])
        for name in behind:
            yield from self._move(name, float(result), f"a round trip in {instrument} {_WORDS[result]}")

    def _move(self, name: str, by: float, reason: str) -> Iterator[Change]:
        before, terms = self.factors[name], self.terms
        factor = min(terms.ceiling, max(terms.floor, before * math.exp(terms.rate * by)))
        if factor != before:
            self.factors[name] = factor
            yield Change(name, before, factor, reason)


_WORDS = {1: "won", -1: "lost", 0: "came out even"}


class _Entry:
    """Who was behind the position in an instrument, and behind the one it is being turned into; and the ledger's count
    of trips when it was last looked at.
    """

    __slots__ = ("behind", "direction", "losses", "trips", "turned", "wins")

    def __init__(self) -> None:
        self.direction = 0
        self.behind: list[str] = []
        self.turned: tuple[int, list[str]] = (0, [])
        self.trips = self.wins = self.losses = 0

    def count(self, trips: RoundTrips | None) -> None:
        if trips is not None:
            self.trips, self.wins, self.losses = trips.count, trips.wins, trips.losses
