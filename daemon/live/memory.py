"""A whole core written down, and one that has done nothing yet put into that state: what a restart hands over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from bus.events import StateRestored
from bus.values import Instrument
from sim import memory as venue_memory

if TYPE_CHECKING:
    from daemon.wiring import Core

COUNCIL, REGIMES, PAIRS, OVERSIGHT = "council", "regimes", "pairs", "oversight"
"""Under which names the parts that not every session has are kept."""


def remember(core: Core, parent: str, seq: int, head: bytes) -> StateRestored:
    """The state of ``core``, for a session that continues ``parent`` after its last record; ``ns`` is not said yet."""
    venue = venue_memory.remember(core.venue)
    orders, sent = core.exposure.state(), core.router.state()
    known = {one.client_id for one in sent}
    instruments = {one.order.instrument for one in orders} | {one.terms.instrument for one in venue.orders}
    terms: dict[str, Instrument] = {name: core.market.instruments[name] for name in sorted(instruments)}
    terms |= {one.instrument.name: one.instrument for one in core.ledger.state().positions}
    return StateRestored(
        0,
        parent,
        seq,
        head.hex(),
        core.clock.now,
        list(terms.values()),
        core.ledger.state(),
        orders,
        sent,
        core.outbox.state(),
        sorted({message.client_id for message in venue.messages} - known),
        venue,
        core.runner.state(),
        core.gate.remember(),
        core.equity.state(),
        core.bars.state() if core.bars is not None else [],
        core.history.state(),
        _more(core),
    )


def _more(core: Core) -> dict[str, Any]:
    more: dict[str, Any] = {"operator": core.operator.state(), OVERSIGHT: core.oversight.state()}
    if core.council is not None:
        more[COUNCIL] = core.council.state()
    if core.regimes is not None:
        more[REGIMES] = core.regimes.kept()
    if pairs := core.runner.pairs():
        more[PAIRS] = pairs
    return more


def recall(core: Core, state: StateRestored) -> None:
    """Put a fresh core into ``state``; its strategies are restored by whoever starts them."""
    for instrument in state.instruments:
        core.market.instruments.setdefault(instrument.name, instrument)
    core.ledger.restore(state.ledger)
    core.exposure.restore(state.orders)
    core.outbox.restore(state.counters, state.issued)
    core.router.restore(state.sent)
    venue_memory.recall(core.venue, state.venue)
    core.gate.recall(state.gate)
    core.operator.restore(state.more.get("operator", {}))
    if core.bars is not None:
        core.bars.restore(state.forming)
    core.history.restore(state.bars)
    if OVERSIGHT in state.more:
        core.oversight.restore(state.more[OVERSIGHT])
    # What was halted trades again by a person's word only, and who gives it has seen the loss: it is counted anew.
    core.equity.restore(structs.replace(state.equity, start=None) if state.gate.latched else state.equity)
    if core.council is not None and COUNCIL in state.more:
        core.council.restore(state.more[COUNCIL])
    if core.regimes is not None and REGIMES in state.more:
        core.regimes.restore(state.more[REGIMES])
    core.runner.restore_pairs(state.more.get(PAIRS, []))
