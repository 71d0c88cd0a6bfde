"""What moves an account besides fills, and what it was worth as bars passed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from bus.events.record import Record
from bus.money import from_float


class FundingPaid(Record, frozen=True):
    """A perpetual's funding: ``amount`` of ``asset`` left the account (negative: came in)."""

    instrument: str
    rate: Decimal
    mark: Decimal
    position: Decimal
    amount: Decimal
    asset: str


class Sheet(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What an account consists of between two records: ``fixed`` in its own asset, and the amounts of what is held,
    each worth the mark of an instrument. No mark changes it; only fills and funding do.
    """

    fixed: Decimal
    held: tuple[tuple[str, Decimal], ...] = ()

    def worth(self, marks: Sequence[float]) -> Decimal:
        """Equity when the instruments held stand at ``marks``, exactly."""
        value = self.fixed
        for (_, amount), mark in zip(self.held, marks, strict=True):
            value += amount * from_float(mark)
        return value


class BarsPassed(Record, frozen=True):
    """Closed bars of one instrument and what was made of them, packed: ``count`` bars, one after the other, the first
    ending at ``first_end_ns``; ``ns`` is when the last was heard.

    ``strategies`` heard them and did nothing, except that those in ``acted`` did something at the last. ``reasons`` has
    a list for each strategy: what it said of each bar, empty where it never said anything. Equity at a bar is the
    ``sheet`` (None: something held had no price) at that bar's ``marks``, which are in the order of ``sheet.held``.
    """

    instrument: str
    interval_ns: int
    first_end_ns: int
    count: int
    strategies: list[str]
    acted: list[str]
    reasons: list[list[str]]
    sheet: Sheet | None
    marks: list[float]

    @property
    def last_end_ns(self) -> int:
        return self.first_end_ns + (self.count - 1) * self.interval_ns

    def equity(self) -> Iterator[tuple[int, Decimal]]:
        """(end of the bar, equity in the account's asset) where there is one to tell."""
        if self.sheet is not None:
            width = len(self.sheet.held)
            for index in range(self.count):
                marks = self.marks[index * width : index * width + width]
                yield self.first_end_ns + index * self.interval_ns, self.sheet.worth(marks)
