"""``perp_momentum``: momentum of a perpetual, long and short, with no more leverage than its own liquidation allows.

Rationale: as ``momentum`` (Moskowitz, Ooi and Pedersen, 2012), on a contract that can be held short. The means of the
futures agent: ``margin`` of the equity carries a position of up to ``leverage`` times itself. On isolated margin the
venue liquidates when the price has moved against a position by about 1 / leverage less the maintenance margin; that
distance must be at least ``distance_atrs`` average true ranges, and where it is not, the leverage is cut until it is.
Exits are reduce-only: an exit that comes twice cannot turn into a position the other way.

Risk: leverage multiplies losses and funding; a gap passes any distance. It gives up when half of the distance is gone,
by its own stop and long before the venue does.

Environment: SG_PERP_MOMENTUM_FAST, …_SLOW, …_BAND, …_ATR_LEN, …_MARGIN, …_LEVERAGE, …_MAINTENANCE, …_DISTANCE_ATRS,
…_HORIZON_HOURS.
"""

from __future__ import annotations

from bus.events import Bar, RegimeState
from strategies.barwise import BarStrategy, Track, Want, as_function
from strategies.indicators import Atr, Ema
from strategies.port import BadParameter


class Perp(Track):
    """``distance`` is how far the price may go against the position before the venue liquidates it, as a fraction of
    the entry; ``side`` where the averages stood when it last gave up, so that it waits for the next crossing.
    """

    __slots__ = ("atr", "distance", "fast", "side", "slow")

    def __init__(self, fast: int, slow: int, atr_len: int) -> None:
        super().__init__()
        self.fast = Ema(fast)
        self.slow = Ema(slow)
        self.atr = Atr(atr_len)
        self.distance = 0.0
        self.side = 0.0

    def figures(self) -> dict[str, float]:
        return {**super().figures(), "liquidation_distance": self.distance}


class PerpMomentum(BarStrategy[Perp]):
    """Parameters: ``fast``, ``slow``, ``atr_len`` (bars), ``band`` (fraction of the price between the averages),
    ``margin`` (fraction of equity behind a position), ``leverage`` (at most), ``maintenance`` (the venue's maintenance
    margin, as a fraction of the position), ``distance_atrs`` (average true ranges to liquidation, at least),
    ``horizon_hours``.
    """

    reduce_only_exits = True
    history = 200

    def __init__(
        self,
        fast: int = 24,
        slow: int = 96,
        atr_len: int = 24,
        band: float = 0.002,
        margin: float = 0.02,
        leverage: float = 3.0,
        maintenance: float = 0.005,
        distance_atrs: float = 12.0,
        horizon_hours: int = 0,
    ) -> None:
        super().__init__(margin * leverage, short=True, horizon_hours=horizon_hours)
        if not 2 <= fast < slow or atr_len < 2 or not 0.0 <= band < 1.0:
            raise BadParameter(
                f"2 <= fast < slow, atr_len at least 2 and band a fraction, not {fast}, {slow}, {atr_len}, {band}"
            )
        if not 1.0 <= leverage <= 125.0 or not 0.0 <= maintenance < 1.0 / leverage or distance_atrs <= 0.0:
            raise BadParameter(
                "leverage is 1 to 125, maintenance below 1 / leverage and distance_atrs above 0, not "
                f"{leverage}, {maintenance}, {distance_atrs}"
            )
        self._lengths = (fast, slow, atr_len)
        self._band = band
        self._leverage = leverage
        self._maintenance = maintenance
        self._distance_atrs = distance_atrs

    def begin(self) -> Perp:
        return Perp(*self._lengths)

    def judge(self, track: Perp, bar: Bar, state: RegimeState) -> Want | None:
        price = bar.close
        apart = track.fast.update(price) / track.slow.update(price) - 1.0
        atr_pct = track.atr.update(bar.high, bar.low, price) / price
        side = 1.0 if apart > self._band else -1.0 if apart < -self._band else 0.0
        level = track.level
        if level and (price / track.entry - 1.0) * level < -abs(level) * track.distance / 2.0:
            track.side = side
            return 0.0, 1.0, "half_the_distance_to_liquidation"
        if not side or side * level > 0.0 or side == track.side:
            return None
        track.side = 0.0
        leverage = min(self._leverage, 1.0 / (self._maintenance + self._distance_atrs * atr_pct))
        if leverage < 1.0:
            return (0.0, 1.0, "too_wild_for_any_leverage") if level else None
        track.distance = 1.0 / leverage - self._maintenance
        reason = f"{'up' if side > 0.0 else 'down'}_at_{leverage:.1f}x"
        return side * leverage / self._leverage, min(1.0, 0.5 + 20.0 * abs(apart)), reason


generate_intent = as_function(PerpMomentum, "perp_momentum")
