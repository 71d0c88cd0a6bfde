"""The rules that are only there where somebody asked for them, after the ten that always are.

The same shape as ``risk/rules.py``: a rule measures a proposal and answers (value, limit), kept while value <= limit.
Where a floor is meant (a smallest notional, a smallest distance) the floor is the value and what there is the limit.
``RULES`` is their order; a rule whose setting is None is not in ``Extra.rules``, costs nothing and reports nothing.

What only makes a position smaller passes all of them: a way out is never too wide, too thin or too soon. What cannot be
measured (no quote, no depth, too few bars, no mark) is infinitely bad.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import msgspec

from bus import money
from bus.clock import DAY, SECOND, Clock
from bus.events import RegimeState
from bus.market import Market
from bus.values import ZERO, OrderType, Side
from portfolio.books import Books
from portfolio.equity import CannotValue, Equity
from portfolio.exposure import Exposure
from portfolio.ledger import Ledger
from portfolio.valuation import Valuation
from risk.confirm import Confirmation
from risk.portfolio import Portfolio
from risk.returns import Returns
from risk.rules import NO_ORDER, Measure, Proposal
from risk.var import Tail

_BUY, _MARKET = Side.BUY, OrderType.MARKET
_NEVER = (math.inf, 0.0)
_LOOK_NS = SECOND
"""How often an account that cannot be valued when its day begins is looked at again."""


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """None: not asked. Fractions are of equity, ``atr`` of the price, ``maintenance`` of the notional, ``stress`` of
    the price; money is in the account's asset, ``min_notional`` in quote units.
    """

    verify_wallet: bool = False
    min_notional: Decimal | None = None
    cooldown_s: float | None = None
    max_spread_bps: float | None = None
    max_impact_bps: float | None = None
    min_atr: float | None = None
    max_atr: float | None = None
    min_equity: Decimal | None = None
    max_daily_loss_bps: float | None = None
    budgets: Mapping[str, Decimal] = {}
    max_correlation: float | None = None
    max_gross: float | None = None
    max_net: float | None = None
    max_leverage: float | None = None
    min_liquidation_distance: float | None = None
    maintenance: float = 0.005
    max_var: float | None = None
    max_es: float | None = None
    confidence: float = 0.99
    horizon_s: float = 86_400.0
    returns: int = 500
    min_returns: int = 30
    max_money_at_risk: Decimal | None = None
    stress: Decimal = Decimal("0.2")
    stresses: Mapping[str, Decimal] = {}


class Extra:
    """``verified`` says how the wallet differs from the venue's, nothing where it does not; ``owns``, that each
    strategy enters and leaves a part of its own. Attached where ``rules`` is not empty.
    """

    def __init__(
        self,
        terms: Terms,
        clock: Clock,
        market: Market,
        ledger: Ledger,
        exposure: Exposure,
        equity: Equity,
        books: Books,
        returns: Returns,
        confirmation: Confirmation | None = None,
        verified: Callable[[], str] = str,
        panics: Mapping[tuple[str, int], None] | None = None,
    ) -> None:
        self.terms = terms
        self.clock = clock
        self.market = market
        self.ledger = ledger
        self.exposure = exposure
        self.equity = equity
        self.books = books
        self.returns = returns
        self.confirmation = confirmation
        self.verified = verified
        self.panics = panics
        self.valuation = Valuation(ledger, market, equity.asset)
        self.atr: dict[str, float] = {}
        self.day: tuple[int, Decimal] | None = None
        self.rules = {name: rule for name, (asked, rule) in RULES.items() if asked(self)}
        self._owned = {name: rule for name, rule in self.rules.items() if name == "budget"}
        self.owns = False

    def adopt(self, terms: Terms, panics: Mapping[tuple[str, int], None] | None) -> None:
        """Other numbers, and of the rules those that are still asked for."""
        self.terms, self.panics = terms, panics
        self.rules = {name: rule for name, rule in self.rules.items() if RULES[name][0](self)}
        self._owned = {name: rule for name, rule in self._owned.items() if name in self.rules}

    def on_regime(self, state: RegimeState) -> None:
        if state.label is not None:
            self.atr[state.instrument] = state.features["atr_pct"]

    def begin_day(self) -> None:
        """Midnight, UTC, or the start of a session: what is lost from here on is the day's, unless the session before
        has begun to count it.
        """
        self.clock.at((self.clock.now // DAY + 1) * DAY, self.begin_day)
        self._count_the_day()

    def _count_the_day(self) -> None:
        """From what the account is worth now, or as soon as somebody can say."""
        today = self.clock.now // DAY
        if self.day is not None and self.day[0] == today:
            return
        try:
            self.day = (today, self.equity.value())
        except CannotValue:
            self.day = None
            self.clock.at(self.clock.now + _LOOK_NS, self._count_the_day)

    def first_broken(self, p: Proposal) -> str | None:
        asked = self._asked(p)
        look = Look(self, p)
        for name, rule in asked.items():
            value, limit = _measured(rule, look)
            if not value <= limit:
                return name
        return None

    def measures(self, p: Proposal) -> list[tuple[str, Any, Any]]:
        """Every rule's answer in order. Without an order at hand, what is measured of one is 0."""
        look, asked = Look(self, p), self._asked(p)
        return [(name, *(_measured(rule, look) if name in asked else (0, 0))) for name, rule in self.rules.items()]

    def _asked(self, p: Proposal) -> Mapping[str, Rule]:
        """Of what makes the position smaller nothing is asked, but for the part of a strategy that has its own: for the
        one who goes short against another's long it is a way in.
        """
        if not p.reduces:
            return self.rules
        return self._owned if self.owns and not p.order.reduce_only else {}

    def arithmetic(self, name: str, p: Proposal) -> str:
        """How a figure that is more than a comparison came about, or what has no price; empty for the others."""
        if name not in self.rules:
            return ""
        look, explain = Look(self, p), ARITHMETIC.get(name)
        try:
            if explain is not None:
                return explain(look)
            self.rules[name](look)
        except CannotValue as error:
            return str(error)
        return ""

    def money_at_risk(self) -> dict[str, Decimal]:
        """What is to lose from here, by instrument, in the account's asset. Raises CannotValue."""
        return Look(self, NO_ORDER).portfolio.money_at_risk(self.terms.stress, self.terms.stresses)

    def state(self) -> dict[str, Any]:
        day = None if self.day is None else [self.day[0], money.plain(self.day[1])]
        return {"day": day, "returns": self.returns.state(), "atr": dict(self.atr)}

    def restore(self, state: Mapping[str, Any]) -> None:
        day = state["day"]
        if day is not None and day[0] == self.clock.now // DAY:
            self.day = (day[0], Decimal(day[1]))
        self.returns.restore(state["returns"])
        self.atr = dict(state["atr"])


class Look:
    """One proposal in its world, for the length of one question."""

    __slots__ = ("extra", "portfolio", "proposal", "terms")

    def __init__(self, extra: Extra, proposal: Proposal) -> None:
        self.extra = extra
        self.terms = extra.terms
        self.proposal = proposal
        self.portfolio = Portfolio(extra.ledger, extra.market, extra.exposure, extra.valuation, proposal)

    @property
    def real(self) -> bool:
        """There is an order, not only the account."""
        return bool(self.proposal.order.instrument)

    @property
    def equity(self) -> Decimal:
        return self.extra.equity.value()

    def of_equity(self, amount: Decimal | float) -> float:
        equity = float(self.equity)
        return float(amount) / equity if equity > 0.0 else (math.inf if amount else 0.0)


Rule = Callable[[Look], Measure]


def wallet_verified(look: Look) -> Measure:
    """1 where what we think we own is not what the venue says we own."""
    return (1 if look.extra.verified() else 0), 0


def min_notional(look: Look) -> Measure:
    return (look.terms.min_notional, look.proposal.notional) if look.real else (0, 0)


def cooldown(look: Look) -> Measure:
    """Seconds still to wait since this strategy last made its position in the instrument smaller."""
    order = look.proposal.order
    reduced = look.extra.books.reduced_ns.get((order.strategy, order.instrument))
    if reduced is None or look.terms.cooldown_s is None:
        return 0.0, 0.0
    return max(0.0, look.terms.cooldown_s - (look.proposal.now - reduced) / SECOND), 0.0


def spread(look: Look) -> Measure:
    """(ask - bid) / mid, in basis points, of the book where there is one, else of the quote."""
    limit = look.terms.max_spread_bps
    if not look.real:
        return 0.0, limit
    touch = _touch(look)
    return (math.inf if touch is None else (touch[1] - touch[0]) / (touch[0] + touch[1]) * 20_000), limit


def liquidity(look: Look) -> Measure:
    """How far from the middle the displayed depth would fill the whole order on average, in basis points; infinite
    where it is not deep enough. What waits at its own price takes no depth.
    """
    limit, order, mid = look.terms.max_impact_bps, look.proposal.order, look.proposal.mid
    if not look.real or (order.type is not _MARKET and not _takes(look)):
        return 0.0, limit
    size, paid = float(order.size), 0.0
    for price, shown in _ladder(look):
        part = min(size, shown)
        paid += part * price
        size -= part
        if size <= 1e-12:
            return abs(paid / float(order.size) - mid) / mid * 10_000, limit
    return math.inf, limit


def min_atr(look: Look) -> Measure:
    """The average true range of the last closed bar, as a fraction of the price: a market too dead to pay the fees."""
    return look.terms.min_atr, look.extra.atr.get(look.proposal.order.instrument, -math.inf if look.real else math.inf)


def max_atr(look: Look) -> Measure:
    """The same: a market too wild to be sized for."""
    return look.extra.atr.get(look.proposal.order.instrument, math.inf if look.real else 0.0), look.terms.max_atr


def panic(look: Look) -> Measure:
    """1 while the instrument's regime is PANIC."""
    panics = look.extra.panics or {}
    return (1 if any(name == look.proposal.order.instrument for name, _ in panics) else 0), 0


def account_health(look: Look) -> Measure:
    """The smallest worth the account may trade at, against what it is worth."""
    return look.terms.min_equity, look.equity


def daily_loss(look: Look) -> Measure:
    """What was lost since midnight UTC, in basis points of what there was then."""
    day = look.extra.day
    if day is None:
        return math.inf, look.terms.max_daily_loss_bps
    lost = day[1] - look.equity
    return (float(lost) / float(day[1]) * 10_000 if day[1] > 0 else math.inf), look.terms.max_daily_loss_bps


def budget(look: Look) -> Measure:
    """All that the strategy has and could come to have, in money, against its share of the account. What only makes
    its own part smaller passes, whatever it does to the whole.
    """
    order = look.proposal.order
    cap = look.terms.budgets.get(order.strategy)
    if cap is None:
        return ZERO, ZERO
    extra, committed = look.extra, ZERO
    names = dict.fromkeys(extra.books.positions.get(order.strategy, ()))
    names.update((one.order.instrument, None) for one in extra.exposure.open_orders(strategy=order.strategy))
    names[order.instrument] = None
    for name in names:
        low, high = own_reach(extra.books, extra.exposure, order.strategy, name, besides=order.intent_id)
        if name == order.instrument:
            leaves = look.proposal.leaves  # what has filled is in the books
            low, high = (low, high + leaves) if order.side is _BUY else (low - leaves, high)
            if high <= ZERO if order.side is _BUY else low >= ZERO:
                return ZERO, cap
        if worst := max(abs(low), abs(high)):
            committed += extra.valuation.notional(name, worst)
    return committed, cap


def correlation(look: Look) -> Measure:
    """Highest with anything held on the same side (or against it, on the other)."""
    limit = look.terms.max_correlation
    if not look.real:
        return 0.0, limit
    found = look.portfolio.correlation(look.extra.returns, look.terms.min_returns)
    return (math.inf if found is None else found), limit


def gross_exposure(look: Look) -> Measure:
    return look.of_equity(look.portfolio.gross), look.terms.max_gross


def net_exposure(look: Look) -> Measure:
    return look.of_equity(look.portfolio.net), look.terms.max_net


def leverage(look: Look) -> Measure:
    """What is held on margin over equity."""
    return look.of_equity(look.portfolio.borrowed), look.terms.max_leverage


def liquidation(look: Look) -> Measure:
    """d = (E - m N) / (N (1 + m)): how far all that is held on margin can move against us, as a fraction of its price,
    before equity E is the maintenance margin m of the notional N then.
    """
    floor, borrowed = look.terms.min_liquidation_distance, float(look.portfolio.borrowed)
    if not borrowed:
        return floor, math.inf
    m = look.terms.maintenance
    return floor, (float(look.equity) - m * borrowed) / (borrowed * (1.0 + m))


def value_at_risk(look: Look) -> Measure:
    """The larger of parametric and historical, over equity."""
    found = _tails(look)
    return (math.inf if found is None else look.of_equity(max(one.var for one in found))), look.terms.max_var


def expected_shortfall(look: Look) -> Measure:
    found = _tails(look)
    return (math.inf if found is None else look.of_equity(max(one.es for one in found))), look.terms.max_es


def money_at_risk(look: Look) -> Measure:
    lost = look.portfolio.money_at_risk(look.terms.stress, look.terms.stresses)
    return sum(lost.values(), ZERO), look.terms.max_money_at_risk


def p_long(look: Look) -> Measure:
    """What is asked of the model, and how sure it is of the order's side."""
    confirmation, order = look.extra.confirmation, look.proposal.order
    return confirmation.measure(order.instrument, order.side) if confirmation is not None and look.real else (0.0, 0.0)


RULES: Mapping[str, tuple[Callable[[Extra], bool], Rule]] = {
    "wallet_verified": (lambda e: e.terms.verify_wallet, wallet_verified),
    "min_notional": (lambda e: e.terms.min_notional is not None, min_notional),
    "cooldown": (lambda e: e.terms.cooldown_s is not None, cooldown),
    "spread": (lambda e: e.terms.max_spread_bps is not None, spread),
    "liquidity": (lambda e: e.terms.max_impact_bps is not None, liquidity),
    "min_atr": (lambda e: e.terms.min_atr is not None, min_atr),
    "max_atr": (lambda e: e.terms.max_atr is not None, max_atr),
    "panic": (lambda e: e.panics is not None, panic),
    "account_health": (lambda e: e.terms.min_equity is not None, account_health),
    "daily_loss": (lambda e: e.terms.max_daily_loss_bps is not None, daily_loss),
    "budget": (lambda e: bool(e.terms.budgets), budget),
    "correlation": (lambda e: e.terms.max_correlation is not None, correlation),
    "gross_exposure": (lambda e: e.terms.max_gross is not None, gross_exposure),
    "net_exposure": (lambda e: e.terms.max_net is not None, net_exposure),
    "leverage": (lambda e: e.terms.max_leverage is not None, leverage),
    "liquidation": (lambda e: e.terms.min_liquidation_distance is not None, liquidation),
    "var": (lambda e: e.terms.max_var is not None, value_at_risk),
    "es": (lambda e: e.terms.max_es is not None, expected_shortfall),
    "money_at_risk": (lambda e: e.terms.max_money_at_risk is not None, money_at_risk),
    "p_long": (lambda e: e.confirmation is not None, p_long),
}
"""Each by the name it is reported under: whether it is asked for, and what it measures."""


def _tail_in_words(look: Look, figure: Callable[[Tail], float]) -> str:
    found = _tails(look)
    if found is None:
        return f"fewer than {look.terms.min_returns} bars that all instruments share"
    return f"{max(found, key=figure).arithmetic()}; equity {float(look.equity):.2f}"


def _risk_in_words(look: Look) -> str:
    lost = look.portfolio.money_at_risk(look.terms.stress, look.terms.stresses)
    gaps = ", ".join(
        f"{name} {money.plain(amount)} at {money.plain(look.terms.stresses.get(name, look.terms.stress))}"
        for name, amount in sorted(lost.items())
    )
    return f"gaps against what is held and may fill: {gaps}"


ARITHMETIC: Mapping[str, Callable[[Look], str]] = {
    "wallet_verified": lambda look: look.extra.verified(),
    "var": lambda look: _tail_in_words(look, lambda tail: tail.var),
    "es": lambda look: _tail_in_words(look, lambda tail: tail.es),
    "money_at_risk": _risk_in_words,
}


def own_reach(
    books: Books, exposure: Exposure, strategy: str, instrument: str, besides: str = ""
) -> tuple[Decimal, Decimal]:
    """The lowest and the highest that a strategy's own part of the position can become, one order left out."""
    low = high = books.size(strategy, instrument)
    for one in exposure.open_orders(instrument, strategy):
        if one.intent_id == besides:
            continue
        if one.order.side is _BUY:
            high += one.leaves
        else:
            low -= one.leaves
    return low, high


def _measured(rule: Rule, look: Look) -> Measure:
    try:
        return rule(look)
    except CannotValue:
        return _NEVER


def _tails(look: Look) -> list[Tail] | None:
    terms = look.terms
    return look.portfolio.tails(look.extra.returns, terms.confidence, terms.horizon_s, terms.min_returns)


def _touch(look: Look) -> tuple[float, float] | None:
    """The best bid and ask, where there are both."""
    name, market = look.proposal.order.instrument, look.extra.market
    book = market.books.get(name)
    if book is not None:
        return (book.best_bid, book.best_ask) if book.usable else None
    quote = market.quotes.get(name)
    return (quote.bid, quote.ask) if quote is not None and 0.0 < quote.bid < quote.ask else None


def _takes(look: Look) -> bool:
    """Whether a priced order would trade at once."""
    order, touch = look.proposal.order, _touch(look)
    if order.price is None or touch is None:
        return True
    price = float(order.price)
    return price >= touch[1] if order.side is _BUY else price <= touch[0]


def _ladder(look: Look) -> list[tuple[float, float]]:
    """What is displayed on the side that the order would take from, best first."""
    name, market, buys = look.proposal.order.instrument, look.extra.market, look.proposal.order.side is _BUY
    book = market.books.get(name)
    if book is not None:
        if not book.usable:
            return []
        return sorted(book.asks.items()) if buys else sorted(book.bids.items(), reverse=True)
    quote = market.quotes.get(name)
    if quote is None:
        return []
    return [(quote.ask, quote.ask_size) if buys else (quote.bid, quote.bid_size)]
