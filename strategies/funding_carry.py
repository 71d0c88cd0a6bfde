"""``funding_carry``: is paid the funding of a perpetual while a hedge takes the price out of it.

Rationale: a perpetual's funding is what the crowded side pays the other every few hours to keep the contract near its
index (He, Manela, Ross and von Wachter, "Fundamentals of Perpetual Futures", 2022). While the mean of the last
``periods`` rates is above ``enter``, the perpetual is sold and, with ``hedge`` (the spot market, or a future), as much
of that is bought: what is left is the funding. Closed when the mean falls below ``leave``. A rate counts when it was
due, not while it is still being estimated.

Risk: the rate turns, and the fees of four fills eat what was earned; the basis widens while both legs are open; without
a hedge it is an outright short. A leg alone is closed by ``strategies/legs.py``, and an exit that did not come through
is asked for again at every funding time. Needs a feed of mark prices.

Environment: SG_FUNDING_CARRY_PERP, …_HEDGE, …_ENTER, …_LEAVE, …_PERIODS, …_EXPOSURE.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from bus.events import Intent, MarkPrice, OrderFilled, PairIntent
from bus.values import Action
from strategies.legs import Holdings
from strategies.port import BadParameter, Strategy, View, Wishes


class FundingCarry(Strategy):
    """Parameters: ``perp`` (instrument; without it the first one with a funding rate), ``hedge`` (instrument; without
    it none), ``enter`` and ``leave`` (mean funding rate per period, as fractions), ``periods`` (rates in the mean),
    ``exposure`` (fraction of equity of each leg).
    """

    def __init__(
        self,
        perp: str = "",
        hedge: str = "",
        enter: float = 0.0002,
        leave: float = 0.00005,
        periods: int = 3,
        exposure: float = 0.05,
    ) -> None:
        if not -1.0 < leave < enter < 1.0 or periods < 1 or not 0.0 < exposure <= 1.0:
            raise BadParameter(
                "leave is below enter, periods at least 1 and exposure a fraction, not "
                f"{leave}, {enter}, {periods}, {exposure}"
            )
        if perp and perp == hedge:
            raise BadParameter("perp and hedge are two instruments")
        self._perp = perp
        self._hedge = hedge
        self._enter = enter
        self._leave = leave
        self._exposure = exposure
        self._rates: deque[float] = deque(maxlen=periods)
        self._due_ns = 0
        self._estimate = 0.0
        self._in = False
        self._held = Holdings()

    def on_mark(self, mark: MarkPrice, view: View) -> Wishes:
        if not self._perp and mark.funding_ns:
            self._perp = mark.instrument
        if mark.instrument != self._perp or not mark.funding_ns:
            return None
        due, estimate = self._due_ns, self._estimate
        self._due_ns, self._estimate = mark.funding_ns, mark.rate
        if not due or mark.funding_ns <= due:
            return None
        self._rates.append(estimate)  # the last one heard before it was due is the one that was paid
        if len(self._rates) < (self._rates.maxlen or 1):
            return None
        return self._decide(sum(self._rates) / len(self._rates), view)

    def _decide(self, mean: float, view: View) -> Wishes:
        if self._in and not self._held and not view.open_orders():
            self._in = False
        if not self._in and self._held:
            return None if view.open_orders() else self._legs(self._exits("what_is_left", mean))
        if not self._in and mean > self._enter:
            self._in = True
            confidence = min(1.0, 0.5 * mean / self._enter) if self._enter > 0.0 else 0.5
            entries = [(self._perp, Action.ENTER_SHORT)] + [(self._hedge, Action.ENTER_LONG)] * bool(self._hedge)
            meta = {"mean_rate": mean}
            return self._legs(
                [
                    Intent(
                        name, action, exposure=self._exposure, confidence=confidence, reason="funding_pays", meta=meta
                    )
                    for name, action in entries
                ]
            )
        if self._in and mean < self._leave:
            self._in = False
            return self._legs(self._exits("funding_gone", mean))
        return None

    def _exits(self, reason: str, mean: float) -> list[Intent]:
        legs = ((name, self._held.of(name)) for name in dict.fromkeys([self._perp, self._hedge, *self._held.names()]))
        return [
            Intent(
                name,
                Action.EXIT_LONG if held > 0 else Action.EXIT_SHORT,
                exposure=0.0,
                reduce_only=True,
                reason=reason,
                meta={"mean_rate": mean},
            )
            for name, held in legs
            if held
        ]

    @staticmethod
    def _legs(intents: list[Intent]) -> Wishes:
        return PairIntent(*intents) if len(intents) == 2 else intents

    def on_fill(self, fill: OrderFilled, view: View) -> Wishes:
        self._held.note(fill, view)
        return None

    def state(self) -> dict[str, Any]:
        return {
            "perp": self._perp,
            "rates": list(self._rates),
            "due_ns": self._due_ns,
            "estimate": self._estimate,
            "in": self._in,
            "held": self._held.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._held.restore(state["held"])
        if self._perp and self._perp != state["perp"]:
            return  # another contract: what is left of the one before is closed, and its rates are not this one's
        self._perp = state["perp"]
        self._rates.extend(state["rates"])
        self._due_ns, self._estimate, self._in = state["due_ns"], state["estimate"], state["in"]
