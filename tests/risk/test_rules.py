"""The quick reading of the rules, against the table that is their judge."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.values import Order, OrderType, Side
from risk.rules import Proposal, Standing, all_kept, first_broken
from tests.risk.world import LIMITS, SPOT, T0

ORDER = Order("s-1", "s", SPOT.name, Side.BUY, OrderType.LIMIT, D(1), D(100))
KEPT = Proposal(ORDER, SPOT, D(100), D(100), D(1), D(100), False, 0.0, 100.0, 0, T0)
NEAR: dict[str, list[Any]] = {
    "order": [
        msgspec.structs.replace(ORDER, price=price, instrument=name)
        for price in (None, D("94.99"), D(95), D(105), D("105.01"))
        for name in (SPOT.name, "v:ETH/USDT")
    ],
    "notional": [D("9999.99"), D(10_000), D("10000.01")],
    "position_after": [D("2.999"), D(3), D("3.001")],
    "notional_after": [D("24999.99"), D(25_000), D("25000.01")],
    "reduces": [True],
    "drawdown": [0.0999, 0.1, 0.1001, float("inf"), float("nan")],
    "age_ns": [29_999_999_999, 30_000_000_000, 30_000_000_001, 10**15],
}
"""Values of each field just below, at and just above its limit; what is not drawn stays as harmless as in ``KEPT``."""


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    fields = draw(st.lists(st.sampled_from(sorted(NEAR)), max_size=3, unique=True))
    return msgspec.structs.replace(KEPT, **{field: draw(st.sampled_from(NEAR[field])) for field in fields})


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    open_orders = draw(st.sampled_from([0, 0, 18, 19, 20]))
    standing = Standing(LIMITS.max_orders, lambda: open_orders)
    standing.killed = draw(st.sampled_from(["", "", "", "pulled"]))
    standing.rejects = draw(st.sampled_from([0, 0, 3, 4]))
    oldest = draw(st.sampled_from([10**9 - 1, 10**9, 10**9 + 1]))
    standing.approved_ns.extend([T0 - oldest] * draw(st.sampled_from([0, 0, LIMITS.max_orders - 1, LIMITS.max_orders])))
    return standing


@pytest.mark.property
@given(proposals(), standings(), st.booleans())
def test_both_readings_of_the_rules_agree(proposal: Proposal, standing: Standing, capped: bool) -> None:
    limits = msgspec.structs.replace(LIMITS, symbol_position_limits={SPOT.name: D(3)} if capped else {})

    assert all_kept(proposal, limits, standing) is (first_broken(proposal, limits, standing) is None)


@pytest.mark.parametrize(
    ("field", "rule"), [("drawdown", "session_drawdown"), ("age_ns", "stale_data"), ("mid", "price_collar")]
)
def test_a_number_that_is_none_keeps_no_rule(field: str, rule: str) -> None:
    standing = Standing(LIMITS.max_orders, lambda: 0)
    assert first_broken(KEPT, LIMITS, standing) is None

    odd = msgspec.structs.replace(KEPT, **{field: float("nan")})

    assert first_broken(odd, LIMITS, standing) == rule
    assert not all_kept(odd, LIMITS, standing)
