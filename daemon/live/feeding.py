"""From the config's feeds to the parts that bring a market in."""

from __future__ import annotations

from collections.abc import Sequence

from bus.values import Instrument
from config.load import ConfigError
from config.schema import Endpoint, LiveFeed, Process, Trading, parse_interval
from daemon.live.door import Accept
from daemon.live.sitting import Clock
from daemon.sources import known_by, protocol_of
from feeds.binance.live import ENDPOINTS as BINANCE
from feeds.binance.live import BinanceDialect
from feeds.coinbase.live import ENDPOINTS as COINBASE
from feeds.coinbase.live import CoinbaseDialect
from feeds.live import Endpoints, NativeFeed, Past, Wanted
from feeds.port import CannotHear
from feeds.port import LiveFeed as Feed


def feeds(
    trading: Trading, process: Process, instruments: Sequence[Instrument], accept: Accept, clock: Clock
) -> list[Feed]:
    """One for each venue of ``trading.feeds``; ``instruments`` are those that somebody has described.

    Raises ConfigError.
    """
    made = []
    for number, entry in enumerate(trading.feeds):
        try:
            made.append(_feed(entry, trading, process, instruments, accept, clock))
        except CannotHear as why:
            raise ConfigError(f"trading.feeds[{number}]: {why}") from why
    return made


def _feed(
    entry: LiveFeed,
    trading: Trading,
    process: Process,
    instruments: Sequence[Instrument],
    accept: Accept,
    clock: Clock,
) -> Feed:
    venue = entry.venue
    protocol = protocol_of(venue, known_by(instruments))
    said = process.endpoints.get(venue, Endpoint())
    own = {**BINANCE, **COINBASE}.get(venue)
    if own is None:
        from feeds.ccxt_pro import CcxtFeed  # ccxt takes a while to load

        if said.ws or said.rest is not None:
            raise CannotHear(f"the addresses of {venue} are ccxt's; of process.endpoints it takes proxy and ca_file")
        everyone = [Wanted(name, name.partition(":")[2], entry.streams) for name in entry.instruments]
        return CcxtFeed(venue, everyone, protocol, accept, clock, Endpoints((), "", said.proxy, said.ca_file))
    endpoints = Endpoints(said.ws or own.ws, said.rest or own.rest, said.proxy, said.ca_file)
    symbols = {instrument.name: instrument.symbol for instrument in instruments}
    wanted = [Wanted(name, symbols.get(name) or _symbol(name), entry.streams) for name in entry.instruments]
    past = [Past(parse_interval(text), entry.past_bars) for text in trading.bars.intervals if entry.past_bars]
    dialect = CoinbaseDialect() if venue == "coinbase" else BinanceDialect(futures=venue == "binanceusdm")
    return NativeFeed(venue, wanted, protocol, accept, clock, dialect, endpoints, past)


def _symbol(name: str) -> str:
    """What a venue calls an instrument that nobody has described: Coinbase hyphenates, Binance does not."""
    venue, _, pair = name.partition(":")
    return pair.partition(":")[0].replace("/", "-" if venue == "coinbase" else "")
