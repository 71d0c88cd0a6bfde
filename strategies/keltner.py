"""``keltner``: back to the mean from outside Keltner's channel.

Rationale: like ``bollinger``, with a channel of average true ranges around an exponential average (Keltner, "How to
Make Money in Commodities", 1960, in the form of Raschke). Ranges react less to a single close than deviations do, so it
trades less often and further out.

Risk: a trend; ``stop`` (in ranges from the average) gives up. Many small gains, rare large losses.

Environment: SG_KELTNER_LENGTH, …_ATR_LEN, …_RANGES, …_STOP, …_SHORT, …_EXPOSURE, …_HORIZON_HOURS.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.bollinger import revert
from strategies.indicators import Atr, Ema
from strategies.port import BadParameter


class Channel(Track):
    __slots__ = ("atr", "ema")

    def __init__(self, length: int, atr_len: int) -> None:
        super().__init__()
        self.ema = Ema(length)
        self.atr = Atr(atr_len)


class KeltnerReversion(BarStrategy[Channel]):
    """Parameters: ``length`` and ``atr_len`` (bars), ``ranges`` (average true ranges to the channel's edge), ``stop``
    (ranges at which it gives up), ``short``, ``exposure`` (fraction of equity; without it the configured default size),
    ``horizon_hours``.
    """

    history = 100

    def __init__(
        self,
        length: int = 20,
        atr_len: int = 10,
        ranges: float = 2.0,
        stop: float = 5.0,
        short: bool = False,
        exposure: float | None = None,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(exposure, short=short, horizon_hours=horizon_hours)
        if length < 2 or atr_len < 2 or not 0.0 < ranges < stop:
            raise BadParameter(
                f"lengths are at least 2 and 0 < ranges < stop, not {length}, {atr_len}, {ranges}, {stop}"
            )
        self._lengths = (length, atr_len)
        self._ranges = ranges
        self._stop = stop

    def begin(self) -> Channel:
        return Channel(*self._lengths)

    def judge(self, track: Channel, bar: Bar, state: RegimeState) -> Want | None:
        mean = track.ema.update(bar.close)
        atr = track.atr.update(bar.high, bar.low, bar.close)
        if not atr > 0.0:
            return None
        return revert(track.level, (bar.close - mean) / atr, self._ranges, self._stop, 0.0, "channel")


generate_intent = as_function(KeltnerReversion, "keltner")
