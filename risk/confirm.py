"""A second opinion on entries: the probability, from a model, that the price goes up (``p_long``).

A long entry wants ``p_long >= conf_min``, a short one ``1 - p_long >= conf_min``. The model is whatever answers for an
instrument: a function of the core's own state, or answers computed outside that come in as inputs (``ModelAnswered``)
and are good for ``max_age_s``. Every decision says in its ``meta`` what the model said. Without a model paper trades
all the same and every decision says that too; live does not arm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from bus.bus import Bus
from bus.clock import SECOND, Clock
from bus.events import Intent, ModelAnswered
from bus.values import Side

Model = Callable[[str], float | None]
"""The probability for an instrument, None where it cannot tell."""

P_LONG = "p_long"
_BUY = Side.BUY


class Answers:
    """A model outside the core: its latest answer for each instrument, while that is young enough."""

    def __init__(self, clock: Clock, max_age_s: float) -> None:
        self._clock = clock
        self._max_age_ns = round(max_age_s * SECOND)
        self._latest: dict[str, ModelAnswered] = {}

    def attach(self, bus: Bus) -> None:
        bus.subscribe(ModelAnswered, self.on_answer)

    def on_answer(self, answer: ModelAnswered) -> None:
        if answer.name == P_LONG:
            self._latest[answer.instrument] = answer

    def state(self) -> list[Any]:
        return [msgspec.to_builtins(answer) for answer in self._latest.values()]

    def restore(self, state: list[Any]) -> None:
        for answer in state:
            self.on_answer(msgspec.convert(answer, ModelAnswered))

    def __call__(self, instrument: str) -> float | None:
        answer = self._latest.get(instrument)
        if answer is None or self._clock.now - answer.ns > self._max_age_ns:
            return None
        return answer.value


class Confirmation:
    """``bypass``: without a model, entries pass (a simulated venue); else nothing arms."""

    def __init__(self, conf_min: float, model: Model | None, *, bypass: bool) -> None:
        self.conf_min = conf_min
        self._model = model
        self._bypass = bypass

    def state(self) -> list[Any]:
        """What was answered from outside, and may still be young enough after a restart."""
        return self._model.state() if isinstance(self._model, Answers) else []

    def restore(self, state: list[Any]) -> None:
        if isinstance(self._model, Answers):
            self._model.restore(state)

    @property
    def missing(self) -> str:
        """Why nothing may be armed, or nothing."""
        if self._model is None and not self._bypass:
            return f"conf_min is {self.conf_min:g} and there is no model to confirm entries"
        return ""

    def stamp(self, intent: Intent) -> Intent:
        """The intent with what the model says now, or that there is none."""
        said = self._model(intent.instrument) if self._model is not None else None
        note = {"p_long": said, "conf_min": self.conf_min}
        if self._model is None:
            note["confirmation"] = "bypassed: no model"  # type: ignore[assignment]  # a note is text and numbers
        return msgspec.structs.replace(intent, meta={**(intent.meta or {}), **note})

    def measure(self, instrument: str, side: Side) -> tuple[float, float]:
        """What is asked for, and how sure the model is of this side: kept while the first is not above the second."""
        if self._model is None:
            return 0.0, 0.0
        said = self._model(instrument)
        if said is None or not 0.0 <= said <= 1.0:
            return self.conf_min, 0.0
        return self.conf_min, said if side is _BUY else 1.0 - said
