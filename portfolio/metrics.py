"""What a session amounted to, in the customary figures: pure functions of the equity curve and the ledger's statistics,
and the meter that compares fills with the market at approval, which neither of them knows.

None means that the figure does not exist (no trips, no variance) or would not mean anything (a year's growth from a
day), never zero. Returns are simple returns between neighbouring points of the grid; a year has 365 days, for markets
that never close; the risk-free rate is zero.

==================== ==================================================================== ===========================
figure               formula                                                              unit
==================== ==================================================================== ===========================
total_return         end / start - 1                                                      fraction
cagr                 (end / start) ^ (year / elapsed) - 1, from 30 days on                fraction a year
sharpe               mean / standard deviation (n - 1) * sqrt(points a year)              a year (Sharpe 1994)
sortino              mean / sqrt(mean(min(return, 0)^2)) * sqrt(points a year)            a year (Sortino, Price 1994)
max_drawdown         largest (peak - value) / peak at any mark                            fraction
max_drawdown_s       longest time below an earlier peak, on the grid                      seconds
exposure             time with a position / elapsed                                       fraction
turnover             notional of all fills / start                                        multiples of the start
round_trips          from flat to flat, after fees and funding                            count
win_rate             trips that won / trips                                               fraction
profit_factor        sum of what won / sum of what lost                                   ratio
expectancy           mean result of a trip                                                account asset
slippage_bps         sum of size * (price - arrival mid), paid more or got less:   1/10,000
                     positive / sum of size * arrival mid
fees.ASSET           fees paid, less rebates                                              that asset
==================== ==================================================================== ===========================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from bus.bus import Bus
from bus.clock import DAY, SECOND
from bus.events import OrderFilled
from bus.money import from_float
from bus.values import ZERO, Side
from portfolio.equity import Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

YEAR_NS = 365 * DAY
CAGR_FROM_NS = 30 * DAY
POINTS_ENOUGH = 30
_BUY = Side.BUY


class SlippageMeter:
    """How much worse than the middle of the market at approval our fills were, in basis points: positive, it cost us.

    It includes the wait between the two and, for a resting order, the price it asked for. Fills of orders that were
    approved without a market are counted in ``unmeasured``.
    """

    def __init__(self, exposure: Exposure) -> None:
        self._exposure = exposure
        self._sums: dict[str, list[Decimal]] = {}  # by instrument: lost to slippage, worth at arrival
        self.unmeasured = 0

    def attach(self, bus: Bus) -> None:
        """Before the exposure, which forgets an order with its last fill."""
        bus.subscribe(OrderFilled, self.on_fill)

    def bps(self) -> dict[str, float]:
        """Of each instrument, all fills taken together."""
        return {instrument: float(lost) / float(worth) * 1e4 for instrument, (lost, worth) in self._sums.items()}

    def on_fill(self, fill: OrderFilled) -> None:
        order = self._exposure.find(fill.intent_id)
        if order is None or not order.mid > 0.0:
            self.unmeasured += 1
            return
        sums = self._sums.get(fill.instrument)
        if sums is None:
            sums = self._sums[fill.instrument] = [ZERO, ZERO]
        size = fill.size
        worth, paid = size * from_float(order.mid), size * fill.price
        sums[0] += paid - worth if fill.side is _BUY else worth - paid
        sums[1] += worth


def summary(
    equity: Equity, ledger: Ledger, slippage: SlippageMeter, values: Sequence[float], step_ns: int
) -> dict[str, float | None]:
    """All figures of the table above; ``values`` are equity at steps of ``step_ns``. Raises CannotValue."""
    end = equity.value_float()
    start = float(equity.start) if equity.start is not None else 0.0
    elapsed_ns = equity.elapsed_ns
    result: dict[str, float | None] = {
        "total_return": total_return(start, end),
        "cagr": cagr(start, end, elapsed_ns),
        "sharpe": sharpe(values, step_ns),
        "sortino": sortino(values, step_ns),
        "max_drawdown": equity.max_drawdown,
        "max_drawdown_s": longest_drawdown(values) * step_ns / SECOND,
        "exposure": equity.exposed_ns / elapsed_ns if elapsed_ns else None,
        "turnover": turnover(ledger, equity.asset, start),
        **trips(ledger, equity.asset),
        "slippage_bps": slippage_bps(ledger, slippage),
    }
    for asset in sorted(ledger.fees):
        result[f"fees.{asset}"] = float(ledger.fees[asset])
    return result


def total_return(start: float, end: float) -> float | None:
    return end / start - 1.0 if start > 0 else None


def cagr(start: float, end: float, elapsed_ns: int) -> float | None:
    if elapsed_ns < CAGR_FROM_NS or start <= 0 or end <= 0:
        return None
    return float((end / start) ** (YEAR_NS / elapsed_ns) - 1.0)


def sharpe(values: Sequence[float], step_ns: int) -> float | None:
    returns = _returns(values)
    if returns is None:
        return None
    return _annual(float(returns.mean()), float(returns.std(ddof=1)), step_ns)


def sortino(values: Sequence[float], step_ns: int) -> float | None:
    returns = _returns(values)
    if returns is None:
        return None
    downside = returns.clip(max=0.0)
    return _annual(float(returns.mean()), math.sqrt(float((downside * downside).mean())), step_ns)


def longest_drawdown(values: Sequence[float]) -> int:
    """The most steps in a row that ended below an earlier value."""
    longest = run = 0
    peak = -math.inf
    for value in values:
        if value < peak:
            run += 1
            longest = max(longest, run)
        else:
            peak, run = value, 0
    return longest


def turnover(ledger: Ledger, asset: str, start: float) -> float | None:
    """None where something traded is quoted in another asset than the account's: no one price would convert it."""
    positions = ledger.positions.values()
    if start <= 0 or any(position.instrument.quote != asset for position in positions):
        return None
    return float(sum((position.turnover for position in positions), ZERO)) / start


def slippage_bps(ledger: Ledger, slippage: SlippageMeter) -> float | None:
    """Over all instruments, each weighing what was traded of it; None where they have no quote asset in common."""
    by_instrument = slippage.bps()
    traded = [ledger.positions[instrument] for instrument in by_instrument]
    if len({position.instrument.quote for position in traded}) != 1:
        return None
    weights = [float(position.turnover) for position in traded]
    return sum(w * bps for w, bps in zip(weights, by_instrument.values(), strict=True)) / sum(weights)


def trips(ledger: Ledger, asset: str) -> dict[str, float | None]:
    """Counts are over all instruments; amounts are None where trips ended in another asset than the account's."""
    finished = [position for position in ledger.positions.values() if position.trips.count]
    count = sum(position.trips.count for position in finished)
    profit = float(sum((position.trips.profit for position in finished), ZERO))
    loss = float(sum((position.trips.loss for position in finished), ZERO))
    summable = count > 0 and all(position.asset == asset for position in finished)
    return {
        "round_trips": float(count),
        "win_rate": sum(position.trips.wins for position in finished) / count if count else None,
        "profit_factor": profit / loss if summable and loss else None,
        "expectancy": (profit - loss) / count if summable else None,
    }


def _returns(values: Sequence[float]) -> npt.NDArray[np.float64] | None:
    """None for too few points, or where equity was not always positive: then a return means nothing."""
    import numpy as np

    curve = np.asarray(values, dtype=np.float64)
    if len(curve) < POINTS_ENOUGH or not (curve > 0).all():
        return None
    returns: npt.NDArray[np.float64] = curve[1:] / curve[:-1] - 1.0
    return returns


def _annual(mean: float, deviation: float, step_ns: int) -> float | None:
    return mean / deviation * math.sqrt(YEAR_NS / step_ns) if deviation > 0 else None
