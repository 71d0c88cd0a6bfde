"""What holds whatever happens: random markets, orders, cancels, replacements and latencies, watched by an auditor."""

from __future__ import annotations

import random
from collections import defaultdict
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import money
from bus.events import (
    BookSnapshot,
    BookUpdate,
    OrderAccepted,
    OrderCancelled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    Quote,
    Trade,
)
from bus.values import ZERO, FeeAsset, Instrument, Liquidity, MatchSource
from sim.fees import MakerTakerFees
from sim.latency import FixedLatency, UniformLatency
from sim.models import Models
from sim.queue import CancelsBehindUs, CancelsProRata
from tests.sim.venue import BUY, FOK, GTC, IOC, LIMIT, LINEAR, MARKET, SELL, SPOT, STOP, TRAILING_STOP, D, Venue

pytestmark = pytest.mark.property

RECEIVED = msgspec.structs.replace(SPOT, fee_asset=FeeAsset.RECEIVED)
TERMINAL = (OrderCancelled, OrderExpired, OrderRejected)

seeds = st.tuples(st.integers(0, 2**32), st.integers(5, 120))
latencies = st.sampled_from([0, 1_000_000, 7_500_000])

Action = tuple[Any, ...]


class Script:
    """A random session around a wandering price: one seed, so many steps, the market's ways of speaking.

    Drawn from a plain generator and not from hypothesis, whose short simple lists seldom let an order rest and be met.
    """

    def __init__(self, seed: tuple[int, int], market: str) -> None:
        start, steps = seed
        self.dice = random.Random(start)
        self.middle = 100
        self.orders = 0
        speak = [getattr(self, f"_{name}") for name in market.split()]
        self.actions: list[Action] = []
        for _ in range(steps):
            self.middle = max(20, self.middle + self.dice.choice((-1, 0, 0, 0, 1)))
            ours = self.dice.random() < 0.45
            self.actions.append(self._ask() if ours else self.dice.choice(speak)())

    def _size(self) -> float:
        return self.dice.randint(1, 8) / 2

    def _price(self) -> float:
        return float(self.middle + self.dice.randint(-3, 3))

    def _ask(self) -> Action:
        kind = self.dice.choices(("order", "cancel", "replace", "wait"), (12, 2, 3, 2))[0]
        if kind == "wait":
            return kind, self.dice.randint(1, 10)
        if kind == "order":
            self.orders += 1
            type_ = self.dice.choice((MARKET, LIMIT, LIMIT, LIMIT, LIMIT, STOP, TRAILING_STOP))
            tif = self.dice.choice((GTC, GTC, GTC, IOC, FOK))
            side = self.dice.choice((BUY, SELL))
            return kind, side, type_, self._size(), self._price(), tif, self.dice.random() < 0.3
        which = max(0, self.orders - self.dice.randint(1, 4))
        return (kind, which) if kind == "cancel" else (kind, which, self._price(), self._size())

    def _snapshot(self) -> Action:
        return "book", self.middle, [self._size() for _ in range(self.dice.randint(1, 4))]

    def _update(self) -> Action:
        change = [(float(self.middle - n), self.dice.choice((0.0, self._size()))) for n in range(1, 4)]
        other = [(float(self.middle + n), self.dice.choice((0.0, self._size()))) for n in range(4)]
        return "update", self.dice.sample(change, 2), self.dice.sample(other, 2)

    def _trade(self) -> Action:
        return "trade", self._price(), self._size(), self.dice.choice((BUY, SELL))

    def _quote(self) -> Action:
        return "quote", self.middle - 1, self.dice.randint(1, 2), self._size(), self._size()

    def _invalidate(self) -> Action:
        return ("invalidate",) if self.dice.random() < 0.3 else self._snapshot()


class Auditor:
    """Hears everything the venue hears and says, keeps its own books in the plainest way, and complains at once."""

    def __init__(self, venue: Venue, entry_ns: int, fee: Decimal) -> None:
        self.venue = venue
        self.entry_ns = entry_ns
        self.fee = fee
        self.sent: dict[str, tuple[int, Any, Any]] = {}
        self.limit: dict[str, Decimal | None] = {}
        self.leaves: dict[str, Decimal] = {}
        self.ends: defaultdict[str, int] = defaultdict(int)
        self.taken: defaultdict[tuple[object, float], Decimal] = defaultdict(Decimal)
        self.shown: dict[object, tuple[float, float]] = {}
        self.traded = ZERO
        self.total = {asset: venue.exchange.account.total(asset) for asset in ("BTC", "USDT")}
        hear = venue.bus.subscribe
        hear(BookSnapshot, lambda _event: self.taken.clear())
        hear(BookUpdate, self.on_update)
        hear(Quote, self.on_quote)
        hear(Trade, self.on_trade)
        hear(OrderAccepted, self.on_accepted)
        hear(OrderReplaced, self.on_replaced)
        hear(OrderFilled, self.on_fill)
        for event in TERMINAL:
            hear(event, self.on_end)

    def on_update(self, event: BookUpdate) -> None:
        for side, changed in ((SELL, event.bids), (BUY, event.asks)):
            for price, _ in changed:
                self.taken.pop((side, price), None)

    def on_quote(self, quote: Quote) -> None:
        for side, shown in ((BUY, (quote.ask, quote.ask_size)), (SELL, (quote.bid, quote.bid_size))):
            if self.shown.get(side) != shown:
                self.shown[side] = shown
                self.taken.pop((side, shown[0]), None)

    def on_trade(self, trade: Trade) -> None:
        self.traded = D(repr(trade.size))

    def on_accepted(self, event: OrderAccepted) -> None:
        assert event.arrival_ns == self.sent[event.client_id][0] + self.entry_ns

    def on_replaced(self, event: OrderReplaced) -> None:
        self.leaves[event.client_id] += event.size - self.sent[event.client_id][2]
        self.sent[event.client_id] = (*self.sent[event.client_id][:2], event.size)
        self.limit[event.client_id] = event.price

    def on_fill(self, fill: OrderFilled) -> None:
        limit, market = self.limit[fill.client_id], self.venue.market
        assert fill.size > 0
        assert limit is None or (fill.price <= limit if fill.side is BUY else fill.price >= limit)
        assert fill.ns >= self.sent[fill.client_id][0] + self.entry_ns
        self.leaves[fill.client_id] -= fill.size
        assert fill.leaves == self.leaves[fill.client_id] >= 0
        book = market.books.get(fill.instrument)
        assert book is None or book.usable
        if fill.source is MatchSource.TRADE and fill.liquidity is Liquidity.MAKER:
            self.traded -= fill.size
            assert self.traded >= 0
            last = D(repr(market.last(fill.instrument)))
            assert last <= fill.price if fill.side is BUY else last >= fill.price
        elif fill.source is not MatchSource.TRADE:
            self.check_display(fill)
        signed = fill.size if fill.side is BUY else -fill.size
        self.total["BTC"] += signed
        self.total["USDT"] -= signed * fill.price
        self.total[fill.fee_asset] -= fill.fee
        if not fill.leaves:
            self.ends[fill.client_id] += 1

    def check_display(self, fill: OrderFilled) -> None:
        """Count what was taken by hand: at the price named, or, when a maker was reached, from the best level on."""
        market, buys = self.venue.market, fill.side is BUY
        book, maker = market.books.get(fill.instrument), fill.liquidity is Liquidity.MAKER
        if book is not None:
            levels = sorted((book.asks if buys else book.bids).items(), reverse=not buys)
        else:
            quote = market.quotes[fill.instrument]
            levels = [(quote.ask, quote.ask_size) if buys else (quote.bid, quote.bid_size)]
        left = fill.size
        for price, displayed in levels:
            exact = D(repr(price))
            within = exact <= fill.price if buys else exact >= fill.price
            if left and (within if maker else exact == fill.price):
                taken = min(D(repr(displayed)) - self.taken[fill.side, price], left)
                self.taken[fill.side, price] += taken
                left -= taken
        assert not left

    def on_end(self, event: Any) -> None:
        self.ends[event.client_id] += 1

    def settle_accounts(self) -> None:
        account = self.venue.exchange.account
        for asset, total in self.total.items():
            assert account.total(asset) == total
            assert account.free[asset] >= 0
            assert account.locked[asset] >= 0

    def close(self) -> None:
        self.settle_accounts()
        still_open = {order.client_id for order in self.venue.exchange.open_orders()}
        locked = sum((order.held for order in self.venue.exchange.open_orders()), ZERO)
        assert sum(self.venue.exchange.account.locked.values(), ZERO) == locked
        for client_id in self.sent:
            assert self.ends[client_id] == (0 if client_id in still_open else 1), client_id


def play(session: list[Any], entry_ns: int, instrument: Instrument = SPOT, queue: Any = None) -> Auditor:
    money.install()
    fee = D("0.001")
    models = Models(
        entry=FixedLatency(entry_ns),
        cancel=FixedLatency(3_000_000),
        fees=MakerTakerFees(-fee / 4, fee),
        queue=queue or CancelsBehindUs(),
    )
    venue = Venue(models, instrument=instrument, balances={"USDT": D(1500), "BTC": D(12)})
    auditor = Auditor(venue, entry_ns, fee)
    for what, *rest in session:
        ACTIONS[what](venue, auditor, *rest)
        auditor.settle_accounts()
    venue.clock.turn(venue.clock.now + 10**9)
    auditor.close()
    return auditor


def _book(venue: Venue, _auditor: Auditor, middle: int, amounts: list[float]) -> None:
    bids = [(float(middle - 1 - n), size) for n, size in enumerate(amounts)]
    venue.book(bids, [(float(middle + 1 + n), size) for n, size in enumerate(reversed(amounts))])


def _update(venue: Venue, _auditor: Auditor, bids: Any, asks: Any) -> None:
    if venue.instrument.name in venue.market.books:
        venue.update(bids, asks)


def _order(
    venue: Venue, auditor: Auditor, side: Any, kind: Any, size: float, price: float, tif: Any, post_only: bool
) -> None:
    client_id = f"c{len(auditor.sent)}"
    auditor.sent[client_id] = (venue.clock.now, side, D(repr(size)))
    auditor.leaves[client_id] = D(repr(size))
    auditor.limit[client_id] = D(repr(price)) if kind is LIMIT else None
    terms = {"stop": repr(price)} if kind is STOP else {"trail": "2"} if kind is TRAILING_STOP else {}
    limit = repr(price) if kind is LIMIT else None
    venue.order(
        side, kind, repr(size), limit, tif=tif, post_only=post_only and tif is GTC, client_id=client_id, **terms
    )


ACTIONS: dict[str, Any] = {
    "book": _book,
    "update": _update,
    "order": _order,
    "invalidate": lambda venue, _auditor: venue.invalidate(),
    "trade": lambda venue, _auditor, price, size, taker: venue.trade(price, size, taker),
    "quote": lambda venue, _auditor, bid, gap, b, a: venue.quote(float(bid), float(bid + gap), b, a),
    "cancel": lambda venue, _auditor, n: venue.cancel(f"c{n}"),
    "replace": lambda venue, _auditor, n, price, size: venue.replace(f"c{n}", repr(price), repr(size)),
    "wait": lambda venue, _auditor, ms: venue.clock.turn(venue.clock.now + ms * 1_000_000),
}


@given(seeds, latencies, st.sampled_from([SPOT, RECEIVED]), st.sampled_from([CancelsBehindUs(), CancelsProRata()]))
def test_books_and_trades(seed, entry_ns, instrument, queue):
    session = Script(seed, "snapshot update update trade trade trade invalidate").actions
    play([("trade", 100.0, 1.0, BUY), ("book", 100, [2.0, 3.0]), *session], entry_ns, instrument, queue)


@given(seeds, latencies, st.sampled_from([SPOT, RECEIVED]))
def test_quotes_alone(seed, entry_ns, instrument):
    play([("quote", 99, 2, 3.0, 3.0), *Script(seed, "quote").actions], entry_ns, instrument)


@given(seeds, latencies)
def test_quotes_and_trades(seed, entry_ns):
    play([("trade", 100.0, 1.0, BUY), ("quote", 99, 2, 3.0, 3.0), *Script(seed, "quote trade").actions], entry_ns)


@given(seeds, latencies)
def test_trades_alone(seed, entry_ns):
    play([("trade", 100.0, 1.0, BUY), *Script(seed, "trade").actions], entry_ns)


@given(seeds, latencies)
def test_a_book_without_trades(seed, entry_ns):
    play([("book", 100, [2.0, 3.0]), *Script(seed, "snapshot update update invalidate").actions], entry_ns)


@given(
    st.integers(0, 10),
    st.integers(1, 6),
    st.lists(st.tuples(st.sampled_from([100.0, 99.5, 101.0]), st.integers(1, 8).map(lambda n: n / 2)), max_size=12),
)
def test_a_queue_is_what_a_plain_count_says(ahead, size, stream):
    venue = Venue()
    venue.book([(100.0, float(ahead)), (98.0, 1.0)], [(102.0, 1.0)])
    venue.order(BUY, LIMIT, str(size), "100")

    for price, volume in stream:
        venue.trade(price, volume)

    left, before = Decimal(size), Decimal(ahead)
    for price, volume in stream:
        if price > 100.0:
            continue
        before = ZERO if price < 100.0 else before
        past = max(D(repr(volume)) - before, ZERO)
        before = max(before - D(repr(volume)), ZERO)
        left -= min(left, past)
    assert sum((D(filled) for _, filled in venue.fills()), ZERO) == size - left


@given(seeds, st.lists(st.integers(0, 30), max_size=5))
def test_a_stranger_changes_nothing_for_us(seed, places):
    """Far-off orders between ours: every report of ours, its time and its latency stay what they were."""

    session = Script(seed, "snapshot update trade").actions

    def ours(strangers: list[int]) -> list[object]:
        money.install()
        models = Models(entry=UniformLatency(), cancel=UniformLatency(), acknowledgement=UniformLatency(0, 10**7))
        venue = Venue(models, balances={"USDT": D(10**9), "BTC": D(10**9)}, seed=seed[0])
        auditor = _Mute(venue)
        venue.book([(99.0, 2.0)], [(101.0, 2.0)])
        for n, (what, *rest) in enumerate(session):
            ACTIONS[what](venue, auditor, *rest)
            for k in range(strangers.count(n)):
                venue.order(SELL, LIMIT, "1", "900", client_id=f"x{n}.{k}", intent=f"other.{n}.{k}")
        venue.clock.turn(venue.clock.now + 10**9)
        return [event for event in venue.heard if event.client_id.startswith("c")]  # type: ignore[attr-defined]

    assert ours(places) == ours([])


class _Mute(Auditor):
    """Keeps the ids of what was sent and checks nothing."""

    def __init__(self, venue: Venue) -> None:
        self.sent, self.leaves, self.limit = {}, {}, {}


@given(seeds, latencies)
def test_a_contracts_account_moves_by_results_and_fees_alone(seed, entry_ns):
    money.install()
    models = Models(entry=FixedLatency(entry_ns), cancel=FixedLatency(0), fees=MakerTakerFees(D(0), D("0.001")))
    venue = Venue(models, instrument=LINEAR, balances={"USDT": D(1500)})
    mute = _Mute(venue)
    for what, *rest in [("quote", 99, 2, 3.0, 3.0), *Script(seed, "quote").actions]:
        ACTIONS[what](venue, mute, *rest)
    venue.clock.turn(venue.clock.now + 10**9)

    account, position = venue.exchange.account, venue.exchange.account.positions[LINEAR.name]
    fills = [event for event in venue.heard if isinstance(event, OrderFilled)]
    held = sum((order.held for order in venue.exchange.open_orders()), ZERO)
    size = sum((f.size if f.side is BUY else -f.size for f in fills), ZERO)
    cash = sum((-f.size * f.price if f.side is BUY else f.size * f.price for f in fills), ZERO)
    worth = position.cost if position.size > 0 else -position.cost
    assert position.size == size
    assert account.locked["USDT"] == held + position.margin
    assert abs(account.total("USDT") - (D(1500) + cash + worth - sum((f.fee for f in fills), ZERO))) < D("1e-15")
