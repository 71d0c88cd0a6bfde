"""What can be gone on from where a recording does not explain its journal to the end.

It takes a power cut, or a lost file: the process writes an input before anything that follows from it, but which of two
files a disk kept is the disk's affair. Then the state is made again from the inputs as far as they agree, and of the
records after that only what is a fact about money is believed: fills, funding, terms. The account is therefore exact.
What nobody can know is let go: orders that were open are taken as cancelled, messages on their way as lost, and what
strategies knew is what they knew before. Trading is latched, so that a person looks before anything is sent.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from bus.events import Decision, FundingPaid, InstrumentListed, OrderFilled, StateRestored
from bus.journal import Entry
from bus.state import GateState, VenueState
from bus.values import ZERO, Order, OrderType
from daemon.live import memory
from daemon.wiring import Core
from sim.account import SETTLEMENTS, unlock
from sim.orders import VenueOrder

UNEXPLAINED = "unexplained"
"""What latches the gate of a session that continues such a journal."""


def salvage(core: Core, parent: str, tail: Sequence[Entry]) -> StateRestored:
    """The state after ``tail``, the records that ``core``, made from what came before them, did not make."""
    account = core.venue.account
    for order in core.venue.open_orders():
        unlock(account, core.market.instruments[order.terms.instrument], order)
    emitted: dict[str, int] = {}
    at_ns = core.clock.now
    for entry in tail:
        event = entry.event()
        at_ns = max(at_ns, event.ns)
        match event:
            case InstrumentListed():
                core.market.on_listed(event)
            case OrderFilled():
                core.ledger.on_fill(event)
                core.oversight.books.on_fill(event)
                _settle(core, event)
            case FundingPaid():
                core.ledger.on_funding(event)
                account.move(event.asset, ZERO, -event.amount)
            case Decision():
                number = event.intent_id.rpartition("-")[2]
                if number.isdecimal():
                    emitted[event.strategy] = max(emitted.get(event.strategy, 0), int(number))
    last = tail[-1]
    state = memory.remember(core, parent, last.seq, last.hash)
    venue = state.venue
    more = {name: what for name, what in state.more.items() if name != memory.PAIRS}  # their orders are gone
    return structs.replace(
        state,
        at_ns=at_ns,
        orders=[],
        sent=[],
        issued=[],
        venue=VenueState(venue.free, venue.locked, venue.margins, arrivals=venue.arrivals, books=venue.books),
        seats=[structs.replace(seat, emitted=max(seat.emitted, emitted.get(seat.id, 0))) for seat in state.seats],
        gate=GateState(latched=UNEXPLAINED, reason=f"records from {tail[0].seq} on are not explained by any input"),
        more=more,
    )


def _settle(core: Core, fill: OrderFilled) -> None:
    """The same fill in the simulated venue's own books."""
    instrument = core.market.instruments[fill.instrument]
    terms = Order(fill.intent_id, fill.strategy, fill.instrument, fill.side, OrderType.MARKET, fill.size)
    order = VenueOrder(fill.client_id, terms, None, fill.size, fill.leaves)
    SETTLEMENTS[instrument.kind].settle(core.venue.account, instrument, order, fill.price, fill.size, fill.fee, ZERO)
