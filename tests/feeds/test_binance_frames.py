"""Binance's frames, one kind at a time: what each becomes, and what is turned away without a trace."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus.events import DataGap, Kline, MarkPrice, Quote, Ticker, Trade
from bus.values import Side
from feeds.binance.protocol import BinanceProtocol
from feeds.port import Unparsed

MS = 1_700_000_000_123
NS = MS * 1_000_000
BTC = "binance:BTC/USDT"
PERP = "binanceusdm:BTC/USDT:USDT"
COIN = "binancecoinm:BTC/USD:BTC"


def protocol(venue: str = "binance") -> BinanceProtocol:
    return BinanceProtocol(venue, lambda _venue, _symbol: None)


def combined(stream: str, **data: object) -> str:
    return json.dumps({"stream": stream, "data": data}, separators=(",", ":"))


def trade(id: int, **more: object) -> str:
    return combined("btcusdt@trade", e="trade", E=MS, s="BTCUSDT", t=id, p="100.5", q="2", T=MS, m=True, **more)


def agg(id: int) -> str:
    return combined(
        "btcusdt@aggTrade", e="aggTrade", E=MS, s="BTCUSDT", a=id, p="100.5", q="2", f=1, l=2, T=MS, m=False
    )


def quote(bid: str, ask: str, size: str = "1") -> str:
    return combined("btcusdt@bookTicker", u=9, s="BTCUSDT", b=bid, B=size, a=ask, A="0")


KLINE = {"t": 1_700_000_040_000, "T": 1_700_000_099_999, "s": "BTCUSDT", "i": "1m", "f": 1, "L": 5, "n": 5, "x": True}
KLINE |= {"o": "100", "c": "102", "h": "103", "l": "99", "v": "7.5", "q": "750", "V": "1", "Q": "100", "B": "0"}


def kline(**changed: object) -> str:
    return combined("btcusdt@kline_1m", e="kline", E=MS, s="BTCUSDT", k={**KLINE, **changed})


@pytest.mark.parametrize(
    ("venue", "raw", "expected"),
    [
        ("binance", trade(7), Trade(BTC, 100.5, 2.0, Side.SELL, 7, NS, 1)),
        ("binance", agg(8), Trade(BTC, 100.5, 2.0, Side.BUY, 8, NS, 1)),
        ("binance", quote("100.5", "100.6"), Quote(BTC, 100.5, 1.0, 100.6, 0.0, 9, 0, 1)),
        (
            "binanceusdm",
            combined(
                "btcusdt@bookTicker", e="bookTicker", u=9, s="BTCUSDT", b="1", B="2", a="3", A="4", T=MS, E=MS + 5
            ),
            Quote(PERP, 1.0, 2.0, 3.0, 4.0, 9, NS, 1),
        ),
        (
            "binancecoinm",
            combined(
                "btcusd_perp@trade", e="trade", E=MS, T=MS, s="BTCUSD_PERP", t=3, p="9", q="4", X="MARKET", m=False
            ),
            Trade(COIN, 9.0, 4.0, Side.BUY, 3, NS, 1),
        ),
        (
            "binance",
            kline(),
            Kline(
                BTC,
                60_000_000_000,
                1_700_000_040_000_000_000,
                1_700_000_100_000_000_000,
                *(100.0, 103.0, 99.0, 102.0, 7.5),
                *(5, True, NS, 1),
            ),
        ),
        (
            "binance",
            combined(
                "btcusdt@ticker", e="24hrTicker", E=MS, s="BTCUSDT", c="100", v="7", b="99", a="101", B="1", A="1"
            ),
            Ticker(BTC, 100.0, 7.0, 99.0, 101.0, NS, 1),
        ),
        (
            "binance",
            combined("btcusdt@miniTicker", e="24hrMiniTicker", E=MS, s="BTCUSDT", c="100", v="7", o="1", h="1", l="1"),
            Ticker(BTC, 100.0, 7.0, 0.0, 0.0, NS, 1),
        ),
        (
            "binanceusdm",
            combined("btcusdt@markPrice@1s", e="markPriceUpdate", E=MS, s="BTCUSDT", p="9", i="8", r="-0.0001", T=MS),
            MarkPrice(PERP, 9.0, 8.0, -0.0001, NS, NS, 1),
        ),
        (
            "binancecoinm",
            combined("btcusd_270326@markPrice", e="markPriceUpdate", E=MS, s="BTCUSD_270326", p="9", r="", T=0),
            MarkPrice(f"{COIN}-270326", 9.0, 0.0, 0.0, 0, NS, 1),
        ),
    ],
)
def test_a_frame_becomes_its_event_in_whatever_envelope_it_comes(venue, raw, expected):
    message = json.loads(raw)
    backwards = json.dumps({"data": message["data"], "stream": message["stream"]})
    for form in (raw, json.dumps(message), backwards, json.dumps(message["data"])):
        heard = protocol(venue)

        assert list(heard.receive(form, 1, "ws")) == [expected], form
        if isinstance(expected, Quote | Kline):
            assert list(heard.receive(form, 1, "other")) == [], "two sockets said the same"
            heard.lost("ws", 1)
            assert list(heard.receive(form, 1, "ws")) == [expected], "the short way round"


def test_microseconds_are_told_from_milliseconds_by_their_size():
    event: Any
    (event,) = protocol().receive(trade(1).replace(str(MS), str(MS * 1_000 + 456)), 1, None)

    assert event.venue_ns == NS + 456_000


def test_a_kline_in_microseconds_covers_the_same_minute():
    raw = kline(t=1_700_000_040_000_000, T=1_700_000_099_999_999)

    event: Any
    (event,) = protocol().receive(raw, 1, None)

    assert (event.start_ns, event.end_ns) == (1_700_000_040_000_000_000, 1_700_000_100_000_000_000)


@pytest.mark.parametrize(
    "raw",
    [
        '{"result":null,"id":1}',
        '{"id":"a","result":["btcusdt@trade"]}',
        '{"e":"serverShutdown","E":1700000000123}',
        combined("!serverShutdown", e="serverShutdown", E=MS),
        combined("btcusdt@forceOrder", e="forceOrder", E=MS, o={"s": "BTCUSDT"}),
        combined("!forceOrder@arr", e="forceOrder", E=MS, o={"s": "BTCUSDT"}),
    ],
)
def test_frames_that_carry_no_market_yield_nothing_and_are_counted(raw):
    heard = protocol()

    assert list(heard.receive(raw, 1, None)) == []
    assert heard.counts.ignored == 1


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ('{"error":{"code":2,"msg":"Invalid request: too many parameters"},"id":1}', "venue error 2: Invalid request"),
        ('{"code":-1121,"msg":"Invalid symbol."}', "venue error -1121: Invalid symbol."),
        ("", "truncated"),
        ("not json", "malformed"),
        ("[]", "array"),
        ("{}", "unknown stream"),
        ("\ud800", "surrogates"),
        ('{"stream":"' + "[" * 100, "truncated"),
        ('{"z":' + "[" * 100_000, "recursion"),
        (trade(1) + "x", "trailing"),
        (combined("btcusdt@nonsense", s="BTCUSDT"), "unknown stream 'btcusdt@nonsense'"),
        (combined("@trade", e="trade"), "unknown stream"),
        (combined("btcusdt@trade", e="trade"), "missing required field"),
        (trade(1).replace('"100.5"', '"nan"'), "float"),
        (trade(1).replace('"100.5"', '"inf"'), "float"),
        (trade(1).replace('"100.5"', '"0"'), "float"),
        (trade(1).replace('"100.5"', '"-1"'), "float"),
        (trade(1).replace('"2"', '"-2"'), "float"),
        (trade(-1), "int"),
        (trade(1 << 62), "int"),
        (trade(1).replace(str(MS), "-5"), "int"),
        (quote("100.6", "100.5"), "crossed quote"),
        (quote("100.5", "100.5"), "crossed quote"),
        (quote("0", "100.5"), "float"),
        (kline(h="101"), "contradicts"),
        (kline(T=5), "contradicts"),
        (combined("btcusdt@depth20", lastUpdateId=1, bids=[["2", "1"]], asks=[["2", "1"]]), "crossed book"),
        (combined("btcusdt@depth", e="depthUpdate", E=MS, s="BTCUSDT", U=5, u=4, b=[], a=[]), "ends before"),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', "unknown stream"),
    ],
)
def test_what_cannot_be_right_is_unparsed_and_leaves_no_trace(raw, why):
    heard = protocol()
    heard.receive(trade(5), 1, None)

    with pytest.raises(Unparsed, match=why):
        heard.receive(raw, 2, None)

    assert [type(e) for e in heard.receive(trade(6), 3, None)] == [Trade]
    assert (heard.counts.trades, heard.counts.gaps, heard.counts.quotes, heard.counts.ignored) == (2, 0, 0, 0)


def test_each_quote_on_a_stream_of_all_instruments_names_its_own():
    heard = protocol()
    raws = [combined("!bookTicker", u=1, s=symbol, b="1", B="1", a="2", A="1") for symbol in ("BTCUSDT", "ETHBTC")]

    events: list[Any] = [event for raw in raws for event in heard.receive(raw, 1, None)]

    assert [event.instrument for event in events] == [BTC, "binance:ETH/BTC"]


def ids(heard: BinanceProtocol, frames: list[str]) -> list[object]:
    events: list[Any] = [event for raw in frames for event in heard.receive(raw, 1, "ws")]
    return [event.id if isinstance(event, Trade) else (event.first_missing, event.last_missing) for event in events]


def test_a_jump_in_trade_ids_is_a_gap_before_the_trade():
    heard = protocol()

    assert ids(heard, [trade(5), trade(9)]) == [5, (6, 8), 9]
    assert (heard.counts.gaps, heard.counts.trades) == (1, 2)


def test_a_trade_heard_twice_counts_once():
    heard = protocol()

    assert ids(heard, [trade(0), trade(0), trade(1), trade(0)]) == [0, 1]
    assert (heard.counts.duplicates, heard.counts.trades) == (2, 2)


def test_a_latecomer_fills_its_hole_and_only_once():
    heard = protocol()

    assert ids(heard, [trade(1), trade(6), trade(3), trade(3), trade(2), trade(5), trade(4), trade(7)]) == [
        *(1, (2, 5), 6, 3, 2, 5, 4, 7),
    ]
    assert (heard.counts.late, heard.counts.duplicates, heard.counts.gaps) == (4, 1, 1)


def test_trade_ids_go_on_across_a_reconnection():
    heard = protocol()
    ids(heard, [trade(1)])

    heard.lost("ws", 2)
    heard.opened("ws", 3)

    assert ids(heard, [trade(4)]) == [(2, 3), 4]


def test_single_trades_win_over_aggregated_ones():
    heard = protocol()

    assert ids(heard, [agg(1), agg(2), trade(50), agg(3), agg(9), trade(51)]) == [1, 2, 50, 51]
    assert (heard.counts.ignored, heard.counts.gaps) == (2, 0)


def test_a_settlement_among_futures_trades_takes_an_id_and_is_no_trade():
    heard = protocol("binanceusdm")
    settlement = trade(2, X="NA").replace('"100.5"', '"0"').replace('"2"', '"0"')

    assert ids(heard, [trade(1, X="MARKET"), settlement, trade(3, X="MARKET")]) == [1, 3]
    with pytest.raises(Unparsed, match="without a price"):
        heard.receive(settlement.replace("NA", "MARKET"), 1, None)


@pytest.mark.property
@given(seed=st.integers(0, 1 << 32), drop=st.floats(0, 0.4), twice=st.floats(0, 0.3), window=st.integers(1, 6))
def test_every_trade_that_arrives_comes_out_once_and_gaps_name_what_was_not_there(seed, drop, twice, window):
    draw = random.Random(seed)
    sent = [n for n in range(100, 160) for _ in range(1 + (draw.random() < twice)) if draw.random() >= drop]
    sent = [n for _, n in sorted((at + draw.random() * window, n) for at, n in enumerate(sent))]
    heard = protocol()
    seen: set[int] = set()
    event: Any

    for n in sent:
        for event in heard.receive(trade(n), 1, None):
            if isinstance(event, DataGap):
                assert not seen & set(range(event.first_missing, event.last_missing + 1))
            else:
                assert event.id == n
                assert n not in seen
                seen.add(n)

    first = sent[0] if sent else 0
    assert seen == {n for n in sent if n >= first}
    assert heard.counts.trades == len(seen)
    assert heard.counts.duplicates == len(sent) - len(seen)


DIFF = combined("btcusdt@depth", e="depthUpdate", E=MS, s="BTCUSDT", U=5, u=6, b=[["99", "1"]], a=[["103", "0"]])
NEXT = combined("btcusdt@depth", e="depthUpdate", E=MS, s="BTCUSDT", U=7, u=8, b=[["98", "1"]], a=[])
BOOK = '{"lastUpdateId":5,"bids":[["98","2"]],"asks":[["103","1"]]}'
DEPTH_URL = "/api/v3/depth?symbol=BTCUSDT"
FRAMES = [trade(5), agg(6), quote("1", "2"), kline(), DIFF, '{"result":null,"id":1}']


def conversation(disturb: Callable[[BinanceProtocol], None] | None = None) -> list[object]:
    """Some frames after which any leftover of a disturbance in between would show."""
    heard = protocol()
    events: list[object] = []
    for raw in (trade(5), quote("1", "2"), DIFF):
        events += heard.receive(raw, 1, "ws")
    if disturb is not None:
        disturb(heard)
    events += heard.reply(DEPTH_URL, BOOK, 2)
    for raw in (NEXT, trade(6), quote("1", "2"), kline(), agg(7)):
        events += heard.receive(raw, 3, "ws")
    return [*events, *(getattr(heard.counts, name) for name in heard.counts.__slots__)]


UNDISTURBED = conversation()


@pytest.mark.parametrize("raw", FRAMES)
def test_a_truncated_frame_never_leaves_a_trace(raw):
    def disturb(heard: BinanceProtocol) -> None:
        for cut in range(len(raw)):
            with pytest.raises(Unparsed):
                heard.receive(raw[:cut], 2, "ws")
        for cut in range(len(BOOK)):
            with pytest.raises(Unparsed):
                heard.reply(DEPTH_URL, BOOK[:cut], 2)

    assert conversation(disturb) == UNDISTURBED


@pytest.mark.property
@pytest.mark.parametrize("raw", [*FRAMES, BOOK])
@given(data=st.data())
def test_a_mutated_frame_is_read_or_refused_and_a_refused_one_leaves_no_trace(raw, data):
    text = list(raw)
    digits = [at for at, character in enumerate(text) if character.isdigit()]
    if data.draw(st.booleans()):  # other numbers in the same shape
        for at in data.draw(st.lists(st.sampled_from(digits), min_size=1, max_size=4)):
            text[at] = data.draw(st.sampled_from(["0", "3", "9", "-3", ""]))
    else:
        for at in data.draw(st.lists(st.integers(0, len(text) - 1), min_size=1, max_size=4)):
            text[at] = data.draw(st.sampled_from([*'"{}[],:-e\\\0é', ""]))
    mutated = "".join(text)
    refused = []

    def disturb(heard: BinanceProtocol) -> None:
        for attempt in (lambda: heard.receive(mutated, 2, "ws"), lambda: heard.reply(DEPTH_URL, mutated, 2)):
            try:
                attempt()
            except Unparsed:
                refused.append(attempt)

    after = conversation(disturb)

    assert len(refused) < 2 or after == UNDISTURBED
