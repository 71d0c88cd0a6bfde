"""Whose recording is it? Read from the addresses in it and from the frames themselves, never from the file's name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Raw, UnsetType

from bus.inputs import RESUME, Input

# The first row whose host and path both match names the venue. An address without a host (or on this machine, where a
# sandbox exchange listens) is judged by its path alone.
_HERE = r"(|localhost|127\.0\.0\.1|::1)"
_BINANCE = r"(.+\.)?binance\.(com|vision)"
_ADDRESSES = [
    (re.compile(host), re.compile(path), venue)
    for host, path, venue in (
        (r"(.+\.)?binance\.us", r".*", "binanceus"),
        (r"(.*-)?(fstream|fapi)([-\d].*)?\.binance\.(com|vision)", r".*", "binanceusdm"),
        (r"(.*-)?(dstream|dapi)([-\d].*)?\.binance\.(com|vision)", r".*", "binancecoinm"),
        (rf"({_HERE}|{_BINANCE})", r"/fapi/.*", "binanceusdm"),
        (rf"({_HERE}|{_BINANCE})", r"/dapi/.*", "binancecoinm"),
        (r"advanced-trade-ws.*\.coinbase\.com", r".*", "coinbase"),
        (rf"({_HERE}|api\.coinbase\.com)", r"/api/v3/brokerage.*", "coinbase"),
        (r"(ws-feed|ws-direct|api).*\.(exchange|pro)\.coinbase\.com", r".*", "coinbaseexchange"),
        (_BINANCE, r".*", "binance"),
        (_HERE, r"/api/v[13]/.*", "binance"),
    )
]
_COIN_MARGINED = re.compile(r"USD_(PERP|\d{6})$")


class SeveralVenues(Exception):  # a fact about a recording
    """A recording of more than one venue: one protocol cannot read it."""

    def __init__(self, venues: Iterable[str]) -> None:
        self.venues = sorted(venues)
        super().__init__(f"one recording of several venues: {', '.join(self.venues)}")


def venue_of(inputs: Iterable[Input]) -> str | None:
    """The ccxt id of the venue these inputs were heard from, None where they do not say; raises SeveralVenues.

    The first hundred inputs of a recording will do. Addresses and frames both testify: a recorder may have asked
    several venues for their instruments and listened to one, so addresses count as far as the frames agree with them.
    Frames that fit Binance and say no more mean its spot market.
    """
    addressed: set[str] = set()
    spoken: set[str] = set()
    for item in inputs:
        if item.kind == RESUME:
            venue = item.note
        else:
            venue = _venue_of_url(item.url) if item.url else _venue_of_frame(item.raw) if item.kind is None else None
        if venue is not None:
            (spoken if item.kind is None and not item.url else addressed).add(venue)
    if spoken == {_SOME_BINANCE} and addressed:
        spoken = set()
    elif _SOME_BINANCE in spoken:
        spoken.discard(_SOME_BINANCE)
        spoken = spoken or {"binance"}
    if "binanceus" in addressed:  # it speaks the language of Binance spot: only addresses tell them apart
        spoken = {"binanceus" if venue == "binance" else venue for venue in spoken}
    found = (addressed & spoken if len(spoken) == 1 else None) or addressed | spoken
    if len(found) > 1:
        raise SeveralVenues(found)
    return next(iter(found), None)


def _venue_of_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, path = parts.hostname or "", parts.path
    except ValueError:
        return None
    for host_pattern, path_pattern, venue in _ADDRESSES:
        if host_pattern.fullmatch(host) and path_pattern.fullmatch(path):
            return venue
    return None


_SOME_BINANCE = "binance?"


class _Payload(msgspec.Struct, gc=False):
    """The keys by which Binance's markets and Coinbase's two interfaces give themselves away."""

    e: str | None = None
    s: str | None = None
    u: int | None = None
    pu: int | None = None
    X: str | None = None
    M: bool | None = None
    b: Raw | UnsetType = UNSET
    B: Raw | UnsetType = UNSET
    lastUpdateId: int | None = None  # the venue's name
    stream: str | None = None
    data: Raw | UnsetType = UNSET
    channel: str | None = None
    sequence_num: int | None = None
    type: str | None = None
    product_id: str | None = None


_decode = msgspec.json.Decoder(_Payload).decode


def _venue_of_frame(raw: str) -> str | None:
    try:
        frame = _decode(raw)
        if frame.channel is not None and frame.sequence_num is not None:
            return "coinbase"
        if frame.type is not None and frame.product_id is not None:
            return "coinbaseexchange"
        data = _decode(frame.data) if frame.stream is not None and frame.data is not UNSET else frame
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return _binance_market(data)


def _binance_market(data: _Payload) -> str | None:
    if data.s is not None and _COIN_MARGINED.search(data.s):
        return "binancecoinm"
    match data.e:
        case "depthUpdate":
            return "binance" if data.pu is None else "binanceusdm"
        case "trade" | "aggTrade" if data.M is not None:
            return "binance"
        case "trade" if data.X is not None:
            return "binanceusdm"
        case "bookTicker" | "markPriceUpdate" | "forceOrder":  # spot quotes carry no event type
            return "binanceusdm"
        case "trade" | "aggTrade" | "kline" | "24hrTicker" | "24hrMiniTicker":
            return _SOME_BINANCE
        case None if data.u is not None and data.s is not None and data.b is not UNSET and data.B is not UNSET:
            return "binance"
        case None if data.lastUpdateId is not None:
            return "binance"
    return None
