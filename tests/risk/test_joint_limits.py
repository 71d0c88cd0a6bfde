"""Several instruments, several strategies, every cap at once, anything in any order: no approval leads past a cap.

The twin keeps its own books from what it hears on the bus, in floats, and at each approval works out the worst that
can still come by trying everything: each order filled or not, each instrument gapping either way. Exempt is what the
gate exempts, by the twin's own reading: an order after which the position cannot be larger, either way, than before,
and one that is only made smaller.
"""

from __future__ import annotations

import itertools
import math
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal as D
from random import Random
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from bus.clock import SECOND
from bus.events import (
    Bar,
    Decision,
    Intent,
    OrderApproved,
    OrderCancelled,
    OrderFilled,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    ReplaceApproved,
    ReplaceRejected,
    ReplaceRequested,
    Trade,
)
from bus.values import Action, Order, Side
from risk.extra import Terms as Extra
from risk.oversight import Terms
from risk.sizing import Sizing
from tests.risk.world import PERP, SPOT, T0, World

SOL = structs.replace(PERP, name="v:SOL/USDT:USDT", base="SOL")
INSTRUMENTS = (PERP, SOL, SPOT)
CASH = 100_000.0
CONFIDENCE, STRESS = 0.95, 0.2
HAIR = 1e-9
LOT = PERP.lot

CAPS: dict[str, tuple[Any, ...]] = {  # the last is out of reach
    "max_notional": (D(10_000), D(10**9)),
    "max_position": (D(15_000), D(30_000), D(10**9)),
    "symbol_position": (D(120), D(10**9)),
    "max_open_orders": (3, 1_000),
    "max_gross": (0.3, 0.6, 1e9),
    "max_net": (0.1, 0.3, 1e9),
    "max_leverage": (0.3, 1e9),
    "min_liquidation_distance": (2.0, 1e-9),
    "budgets": (D(8_000), D(20_000), D(10**9)),
    "max_correlation": (0.5, 1.0),
    "max_var": (0.001, 0.003, 1e9),
    "max_es": (0.002, 1e9),
    "max_money_at_risk": (D(3_000), D(8_000), D(10**9)),
}


@dataclass
class Open:
    """An order as the twin knows it; ``wanted`` are the totals it was asked to become."""

    order: Order
    total: float
    price: float | None
    filled: float = 0.0
    wanted: list[float] = field(default_factory=list)

    @property
    def leaves(self) -> float:
        return max([self.total, *self.wanted]) - self.filled

    @property
    def sign(self) -> float:
        return 1.0 if self.order.side is Side.BUY else -1.0


class Twin:
    """``owns``: strategies have parts of their own. ``exempt`` and ``held_to`` count what was approved."""

    def __init__(self, caps: dict[str, Any], owns: bool) -> None:
        self.caps, self.owns = caps, owns
        self.cash = CASH
        self.marks: dict[str, float] = {}
        self.closes: dict[str, dict[int, float]] = {one.name: {} for one in INSTRUMENTS}
        self.held: dict[str, float] = {one.name: 0.0 for one in INSTRUMENTS}
        self.own: dict[tuple[str, str], float] = {}
        self.open: dict[str, Open] = {}
        self.held_to = self.exempt = 0

    def attach(self, world: World) -> None:
        told: tuple[tuple[Any, Callable[[Any], None]], ...] = (
            (Trade, self.on_trade),
            (Bar, self.on_bar),
            (OrderApproved, self.on_approved),
            (ReplaceApproved, self.on_replace),
            (OrderFilled, self.on_fill),
            (OrderCancelled, self.on_over),
            (OrderRejected, self.on_over),
            (OrderReplaced, self.on_replaced),
            (ReplaceRejected, self.on_kept),
        )
        for kind, heard in told:
            world.bus.subscribe(kind, heard)

    # --- what it hears ---

    def on_trade(self, trade: Trade) -> None:
        self.marks[trade.instrument] = trade.price

    def on_bar(self, bar: Bar) -> None:
        self.closes[bar.instrument][bar.end_ns] = bar.close

    def on_fill(self, fill: OrderFilled) -> None:
        one, size = self.open[fill.intent_id], float(fill.size)
        one.filled += size
        signed, key = one.sign * size, (fill.strategy, fill.instrument)
        self.held[fill.instrument] += signed
        self.own[key] = self.own.get(key, 0.0) + signed
        self.cash -= signed * float(fill.price)
        if not fill.leaves:
            del self.open[fill.intent_id]

    def on_over(self, event: Any) -> None:
        del self.open[event.client_id[2:]]

    def on_replaced(self, event: OrderReplaced) -> None:
        one = self.open[event.client_id[2:]]
        one.total, one.price = float(event.size), float(event.price)
        del one.wanted[:1]

    def on_kept(self, event: ReplaceRejected) -> None:
        del self.open[event.client_id[2:]].wanted[:1]

    def on_approved(self, event: OrderApproved) -> None:
        order = event.order
        before = self.reach(order.instrument)
        self.open[order.intent_id] = Open(order, float(order.size), float(order.price) if order.price else None)
        self.judge(order, float(order.size), self.open[order.intent_id].price, before)

    def on_replace(self, event: ReplaceApproved) -> None:
        one = self.open[event.intent_id]
        before, smaller = self.reach(one.order.instrument), float(event.size) <= one.total
        one.wanted.append(float(event.size))
        if smaller:
            self.exempt += 1  # until the venue says so the old size counts, and nothing became worse
            return
        self.judge(one.order, float(event.size), float(event.price), before)

    # --- the worst that can come ---

    def reach(self, name: str) -> tuple[float, float]:
        """The lowest and highest position: what only reduces fills first, so that the rest goes the furthest."""
        ends = []
        for side in (-1.0, 1.0):
            position = self.held[name]
            mine = [one for one in self.open.values() if one.order.instrument == name and one.sign == side]
            for one in sorted(mine, key=lambda one: not one.order.reduce_only):
                room = max(0.0, -side * position)
                position += side * (min(one.leaves, room) if one.order.reduce_only else one.leaves)
            ends.append(position)
        return ends[0], ends[1]

    def own_reach(self, strategy: str, name: str) -> tuple[float, float]:
        mine = [one for one in self.open.values() if (one.order.strategy, one.order.instrument) == (strategy, name)]
        now = self.own.get((strategy, name), 0.0)
        return (
            now - sum(one.leaves for one in mine if one.sign < 0),
            now + sum(one.leaves for one in mine if one.sign > 0),
        )

    def judge(self, order: Order, size: float, price: float | None, before: tuple[float, float]) -> None:
        caps, name = self.caps, order.instrument
        reaches = {one.name: self.reach(one.name) for one in INSTRUMENTS}
        low, high = reaches[name]
        bought = order.side is Side.BUY
        after, through = (high, high > HAIR) if bought else (low, low < -HAIR)
        grows = through if not order.reduce_only else abs(after) > max(map(abs, before)) + HAIR
        if (grows or self.owns) and not (order.reduce_only and not grows):
            self.judge_budget(order)
        if not grows:
            self.exempt += 1
            return
        self.held_to += 1
        at = price or self.marks[name]
        marks, equity = self.marks, self.cash + sum(self.held[n] * self.marks[n] for n in self.held)
        spans = {n: sorted((lo * marks[n], hi * marks[n])) for n, (lo, hi) in reaches.items()}
        corners = [dict(zip(spans, ends, strict=True)) for ends in itertools.product(*spans.values())]
        worst = {n: max(map(abs, ends)) for n, ends in spans.items()}
        borrowed = worst[PERP.name] + worst[SOL.name]
        within = self.within
        within("max_notional", size * at)
        within("max_position", abs(after) * at)
        within("symbol_position", abs(after))
        within("max_open_orders", len(self.open))
        within("max_gross", sum(worst.values()) / equity)
        within("max_net", max(abs(sum(corner.values())) for corner in corners) / equity)
        within("max_leverage", borrowed / equity)
        if borrowed:  # a fall by d of all that is borrowed leaves E - dN, and asks m N (1 + d)
            floor, m = caps["min_liquidation_distance"], 0.005
            assert equity - floor * borrowed >= m * borrowed * (1 + floor) - HAIR * equity, "liquidation"
        sides = [(n, s) for n in spans if n != name for s in (1.0, -1.0) if s * spans[n][s > 0] > HAIR]
        for other, side in sides:
            within("max_correlation", side * (1.0 if bought else -1.0) * pearson(*self.series([name, other])))
        tails = [self.tail(corner) for corner in corners]
        within("max_var", max(one[0] for one in tails) / equity)
        within("max_es", max(one[1] for one in tails) / equity)
        within("max_money_at_risk", sum(self.gap(n) for n in reaches))

    def judge_budget(self, order: Order) -> None:
        low, high = self.own_reach(order.strategy, order.instrument)
        if (high > HAIR) if order.side is Side.BUY else (low < -HAIR):
            names = [one.name for one in INSTRUMENTS]
            worst = sum(max(map(abs, self.own_reach(order.strategy, n))) * self.marks[n] for n in names)
            self.within("budgets", worst)

    def within(self, cap: str, value: float) -> None:
        assert value <= float(self.caps[cap]) * (1 + HAIR) + HAIR, f"{cap}: {value} > {self.caps[cap]}"

    def series(self, names: list[str]) -> list[list[float]]:
        """Returns over the bars that all of them have."""
        times = sorted(set.intersection(*(set(self.closes[n]) for n in names)))
        return [[self.closes[n][b] / self.closes[n][a] - 1 for a, b in itertools.pairwise(times)] for n in names]

    def tail(self, worth: dict[str, float]) -> tuple[float, float]:
        """VaR and ES over one bar, the larger of both methods each: by the covariance matrix, and by a full sort."""
        names = [n for n in worth if self.reach(n) != (0.0, 0.0)]
        if not names:
            return 0.0, 0.0
        columns = self.series(names)
        n = len(columns[0])
        means = [sum(column) / n for column in columns]
        variance = sum(
            worth[a] * worth[b] * sum((x - p) * (y - q) for x, y in zip(columns[i], columns[j], strict=True)) / (n - 1)
            for (i, a), (j, b) in itertools.product(enumerate(names), repeat=2)
            for p, q in [(means[i], means[j])]
        )
        made = sorted(sum(worth[a] * column[t] for a, column in zip(names, columns, strict=True)) for t in range(n))
        k = max(1, math.ceil(n * (1 - CONFIDENCE) - 1e-9))
        z, s = NormalDist().inv_cdf(CONFIDENCE), math.sqrt(max(0.0, variance))
        return max(z * s, -made[k - 1]), max(s * NormalDist().pdf(z) / (1 - CONFIDENCE), -sum(made[:k]) / k)

    def gap(self, name: str) -> float:
        """The most that a gap either way costs, whichever orders fill before it."""
        mark, held = self.marks[name], self.held[name]
        mine = [one for one in self.open.values() if one.order.instrument == name]
        plain = [one for one in mine if not one.order.reduce_only]
        closing = sum(one.leaves for one in mine if one.order.reduce_only and one.sign * held < 0)
        parts = (held, math.copysign(max(0.0, abs(held) - closing), held))
        worst = 0.0
        for to, part in itertools.product((mark * (1 - STRESS), mark * (1 + STRESS)), parts):
            lost = [one.sign * one.leaves * ((one.price or mark) - to) for one in plain]
            few = itertools.product((0, 1), repeat=len(lost)) if len(lost) < 7 else [[one > 0 for one in lost]]
            for filled in few:
                worst = max(worst, part * (mark - to) + sum(itertools.compress(lost, filled)))
        return worst


def pearson(xs: list[float], ys: list[float]) -> float:
    n, mx, my = len(xs), sum(xs) / len(xs), sum(ys) / len(ys)
    sx, sy = (math.sqrt(sum((v - m) ** 2 for v in vs) / n) for vs, m in ((xs, mx), (ys, my)))
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / n / (sx * sy) if sx * sy else 0.0


# --- the play ---------------------------------------------------------------------------------------------------

B, S = Action.BUY, Action.SELL
actions = st.sampled_from([B, S, B, S, B, S, B, S, *(action for action in Action if action is not Action.HOLD)])
wishes = st.tuples(
    st.sampled_from("abc"),
    st.sampled_from(INSTRUMENTS),
    actions,
    st.integers(1, 260),
    st.sampled_from([None, None, -0.02, 0.02]),
    st.booleans(),
)
which = st.integers(0, 7)
moments = st.lists(
    st.one_of(
        *[st.tuples(st.just("wish"), wishes)] * 6,
        st.tuples(st.just("at once"), st.lists(wishes, min_size=2, max_size=4)),
        st.tuples(st.just("fill"), which),
        st.tuples(st.just("part"), which),
        st.tuples(st.just("cancel"), which),
        st.tuples(st.just("reject"), which),
        st.tuples(st.just("replace"), st.tuples(which, st.integers(1, 260))),
        st.tuples(st.just("replaced"), which),
        st.tuples(st.just("kept"), which),
        st.tuples(st.just("mark"), st.tuples(st.sampled_from(INSTRUMENTS), st.floats(80.0, 125.0))),
        st.tuples(st.just("bars"), st.tuples(*(st.floats(80.0, 125.0) for _ in INSTRUMENTS))),
    ),
    min_size=12,
    max_size=25,
)
tight = st.dictionaries(st.sampled_from(list(CAPS)), st.integers(0, 1), min_size=1, max_size=3)


class Play:
    def __init__(self, caps: dict[str, Any], owns: bool) -> None:
        budgets, symbols = (
            dict.fromkeys("abc", caps["budgets"]),
            {one.name: caps["symbol_position"] for one in INSTRUMENTS},
        )
        extra = {name: caps[name] for name in CAPS if name in Extra.__struct_fields__ and name != "budgets"}
        asked = Extra(**extra, budgets=budgets, confidence=CONFIDENCE, horizon_s=60.0, stress=D(str(STRESS)))
        self.world = World(
            {"USDT": str(CASH)},
            oversight=Terms(sizing=Sizing(notional=D(5_000)), extra=asked, own_positions=owns),
            max_notional=caps["max_notional"],
            max_position=caps["max_position"],
            max_open_orders=caps["max_open_orders"],
            symbol_position_limits=symbols,
            max_orders=10_000,
            max_drawdown_bps=10_000.0,
            max_consecutive_rejects=10_000,
            price_collar_bps=5_000.0,
        )
        self.twin = Twin(caps, owns)
        self.world.market.instruments[SOL.name] = SOL
        self.twin.attach(self.world)
        self.bars = 0
        for i in range(42):  # PERP and SOL go together, SPOT mostly not
            up = 1.0 if i % 2 else -1.0
            self.close(100 + up, 100 + 0.9 * up + 0.1 * (i % 3), 100 + (1.0 if i % 3 else -1.4))
        for instrument in INSTRUMENTS:
            self.world.trade(100.0, instrument)

    def close(self, *prices: float) -> None:
        self.bars += 1
        for instrument, price in zip(INSTRUMENTS, prices, strict=True):
            self.world.bar(price, T0 // SECOND + self.bars * 60, instrument)

    def decisions(self, wanted: list[Any]) -> list[Decision]:
        found = []
        for strategy, instrument, action, size, away, reduce_only in wanted:
            self.world.emitted += 1
            limit = None if away is None else round(self.twin.marks[instrument.name] * (1 + away), 2)
            named = size if action in (Action.BUY, Action.SELL) or size % 3 else None
            intent = Intent(instrument.name, action, named, limit=limit, reduce_only=reduce_only)
            found.append(Decision(self.world.clock.now, f"{strategy}-{self.world.emitted}", strategy, intent))
        return found

    def order(self, number: int, that: Callable[[Open], bool] = lambda _: True) -> Open | None:
        found = [one for one in self.twin.open.values() if that(one)]
        return found[number % len(found)] if found else None

    def go(self, what: str, given: Any) -> None:
        world, now = self.world, self.world.clock.now
        match what:
            case "wish":
                for decision in self.decisions([given]):
                    world.bus.publish(decision)
            case "at once":
                world.at_once(*self.decisions(given))
            case "mark":
                world.trade(given[1], given[0])
            case "bars":
                self.close(*given)
            case "replace" if one := self.order(given[0], lambda one: one.price is not None and not one.wanted):
                world.submit(one.order)
                order = one.order
                world.bus.publish(ReplaceRequested(now, order.intent_id, order.strategy, order.price, given[1], ""))
            case "replaced" if one := self.order(given, lambda one: bool(one.wanted) and one.wanted[0] > one.filled):
                price = D(str(one.price))
                world.bus.publish(OrderReplaced(now, f"c-{one.order.intent_id}", price, D(str(one.wanted[0])), now))
            case "kept" if one := self.order(given, lambda one: bool(one.wanted)):
                world.bus.publish(ReplaceRejected(now, f"c-{one.order.intent_id}", "-2011", "no"))
            case "cancel" | "reject" if one := self.order(given):
                world.submit(one.order)
                (world.cancelled if what == "cancel" else world.reject)(one.order)
            case "fill" | "part" if one := self.order(given, lambda one: one.total > one.filled and not one.wanted):
                self.fill(one, what == "part")

    def fill(self, one: Open, part: bool) -> None:
        """At its limit or at the market; what only reduces as far as there is something to reduce, like any venue's."""
        world, order = self.world, one.order
        world.submit(order)
        left = D(str(one.total)) - D(str(one.filled))
        room = world.ledger.inventory(order.instrument) * (-1 if one.sign > 0 else 1)
        size = min(left, room) if order.reduce_only else left
        if size <= 0:
            world.cancelled(order)
            return
        size = max(LOT, LOT * int(size * 500)) if part else size
        price = D(str(one.price if one.price is not None else self.twin.marks[order.instrument]))
        filled = structs.replace(order, size=left)
        world.fill(filled, str(price), size)


@pytest.mark.property
@given(tight, st.booleans(), moments)
def test_no_approval_leads_past_any_cap_whatever_else_may_still_happen(
    tight: dict[str, int], owns: bool, moments: list[tuple[str, Any]]
) -> None:
    caps = {name: values[min(tight.get(name, len(values)), len(values) - 1)] for name, values in CAPS.items()}
    play = Play(caps, owns)

    for what, given_ in moments:
        play.go(what, given_)

    answered = len(play.world.all(OrderApproved, OrderRefused))
    assert answered >= play.world.emitted, "every decision is answered"


CAMPAIGN = bool(os.environ.get("ARGUS_CAMPAIGN"))


def a_moment(draw: Random) -> tuple[str, Any]:
    """Mostly wishes of the size of the caps, and fills in every order."""

    def wish() -> tuple[Any, ...]:
        action = draw.choice([B, S, B, S, B, S, Action.ENTER_LONG, Action.ENTER_SHORT, Action.FLAT])
        away = draw.choice([None, None, -0.02, 0.02])
        return (
            draw.choice("ab"),
            draw.choice(INSTRUMENTS),
            action,
            draw.choice((5, 20, 60, 100, 150)),
            away,
            draw.random() < 0.2,
        )

    match draw.choice(
        ["wish"] * 10 + ["fill"] * 5 + ["at once", "part", "cancel", "replace", "replaced", "kept", "mark"]
    ):
        case "wish":
            return "wish", wish()
        case "at once":
            return "at once", [wish() for _ in range(draw.randint(2, 4))]
        case "mark":
            return "mark", (draw.choice(INSTRUMENTS), draw.uniform(90.0, 110.0))
        case "replace":
            return "replace", (draw.randrange(8), draw.choice((5, 20, 60, 150)))
        case what:
            return what, draw.randrange(8)


@pytest.mark.property
def test_no_approval_of_busy_accounts_leads_past_a_cap() -> None:
    """The same with what happens drawn for its weight, not for its strangeness: longer, and nearer to the caps."""
    refused: Counter[str] = Counter()
    for seed in range(20_000 if CAMPAIGN else 50):
        draw = Random(seed)
        names = draw.sample(list(CAPS), draw.choice((1, 1, 2)))
        caps = {name: values[0] if name in names else values[-1] for name, values in CAPS.items()}
        play = Play(caps, owns=draw.random() < 0.5)
        try:
            for _ in range(40):
                play.go(*a_moment(draw))
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, {', '.join(names)}: {error}") from error
        refused.update(event.rule for event in play.world.all(OrderRefused))

    assert {rule for rule, count in refused.items() if count >= 5} >= RULES_OF_CAPS, refused


RULES_OF_CAPS = {
    "max_notional", "max_position", "symbol_position", "open_orders", "gross_exposure", "net_exposure", "leverage",
    "liquidation", "budget", "correlation", "var", "es", "money_at_risk",
}  # fmt: skip
