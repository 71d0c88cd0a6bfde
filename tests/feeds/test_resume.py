"""A conversation that goes on in another session is the same conversation, whatever it was in the middle of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from bus import inputs
from bus.clock import MINUTE
from bus.events import InstrumentListed
from bus.inputs import Input
from daemon.sources import protocol_of
from feeds.ccxt_protocol import BarFrame, BookFrame, TickerFrame, TradeFrame, encode
from feeds.port import LiveProtocol, Unparsed
from sandbox import market
from tests.feeds.coinbase_frames import SNAPSHOT, beat, candles, depth, ticker, trades
from tests.feeds.test_binance_frames import agg, combined, kline, quote


def said(*raw: str, conn: str = "v/1a") -> list[Input]:
    return [Input(one, conn=conn) for one in raw]


def usdm() -> list[Input]:
    """Diffs before their snapshot, a hole, a second socket that rolls over."""

    def diff(first: int, last: int, before: int) -> str:
        levels: dict[str, Any] = {"b": [[str(90 + last % 7), "1"]], "a": [["103", str(last)]]}
        return combined("btcusdt@depth", e="depthUpdate", E=1, T=1, s="BTCUSDT", U=first, u=last, pu=before, **levels)

    book = '{"lastUpdateId":12,"E":1,"T":1,"bids":[["98","2"]],"asks":[["103","1"]]}'
    url = "/fapi/v1/depth?symbol=BTCUSDT"
    return [
        Input("", conn="v/1a", kind=inputs.CONNECT),
        *said(diff(10, 12, 9), diff(13, 14, 12), agg(5), kline(x=False)),
        Input(book, conn="v/rest", kind=inputs.HTTP, url=url),
        *said(diff(15, 16, 14), agg(7), agg(6), quote("1", "2")),
        Input("", conn="v/1b", kind=inputs.CONNECT),
        *said(diff(15, 16, 14), diff(17, 18, 16), agg(8), quote("1", "2"), kline(), conn="v/1b"),
        Input("", conn="v/1a", kind=inputs.RETIRE),
        *said(diff(20, 22, 19), agg(12), conn="v/1b"),
        Input(book.replace("12", "22"), conn="v/rest", kind=inputs.HTTP, url=url),
        *said(diff(23, 24, 22), kline(), conn="v/1b"),
        Input("", conn="v/1b", kind=inputs.DISCONNECT),
        *said('{"e":"serverShutdown","E":1}', conn="v/1c"),
    ]


CONVERSATIONS: dict[str, Callable[[], Sequence[Input]]] = {
    "binance": lambda: [item for item in market.generate(1, 0.05) if item.kind != inputs.META][:600:3],
    "binanceusdm": usdm,
    "coinbase": lambda: said(
        depth(0, "update", "AAA-USD", {"9": "1"}, {}),
        depth(1, "snapshot", "AAA-USD", {"10": "1"}, {"11": "2"}),
        trades(2, "snapshot", [5, 6]),
        trades(3, "update", [7, 9]),
        candles(4, (300, "9")),
        candles(5, (300, "10"), (600, "11")),
        ticker(6, best_bid="10", best_bid_quantity="1", best_ask="11", best_ask_quantity="1"),
        beat(7),
        depth(9, "update", "AAA-USD", {"10": "0"}, {}),
        depth(10, "update", "AAA-USD", {"10": "3"}, {}),
        SNAPSHOT.replace('"sequence_num":0', '"sequence_num":11'),
        depth(12, "update", "AAA-USD", {"10": "3"}, {}),
        trades(12, "update", [9]),
    ),
    "kraken": lambda: said(
        *(
            encode(frame).decode()
            for frame in (
                TradeFrame(s="X/Y", id="4", price=1.0, size=2.0),
                BookFrame(s="X/Y", bids=[(1.0, 1.0)], asks=[]),
                BookFrame(s="X/Y", bids=[(1.0, 1.0)], asks=[], whole=True),
                TradeFrame(s="X/Y", id="4", price=1.0, size=2.0),
                TradeFrame(s="X/Y", id="b", price=1.0, size=2.0),
                BookFrame(s="X/Y", bids=[(1.0, 0.0)], asks=[]),
                TickerFrame(s="X/Y", last=1.0, bid=1.0, ask=2.0),
                BarFrame(s="X/Y", ms=0, interval_ms=60_000, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0),
                BarFrame(s="X/Y", ms=60_000, interval_ms=60_000, open=1.0, high=1.0, low=1.0, close=1.0, volume=1.0),
                TickerFrame(s="X/Y", last=1.0, bid=1.0, ask=2.0),
            )
        )
    ),
}


def hear(protocol: LiveProtocol, item: Input) -> list[Any]:
    ns = MINUTE
    try:
        match item.kind:
            case inputs.HTTP:
                return list(protocol.reply(item.url or "", item.raw, ns))
            case inputs.CONNECT:
                return list(protocol.opened(item.conn, ns))
            case inputs.DISCONNECT | inputs.RETIRE:
                return list(protocol.lost(item.conn, ns))
        return list(protocol.receive(item.raw, ns, item.conn))
    except Unparsed as why:
        return [str(why)]


@pytest.mark.parametrize("venue", list(CONVERSATIONS))
def test_who_goes_on_from_the_middle_of_it_hears_the_same(venue):
    items = list(CONVERSATIONS[venue]())
    one = protocol_of(venue, lambda _venue, _symbol: None)
    said_by_one = [hear(one, item) for item in items]
    assert sum(map(len, said_by_one)) > 5
    end = one.state()

    at_hand = protocol_of(venue, lambda _venue, _symbol: None)
    for cut in range(len(items)):
        state = at_hand.state()
        other = protocol_of(venue, lambda _venue, _symbol: None)
        again = other.resume(state, MINUTE)

        assert all(type(event) is InstrumentListed for event in again)
        assert other.state() == state
        if cut % 10 == 0 or len(items) < 50:
            assert [hear(other, item) for item in items[cut:]] == said_by_one[cut:], cut
            assert (other.state(), other.unbuilt(), other.closing) == (end, one.unbuilt(), one.closing)
        at_hand.resume(state, MINUTE)  # and so does who said it
        assert hear(at_hand, items[cut]) == said_by_one[cut]


@pytest.mark.parametrize("venue", list(CONVERSATIONS))
def test_what_is_no_state_is_refused_and_changes_nothing(venue):
    protocol = protocol_of(venue, lambda _venue, _symbol: None)
    for item in list(CONVERSATIONS[venue]())[:5]:
        hear(protocol, item)
    before = protocol.state()

    with pytest.raises(Unparsed):
        protocol.resume(b'{"no": "state"}', MINUTE)

    assert protocol.state() == before
