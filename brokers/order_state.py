"""The life of an order, as a table. A cell that is not here is a move that cannot happen, and says so."""

from __future__ import annotations

from collections.abc import Mapping

from bus.values import Choice, OrderState

SUBMITTED = OrderState.SUBMITTED
OPEN = OrderState.OPEN
PARTLY_FILLED = OrderState.PARTLY_FILLED
CANCELLING = OrderState.CANCELLING
UNKNOWN = OrderState.UNKNOWN
FILLED = OrderState.FILLED
CANCELLED = OrderState.CANCELLED
EXPIRED = OrderState.EXPIRED
REJECTED = OrderState.REJECTED

DONE = frozenset({FILLED, CANCELLED, EXPIRED, REJECTED})


class Move(Choice):
    """What can happen to an order: ours (asked for) or the venue's (reported)."""

    ACCEPTED = "accepted"
    TRIGGERED = "triggered"
    PART_FILLED = "part_filled"
    FILLED = "filled"
    CANCEL_ASKED = "cancel_asked"
    CANCELLED = "cancelled"
    CANCEL_REJECTED = "cancel_rejected"
    REPLACE_ASKED = "replace_asked"
    REPLACED = "replaced"
    REPLACE_REJECTED = "replace_rejected"
    EXPIRED = "expired"
    REJECTED = "rejected"
    LOST = "lost"  # bytes may have left, and no answer can be classified


_ENDS = {Move.FILLED: FILLED, Move.CANCELLED: CANCELLED, Move.EXPIRED: EXPIRED}
_LATE = (Move.CANCEL_REJECTED, Move.REPLACE_REJECTED)  # the answer to a request that lost the race

MOVES: Mapping[OrderState, Mapping[Move, OrderState]] = {
    SUBMITTED: {
        **_ENDS,
        Move.ACCEPTED: OPEN,
        Move.PART_FILLED: PARTLY_FILLED,
        Move.REJECTED: REJECTED,
        Move.CANCEL_ASKED: CANCELLING,
        Move.REPLACE_ASKED: SUBMITTED,
        Move.REPLACE_REJECTED: SUBMITTED,  # it overtook the order itself
        Move.LOST: UNKNOWN,
    },
    OPEN: {
        **_ENDS,
        Move.ACCEPTED: OPEN,  # a cancel that overtook the order was refused; now it is here
        Move.TRIGGERED: OPEN,
        Move.PART_FILLED: PARTLY_FILLED,
        Move.CANCEL_ASKED: CANCELLING,
        Move.REPLACE_ASKED: OPEN,
        Move.REPLACED: OPEN,
        Move.REPLACE_REJECTED: OPEN,
        Move.REJECTED: REJECTED,  # a stop may be refused when it triggers
        Move.LOST: UNKNOWN,
    },
    PARTLY_FILLED: {
        **_ENDS,
        Move.ACCEPTED: PARTLY_FILLED,  # the report of the fill overtook the acknowledgement
        Move.TRIGGERED: PARTLY_FILLED,
        Move.PART_FILLED: PARTLY_FILLED,
        Move.CANCEL_ASKED: CANCELLING,
        Move.REPLACE_ASKED: PARTLY_FILLED,
        Move.REPLACED: PARTLY_FILLED,
        Move.REPLACE_REJECTED: PARTLY_FILLED,
        Move.LOST: UNKNOWN,
    },
    CANCELLING: {
        **_ENDS,  # a fill may win the race
        Move.ACCEPTED: CANCELLING,
        Move.TRIGGERED: CANCELLING,
        Move.PART_FILLED: CANCELLING,
        Move.CANCEL_ASKED: CANCELLING,
        Move.CANCEL_REJECTED: OPEN,  # the venue does not have it yet: the cancel overtook the order
        Move.REPLACED: CANCELLING,
        Move.REPLACE_REJECTED: CANCELLING,
        Move.REJECTED: REJECTED,
        Move.LOST: UNKNOWN,
    },
    UNKNOWN: {
        **_ENDS,  # only evidence resolves it
        Move.ACCEPTED: OPEN,
        Move.PART_FILLED: PARTLY_FILLED,
        Move.REJECTED: REJECTED,
        Move.CANCEL_ASKED: UNKNOWN,
        Move.CANCEL_REJECTED: UNKNOWN,
        Move.LOST: UNKNOWN,
    },
    FILLED: dict.fromkeys(_LATE, FILLED),
    CANCELLED: dict.fromkeys(_LATE, CANCELLED),
    EXPIRED: dict.fromkeys(_LATE, EXPIRED),
    REJECTED: dict.fromkeys(_LATE, REJECTED),
}


class ImpossibleMove(Exception):  # what happened, in the words of the table
    """The venue, or we, did what the table has no cell for."""


def advance(state: OrderState, move: Move) -> OrderState:
    """The state after ``move``. Raises ImpossibleMove naming both where the table has no cell."""
    try:
        return MOVES[state][move]
    except KeyError:
        raise ImpossibleMove(f"{move.value} while {state.value}") from None
