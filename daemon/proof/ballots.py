"""What of the council's rules would have made the same votes come to something else."""

from __future__ import annotations

import math
from collections.abc import Iterator

from msgspec import structs

from bus.events import CouncilVoted
from bus.values import Action
from config.schema import Trading
from daemon.proof.levers import Step, Steps, apart
from strategies.votes import FLAT, LONG, SHORT, of, support, verdict

HEAVIEST = 50.0
"""What voters' weights are multiplied by, at most."""


def otherwise(voted: CouncilVoted, trading: Trading) -> Iterator[Steps]:
    """Thresholds just reached where they were not or just missed where they were, and heavier voters."""
    chosen = trading.council
    best = max(voted.support)
    yield from _weights(voted, trading)
    if voted.action is Action.HOLD:
        if 0.0 < best < chosen.threshold:
            yield _threshold(best, trading)
        for kept in (voted.support[0], voted.support[2]):
            if 0.0 < kept < 1.0:  # what is held would be left
                more = min(1.0, kept + 1e-9)
                raised = (_exit(more, trading),)
                yield (*_threshold(more, trading)[-1:], *raised) if more > chosen.threshold else raised
        return
    if best >= chosen.threshold:
        if best < 1.0:
            yield _threshold(min(1.0, math.nextafter(best, 2.0) + 1e-9), trading)
        return
    # what was entered had lost its support
    yield (_exit(of(voted.support, LONG if voted.action is Action.EXIT_LONG else SHORT), trading),)


def _weights(voted: CouncilVoted, trading: Trading) -> Iterator[Steps]:
    """For each stance, its voters' weights multiplied by what makes it win, if anything up to HEAVIEST does."""
    chosen = trading.council
    for stance in (LONG, FLAT, SHORT):
        behind = [ballot.voter for ballot in voted.ballots if ballot.stance == stance]

        def wins(factor: float, stance: int = stance) -> bool:
            heavier = [
                structs.replace(b, weight=b.weight * (factor if b.stance == stance else 1.0)) for b in voted.ballots
            ]
            return verdict(support(chosen.rule, heavier), FLAT, chosen.threshold, chosen.exit_threshold) == stance

        if not behind or wins(1.0) or not wins(HEAVIEST):
            continue
        low, high = 1.0, HEAVIEST
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            low, high = (low, middle) if wins(middle) else (middle, high)
        weights = {name: chosen.voters.get(name, 1.0) for name in behind}
        yield tuple(_weight(name, weight, weight * high) for name, weight in weights.items())


def _weight(name: str, was: float, to: float) -> Step:
    return Step(f'council.voters={{"{name}" = {to!r}}}', repr(was), "weight", apart(to, was))


def _threshold(to: float, trading: Trading) -> Steps:
    chosen = trading.council
    step = Step(f"council.threshold={to!r}", repr(chosen.threshold), "of the weight", apart(to, chosen.threshold))
    return (_exit(to, trading), step) if to < chosen.exit_threshold else (step,)


def _exit(to: float, trading: Trading) -> Step:
    was = trading.council.exit_threshold
    return Step(f"council.exit_threshold={to!r}", repr(was), "of the weight", apart(to, was))
