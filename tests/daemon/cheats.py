"""Strategies that cheat, each in the way its name says, and honest ones that look like them."""

from __future__ import annotations

import csv
import math
import random
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from msgspec import structs

from bus.events import Bar, Intent, MarkPrice
from bus.values import Action
from feeds.frames import Recording
from strategies.funding_carry import FundingCarry
from strategies.pairs_trading import PairsTrading
from strategies.port import Strategy, View, Wishes


def _long(wanted: bool, reason: str) -> dict[str, Any]:
    return {"action": "ENTER_LONG" if wanted else "EXIT_LONG", "confidence": 1.0, "reason": reason}


def honest(df: Any, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
    closed = df.iloc[:-1] if closed_only else df
    return _long(closed["close"].iloc[-1] > closed["close"].iloc[-20:].mean(), "above its mean")


def uses_the_forming_bar(df: Any, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
    return _long(df["close"].iloc[-1] > df["close"].iloc[-20:].mean(), "above its mean")


def centred_window(df: Any, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
    smooth = df["close"].rolling(3, center=True, min_periods=1).mean()
    at = -2 if closed_only else -1
    return _long(df["close"].iloc[at] > smooth.iloc[at], "above its smooth self")


def full_sample(df: Any, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
    score = (df["close"] - df["close"].mean()) / (df["close"].std() or 1.0)
    at = -2 if closed_only else -1
    return {**_long(bool(score.iloc[at] > 0), "high"), "confidence": min(1.0, abs(float(score.iloc[at])) / 10)}


def alters_its_frame(df: Any, ctx: Any, *, closed_only: bool = True) -> dict[str, Any]:
    answer = honest(df, ctx, closed_only=closed_only)
    df["mean"] = df["close"].mean()
    return answer


class _Reads(Strategy):
    """Reads the file it is tried on before the first bar, and looks its answers up."""

    def __init__(self, data: str) -> None:
        with Path(data).open(encoding="utf-8") as file:
            self.closes = [float(row["close"]) for row in csv.DictReader(file)]
        self.at = -1

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        self.at += 1
        action = Action.ENTER_LONG if self.wants(bar) else Action.EXIT_LONG
        return Intent(bar.instrument, action, reason="as foretold")

    def wants(self, bar: Bar) -> bool:
        raise NotImplementedError


class ReadsTheNextBar(_Reads):
    def wants(self, bar: Bar) -> bool:
        return self.at + 1 < len(self.closes) and self.closes[self.at + 1] > bar.close


class ReadsACentredWindow(_Reads):
    def wants(self, bar: Bar) -> bool:
        window = self.closes[max(0, self.at - 2) : self.at + 3]
        return bar.close > sum(window) / len(window)


class ReadsTheWholeMean(_Reads):
    def wants(self, bar: Bar) -> bool:
        return bar.close > sum(self.closes) / len(self.closes)


class _Calls(Strategy):
    """Honest but for what it calls at its thirtieth bar."""

    def __init__(self) -> None:
        self.bars = 0

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        self.bars += 1
        if self.bars == 30:
            self.call()
        return Intent(bar.instrument, Action.ENTER_LONG if self.bars % 20 < 10 else Action.EXIT_LONG)

    def call(self) -> None:
        raise NotImplementedError


class ReadsTheClock(_Calls):
    def call(self) -> None:
        datetime.now()  # noqa: DTZ005  # what it is here for


class Times(_Calls):
    def call(self) -> None:
        time.perf_counter()


class Draws(_Calls):
    def call(self) -> None:
        random.gauss(0.0, 1.0)


class DrawsOfItsOwn(_Calls):
    """Seeded: as good as a table."""

    def call(self) -> None:
        random.Random(7).gauss(0.0, 1.0)


class DrawsWithNumpy(_Calls):
    def call(self) -> None:
        import numpy as np

        np.random.default_rng()


class Writes(_Calls):
    def call(self) -> None:
        Path("/nowhere/at/all").parent.joinpath("x").open("w", encoding="utf-8")


class Connects(_Calls):
    def call(self) -> None:
        import socket

        socket.getaddrinfo("localhost", 1)


class Fails(_Calls):
    def call(self) -> None:
        raise ZeroDivisionError("as planned")


class AsksAHash(Strategy):
    """Says what a set of words begins with: another thing in every process."""

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        return Intent(bar.instrument, Action.ENTER_LONG, reason=" ".join({"up", "down", "strange", "charm", "top"}))


class KnowsTheDate(Strategy):
    def on_bar(self, bar: Bar, view: View) -> Wishes:
        day = view.now_ns // 86_400_000_000_000
        return Intent(bar.instrument, Action.ENTER_LONG if day % 10 < 5 else Action.EXIT_LONG, reason="the calendar")


class Remembers(Strategy):
    """Answers from what its earlier selves saw."""

    seen = 0

    def on_bar(self, bar: Bar, view: View) -> Wishes:
        type(self).seen += 1
        return Intent(bar.instrument, Action.ENTER_LONG if self.seen % 350 < 100 else Action.EXIT_LONG)


class PairReadsTheOtherTomorrow(PairsTrading):
    """Pairs trading, but for knowing how the second of the pair goes on."""

    def __init__(self, data: str, window: int) -> None:
        super().__init__(window=window)
        with Path(data).open(encoding="utf-8") as file:
            self._closes = [float(row["close"]) for row in csv.DictReader(file)]
        self._at = -1

    def _measure(self, first: float, second: float) -> tuple[float, float]:
        self._at += 1
        coming = self._closes[self._at + 1] if self._at + 1 < len(self._closes) else math.exp(second)
        return super()._measure(first, math.log(coming))


class CarryReadsTheNextRate(FundingCarry):
    """Funding carry, but for deciding by a rate that has not been told yet."""

    def __init__(self, data: str, perp: str, hedge: str, periods: int) -> None:
        super().__init__(perp, hedge, periods=periods)
        frames = [
            orjson.loads(item.raw)["data"] for batch in Recording(Path(data)).batches() for item in batch if item.raw
        ]
        self._rate_at = {frame["E"]: float(frame["r"]) for frame in frames if "r" in frame}

    def on_mark(self, mark: MarkPrice, view: View) -> Wishes:
        ahead = mark.venue_ns // 1_000_000 + 86_400_000
        return super().on_mark(structs.replace(mark, rate=self._rate_at.get(ahead, 0.0)), view)
