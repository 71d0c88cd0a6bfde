"""Value at risk, expected shortfall, correlation: plain functions over lists of returns.

**The portfolio's returns.** ``profits`` is what the positions of now would have made in each past bar: the sum over
instruments of exposure times return. Its variance is w'Sw for the sample covariance S of those bars, so the parametric
and the historical figure come from one list and no matrix is built.

**Parametric** (RiskMetrics Technical Document, 1996): returns normal with mean zero, so with z the normal quantile,
VaR = z s sqrt(h) and ES = s sqrt(h) phi(z) / (1 - c); s is the sample standard deviation (n - 1), h the horizon in
bars, c the confidence.

**Historical:** of n profits the k = ceil(n (1 - c)) worst are the tail, VaR is the least of those losses and ES their
mean (for 500 bars and 99 %: the fifth worst, and the mean of five), both scaled by sqrt(h): with bars shorter than the
horizon there are no independent returns of its length to order.

Losses are positive; no figure is below zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import NamedTuple

_NORMAL = NormalDist()
_HAIR = 1e-9  # 500 * (1 - 0.99) is 5.000000000000004: the sixth is not meant


class Tail(NamedTuple):
    """VaR and ES of one portfolio by both methods, and what they were worked out from."""

    var_parametric: float
    es_parametric: float
    var_historical: float
    es_historical: float
    deviation: float
    bars: int
    horizon_bars: float
    confidence: float

    @property
    def var(self) -> float:
        """The larger of the two methods."""
        return max(self.var_parametric, self.var_historical)

    @property
    def es(self) -> float:
        return max(self.es_parametric, self.es_historical)

    def arithmetic(self) -> str:
        """How the figures came about, for whoever is refused by them."""
        z = _NORMAL.inv_cdf(self.confidence)
        root = math.sqrt(self.horizon_bars)
        return (
            f"{self.confidence:.2%} over {self.horizon_bars:g} bars from {self.bars} returns: parametric "
            f"VaR {self.var_parametric:.2f} = {z:.4f} x {self.deviation:.4f} x {root:.4f}, ES {self.es_parametric:.2f}"
            f" = {self.deviation:.4f} x {root:.4f} x {_NORMAL.pdf(z) / (1 - self.confidence):.4f}; historical VaR "
            f"{self.var_historical:.2f} = worst no. {tail_size(self.bars, self.confidence)} x {root:.4f}, "
            f"ES {self.es_historical:.2f} = the mean of those x {root:.4f}"
        )


def profits(exposures: Mapping[str, float], returns: Mapping[str, Sequence[float]]) -> list[float]:
    """What the exposures (money, signed) would have made in each bar; the lists are aligned and equally long."""
    columns = [(exposure, returns[name]) for name, exposure in exposures.items()]
    if not columns:
        return []
    first, series = columns[0]
    total = [first * r for r in series]
    for exposure, series in columns[1:]:
        total = [t + exposure * r for t, r in zip(total, series, strict=True)]
    return total


def tail(made: Sequence[float], confidence: float, horizon_bars: float) -> Tail:
    """VaR and ES of a list of at least two profits."""
    n = len(made)
    deviation, root = _deviation(made), math.sqrt(horizon_bars)
    z = _NORMAL.inv_cdf(confidence)
    worst = sorted(made)[: tail_size(n, confidence)]
    return Tail(
        z * deviation * root,
        deviation * root * _NORMAL.pdf(z) / (1.0 - confidence),
        max(0.0, -worst[-1]) * root,
        max(0.0, -math.fsum(worst) / len(worst)) * root,
        deviation,
        n,
        horizon_bars,
        confidence,
    )


def total(tails: Sequence[Tail]) -> Tail:
    """The first with the figures of the others on top."""
    first = tails[0]
    if len(tails) == 1:
        return first
    return first._replace(
        var_parametric=math.fsum(one.var_parametric for one in tails),
        es_parametric=math.fsum(one.es_parametric for one in tails),
        var_historical=math.fsum(one.var_historical for one in tails),
        es_historical=math.fsum(one.es_historical for one in tails),
        deviation=math.fsum(one.deviation for one in tails),
    )


def tail_size(n: int, confidence: float) -> int:
    """How many of ``n`` returns are the tail: at least one."""
    return max(1, math.ceil(n * (1.0 - confidence) - _HAIR))


def volatility(returns: Sequence[float], per_year: float) -> float | None:
    """Sample standard deviation per year of returns of which a year has ``per_year``; None from fewer than two."""
    return _deviation(returns) * math.sqrt(per_year) if len(returns) > 1 else None


def correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Pearson's; 0 where one of them never moved."""
    n = len(a)
    mean_a, mean_b = math.fsum(a) / n, math.fsum(b) / n
    cross = math.fsum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread = math.fsum((x - mean_a) ** 2 for x in a) * math.fsum((y - mean_b) ** 2 for y in b)
    return cross / math.sqrt(spread) if spread > 0.0 else 0.0


def _deviation(values: Sequence[float]) -> float:
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))
