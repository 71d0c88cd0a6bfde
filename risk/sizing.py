"""How much to put on: from what a strategy wants to an amount of money, in quote units.

Plain functions over plain values, one for each method; ``METHODS`` names them as the config does. What an intent says
itself goes first: a ``size`` is taken as it is by every method, an ``exposure`` scales what the method comes to (for
``intent`` and ``exposure_confidence`` it *is* the fraction of equity). Amounts are Decimal; statistics are float and
become Decimal in one place, ``_amount``, rounded to a ten-thousandth.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal

import msgspec

from risk.translator import Unsizable, exact


class Sizing(msgspec.Struct, frozen=True, kw_only=True):
    """``method`` is a name of ``METHODS``. ``fraction``, ``max_fraction``, ``kelly_cap`` are of equity;
    ``vol_target`` is a standard deviation per year; ``kelly_share`` is how much of full Kelly is staked, never from
    fewer than ``kelly_min_trades`` round trips.
    """

    notional: Decimal
    method: str = "intent"
    fraction: float = 0.1
    vol_target: float = 0.2
    max_fraction: float = 1.0
    kelly_share: float = 0.25
    kelly_cap: float = 0.2
    kelly_min_trades: int = 30


class Record(msgspec.Struct, frozen=True):
    """A strategy's realised round trips: how many, how many won, what those that won and lost came to."""

    trips: int
    wins: int
    profit: float
    loss: float


class Facts(msgspec.Struct, frozen=True):
    """What a method may ask, as calls: most methods ask one of them. ``volatility`` is per year, None if unknown."""

    equity: Callable[[], Decimal]
    volatility: Callable[[str], float | None]
    record: Callable[[str], Record]


def fixed_notional(notional: Decimal) -> Decimal:
    """A position worth ``notional``, whatever the account is worth: N. The plainest stake there is."""
    return notional


def dollar_per_trade(dollars: Decimal) -> Decimal:
    """Every entry trades ``dollars``, on top of what is held: N a trade (``--dollar-per-trade`` of the sources)."""
    return dollars


def fraction_of_equity(fraction: float, equity: Decimal) -> Decimal:
    """f x E. Fixed fractional sizing (Ralph Vince, Portfolio Management Formulas, 1990)."""
    return _amount(fraction * float(equity))


def volatility_target(target: float, volatility: float | None, cap: float, equity: Decimal) -> Decimal:
    """E x min(cap, target / volatility), both per year: the position alone would move the account by ``target``.

    After Moreira and Muir, Volatility-Managed Portfolios, Journal of Finance 72 (2017).
    """
    if volatility is None or not volatility > 0.0:
        raise Unsizable("its volatility is not known yet: too few closed bars, or none that moved")
    return _amount(float(equity) * min(cap, target / volatility))


def kelly(record: Record) -> float:
    """f* = W - (1 - W) / R: W the share of trips won, R the average win over the average loss.

    J. L. Kelly, A New Interpretation of Information Rate, Bell System Technical Journal 35 (1956); in this form E. O.
    Thorp. Trips that came out even count as not won. Without a loss R has no bound and f* is W.
    """
    if not record.wins or not record.trips:
        return 0.0
    won = record.wins / record.trips
    losses = record.trips - record.wins
    if not losses or not record.loss > 0.0:
        return won
    ratio = (record.profit / record.wins) / (record.loss / losses)
    return won - (1.0 - won) / ratio if ratio > 0.0 else 0.0


def fractional_kelly(record: Record, share: float, cap: float, min_trades: int, equity: Decimal) -> Decimal | None:
    """E x min(cap, share x f*); None from fewer than ``min_trades`` trips: then there is nothing to bet by.

    A fraction of full Kelly because W and R are estimates, and overbetting costs more than underbetting (Thorp, The
    Kelly Criterion in Blackjack, Sports Betting and the Stock Market, 2006). Raises Unsizable where f* is not
    positive: the record says not to bet.
    """
    if record.trips < min_trades:
        return None
    full = kelly(record)
    if not full > 0.0:
        raise Unsizable(f"Kelly stakes nothing: f* is {full:.4f} over {record.trips} round trips")
    return _amount(float(equity) * min(cap, share * full))


def exposure_confidence(exposure: float, confidence: float, equity: Decimal) -> Decimal:
    """x c E: the strategy's fraction of equity, times how sure it is (desired_exposure_frac and confidence of S1's
    intents).
    """
    if not 0.0 <= confidence <= 1.0:
        raise Unsizable(f"confidence {confidence} is not between 0 and 1")
    return _amount(exposure * confidence * float(equity))


def stake(
    sizing: Sizing, facts: Facts, strategy: str, instrument: str, exposure: float | None, confidence: float
) -> Decimal:
    """What an entry that names no size comes to, in quote units. Raises Unsizable with the reason for nothing."""
    return METHODS[sizing.method](sizing, facts, strategy, instrument, exposure, confidence)


def adds(sizing: Sizing) -> bool:
    """Whether an entry is that much more, and not what is missing to a position of that much."""
    return sizing.method == "dollar_per_trade"


def _intent(s: Sizing, facts: Facts, _strategy: str, _instrument: str, exposure: float | None, _c: float) -> Decimal:
    return s.notional if exposure is None else exact(exposure) * facts.equity()


def _fixed(s: Sizing, _f: Facts, _strategy: str, _instrument: str, exposure: float | None, _c: float) -> Decimal:
    return _scaled(fixed_notional(s.notional), exposure)


def _dollars(s: Sizing, _f: Facts, _strategy: str, _instrument: str, exposure: float | None, _c: float) -> Decimal:
    return _scaled(dollar_per_trade(s.notional), exposure)


def _fraction(s: Sizing, facts: Facts, _strategy: str, _instrument: str, exposure: float | None, _c: float) -> Decimal:
    return _scaled(fraction_of_equity(s.fraction, facts.equity()), exposure)


def _target(s: Sizing, facts: Facts, _strategy: str, instrument: str, exposure: float | None, _c: float) -> Decimal:
    known = facts.volatility(instrument)
    return _scaled(volatility_target(s.vol_target, known, s.max_fraction, facts.equity()), exposure)


def _kelly(s: Sizing, facts: Facts, strategy: str, _instrument: str, exposure: float | None, _c: float) -> Decimal:
    record = facts.record(strategy)
    staked = fractional_kelly(record, s.kelly_share, s.kelly_cap, s.kelly_min_trades, facts.equity())
    return _scaled(s.notional if staked is None else staked, exposure)


def _sure(s: Sizing, facts: Facts, _strategy: str, _instrument: str, exposure: float | None, c: float) -> Decimal:
    return exposure_confidence(s.fraction if exposure is None else exposure, c, facts.equity())


Method = Callable[[Sizing, Facts, str, str, float | None, float], Decimal]
METHODS: Mapping[str, Method] = {
    "intent": _intent,
    "fixed_notional": _fixed,
    "dollar_per_trade": _dollars,
    "equity_fraction": _fraction,
    "vol_target": _target,
    "kelly": _kelly,
    "exposure_confidence": _sure,
}


def _scaled(amount: Decimal, exposure: float | None) -> Decimal:
    return amount if exposure is None else amount * exact(exposure)


def _amount(value: float) -> Decimal:
    """A statistic's money: finite, not negative, cut at a ten-thousandth."""
    if not math.isfinite(value):
        raise Unsizable("its statistics come to no number")
    return Decimal(repr(round(max(0.0, value), 4)))
