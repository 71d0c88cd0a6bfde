"""What could still fill, against a twin that remembers every order and searches all the ways they can end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal as D
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from bus import money
from bus.events import (
    CancelRejected,
    OrderAccepted,
    OrderApproved,
    OrderCancelled,
    OrderExpired,
    OrderRefused,
    OrderRejected,
    OrderReplaced,
    OrderSubmitted,
    ReplaceApproved,
    ReplaceRejected,
)
from bus.values import Instrument, Order, OrderType, Side
from portfolio.valuation import CannotValue
from tests.portfolio.given import INVERSE, LINEAR, SPOT, T0, Desk, fill, mark, trade


def approved(
    size: str | D, intent_id: str = "s-1", instrument: Instrument = SPOT, *, reduce_only: bool = False
) -> OrderApproved:
    """Approval of a signed size."""
    side = Side.BUY if D(size) > 0 else Side.SELL
    order = Order(intent_id, "s", instrument.name, side, OrderType.LIMIT, abs(D(size)), D(100), reduce_only=reduce_only)
    return OrderApproved(T0, order, 100.0)


def desk(*events: object) -> Desk:
    there = Desk({"USDT": "1000"})
    there.hear(*events)
    return there


def leaves(there: Desk) -> list[D]:
    return [order.leaves for order in there.exposure.open_orders()]


def reach(there: Desk) -> tuple[object, object]:
    return there.exposure.position_if_all_fill(SPOT.name)


SUBMITTED = OrderSubmitted(T0, "c-1", "s-1")


def test_an_order_counts_from_its_approval() -> None:
    there = desk(approved("2"))

    assert reach(there) == (0, 2)
    assert there.exposure.worst_position(SPOT.name, Side.BUY, D(3)) == 5
    assert there.exposure.worst_position(SPOT.name, Side.SELL, D(3)) == 3


def test_a_part_filled_order_counts_once() -> None:
    there = desk(approved("2"), SUBMITTED, fill("0.5", "100", leaves="1.5"))

    assert leaves(there) == [D("1.5")]
    assert reach(there) == (D("0.5"), 2)


@pytest.mark.parametrize(
    "end",
    [
        fill("2", "100"),
        OrderCancelled(T0, "c-1", "asked"),
        OrderExpired(T0, "c-1", "ioc"),
        OrderRejected(T0, "c-1", "-2010", "no"),
    ],
)
def test_the_venues_word_ends_an_order(end: object) -> None:
    there = desk(approved("2"), SUBMITTED, end)

    assert there.exposure.count() == 0
    low, high = there.exposure.position_if_all_fill(SPOT.name)
    assert low == high == there.ledger.position(SPOT.name)


@pytest.mark.parametrize(
    "word", [OrderAccepted(T0, "c-1", "v", T0), CancelRejected(T0, "c-1", "", ""), OrderCancelled(T0, "c-9", "")]
)
def test_anything_else_does_not_end_it(word: object) -> None:
    assert leaves(desk(approved("2"), SUBMITTED, word)) == [D(2)]


def test_a_refusal_ends_an_order_that_was_never_submitted() -> None:
    refusal = OrderRefused(T0, "s-1", "s", SPOT.name, "halted", "", [])

    assert leaves(desk(approved("2"), refusal)) == []
    assert leaves(desk(approved("2"), SUBMITTED, refusal)) == [D(2)]  # a refused replacement, say


def test_a_fill_after_the_cancel_is_the_ledgers_alone() -> None:
    there = desk(approved("2"), SUBMITTED, OrderCancelled(T0, "c-1", ""), fill("2", "100"))

    assert reach(there) == (2, 2)


def test_while_a_replacement_is_under_way_the_larger_size_counts() -> None:
    there = desk(approved("2"), SUBMITTED)

    def left_after(event: object) -> list[D]:
        there.hear(event)
        return leaves(there)

    assert left_after(ReplaceApproved(T0, "s-1", "s", D(99), D(5), "")) == [5]
    assert left_after(fill("1", "100", leaves="1")) == [4]
    assert left_after(ReplaceRejected(T0, "c-1", "", "")) == [1]
    assert left_after(ReplaceApproved(T0, "s-1", "s", D(98), D("1.5"), "")) == [1]
    assert left_after(OrderReplaced(T0, "c-1", D(98), D("1.5"), T0)) == [D("0.5")]
    assert there.exposure.open_orders()[0].price == D(98)


def test_the_venue_may_say_that_more_is_left_than_we_know_of() -> None:
    assert leaves(desk(approved("2"), SUBMITTED, fill("1", "100", leaves="3"))) == [3]


def test_orders_that_only_reduce_never_carry_the_position_through_zero() -> None:
    there = desk(approved("-9", reduce_only=True))
    assert reach(there) == (0, 0)

    there.hear(fill("4", "100"), approved("-1", "s-2"))

    assert reach(there) == (-1, 4)


def test_open_orders_by_instrument_and_strategy() -> None:
    there = desk(approved("1", "s-1"), approved("-1", "s-2", LINEAR))

    def ids(*args: str | None) -> list[str]:
        return [order.intent_id for order in there.exposure.open_orders(*args)]

    assert ids() == ["s-1", "s-2"]
    assert ids(LINEAR.name) == ["s-2"]
    assert ids(None, "s") == ["s-1", "s-2"]
    assert ids(None, "t") == ids("v:X/Y") == []
    assert there.exposure.find("s-2") is there.exposure.open_orders(LINEAR.name)[0]
    assert there.exposure.find("s-3") is None


def test_gross_notional_is_the_worse_side_of_everything_at_the_marks() -> None:
    there = desk(trade(100.0), mark(200.0), mark(50.0, INVERSE))
    there.hear(fill("1", "100"), approved("-3", "s-1"), approved("1", "s-2"))  # -2 .. 2 coins
    there.hear(fill("-4", "200", LINEAR), fill("3", "50", INVERSE))  # 4 * 0.1 coins, 3 * 100 quote units

    assert there.exposure.gross_notional() == 2 * 100 + D("0.4") * 200 + 300
    assert there.exposure.worst_notional(SPOT.name, Side.SELL, D(1)) == 300


def test_a_size_without_a_mark_has_no_notional() -> None:
    with pytest.raises(CannotValue, match=SPOT.name):
        desk(approved("1")).exposure.gross_notional()


class Orders(RuleBasedStateMachine):
    """Orders are approved, submitted, filled, replaced and ended in any order; only the venue knows their true size."""

    live = Bundle("live")

    def __init__(self) -> None:
        super().__init__()
        money.install()
        self.desk = Desk({"USDT": "1000"})
        self.orders: dict[str, dict[str, Any]] = {}
        self.serial = 0

    @rule(target=live, size=st.integers(-9, 9).filter(bool), reduce_only=st.booleans(), sent=st.booleans())
    def approve(self, size, reduce_only, sent):
        self.serial += 1
        key = str(self.serial)
        self.desk.hear(approved(str(size), "s-" + key, reduce_only=reduce_only))
        order = {"sign": 1 if size > 0 else -1, "size": abs(size), "filled": 0, "asked": [], "reduce": reduce_only}
        self.orders[key] = {**order, "sent": False}
        if sent:
            self._send(key)
        return key

    def _send(self, key):
        if not self.orders[key]["sent"]:
            self.orders[key]["sent"] = True
            self.desk.hear(OrderSubmitted(T0, "c-" + key, "s-" + key))

    @rule(key=live, part=st.integers(1, 9))
    def fill(self, key, part):
        order = self.orders.get(key)
        if order is None or order["size"] - order["filled"] <= 0:
            return
        self._send(key)
        part = min(part, order["size"] - order["filled"])
        order["filled"] += part
        left = order["size"] - order["filled"]
        ids = {"intent_id": "s-" + key, "client_id": "c-" + key}
        self.desk.hear(fill(str(order["sign"] * part), "100", leaves=str(left), **ids))
        if not left:
            del self.orders[key]

    @rule(key=live, size=st.integers(1, 12))
    def ask_to_replace(self, key, size):
        if key in self.orders:
            self._send(key)
            self.orders[key]["asked"].append(size)
            self.desk.hear(ReplaceApproved(T0, "s-" + key, "s", D(99), D(size), ""))

    @rule(key=live, taken=st.booleans())
    def answer_replace(self, key, taken):
        order = self.orders.get(key)
        if order is None or not order["asked"]:
            return
        size = order["asked"].pop(0)
        if taken:
            order["size"] = size
            self.desk.hear(OrderReplaced(T0, "c-" + key, D(99), D(size), T0))
        else:
            self.desk.hear(ReplaceRejected(T0, "c-" + key, "", ""))

    @rule(key=consumes(live), how=st.sampled_from((OrderCancelled, OrderExpired, OrderRejected, OrderRefused)))
    def end(self, key, how):
        if key not in self.orders:
            return
        if how is OrderRefused and not self.orders[key]["sent"]:
            self.desk.hear(OrderRefused(T0, "s-" + key, "s", SPOT.name, "halted", "", []))
        else:
            self._send(key)
            args = ("",) if how is not OrderRejected else ("", "")
            self.desk.hear((OrderCancelled if how is OrderRefused else how)(T0, "c-" + key, *args))
        del self.orders[key]

    def _left(self, order):
        return max(0, max([order["size"], *order["asked"]]) - order["filled"])

    @invariant()
    def what_is_reserved_is_what_may_still_fill(self):
        exposure = self.desk.exposure
        assert {o.intent_id: o.leaves for o in exposure.open_orders()} == {
            "s-" + key: self._left(order) for key, order in self.orders.items()
        }
        assert all(o.leaves >= 0 for o in exposure.open_orders())
        reserved = exposure._reserved.get(SPOT.name)
        if reserved is not None:
            sums = (reserved.buys, reserved.sells, reserved.reducing_buys, reserved.reducing_sells)
            assert all(total >= 0 for total in sums)
            assert self.orders or not any(sums)

    @invariant()
    def the_range_is_that_of_all_outcomes(self):
        held = int(self.desk.ledger.position(SPOT.name))
        kinds = {
            (sign, reduce): sum(
                self._left(o) for o in self.orders.values() if (o["sign"], o["reduce"]) == (sign, reduce)
            )
            for sign, reduce in product((1, -1), (True, False))
        }
        ends = {position for order in permutations(kinds.items()) for position in _filling(held, order)}
        assert reach(self.desk) == (min(ends), max(ends))


def _filling(held: int, kinds: Iterable[tuple[tuple[int, bool], int]]) -> Iterator[int]:
    """The position before and after all orders of each kind fill, one kind after the other."""
    yield held
    for (sign, reduce), size in kinds:
        held += sign * (min(size, max(0, -sign * held)) if reduce else size)
        yield held


TestOrders = pytest.mark.property(Orders.TestCase)
