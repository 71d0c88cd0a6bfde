"""The account a journal makes: a naive twin's, and the ledger's to the last digit."""

from __future__ import annotations

from collections import deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import FundingPaid, OrderFilled, SessionClosed
from bus.values import Instrument, Liquidity, MatchSource, Side
from daemon.reading.export import export
from daemon.reading.fold import Account, FoldError
from portfolio.ledger import Ledger
from tests.daemon.synthetic import COIN, INSTRUMENTS, PERP, SPOT, D, Story, a_round_trip, document, rows

BUY, SELL = Side.BUY, Side.SELL

FILLS = st.lists(
    st.tuples(
        st.sampled_from(INSTRUMENTS),
        st.sampled_from([BUY, SELL]),
        st.integers(1, 6),  # units
        st.integers(50, 200),  # price
        st.integers(-2, 9),  # fee, hundredths
        st.sampled_from(["USDT", "BTC", "BNB"]),
        st.integers(-3, 3),  # funding before the fill, hundredths
    ),
    max_size=40,
)
UNIT = {SPOT.name: D("0.5"), PERP.name: D("0.01"), COIN.name: D(1)}


def records_of(drawn: list[Any]) -> list[OrderFilled | FundingPaid]:
    made: list[OrderFilled | FundingPaid] = []
    for number, (instrument, side, units, price, fee, fee_asset, funding) in enumerate(drawn):
        if funding:
            amount = D(funding) / 100
            made.append(FundingPaid(number, instrument.name, D(0), D(1), D(1), amount, instrument.settle))
        made.append(
            OrderFilled(
                number,
                f"c{number}",
                f"i{number}",
                "s",
                instrument.name,
                f"f{number}",
                side,
                D(price),
                units * UNIT[instrument.name],
                D(fee) / 100,
                fee_asset,
                Liquidity.TAKER,
                number,
                D(0),
                MatchSource.TRADE,
                "m",
            )
        )
    return made


class Twin:
    """The account by hand: every unit of every contract is a lot of its own, closed one at a time."""

    def __init__(self) -> None:
        self.cash = dict.fromkeys(("USDT", "BTC", "BNB"), D(0))
        self.size = {i.name: D(0) for i in INSTRUMENTS}
        self.units: dict[str, deque[tuple[int, Decimal]]] = {i.name: deque() for i in INSTRUMENTS}

    def note(self, event: OrderFilled | FundingPaid, instrument: Instrument) -> None:
        if isinstance(event, FundingPaid):
            self.cash[event.asset] -= event.amount
            return
        sign = 1 if event.side is BUY else -1
        self.size[instrument.name] += sign * event.size
        self.cash[event.fee_asset] -= event.fee
        if instrument is SPOT:
            self.cash["BTC"] += sign * event.size
            self.cash["USDT"] -= sign * event.size * event.price
            return
        unit, held = UNIT[instrument.name], self.units[instrument.name]
        for _ in range(int(event.size / unit)):
            if held and held[0][0] != sign:
                _, entry = held.popleft()
                self.cash[instrument.settle] += -sign * self.earned(instrument, unit, entry, event.price)
            else:
                held.append((sign, event.price))

    @staticmethod
    def earned(instrument: Instrument, unit: Decimal, entry: Decimal, exit: Decimal) -> Decimal:
        if instrument is PERP:
            return unit * (exit - entry)

        exact = Fraction(int(unit * instrument.multiplier)) * (1 / Fraction(int(entry)) - 1 / Fraction(int(exit)))
        return D(round(exact * 10**25)).scaleb(-25)


@pytest.mark.property
@given(FILLS)
def test_the_fold_is_the_account_that_a_naive_twin_makes(drawn):
    account, twin = Account(), Twin()
    account.instruments = {i.name: i for i in INSTRUMENTS}

    for event in records_of(drawn):
        account.note(event)
        twin.note(event, account.instruments[event.instrument])

    assert {name: p.size for name, p in account.positions.items()} == {
        n: s for n, s in twin.size.items() if n in account.positions
    }
    for asset, amount in twin.cash.items():
        assert abs(account.cash.get(asset, D(0)) - amount) < D("1E-15"), asset


@pytest.mark.property
@given(FILLS)
def test_the_fold_is_the_ledger_to_the_last_digit(drawn):
    account, ledger = Account(), Ledger({i.name: i for i in INSTRUMENTS}, {"USDT": D(1000)})
    account.instruments = {i.name: i for i in INSTRUMENTS}
    account.cash["USDT"] = D(1000)

    for event in records_of(drawn):
        account.note(event)
        if isinstance(event, FundingPaid):
            ledger.on_funding(event)
        else:
            ledger.on_fill(event)

    assert account.cash == ledger.cash
    assert (account.fees, account.funding) == (ledger.fees, ledger.funding)
    for name, position in account.positions.items():
        assert position.size == ledger.position(name)
        assert position.inventory == ledger.inventory(name)
        assert position.realised == ledger.realised(name)
        assert position.average_entry == ledger.average_entry(name)
        assert position.unrealised(D(123)) == ledger.unrealised(name, D(123))


def test_the_account_is_followed_wallet_by_wallet(tmp_path):
    story = Story(tmp_path / "s", cash={"USDT": D(1000)})
    story.trade(BUY, "2", "100", fee="0.5")
    story.funding("0.25")
    session = story.leave()

    export(session)

    assert [(r["cause"], r["id"], r["asset"], r["change"], r["balance"]) for r in rows(session, "account.csv")] == [
        ("opening", "", "USDT", "1000", "1000"),
        ("fill", "f1", "USDT", "-200", "800"),
        ("fill", "f1", "BTC", "2", "2"),
        ("fill", "f1", "USDT", "-0.5", "799.5"),
        ("funding", PERP.name, "USDT", "-0.25", "799.25"),
    ]


def test_a_short_perpetual_realises_what_it_earned_first_in_first_out(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(SELL, "1", "200", instrument=PERP)
    story.trade(SELL, "1", "180", instrument=PERP)
    story.trade(BUY, "1", "150", instrument=PERP)
    session = story.leave()

    export(session)

    (position,) = rows(session, "positions.csv")
    assert (position["size"], position["average_entry"], position["realised"]) == ("-1", "180", "50")
    assert rows(session, "account.csv")[-1]["balance"] == "100050"


def test_a_fee_in_base_is_filled_but_never_arrives(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(BUY, "1", "100", fee="0.001", fee_asset="BTC")
    session = story.leave()

    export(session)

    (position,) = rows(session, "positions.csv")
    assert (position["size"], position["inventory"]) == ("1", "0.999")
    assert document(session, "state.json")["cash"] == {"BTC": "0.999", "USDT": "99900"}


def test_what_the_session_closed_with_is_added_up_again(tmp_path):
    session = a_round_trip(tmp_path / "s")

    export(session)

    assert document(session, "state.json")["differences"] == []
    assert "equal what the records make" in (session.path / "session.md").read_text()


def test_a_ledger_that_lost_a_cent_is_found_out(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(BUY, "2", "100", fee="1")
    session = story.close("99999.01", {"USDT": "99799.01", "BTC": "2"}, {SPOT.name: "100"})

    export(session)

    assert document(session, "state.json")["differences"] == [
        "USDT: the session closed with 99799.01, its records make 99799",
        "equity: the session closed with 99999.01 USDT, its records make 99999",
    ]
    assert "DIFFERENCE: USDT" in (session.path / "session.md").read_text()
    assert document(session, "cortex.json")["wallet_verified"] is False


def test_an_account_that_cannot_be_valued_has_no_equity_rather_than_a_partial_one(tmp_path):
    story = Story(tmp_path / "s", cash={"USDT": D(1000), "XYZ": D(5)})
    story.tell(SessionClosed(story.now, D("NaN"), "USDT", {"USDT": D(1000), "XYZ": D(5)}, {}))
    session = story.leave()

    export(session)

    assert document(session, "state.json")["equity"] is None
    assert document(session, "state.json")["differences"] == []
    assert rows(session, "flight_recorder.csv") == []


def test_a_fill_of_an_instrument_nobody_listed_is_named(tmp_path):
    story = Story(tmp_path / "s")
    story.trade(BUY, "1", "100", instrument=Instrument("test:X/Y", "XY", "X", "Y", "Y"))
    session = story.leave()

    with pytest.raises(FoldError, match="f1 is of test:X/Y"):
        export(session)
