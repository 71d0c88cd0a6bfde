"""From ``trading.feeds`` to feeds: which one, where it listens, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from bus.clock import WallClock
from config.load import ConfigError
from config.schema import Process, Trading
from daemon.live import feeding
from daemon.models import instruments_of
from feeds.live import NativeFeed


def made(feed: dict[str, Any], endpoints: dict[str, Any] | None = None) -> Any:
    trading = Trading.model_validate({"feeds": [feed], "bars": {"intervals": ["1m"]}})
    process = Process.model_validate({"endpoints": endpoints or {}})
    (one,) = feeding.feeds(trading, process, instruments_of(trading), lambda _items, _protocol: None, WallClock())
    return one


@pytest.mark.parametrize(
    ("venue", "name", "topic"),
    [
        ("binance", "binance:BTC/USDT", "btcusdt@trade"),
        ("binanceusdm", "binanceusdm:BTC/USDT:USDT", "btcusdt@aggTrade"),
        ("coinbase", "coinbase:BTC/USD", "market_trades:BTC-USD"),
    ],
)
def test_a_venue_is_asked_in_its_own_words(venue, name, topic):
    feed = made({"venue": venue, "instruments": [name], "streams": ["trade"]})

    assert isinstance(feed, NativeFeed)
    assert (feed.conn, feed.venue) == (venue, venue)
    assert [dict(tended.line.topics) for tended in feed.lines] == [{topic: (name, "trade")}]


@pytest.mark.parametrize(
    ("feed", "endpoints", "why"),
    [
        ({"venue": "binance", "instruments": ["binance:BTC/USDT"], "streams": ["mark"]}, {}, "binance has no mark"),
        ({"venue": "nowhere", "instruments": ["nowhere:BTC/USDT"]}, {}, "no venue 'nowhere'"),
        (
            {"venue": "kraken", "instruments": ["kraken:BTC/USD"]},
            {"kraken": {"ws": ["wss://example.org"]}},
            "addresses of kraken are ccxt's",
        ),
    ],
)
def test_what_cannot_be_heard_is_a_fault_of_the_configuration(feed, endpoints, why):
    with pytest.raises(ConfigError, match=why) as refused:
        made(feed, endpoints)
    assert str(refused.value).startswith("trading.feeds[0]: ")


@pytest.mark.parametrize(
    "address", ["ws://stream.binance.com:9443", "https://stream.binance.com", "wss://", "ws://10.0.0.1"]
)
def test_a_socket_s_address_is_secured_or_of_this_machine(address):
    with pytest.raises(ValueError, match="wss://"):
        Process.model_validate({"endpoints": {"binance": {"ws": [address]}}})


def test_an_instrument_of_another_venue_is_refused():
    with pytest.raises(ValueError, match="not an instrument of binance"):
        Trading.model_validate({"feeds": [{"venue": "binance", "instruments": ["coinbase:BTC/USD"]}]})
