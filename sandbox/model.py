"""An invented market for one symbol, told in Binance spot's own words, whose truth is known.

A fair price wanders: its drift comes and goes within seconds, some noise is laid over it, and in the long run
something pulls it home. Around it lives an order book, by three Poisson processes: orders are placed, orders are
cancelled, takers trade. Makers place around the fair price and pull quotes that it has passed, takers lean to its side,
so the book follows it. Everything is counted in whole ticks and lots and drawn from one generator seeded by text: the
same seed gives the same bytes in every process.
"""

from __future__ import annotations

import json
import math
import random
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from bus.clock import MINUTE, NEVER, SECOND

MS = 1_000_000


class Listing(NamedTuple):
    base: str
    quote: str
    ticks: int  # where the price begins, and where it is pulled back to
    lot_digits: int
    lots: int  # mean size of an order
    tick_digits: int = 2

    def steps(self) -> tuple[Decimal, Decimal]:
        """The tick and the lot."""
        return Decimal(1).scaleb(-self.tick_digits), Decimal(1).scaleb(-self.lot_digits)


LISTINGS = {
    "BTCUSDT": Listing("BTC", "USDT", 61_000_00, 5, 20_000),
    "ETHUSDT": Listing("ETH", "USDT", 2_600_00, 4, 40_000),
}
FUTURES = {
    "BTCUSDT": Listing("BTC", "USDT", 61_000_0, 3, 200, 1),
    "ETHUSDT": Listing("ETH", "USDT", 2_600_00, 3, 4_000),
}


RATES = {"place": 96.0, "cancel": 82.0, "take": 20.0}
"""Events a second."""

LEVELS_MIN, LEVELS_MAX = 30, 50  # a side
SPACE = 1.2e-4  # mean distance of an order from the fair price, as a fraction of it
JOIN, IMPROVE = 0.4, 0.25  # how many of the orders placed join the best price, and how many better it

DRIFT = 3e-5  # typical drift of the fair price: a fraction of it, a second
DRIFT_S = 8.0  # how long a drift lasts
HOME_S = 600.0  # how long the way home takes
NOISE = 4e-6  # of the fair price, a square root of a second

DEPTH_EVERY, KLINE_EVERY = 100 * MS, 2 * SECOND  # the venue's own intervals


class MarketModel:
    """One symbol's market. ``frames`` makes time pass and tells what the venue sends; ``snapshot`` is the truth.

    ``activity`` makes more or less happen in the same time. ``flood`` adds so many prints of one lot a second, at the
    touch and alternately on its two sides: they cost next to nothing and move nothing but the trade ids.
    """

    listings: ClassVar = LISTINGS

    def __init__(self, seed: int | str, symbol: str, start_ns: int, activity: float = 1.0, flood: int = 0) -> None:
        if symbol not in self.listings:
            raise ValueError(f"no market for {symbol!r}; there is one for {', '.join(self.listings)}")
        self.symbol = symbol
        self.listing = self.listings[symbol]
        self._random = random.Random(f"{seed}:{symbol}")
        self._hurry = sum(RATES.values()) * activity
        self._flood_every = SECOND // flood if flood else 0
        self._flood_due = start_ns + self._flood_every if flood else NEVER
        self._fair = float(self.listing.ticks)
        self._drift = 0.0
        self._bids, self._asks = _Half(-1), _Half(+1)
        self._update_id = self._random.randrange(10**9, 10**10)
        self._trade_id = self._random.randrange(10**8, 10**9)
        self._ns = start_ns
        self._arrival = start_ns
        self._depth_due = _next_multiple(start_ns, DEPTH_EVERY)
        self._kline_due = _next_multiple(start_ns, KLINE_EVERY)
        self._kline = _Kline(start_ns - start_ns % MINUTE, self.listing.ticks)
        self._out: list[str] = []
        for _ in range((LEVELS_MIN + LEVELS_MAX) // 2):
            for half in (self._bids, self._asks):
                half.change(half.sign * self.listing.ticks + 1 + self._distance(), self._size())
        self._depth_sent = self._update_id
        self._bids.changed.clear()
        self._asks.changed.clear()
        self._touch = self._best()

    @property
    def due(self) -> int:
        """When something happens next."""
        return min(self._arrival, self._depth_due, self._kline_due, self._flood_due)

    def frames(self, until_ns: int) -> Iterator[tuple[int, str]]:
        """(event time, frame) of everything sent up to and including ``until_ns``, in order."""
        total = sum(RATES.values())
        out = self._out
        while (ns := min(self._arrival, self._depth_due, self._kline_due, self._flood_due)) <= until_ns:
            self._ns = ns
            if ns == self._flood_due:
                self._print_at_touch()
                self._flood_due += self._flood_every
            elif ns == self._kline_due:
                self._push_kline()
                self._kline_due += KLINE_EVERY
            elif ns == self._depth_due:
                self._wander(DEPTH_EVERY / SECOND)
                self._push_depth()
                self._depth_due += DEPTH_EVERY
            else:
                self._happen(self._random.random() * total)
                self._arrival = ns + 1 + int(self._random.expovariate(self._hurry) * SECOND)
            for raw in out:
                yield ns, raw
            out.clear()

    def last_print(self) -> tuple[int, str, str]:
        """Id, price and size of a print from before the beginning."""
        return self._trade_id, self._price(self.listing.ticks), _text(self.listing.lots, self.listing.lot_digits)

    def snapshot(self, limit: int | None = None) -> str:
        """The book, or its best ``limit`` levels a side, as the venue's REST answer gives it."""
        bids, asks = (self._levels(half, half.keys[:limit]) for half in (self._bids, self._asks))
        return f'{{"lastUpdateId":{self._update_id},"bids":[{bids}],"asks":[{asks}]}}'

    # --- what happens ---

    def _wander(self, seconds: float) -> None:
        gauss = self._random.gauss
        self._drift += -self._drift * seconds / DRIFT_S + DRIFT * math.sqrt(2 * seconds / DRIFT_S) * gauss(0, 1)
        homewards = math.log(self.listing.ticks / self._fair) / HOME_S
        self._fair *= 1 + (self._drift + homewards) * seconds + NOISE * math.sqrt(seconds) * gauss(0, 1)

    def _happen(self, draw: float) -> None:
        sides = (self._bids, self._asks) if self._random.random() < 0.5 else (self._asks, self._bids)
        if draw < RATES["place"] or (draw < RATES["place"] + RATES["cancel"] and len(sides[0].keys) <= LEVELS_MIN):
            self._place(*sides)
        elif draw < RATES["place"] + RATES["cancel"]:
            self._cancel(sides[0])
        else:
            self._take()

    def _place(self, half: _Half, other: _Half) -> None:
        manner = self._random.random()
        fair, best = half.sign * round(self._fair), half.keys[0]
        if best <= fair or manner > JOIN + IMPROVE:
            key = fair + self._distance()
        elif manner < JOIN:
            key = best
        else:
            key = fair + int(self._random.random() * (best - fair))
        key = max(key, 1 - other.keys[0])  # never through the other side
        if key not in half.sizes and len(half.keys) >= LEVELS_MAX:
            farthest = half.keys[-1]
            self._change(half, farthest, -half.sizes[farthest])
        self._change(half, key, self._size())

    def _cancel(self, half: _Half) -> None:
        """A quote that the fair price has passed goes first; otherwise one nearer the touch more often than not."""
        at = 0 if self._passed(half) else int(self._random.random() ** 2 * len(half.keys))
        size = half.sizes[half.keys[at]]
        part = size if self._random.random() < 0.6 else 1 + int(self._random.random() * size)
        self._change(half, half.keys[at], -min(part, size))

    def _take(self) -> None:
        """A market order, on the side of the fair price more often than not; each level it takes from is one trade."""
        middle = (self._asks.keys[0] - self._bids.keys[0]) / 2
        buys = self._random.random() < 0.5 + (self._fair - middle) / (self._fair * SPACE)
        half = self._asks if buys else self._bids
        wanted = self._size()
        while wanted and len(half.keys) > 1:
            key = half.keys[0]
            lots = min(wanted, half.sizes[key])
            wanted -= lots
            self._push_trade(abs(key), lots, buys)
            self._change(half, key, -lots)

    def _print_at_touch(self) -> None:
        bid, _, ask, _ = self._touch
        buys = not self._trade_id % 2
        self._push_trade(ask if buys else -bid, 1, buys)

    def _change(self, half: _Half, key: int, lots: int) -> None:
        half.change(key, lots)
        self._update_id += 1
        if (touch := self._best()) != self._touch:
            self._touch = touch
            self._push_touch()

    def _passed(self, half: _Half) -> bool:
        """Whether the best quote of this side is worse for its maker than the fair price."""
        return half.keys[0] < half.sign * self._fair

    def _best(self) -> tuple[int, int, int, int]:
        bid, ask = self._bids.keys[0], self._asks.keys[0]
        return bid, self._bids.sizes[bid], ask, self._asks.sizes[ask]

    def _distance(self) -> int:
        return int(self._random.expovariate(1 / (self._fair * SPACE)))

    def _size(self) -> int:
        return 1 + int(self._random.expovariate(1 / self.listing.lots))

    # --- what is sent ---

    def _push(self, stream: str, data: str) -> None:
        self._out.append(f'{{"stream":"{self.symbol.lower()}@{stream}","data":{{{data}}}}}')

    def _push_trade(self, ticks: int, lots: int, buys: bool) -> None:
        self._trade_id += 1
        self._kline.add(self._trade_id, ticks, lots, buys)
        ms = self._ns // MS
        price, size = self._price(ticks), _text(lots, self.listing.lot_digits)
        maker = "false" if buys else "true"
        self._push(
            "trade",
            f'"e":"trade","E":{ms},"s":"{self.symbol}","t":{self._trade_id},"p":"{price}","q":"{size}",'
            f'"T":{ms},"m":{maker},"M":true',
        )

    def _push_touch(self) -> None:
        bid, bid_lots, ask, ask_lots = self._touch
        digits = self.listing.lot_digits
        self._push(
            "bookTicker",
            f'"u":{self._update_id},"s":"{self.symbol}",'
            f'"b":"{self._price(-bid)}","B":"{_text(bid_lots, digits)}",'
            f'"a":"{self._price(ask)}","A":"{_text(ask_lots, digits)}"',
        )

    def _push_depth(self) -> None:
        if self._update_id == self._depth_sent:
            return
        bids, asks = (self._levels(half, half.changed) for half in (self._bids, self._asks))
        self._push(
            "depth@100ms",
            f'"e":"depthUpdate","E":{self._ns // MS},"s":"{self.symbol}",'
            f'"U":{self._depth_sent + 1},"u":{self._update_id},"b":[{bids}],"a":[{asks}]',
        )
        self._depth_sent = self._update_id
        self._bids.changed.clear()
        self._asks.changed.clear()

    def _push_kline(self) -> None:
        kline, closed = self._kline, self._ns >= self._kline.start_ns + MINUTE
        fields = kline.fields(self.symbol, self.listing, closed)
        ms = self._ns // MS
        self._push(
            "kline_1m", f'"e":"kline","E":{ms},"s":"{self.symbol}","k":{json.dumps(fields, separators=(",", ":"))}'
        )
        if closed:
            self._kline = _Kline(self._ns - self._ns % MINUTE, kline.close)

    def _price(self, ticks: int) -> str:
        return _text(ticks, self.listing.tick_digits)

    def _levels(self, half: _Half, keys: Iterable[int]) -> str:
        digits = self.listing.lot_digits
        return ",".join(f'["{self._price(abs(key))}","{_text(half.sizes.get(key, 0), digits)}"]' for key in keys)


class FuturesModel(MarketModel):
    """The same market told in the words of Binance USD-M: diffs name the one before them, everything has its time."""

    listings: ClassVar = FUTURES

    def snapshot(self, limit: int | None = None) -> str:
        ms = self._ns // MS
        text = super().snapshot(limit)
        return text.replace(',"bids"', f',"E":{ms},"T":{ms},"bids"', 1)

    def _push(self, stream: str, data: str) -> None:
        ms = self._ns // MS
        match stream:
            case "trade":
                data = data.replace(f',"T":{ms},"m"', ',"X":"MARKET","m"').replace(',"M":true', "")
                data = data.replace(',"s":', f',"T":{ms},"s":', 1)
            case "bookTicker":
                data = f'"e":"bookTicker",{data},"T":{ms},"E":{ms}'
            case "depth@100ms":
                data = data.replace(',"s":', f',"T":{ms},"s":', 1)
                data = data.replace(',"b":', f',"pu":{self._depth_sent},"b":', 1)
        super()._push(stream, data)


class _Half:
    """One side of the book. Keys are prices in ticks, negated for bids, so that the best is always the smallest."""

    __slots__ = ("changed", "keys", "sign", "sizes")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.sizes: dict[int, int] = {}
        self.changed: dict[int, None] = {}  # since the last depth frame, in order: a set's order would be its hash's

    def change(self, key: int, lots: int) -> None:
        size = self.sizes.get(key, 0)
        if not size:
            insort(self.keys, key)
        if size + lots:
            self.sizes[key] = size + lots
        else:
            del self.sizes[key]
            del self.keys[bisect_left(self.keys, key)]
        self.changed[key] = None


class _Kline:
    """The bar of one minute, in ticks and lots. Without a trade it is flat and its ids are -1, as at the venue."""

    def __init__(self, start_ns: int, ticks: int) -> None:
        self.start_ns = start_ns
        self.open = self.high = self.low = self.close = ticks
        self.first = self.last = -1
        self.trades = self.lots = self.lots_bought = self.turnover = self.turnover_bought = 0

    def add(self, trade_id: int, ticks: int, lots: int, buys: bool) -> None:
        if not self.trades:
            self.open = self.high = self.low = ticks
            self.first = trade_id
        self.high, self.low, self.close = max(self.high, ticks), min(self.low, ticks), ticks
        self.last = trade_id
        self.trades += 1
        self.lots += lots
        self.turnover += ticks * lots
        if buys:
            self.lots_bought += lots
            self.turnover_bought += ticks * lots

    def fields(self, symbol: str, listing: Listing, closed: bool) -> dict[str, Any]:
        start_ms, digits, lot_digits = self.start_ns // MS, listing.tick_digits, listing.lot_digits
        turnover_digits = digits + lot_digits
        return {
            "t": start_ms,
            "T": start_ms + MINUTE // MS - 1,
            "s": symbol,
            "i": "1m",
            "f": self.first,
            "L": self.last,
            "o": _text(self.open, digits),
            "c": _text(self.close, digits),
            "h": _text(self.high, digits),
            "l": _text(self.low, digits),
            "v": _text(self.lots, lot_digits),
            "n": self.trades,
            "x": closed,
            "q": _text(self.turnover, turnover_digits),
            "V": _text(self.lots_bought, lot_digits),
            "Q": _text(self.turnover_bought, turnover_digits),
            "B": "0",
        }


def _text(units: int, digits: int) -> str:
    """Decimal text with the venue's eight places, of a number of units of 10 ** -digits."""
    whole, part = divmod(units, 10**digits)
    return f"{whole}.{part * 10 ** (8 - digits):08d}"


def _next_multiple(ns: int, step: int) -> int:
    return ns - ns % step + step
