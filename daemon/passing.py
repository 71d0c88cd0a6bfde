"""What passes without a decision is noted too: every closed bar, who let it pass, and what the account was worth.

Most bars continue the row of the one before: then a time and the marks of what is held are all there is to note, and
the chain is not even asked.
"""

from __future__ import annotations

from collections.abc import Callable

from bus.clock import Clock
from bus.events import Bar
from bus.journal import NO_ROW, Chain, Hearers
from portfolio.equity import CannotValue, Equity


def passing(chain: Chain, clock: Clock, equity: Equity, hearers: Hearers) -> Callable[[Bar], None]:
    """A handler of bars for after the strategies. While something held has no price, bars pass without equity."""
    pending = chain.pending

    def note(bar: Bar) -> None:
        row, end = chain.row, bar.end_ns
        if (
            row.next_end == end
            and row.sheet is equity.sheet
            and row.instrument is bar.instrument
            and chain.opened_at == len(pending)
            and (row.interval is bar.interval_ns or row.interval == bar.interval_ns)
            and bar.closed
        ):
            row.ns = clock.now
            row.next_end = end = end + row.interval
            for held in equity.shown:
                row.marks.append(held.price)
            if end == row.limit:
                chain.row = NO_ROW
        elif bar.closed:
            sheet = equity.sheet
            if sheet is not None:
                chain.passed(bar, clock.now, hearers, sheet, [held.price for held in equity.shown])
                return
            try:
                sheet, marks = equity.taken_apart()
            except CannotValue:
                chain.passed(bar, clock.now, hearers, None, ())
            else:
                chain.passed(bar, clock.now, hearers, sheet, marks)

    return note
