"""Members of the enums by plain names: on Python 3.11 one looked up through its class costs five times a global."""

from __future__ import annotations

from bus.values import FeeAsset, Kind, Liquidity, MatchSource, OrderType, Side, TimeInForce

BUY = Side.BUY
SELL = Side.SELL

MARKET = OrderType.MARKET
LIMIT = OrderType.LIMIT
STOP = OrderType.STOP
STOP_LIMIT = OrderType.STOP_LIMIT
TRAILING_STOP = OrderType.TRAILING_STOP

IOC = TimeInForce.IOC
FOK = TimeInForce.FOK
GTD = TimeInForce.GTD

MAKER = Liquidity.MAKER
TAKER = Liquidity.TAKER

SPOT = Kind.SPOT
INVERSE = Kind.INVERSE

IN_QUOTE = FeeAsset.QUOTE
RECEIVED = FeeAsset.RECEIVED

BOOK = MatchSource.BOOK
QUOTE = MatchSource.QUOTE
TRADE = MatchSource.TRADE
BAR = MatchSource.BAR
