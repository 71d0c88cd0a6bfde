"""Sub-ledgers: what each strategy has of one net position, and that nothing is ever lost between them."""

from __future__ import annotations

from decimal import Decimal as D

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import OrderFilled
from bus.journal import encode
from bus.values import Instrument, Kind, Liquidity, MatchSource, Side
from portfolio.books import Books
from portfolio.ledger import Ledger

SPOT = Instrument("v:BTC/USDT", "BTCUSDT", "BTC", "USDT", "USDT", lot=D("0.001"))
PERP = Instrument("v:ETH/USDT:USDT", "ETHUSDT", "ETH", "USDT", "USDT", Kind.LINEAR)
TERMS = {one.name: one for one in (SPOT, PERP)}


def fill(strategy: str, size: int, price: int = 100, instrument: Instrument = PERP, fee: str = "0", ns: int = 1):
    side = Side.BUY if size > 0 else Side.SELL
    return OrderFilled(
        ns,
        "c",
        f"{strategy}-1",
        strategy,
        instrument.name,
        "f",
        side,
        D(price),
        D(abs(size)),
        D(fee),
        "USDT",
        Liquidity.TAKER,
        0,
        D(0),
        MatchSource.TRADE,
        "m",
    )


def books(*fills: OrderFilled) -> Books:
    made = Books(TERMS)
    for one in fills:
        made.on_fill(one)
    return made


def test_strategies_that_stand_against_each_other_net_and_it_shows() -> None:
    made = books(fill("a", 10), fill("b", -4), fill("c", -1))

    assert made.netting(PERP.name) == (D(10), D(5), D(5), D(5))
    assert [made.size(name, PERP.name) for name in "abc"] == [10, -4, -1]


def test_each_strategy_has_its_own_result() -> None:
    made = books(fill("a", 10, 100), fill("b", -10, 100), fill("a", -10, 110, fee="2"), fill("b", 10, 110))

    assert made.positions["a"][PERP.name].realised == 100
    assert made.positions["b"][PERP.name].realised == -100
    assert [made.trips("a").wins, made.trips("a").profit] == [1, 98]
    assert made.trips("b").losses == 1
    assert made.trips("nobody").count == 0


def test_the_house_closes_what_strategies_hold_and_keeps_only_what_is_over() -> None:
    made = books(fill("a", 3), fill("b", 5), fill("c", -2), fill("governor", -7, 90, fee="7", ns=9))

    assert [made.size(name, PERP.name) for name in ("a", "b", "c", "governor")] == [0, 1, -2, 0]
    assert made.reduced_ns["a", PERP.name] == 9
    over = books(fill("a", 3), fill("flatten", -4))
    assert [over.size("a", PERP.name), over.size("flatten", PERP.name)] == [0, -1]


@pytest.mark.property
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c", "governor"]),
            st.integers(-9, 9).filter(bool),
            st.integers(50, 150),
            st.sampled_from([SPOT, PERP]),
            st.sampled_from(["0", "0.7", "1"]),
        ),
        max_size=20,
    )
)
def test_sizes_and_results_of_all_strategies_add_up_to_the_one_position(story) -> None:
    made, ledger = Books(TERMS), Ledger(TERMS, {"USDT": D(10**6), "BTC": D(1_000)})
    for strategy, size, price, instrument, fee in story:
        one = fill(strategy, size, price, instrument, fee)
        made.on_fill(one)
        ledger.on_fill(one)

    for instrument in (SPOT, PERP):
        held = [part[instrument.name] for part in made.positions.values() if instrument.name in part]
        assert sum((one.size for one in held), D(0)) == ledger.inventory(instrument.name)
        netting = made.netting(instrument.name)
        assert netting.net == netting.long - netting.short == ledger.inventory(instrument.name)
        # Closed against whom differs, but cash does not care: realised plus unrealised is the same.
        mark = D(120)
        assert sum((one.realised + one.unrealised(mark) for one in held), D(0)) == (
            ledger.realised(instrument.name) + ledger.unrealised(instrument.name, mark)
        )
    again = Books(TERMS)
    again.restore(msgspec.json.decode(encode(made.state())))
    assert again.state() == made.state()


def test_books_that_do_not_add_up_to_the_ledger_say_nothing_of_that_instrument() -> None:
    """A session in between kept none: whose the position is cannot be told, and must not be guessed."""
    fills = [fill("a", 10), fill("b", -4), fill("a", 2, instrument=SPOT)]
    ledger = Ledger(TERMS, {"USDT": D(10_000)})
    for one in [*fills, fill("b", 1), fill("a", -2, instrument=SPOT)]:  # the last two nobody booked
        ledger.on_fill(one)
    made = books(*fills)

    assert made.disown(ledger.positions) == [PERP.name]

    assert [made.size(name, one.name) for name in "ab" for one in (PERP, SPOT)] == [0, 0, 0, 0]
    whole = books(*fills, fill("b", 1), fill("a", -2, instrument=SPOT))
    assert whole.disown(ledger.positions) == []
    assert whole.size("a", PERP.name) == 10
