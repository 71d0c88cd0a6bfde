"""From the config's feeds to the parts that bring a market in."""

from __future__ import annotations

from collections.abc import Sequence

from bus.values import Instrument
from config.schema import Endpoint, LiveFeed, Process, Trading, parse_interval
from daemon.live import Accept
from daemon.run import Clock
from daemon.sources import known_by, protocol_of
from feeds.live import Endpoints, NativeFeed, Past, Wanted
from feeds.port import LiveFeed as Feed


def feeds(
    trading: Trading, process: Process, instruments: Sequence[Instrument], accept: Accept, clock: Clock
) -> list[Feed]:
    """One for each venue of ``trading.feeds``; ``instruments`` are those that somebody has described."""
    return [_feed(entry, trading, process, instruments, accept, clock) for entry in trading.feeds]


def _feed(
    entry: LiveFeed,
    trading: Trading,
    process: Process,
    instruments: Sequence[Instrument],
    accept: Accept,
    clock: Clock,
) -> Feed:
    # What reads sockets loads when a feed is made; a replay never does.
    from feeds.binance.live import ENDPOINTS as BINANCE
    from feeds.binance.live import BinanceDialect
    from feeds.coinbase.live import ENDPOINTS as COINBASE
    from feeds.coinbase.live import CoinbaseDialect

    venue = entry.venue
    if venue not in BINANCE and venue not in COINBASE:
        from feeds.ccxt_pro import CcxtFeed

        everyone = [Wanted(name, name.partition(":")[2], entry.streams) for name in entry.instruments]
        said = process.endpoints.get(venue, Endpoint())
        protocol = protocol_of(venue, known_by(instruments))
        return CcxtFeed(venue, everyone, protocol, accept, clock, Endpoints((), "", said.proxy, said.ca_file))
    endpoints = _elsewhere({**BINANCE, **COINBASE}[venue], process.endpoints.get(venue, Endpoint()))
    symbols = {instrument.name: instrument.symbol for instrument in instruments}
    wanted = [Wanted(name, symbols.get(name) or _symbol(name), entry.streams) for name in entry.instruments]
    past = [Past(parse_interval(text), entry.past_bars) for text in trading.bars.intervals if entry.past_bars]
    dialect = CoinbaseDialect() if venue == "coinbase" else BinanceDialect(futures=venue == "binanceusdm")
    protocol = protocol_of(venue, known_by(instruments))
    return NativeFeed(venue, wanted, protocol, accept, clock, dialect, endpoints, past)


def _elsewhere(own: Endpoints, said: Endpoint) -> Endpoints:
    return Endpoints(said.ws or own.ws, said.rest or own.rest, said.proxy, said.ca_file)


def _symbol(name: str) -> str:
    """What a venue calls an instrument that nobody has described: Coinbase hyphenates, Binance does not."""
    venue, _, pair = name.partition(":")
    return pair.partition(":")[0].replace("/", "-" if venue == "coinbase" else "")
