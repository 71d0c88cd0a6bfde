"""How votes are counted: the arithmetic of a council, pure.

It holds two promises: support is a fraction of the weight of all voters, the absent included, so that nobody's absence
makes a consensus easier; and it is summed exactly, so that the order of voters does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from bus.values import Action, Ballot

LONG, FLAT, SHORT = 1, 0, -1
_HAIR = 1e-12
"""What sums of weights may miss a threshold by and still have reached it: 0.1 + 0.2 is 0.3 to whoever wrote it."""

Support = tuple[float, float, float]
Measure = Callable[[Sequence[Ballot], int], float]


def _weighted(ballots: Sequence[Ballot], stance: int) -> float:
    """Weight times confidence behind a stance, of the weight of everybody."""
    everybody = math.fsum(b.weight for b in ballots)
    return math.fsum(b.weight * b.confidence for b in ballots if b.stance == stance) / everybody if everybody else 0.0


def _headcount(ballots: Sequence[Ballot], stance: int) -> float:
    """One voter, one vote, however sure; who weighs nothing has none."""
    voters = [b for b in ballots if b.weight > 0.0]
    return sum(b.stance == stance for b in voters) / len(voters) if voters else 0.0


RULES: Mapping[str, Measure] = {"weighted": _weighted, "headcount": _headcount}


def support(rule: str, ballots: Sequence[Ballot]) -> Support:
    """What stands behind long, flat and short."""
    measure = RULES[rule]
    return measure(ballots, LONG), measure(ballots, FLAT), measure(ballots, SHORT)


def of(support: Support, stance: int) -> float:
    return support[LONG - stance]


def verdict(support: Support, standing: int, threshold: float, exit_threshold: float) -> int | None:
    """The stance the council takes; None where it has none to take and stays where it is (``standing``).

    The largest support that reaches the threshold wins, and a tie of two such is no consensus. What was entered and
    has lost its support is left, whether or not there is a consensus to leave: exits must not need the voters that
    entries had.
    """
    best = max(support)
    if best >= threshold - _HAIR:
        winners = [stance for stance in (LONG, FLAT, SHORT) if of(support, stance) == best]
        return winners[0] if len(winners) == 1 else None
    if standing != FLAT and of(support, standing) < exit_threshold - _HAIR:
        return FLAT
    return None


AFTER: Mapping[Action, Mapping[int | None, int]] = {
    Action.ENTER_LONG: {LONG: LONG, FLAT: LONG, SHORT: LONG, None: LONG},
    Action.BUY: {LONG: LONG, FLAT: LONG, SHORT: LONG, None: LONG},
    Action.ENTER_SHORT: {LONG: SHORT, FLAT: SHORT, SHORT: SHORT, None: SHORT},
    Action.SELL: {LONG: FLAT, FLAT: SHORT, SHORT: SHORT, None: SHORT},
    Action.EXIT_LONG: {LONG: FLAT, FLAT: FLAT, SHORT: SHORT, None: FLAT},
    Action.EXIT_SHORT: {LONG: LONG, FLAT: FLAT, SHORT: FLAT, None: FLAT},
    Action.FLAT: {LONG: FLAT, FLAT: FLAT, SHORT: FLAT, None: FLAT},
}
"""A voter's stance after what it said."""
LEAVING = frozenset({Action.EXIT_LONG, Action.EXIT_SHORT})


def blend(values: Iterable[tuple[float, float]]) -> float | None:
    """The mean of (value, weight); the value itself where all agree, None where there is none."""
    pairs = [(value, weight) for value, weight in values if weight > 0.0]
    if not pairs:
        return None
    first = pairs[0][0]
    if all(value == first for value, _ in pairs):
        return first
    return math.fsum(value * weight for value, weight in pairs) / math.fsum(weight for _, weight in pairs)
