"""The ledger against a twin that keeps every record and works everything out again, in fractions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal as D
from fractions import Fraction as F

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import money
from bus.events import FundingPaid, OrderFilled
from bus.values import Instrument, Kind, Side
from portfolio.ledger import Ledger
from tests.portfolio.given import ALL, INVERSE, LINEAR, OTHER, SPOT, T0, fill

Record = OrderFilled | FundingPaid
BY_NAME = {i.name: i for i in ALL}
OPENING = {"USDT": D(100_000), "BTC": D(2)}
MARKS = {SPOT.name: D("104.37"), OTHER.name: D("3.51"), LINEAR.name: D("99.99"), INVERSE.name: D("101.3")}


def ledger_of(records: Iterable[Record] = ()) -> Ledger:
    ledger = Ledger(BY_NAME, OPENING)
    for record in records:
        tell(ledger, record)
    return ledger


def tell(ledger: Ledger, record: Record) -> None:
    if isinstance(record, OrderFilled):
        ledger.on_fill(record)
    else:
        ledger.on_funding(record)


def signed(record: OrderFilled) -> D:
    return record.size if record.side is Side.BUY else -record.size


def accounting_error(ledger: Ledger, records: Iterable[Record], marks: Mapping[str, D] = MARKS) -> F:
    """The largest difference between any wallet, with contracts as good as closed at ``marks``, and what it should be.

    A contract closed at the mark has earned size * (mark - price) fill by fill, whichever lots closed which: the twin
    needs no lots at all.
    """
    expected = {asset: F(amount) for asset, amount in OPENING.items()}

    def move(asset: str, amount: F) -> None:
        expected[asset] = expected.get(asset, F(0)) + amount

    for record in records:
        if isinstance(record, FundingPaid):
            move(record.asset, -F(record.amount))
            continue
        terms, size, price, mark = (
            BY_NAME[record.instrument],
            F(signed(record)),
            F(record.price),
            marks[record.instrument],
        )
        move(record.fee_asset, -F(record.fee))
        if terms.kind is Kind.SPOT:
            move(terms.base, size)
            move(terms.quote, -size * price)
        elif terms.kind is Kind.LINEAR:
            move(terms.settle, size * F(terms.multiplier) * (F(mark) - price))
        else:
            move(terms.settle, size * F(terms.multiplier) * (1 / price - 1 / F(mark)))

    actual = {asset: F(amount) for asset, amount in ledger.cash.items()}
    for name, position in ledger.positions.items():
        if not position.spot:
            actual[position.asset] += F(ledger.unrealised(name, marks[name]))
    return max(abs(actual.get(asset, F(0)) - expected.get(asset, F(0))) for asset in actual | expected)


def decimals(low: int, high: int, places: int) -> st.SearchStrategy[D]:
    return st.integers(low, high).map(lambda n: D(n).scaleb(-places))


@st.composite
def records(draw: st.DrawFn) -> Record:
    instrument = draw(st.sampled_from(ALL))
    if instrument.kind is not Kind.SPOT and draw(st.integers(0, 4)) == 0:
        amount = draw(decimals(-500, 500, 4))
        return FundingPaid(T0, instrument.name, D("0.0001"), D(100), D(1), amount, instrument.settle)
    places = 0 if instrument.kind is Kind.INVERSE else 2
    size = draw(decimals(1, 400, places)) * draw(st.sampled_from((1, -1)))
    fee_asset = draw(st.sampled_from((instrument.base, instrument.quote, "BNB")))
    return fill(size, draw(decimals(5_000, 20_000, 2)), instrument, fee=draw(decimals(-20, 50, 4)), fee_asset=fee_asset)


@pytest.mark.property
@given(st.lists(records(), max_size=40))
def test_the_books_balance_and_positions_are_the_sum_of_fills_after_every_record(history: list[Record]) -> None:
    ledger = ledger_of()
    for count, record in enumerate(history, 1):
        tell(ledger, record)

        seen = history[:count]
        exact = not any(r.instrument == INVERSE.name for r in seen)
        assert accounting_error(ledger, seen) <= (0 if exact else F(money.SMALLEST) * 2 * count)
        fills = [r for r in seen if isinstance(r, OrderFilled)]
        for name, position in ledger.positions.items():
            ours = [f for f in fills if f.instrument == name]
            assert ledger.position(name) == sum(map(signed, ours))
            in_base = sum(f.fee for f in ours if position.spot and f.fee_asset == position.instrument.base)
            assert ledger.inventory(name) == ledger.position(name) - in_base
            assert ledger.inventory(name) == sum(lot.size for lot in position.lots)
            assert position.cost == sum(lot.cost for lot in position.lots)
            assert len({lot.size > 0 for lot in position.lots}) <= 1
            assert all(lot.size for lot in position.lots)
        for asset in {f.fee_asset for f in fills}:
            assert ledger.fees.get(asset, 0) == sum(f.fee for f in fills if f.fee_asset == asset)


@pytest.mark.property
@given(st.lists(records(), max_size=40))
def test_spot_profit_is_what_came_in_plus_what_is_left_at_the_mark(history: list[Record]) -> None:
    ledger = ledger_of(history)

    for name, position in ledger.positions.items():
        if position.spot:
            terms, mark = position.instrument, MARKS[name]
            ours = [r for r in history if isinstance(r, OrderFilled) and r.instrument == name]
            in_base = [(f.fee if f.fee_asset == terms.base else D(0)) for f in ours]
            quote = -sum(signed(f) * f.price for f in ours)
            base = sum(map(signed, ours)) - sum(in_base)
            burnt = sum(fee * f.price for fee, f in zip(in_base, ours, strict=True))
            assert ledger.realised(name) + ledger.unrealised(name, mark) - burnt == quote + base * mark


@pytest.mark.property
@given(st.lists(records(), max_size=40))
def test_trips_ended_and_under_way_add_up_to_realised_less_fees_and_funding(history: list[Record]) -> None:
    ledger = ledger_of(history)

    for name, position in ledger.positions.items():
        expense = D(0)
        lots = D(0)
        for r in history:
            if r.instrument != name:
                continue
            if isinstance(r, FundingPaid):
                expense += r.amount if lots else D(0)
                continue
            in_base = r.fee_asset == position.instrument.base
            lots += signed(r) - (r.fee if position.spot and in_base else D(0))
            if r.fee_asset == position.asset:
                expense += r.fee
            elif in_base:
                expense += r.fee * r.price
        ended = position.trips.profit - position.trips.loss
        assert ended + position.trip == position.realised - expense
        assert position.trips.count >= position.trips.wins + position.trips.losses


@pytest.mark.property
@given(
    st.sampled_from((SPOT, LINEAR, INVERSE)), st.lists(st.tuples(st.integers(-6, 6).filter(bool), st.integers(50, 150)))
)
def test_lots_close_first_in_first_out(instrument: Instrument, deals: list[tuple[int, int]]) -> None:
    """The twin: a list of single units, each with the price it was bought (or sold) at."""
    ledger, realised, steps = ledger_of(), F(0), 0
    units: list[tuple[int, int]] = []
    m = F(instrument.multiplier)
    for size, price in deals:
        ledger.on_fill(fill(str(size), str(price), instrument))
        sign = 1 if size > 0 else -1
        for _ in range(abs(size)):
            if units and units[0][0] == -sign:
                _, entry = units.pop(0)
                gain = m * (price - entry) if instrument.kind is not Kind.INVERSE else m * (F(1, entry) - F(1, price))
                realised -= sign * gain
            else:
                units.append((sign, price))
        steps += len(units) + 2

        assert _by_unit(ledger, instrument) == units
        error = abs(F(ledger.realised(instrument.name)) - realised)
        assert error <= (F(money.SMALLEST) * steps if instrument.kind is Kind.INVERSE else 0)


def _by_unit(ledger: Ledger, instrument: Instrument) -> list[tuple[int, int]]:
    lots = ledger.positions[instrument.name].lots
    return [(1 if lot.size > 0 else -1, int(lot.price)) for lot in lots for _ in range(abs(int(lot.size)))]


def test_a_position_turned_through_zero_starts_anew_at_the_price_that_turned_it() -> None:
    ledger = ledger_of([fill("2", "100"), fill("-5", "110", fee="0.5")])

    assert ledger.position(SPOT.name) == D(-3)
    assert ledger.average_entry(SPOT.name) == D(110)
    assert ledger.realised(SPOT.name) == D(20)
    trips = ledger.positions[SPOT.name].trips
    assert (trips.count, trips.wins, trips.profit) == (1, 1, D("19.5"))


@pytest.mark.parametrize(
    ("instrument", "entry", "gain", "asset"),
    [
        (SPOT, D(125), D(150), "USDT"),  # (100 + 150) / 2; 1 * (200 - 100) + 1 * (200 - 150)
        (LINEAR, D(125), D(15), "USDT"),  # the same in tenths
        (
            INVERSE,
            D(120),
            D("0.666666666666666667"),
            "BTC",
        ),  # 2 / (1/100 + 1/150); 100 * (1/100 - 1/200 + 1/150 - 1/200)
    ],
)
def test_average_entry_and_profit_by_kind(instrument: Instrument, entry: D, gain: D, asset: str) -> None:
    ledger = ledger_of([fill("1", "100", instrument), fill("1", "150", instrument)])
    assert abs((ledger.average_entry(instrument.name) or 0) - entry) < D("1E-12")
    before = ledger.holding(asset)

    ledger.on_fill(fill("-2", "200", instrument))

    assert ledger.realised(instrument.name) == gain
    assert ledger.average_entry(instrument.name) is None
    if instrument is not SPOT:
        assert ledger.holding(asset) - before == gain


def test_a_fee_taken_in_base_leaves_less_to_sell_and_the_trip_still_ends() -> None:
    ledger = ledger_of([fill("1", "100", fee="0.001", fee_asset="BTC"), fill("-0.999", "110")])

    assert ledger.holding("BTC") == OPENING["BTC"]
    assert ledger.position(SPOT.name) == D("0.001")
    assert ledger.inventory(SPOT.name) == 0
    trips = ledger.positions[SPOT.name].trips
    assert (trips.count, trips.profit) == (1, D("9.89"))  # exactly what the quote wallet gained
    assert ledger.holding("USDT") - OPENING["USDT"] == D("9.89")


def test_contracts_move_no_base_and_funding_leaves_the_settle_wallet() -> None:
    ledger = ledger_of([fill("3", "100", LINEAR, fee="0.2")])

    ledger.on_funding(FundingPaid(T0, LINEAR.name, D("0.0001"), D(100), D(3), D("0.003"), "USDT"))

    assert ledger.holding("BTC") == OPENING["BTC"]
    assert ledger.holding("USDT") == OPENING["USDT"] - D("0.203")
    assert ledger.funding == {"USDT": D("0.003")}


def test_turnover_is_in_quote_units_for_every_kind() -> None:
    ledger = ledger_of([fill(size, "50", i) for i in (SPOT, LINEAR, INVERSE) for size in ("2", "-2")])

    turnover = [ledger.positions[i.name].turnover for i in (SPOT, LINEAR, INVERSE)]

    assert turnover == [D(200), D(20), D(400)]


def test_closed_lots_are_forgotten() -> None:
    ledger = ledger_of(fill(size, "100") for _ in range(1_000) for size in ("1", "-0.4", "-0.6"))

    assert not ledger.positions[SPOT.name].lots
    assert ledger.positions[SPOT.name].trips.count == 1_000


def test_what_was_never_traded_is_flat() -> None:
    ledger = ledger_of()

    assert ledger.position("v:X/Y") == ledger.inventory("v:X/Y") == ledger.realised("v:X/Y") == ledger.holding("X") == 0
    assert ledger.average_entry("v:X/Y") is None
    assert ledger.unrealised("v:X/Y", D(1)) == 0
