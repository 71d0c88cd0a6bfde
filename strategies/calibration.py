"""How good the council's voters have been, by regime: a table that runs along and decides nothing.

A vote on a bar is a forecast of where the price goes over the next ``horizon`` bars of its series. It is the signed
confidence v: above 0 long, below 0 short, 0 flat, NaN an abstention; read as a probability of going up it is
p = (1 + v) / 2. A bar is scored when its outcome is known; one that ended where it began has none.

Everything kept is a sum, so a regime's table and the table of all are added up the same way, and a session run again
makes the same table. Rows are folded in by the hundred: a bar costs one append.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

FOLD = 256
"""Bars folded in at a time."""


class Outcome(NamedTuple):
    """What came of the votes on a bar. ``went`` is 1 up, -1 down, 0 nowhere."""

    regime: str
    votes: Sequence[float]
    weights: Sequence[float]
    went: int


_Waiting = tuple[str, Sequence[float], Sequence[float], float]
"""What is not scored yet: regime, votes, weights, and the close they were cast at."""


class Calibration:
    """``voters`` names the places of a row; ``horizon`` is in bars."""

    def __init__(self, voters: Sequence[str], horizon: int) -> None:
        self.voters = list(voters)
        self.horizon = horizon
        self._waiting: dict[tuple[str, int], deque[_Waiting]] = {}
        self._rows: list[Outcome] = []
        self._sums: dict[str, dict[str, Any]] = {}

    def note(
        self, series: tuple[str, int], regime: str, votes: Sequence[float], weights: Sequence[float], close: float
    ) -> Outcome | None:
        """The votes on a bar of ``series`` that closed at ``close``; the outcome this close gives to earlier ones."""
        waiting = self._waiting.get(series)
        if waiting is None:
            waiting = self._waiting[series] = deque()
        waiting.append((regime, votes, weights, close))
        if len(waiting) <= self.horizon:
            return None
        regime, votes, weights, before = waiting.popleft()
        outcome = Outcome(regime, votes, weights, (close > before) - (close < before))
        self._rows.append(outcome)
        if len(self._rows) == FOLD:
            self._fold()
        return outcome

    def state(self) -> list[Any]:
        """What is not scored yet, JSON-ready, for a session that goes on from here: its table begins anew."""
        return [
            [*series, [[regime, self._named(votes), self._named(weights), close]
                       for regime, votes, weights, close in waiting]]
            for series, waiting in self._waiting.items()
        ]  # fmt: skip

    def restore(self, state: Sequence[Any]) -> None:
        """A voter who was not there has abstained; one who is gone is forgotten, and so is what a shorter horizon has
        passed.
        """
        for instrument, interval_ns, waiting in state:
            self._waiting[instrument, interval_ns] = deque(
                (regime, self._placed(votes, math.nan), self._placed(weights, 0.0), close)
                for regime, votes, weights, close in waiting[-self.horizon :]
            )

    def _named(self, row: Sequence[float]) -> dict[str, float]:
        return {name: value for name, value in zip(self.voters, row, strict=True) if not math.isnan(value)}

    def _placed(self, row: Mapping[str, float], absent: float) -> list[float]:
        return [row.get(name, absent) for name in self.voters]

    def table(self) -> dict[str, Any]:
        """The table, JSON-ready; a figure that does not exist is None."""
        self._fold()
        regimes = {name: _figures(sums, self.voters) for name, sums in sorted(self._sums.items()) if name}
        whole = _figures(_added(self._sums.values()), self.voters) if self._sums else None
        return {"horizon_bars": self.horizon, "all": whole, "regimes": regimes}

    def _fold(self) -> None:
        by_regime: dict[str, list[Outcome]] = {}
        for row in self._rows:
            by_regime.setdefault(str(row.regime), []).append(row)
        self._rows = []
        for regime, rows in by_regime.items():
            new = _sums(rows)
            self._sums[regime] = _added([self._sums[regime], new]) if regime in self._sums else new


def _sums(rows: Sequence[Outcome]) -> dict[str, Any]:
    """All that the figures are made of, over these rows. Square ones are by voter and other voter, over the bars on
    which both voted.
    """
    import numpy as np

    votes = np.array([row.votes for row in rows], dtype=np.float64)
    weights = np.array([row.weights for row in rows], dtype=np.float64)
    went = np.array([row.went for row in rows], dtype=np.float64)[:, None]
    present = ~np.isnan(votes)
    cast = np.where(present, votes, 0.0)
    there = present.astype(np.float64)
    scored = went != 0.0
    up = (went > 0.0).astype(np.float64)
    forecast = (cast != 0.0) & scored
    everybody = weights.sum(axis=1, keepdims=True)
    weighed = weights * cast
    joint = _share(weighed.sum(axis=1, keepdims=True), everybody)
    without = _share(weighed.sum(axis=1, keepdims=True) - weighed, everybody - weights)
    return {
        "bars": len(rows),
        "scored": int(scored.sum()),
        "present": present.sum(axis=0),
        "votes": forecast.sum(axis=0),
        "hits": (forecast & (np.sign(cast) == went)).sum(axis=0),
        "brier": np.where(forecast, ((1.0 + cast) / 2.0 - up) ** 2, 0.0).sum(axis=0),
        "joint_votes": int(((joint != 0.0) & scored).sum()),
        "joint_hits": int(((np.sign(joint) == went) & scored).sum()),
        "joint_brier": float((((1.0 + joint) / 2.0 - up) ** 2 * scored).sum()),
        "without_brier": (((1.0 + without) / 2.0 - up) ** 2 * scored).sum(axis=0),
        "n": there.T @ there,
        "x": cast.T @ there,
        "xx": (cast**2).T @ there,
        "xy": cast.T @ cast,
    }


def _share(part: Any, whole: Any) -> Any:
    import numpy as np

    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 1e-12)


def _added(sums: Any) -> dict[str, Any]:
    total: dict[str, Any] = {}
    for one in sums:
        total = {name: total[name] + value for name, value in one.items()} if total else dict(one)
    return total


def _figures(sums: Mapping[str, Any], voters: Sequence[str]) -> dict[str, Any]:
    """The figures of docs/council.md from their sums."""
    correlations = _correlations(sums)
    scored, joint = sums["scored"], sums["joint_brier"]
    return {
        "bars": sums["bars"],
        "scored": scored,
        "hit_rate": _ratio(sums["joint_hits"], sums["joint_votes"]),
        "brier": _ratio(joint, scored),
        "effective_voters": _effective(correlations),
        "voters": {
            name: {
                "bars": int(sums["present"][i]),
                "votes": int(sums["votes"][i]),
                "hit_rate": _ratio(sums["hits"][i], sums["votes"][i]),
                "brier": _ratio(sums["brier"][i], sums["votes"][i]),
                "correlation": _mean([r for j, r in enumerate(correlations[i]) if j != i and r is not None]),
                "contribution": _ratio(sums["without_brier"][i] - joint, scored),
            }
            for i, name in enumerate(voters)
        },
    }


def _correlations(sums: Mapping[str, Any]) -> list[list[float | None]]:
    """Pearson's r of each voter's votes with each other's; None where one of them never wavered."""
    n, x, xx, xy = sums["n"], sums["x"], sums["xx"], sums["xy"]
    spread = n * xx - x**2  # of i over the bars it shared with j
    together = n * xy - x * x.T
    found: list[list[float | None]] = []
    for i in range(len(n)):
        row = (_ratio(together[i, j], _root(spread[i, j], spread[j, i])) for j in range(len(n)))
        found.append([None if r is None else max(-1.0, min(1.0, r)) for r in row])
    return found


def _root(one: float, other: float) -> float:
    return float(one * other) ** 0.5 if one > 1e-9 and other > 1e-9 else 0.0


def _effective(correlations: Sequence[Sequence[float | None]]) -> float | None:
    """The effective number of independent voters: (sum of eigenvalues)² / (sum of their squares), which for a matrix of
    correlations is k² over the sum of all its squared entries. Voters who never wavered are left out.
    """
    moved = [i for i, row in enumerate(correlations) if row[i] is not None]
    if not moved:
        return None
    squares = sum((correlations[i][j] or 0.0) ** 2 for i in moved for j in moved)
    return len(moved) ** 2 / squares


def _ratio(part: float, whole: float) -> float | None:
    return float(part) / float(whole) if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
