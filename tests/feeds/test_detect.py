"""Whose recording it is, from what is inside."""

from __future__ import annotations

from itertools import chain, islice

import pytest

from bus.inputs import CONNECT, HTTP, META, Input
from feeds.detect import SeveralVenues, venue_of
from feeds.frames import Recording

SPOT_QUOTE = '{"stream":"btcusdt@bookTicker","data":{"u":9,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1"}}'
SPOT_DIFF = '{"stream":"btcusdt@depth","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,"u":2,"b":[],"a":[]}}'
SPOT_TRADE = '{"e":"trade","E":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","T":1,"m":true,"M":true}'
LINEAR_DIFF = '{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSDT","ps":"BTCUSDT","U":1,"u":2,"pu":0,"b":[],"a":[]}'
LINEAR_TRADE = '{"e":"trade","E":1,"T":1,"s":"BTCUSDT","t":1,"p":"1","q":"1","X":"MARKET","m":true}'
COIN_TRADE = '{"e":"trade","E":1,"T":1,"s":"BTCUSD_PERP","t":1,"p":"1","q":"1","X":"MARKET","m":true}'
COIN_DELIVERY = '{"e":"depthUpdate","E":1,"T":1,"s":"BTCUSD_270326","ps":"BTCUSD","U":1,"u":2,"pu":0,"b":[],"a":[]}'
KLINE = '{"stream":"btcusdt@kline_1m","data":{"e":"kline","E":1,"s":"BTCUSDT","k":{}}}'
ADVANCED = '{"channel":"ticker","timestamp":"2026-01-01T00:00:00Z","sequence_num":3,"events":[]}'
EXCHANGE = '{"type":"ticker","sequence":4,"product_id":"BTC-USD","price":"1"}'


@pytest.mark.parametrize(
    ("frame", "venue"),
    [
        (SPOT_QUOTE, "binance"),
        (SPOT_DIFF, "binance"),
        (SPOT_TRADE, "binance"),
        (KLINE, "binance"),
        (LINEAR_DIFF, "binanceusdm"),
        (LINEAR_TRADE, "binanceusdm"),
        (COIN_TRADE, "binancecoinm"),
        (COIN_DELIVERY, "binancecoinm"),
        (ADVANCED, "coinbase"),
        (EXCHANGE, "coinbaseexchange"),
        ('{"result":null,"id":1}', None),
        ('{"event":"heartbeat"}', None),
        ("not json", None),
        ("[1,2]", None),
        ("\ud800", None),
    ],
)
def test_a_frame_says_where_it_is_from(frame, venue):
    assert venue_of([Input(raw=frame, ts=1)]) == venue


@pytest.mark.parametrize(
    ("url", "venue"),
    [
        ("/api/v3/depth?symbol=BTCUSDT", "binance"),
        ("/fapi/v1/depth?symbol=BTCUSDT", "binanceusdm"),
        ("/dapi/v1/depth?symbol=BTCUSD_PERP", "binancecoinm"),
        ("https://api2.binance.com/api/v3/exchangeInfo", "binance"),
        ("wss://stream.binance.com:9443/stream?streams=a@trade", "binance"),
        ("wss://data-stream.binance.vision/ws/btcusdt@trade", "binance"),
        ("https://api.binance.us/api/v3/depth", "binanceus"),
        ("wss://stream.binance.us:9443/stream", "binanceus"),
        ("wss://fstream.binance.com/public/stream?streams=btcusdt@depth", "binanceusdm"),
        ("https://fapi.binance.com/fapi/v1/exchangeInfo", "binanceusdm"),
        ("wss://dstream.binance.com/stream", "binancecoinm"),
        ("https://dapi.binance.com/dapi/v1/exchangeInfo", "binancecoinm"),
        ("wss://advanced-trade-ws.coinbase.com", "coinbase"),
        ("https://api.coinbase.com/api/v3/brokerage/market/products", "coinbase"),
        ("wss://ws-feed.exchange.coinbase.com", "coinbaseexchange"),
        ("wss://ws-feed.pro.coinbase.com", "coinbaseexchange"),
        ("https://api.exchange.coinbase.com/products", "coinbaseexchange"),
        ("https://api.pro.coinbase.com/products", "coinbaseexchange"),
        ("http://127.0.0.1:8080/api/v3/depth", "binance"),
        ("https://api.elsewhere.test/api/v3/depth", None),
        ("https://[broken", None),
    ],
)
def test_an_address_says_where_it_leads(url, venue):
    assert venue_of([Input(raw="", ts=1, kind=HTTP, url=url)]) == venue


@pytest.mark.parametrize(
    ("story", "urls", "frames", "venue"),
    [
        (
            "asked three markets, listened to one",
            ["/api/v3/x", "/fapi/v1/x", "/dapi/v1/x"],
            [LINEAR_DIFF],
            "binanceusdm",
        ),
        ("the American cousin speaks the same", ["https://api.binance.us/api/v3/x"], [SPOT_QUOTE], "binanceus"),
        ("klines fit all Binance markets", ["/fapi/v1/klines"], [KLINE], "binanceusdm"),
        ("klines and one frame that says more", [], [KLINE, LINEAR_TRADE, KLINE], "binanceusdm"),
        ("nothing at all", [], [], None),
    ],
)
def test_addresses_and_frames_together(story, urls, frames, venue):
    inputs = [Input(raw="", kind=META)]
    inputs += [Input(raw="", ts=1, kind=CONNECT, url=url) for url in urls]
    inputs += [Input(raw=raw, ts=2) for raw in frames]

    assert venue_of(inputs) == venue, story


@pytest.mark.parametrize(
    ("urls", "frames"),
    [
        (["wss://stream.binance.com/ws", "wss://fstream.binance.com/ws"], [SPOT_QUOTE, LINEAR_DIFF]),
        (["wss://stream.binance.com/ws"], [LINEAR_DIFF]),
        ([], [SPOT_DIFF, LINEAR_TRADE]),
    ],
)
def test_a_mixture_is_refused_by_both_names(urls, frames):
    inputs = [Input(raw="", ts=1, kind=CONNECT, url=url) for url in urls] + [Input(raw=raw, ts=2) for raw in frames]

    with pytest.raises(SeveralVenues, match="binance, binanceusdm"):
        venue_of(inputs)


@pytest.mark.shared
def test_real_recordings_are_recognised_with_and_without_their_addresses(recordings):
    folders = {
        "binance_spot": "binance",
        "binance_us": "binanceus",
        "binance_usdm": "binanceusdm",
        "binance_coinm": "binancecoinm",
        "coinbase_advanced": "coinbase",
        "coinbase_exchange": "coinbaseexchange",
        "kraken": None,
        "bybit": None,
        "okx": None,
    }
    for folder, venue in folders.items():
        for path in (recordings / "wss" / folder).glob("*.jsonl.zst"):
            inputs = list(islice(chain.from_iterable(Recording(path).batches()), 200))
            frames = [item for item in inputs if item.kind is None]

            assert venue_of(inputs) == venue, path
            assert venue_of(frames) == (venue if venue != "binanceus" else "binance"), path
