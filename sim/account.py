"""The account at the venue: what is free, what is locked for open orders and positions, and what a fill does to it.

Spot: an order locks what it would give (quote with its fee, or base), so a fill never lacks it. Contracts: simplified
on purpose. Opening locks notional / leverage in the settle asset as margin, closing returns it with the average-cost
result; there is no maintenance margin and no liquidation, so a loss larger than the margin carries the free balance
below zero. An order that opens needs its margin and fee from what is free; one that closes is always let through. A
market order locks nothing: what it costs is asked when it meets its price.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Protocol

from bus import money
from bus.values import ONE, ZERO, Instrument, Kind, Side
from sim.fees import notional
from sim.members import BUY, IN_QUOTE, INVERSE, RECEIVED, SELL, SPOT
from sim.orders import VenueOrder
from sim.slippage import Plan


class Position:
    """``size`` is signed; ``cost`` the notional it was opened for and ``margin`` what is locked for it, in settle."""

    __slots__ = ("cost", "margin", "size")

    def __init__(self) -> None:
        self.size = ZERO
        self.cost = ZERO
        self.margin = ZERO


class Account:
    __slots__ = ("free", "leverage", "locked", "positions")

    def __init__(self, balances: Mapping[str, Decimal], leverage: Decimal = ONE) -> None:
        self.free: defaultdict[str, Decimal] = defaultdict(Decimal, balances)
        self.locked: defaultdict[str, Decimal] = defaultdict(Decimal)
        self.positions: defaultdict[str, Position] = defaultdict(Position)
        self.leverage = leverage

    def total(self, asset: str) -> Decimal:
        return self.free.get(asset, ZERO) + self.locked.get(asset, ZERO)

    def move(self, asset: str, to_locked: Decimal, to_free: Decimal = ZERO) -> None:
        """Lock ``to_locked`` of what is free (negative: unlock), and add ``to_free`` from outside."""
        self.free[asset] += to_free - to_locked
        self.locked[asset] += to_locked


class Settlement(Protocol):
    """How one kind of instrument uses the account. ``rate`` is the highest fee rate the order may be charged."""

    def needs(self, account: Account, instrument: Instrument, order: VenueOrder, rate: Decimal) -> Decimal:
        """What the open order must have locked."""
        ...

    def affords(
        self, account: Account, instrument: Instrument, order: VenueOrder, plan: Plan, rate: Decimal
    ) -> bool: ...

    def reducible(self, account: Account, instrument: Instrument, order: VenueOrder) -> Decimal:
        """How much the order can trade before it would open or turn the position."""
        ...

    def settle(
        self,
        account: Account,
        instrument: Instrument,
        order: VenueOrder,
        price: Decimal,
        size: Decimal,
        fee: Decimal,
        rate: Decimal,
    ) -> None:
        """Book one fill, already taken off ``order.leaves``, and unlock what it no longer needs."""
        ...


class Spot:
    def needs(self, account: Account, instrument: Instrument, order: VenueOrder, rate: Decimal) -> Decimal:
        if order.terms.side is SELL:
            return (
                min(order.leaves, self.reducible(account, instrument, order))
                if order.terms.reduce_only
                else order.leaves
            )
        return ZERO if order.price is None else _spent(instrument, order.price, order.leaves, rate)

    def affords(self, account: Account, instrument: Instrument, order: VenueOrder, plan: Plan, rate: Decimal) -> bool:
        free, cost = account.free, ZERO
        if order.terms.side is SELL:
            for _, size in plan:
                cost = cost + size if cost else size
            have = free[instrument.base]
        else:
            for price, size in plan:
                spent = _spent(instrument, price, size, rate)
                cost = cost + spent if cost else spent
            have = free[instrument.quote]
        return cost <= (have + order.held if order.held else have)

    def reducible(self, account: Account, instrument: Instrument, order: VenueOrder) -> Decimal:
        return account.free[instrument.base] + order.held if order.terms.side is SELL else ZERO

    def settle(
        self,
        account: Account,
        instrument: Instrument,
        order: VenueOrder,
        price: Decimal,
        size: Decimal,
        fee: Decimal,
        rate: Decimal,
    ) -> None:
        free, base, quote = account.free, instrument.base, instrument.quote
        if order.terms.side is BUY:
            in_base = instrument.fee_asset is RECEIVED
            free[quote] -= size * price if in_base else size * price + fee
            free[base] += size - fee if in_base else size
        else:
            free[base] -= size
            free[quote] += size * price - fee
        if order.held:
            _hold(account, paid_in(instrument, order.terms.side), order, self.needs(account, instrument, order, rate))


class Contracts:
    """Linear and inverse: they differ in what the notional is counted in, and so in the sign of the result."""

    def needs(self, account: Account, instrument: Instrument, order: VenueOrder, rate: Decimal) -> Decimal:
        if order.price is None or order.terms.reduce_only:
            return ZERO
        opening = max(order.leaves - _closable(account, instrument, order.terms.side), ZERO)
        return _margin(account, notional(instrument, order.price, opening)) + _charge(
            notional(instrument, order.price, order.leaves), rate
        )

    def affords(self, account: Account, instrument: Instrument, order: VenueOrder, plan: Plan, rate: Decimal) -> bool:
        position = account.positions[instrument.name]
        closable = _closable(account, instrument, order.terms.side)
        have = account.free[instrument.settle] + order.held
        need, opening, left = ZERO, ZERO, closable
        for price, size in plan:
            opened = max(size - left, ZERO)
            left -= size - opened
            opening += opened
            need += _margin(account, notional(instrument, price, opened)) + _charge(
                notional(instrument, price, size), rate
            )
        if not opening:
            return True
        return need <= have + (position.margin if closable else ZERO)

    def reducible(self, account: Account, instrument: Instrument, order: VenueOrder) -> Decimal:
        return _closable(account, instrument, order.terms.side)

    def settle(
        self,
        account: Account,
        instrument: Instrument,
        order: VenueOrder,
        price: Decimal,
        size: Decimal,
        fee: Decimal,
        rate: Decimal,
    ) -> None:
        asset, side = instrument.settle, order.terms.side
        if order.held:
            keep = money.divide(order.held * order.leaves, order.leaves + size) if order.leaves else ZERO
            _hold(account, asset, order, keep)
        position = account.positions[instrument.name]
        closing = min(size, _closable(account, instrument, side))
        opening = size - closing
        account.move(asset, ZERO, -fee)
        if closing:
            _close(account, instrument, position, price, closing)
        if opening:
            cost = notional(instrument, price, opening)
            margin = _margin(account, cost)
            account.move(asset, margin)
            position.cost += cost
            position.margin += margin
            position.size += opening if side is BUY else -opening


SETTLEMENTS: Mapping[Kind, Settlement] = {SPOT: Spot(), Kind.LINEAR: Contracts(), INVERSE: Contracts()}


def paid_in(instrument: Instrument, side: Side) -> str:
    """The asset an order of ``side`` locks and pays with."""
    if instrument.kind is not SPOT:
        return instrument.settle
    return instrument.quote if side is BUY else instrument.base


def lock(account: Account, instrument: Instrument, order: VenueOrder, amount: Decimal) -> bool:
    """Lock ``amount`` for the order in place of what it held; False, and nothing done, when too little is free."""
    asset = paid_in(instrument, order.terms.side)
    if amount - order.held > account.free[asset]:
        return False
    _hold(account, asset, order, amount)
    return True


def unlock(account: Account, instrument: Instrument, order: VenueOrder) -> None:
    if order.held:
        _hold(account, paid_in(instrument, order.terms.side), order, ZERO)


def _hold(account: Account, asset: str, order: VenueOrder, amount: Decimal) -> None:
    more = amount - order.held
    account.free[asset] -= more
    account.locked[asset] += more
    order.held = amount


def _close(account: Account, instrument: Instrument, position: Position, price: Decimal, closing: Decimal) -> None:
    """Return margin and result of ``closing`` at ``price``, at average cost."""
    held = abs(position.size)
    whole = closing == held
    cost = position.cost if whole else money.divide(position.cost * closing, held)
    margin = position.margin if whole else money.divide(position.margin * closing, held)
    gained = notional(instrument, price, closing) - cost
    if (position.size < 0) is not (instrument.kind is INVERSE):
        gained = -gained  # a short gains when worth falls; an inverse contract is worth less base as its price rises
    account.move(instrument.settle, -margin, gained)
    position.cost -= cost
    position.margin -= margin
    position.size += closing if position.size < 0 else -closing


def _closable(account: Account, instrument: Instrument, side: Side) -> Decimal:
    size = account.positions[instrument.name].size
    return max(-size if side is BUY else size, ZERO)


def _margin(account: Account, worth: Decimal) -> Decimal:
    return money.divide(worth, account.leverage) if worth else ZERO


def _charge(worth: Decimal, rate: Decimal) -> Decimal:
    return worth * rate if rate > ZERO else ZERO


def _spent(instrument: Instrument, price: Decimal, size: Decimal, rate: Decimal) -> Decimal:
    """Quote an order to buy may cost, the fee included where it is taken in quote."""
    cost = price * size
    return cost + cost * rate if rate > ZERO and instrument.fee_asset is IN_QUOTE else cost
