"""The life of an order, told as stories; and every move that no story has."""

from __future__ import annotations

import re
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.order_state import DONE, MOVES, ImpossibleMove, Move, advance
from bus.values import OrderState as S

M = Move
STORIES = [
    ("taken and filled at once", [M.ACCEPTED, M.FILLED], S.FILLED),
    ("filled in parts", [M.ACCEPTED, M.PART_FILLED, M.PART_FILLED, M.FILLED], S.FILLED),
    ("the fill's report overtakes the acknowledgement", [M.PART_FILLED, M.ACCEPTED, M.FILLED], S.FILLED),
    ("filled before anybody acknowledged it", [M.FILLED], S.FILLED),
    ("refused by the venue", [M.REJECTED], S.REJECTED),
    ("an IOC that found nothing", [M.ACCEPTED, M.EXPIRED], S.EXPIRED),
    ("an IOC whose remainder lapses", [M.ACCEPTED, M.PART_FILLED, M.EXPIRED], S.EXPIRED),
    ("cancelled as asked", [M.ACCEPTED, M.CANCEL_ASKED, M.CANCELLED], S.CANCELLED),
    ("the venue cancels on its own", [M.ACCEPTED, M.CANCELLED], S.CANCELLED),
    ("a fill beats our cancel", [M.ACCEPTED, M.CANCEL_ASKED, M.FILLED], S.FILLED),
    ("and the refusal of that cancel comes last", [M.ACCEPTED, M.CANCEL_ASKED, M.FILLED, M.CANCEL_REJECTED], S.FILLED),
    ("a part fills while we cancel", [M.ACCEPTED, M.CANCEL_ASKED, M.PART_FILLED, M.CANCELLED], S.CANCELLED),
    ("our cancel overtakes the order", [M.CANCEL_ASKED, M.CANCEL_REJECTED, M.ACCEPTED], S.OPEN),
    ("cancelled before it was acknowledged", [M.CANCEL_ASKED, M.ACCEPTED, M.CANCELLED], S.CANCELLED),
    ("refused while we cancel", [M.CANCEL_ASKED, M.REJECTED], S.REJECTED),
    ("and then the cancel is refused too", [M.CANCEL_ASKED, M.REJECTED, M.CANCEL_REJECTED], S.REJECTED),
    ("a stop triggers and fills", [M.ACCEPTED, M.TRIGGERED, M.FILLED], S.FILLED),
    ("a stop is refused when it triggers", [M.ACCEPTED, M.TRIGGERED, M.REJECTED], S.REJECTED),
    ("a stop triggers while we cancel", [M.ACCEPTED, M.CANCEL_ASKED, M.TRIGGERED, M.CANCELLED], S.CANCELLED),
    ("replaced and filled", [M.ACCEPTED, M.REPLACE_ASKED, M.REPLACED, M.FILLED], S.FILLED),
    ("a replacement is refused", [M.ACCEPTED, M.REPLACE_ASKED, M.REPLACE_REJECTED], S.OPEN),
    ("a replacement overtakes the order", [M.REPLACE_ASKED, M.REPLACE_REJECTED, M.ACCEPTED], S.OPEN),
    ("a fill beats our replacement", [M.ACCEPTED, M.REPLACE_ASKED, M.FILLED, M.REPLACE_REJECTED], S.FILLED),
    ("a part filled order is replaced", [M.ACCEPTED, M.PART_FILLED, M.REPLACE_ASKED, M.REPLACED], S.PARTLY_FILLED),
    ("a replacement arrives while we cancel", [M.ACCEPTED, M.REPLACE_ASKED, M.CANCEL_ASKED, M.REPLACED], S.CANCELLING),
    ("the wire fails and the venue had it", [M.LOST, M.ACCEPTED], S.OPEN),
    ("the wire fails and the venue had filled it", [M.LOST, M.FILLED], S.FILLED),
    ("the wire fails and the venue never had it", [M.LOST, M.REJECTED], S.REJECTED),
    ("the wire fails while it is open", [M.ACCEPTED, M.LOST, M.CANCEL_ASKED, M.CANCELLED], S.CANCELLED),
    ("asking does not resolve the unknown", [M.LOST, M.CANCEL_ASKED, M.CANCEL_REJECTED], S.UNKNOWN),
]


@pytest.mark.parametrize(("story", "moves", "end"), STORIES, ids=[story for story, _, _ in STORIES])
def test_an_order_lives_its_story(story: str, moves: list[Move], end: S) -> None:
    state = S.SUBMITTED

    for move in moves:
        state = advance(state, move)

    assert state is end


def test_a_part_filled_order_whose_cancel_is_refused_is_open_again() -> None:
    state = S.PARTLY_FILLED
    for move in (M.CANCEL_ASKED, M.CANCEL_REJECTED):
        state = advance(state, move)

    assert state in (S.OPEN, S.PARTLY_FILLED)


IMPOSSIBLE = [(state, move) for state, move in product(S, Move) if move not in MOVES[state]]


@pytest.mark.parametrize(("state", "move"), IMPOSSIBLE, ids=[f"{s.value}-{m.value}" for s, m in IMPOSSIBLE])
def test_an_impossible_move_raises_and_names_both(state: S, move: Move) -> None:
    with pytest.raises(ImpossibleMove, match=re.escape(f"{move.value} while {state.value}")):
        advance(state, move)


def test_the_table_has_a_row_for_every_state() -> None:
    assert set(MOVES) == set(S)


@pytest.mark.property
@given(st.lists(st.sampled_from(list(Move)), max_size=30))
def test_what_is_done_stays_done(moves: list[Move]) -> None:
    state, ended = S.SUBMITTED, None

    for move in moves:
        try:
            state = advance(state, move)
        except ImpossibleMove:
            continue
        if ended is not None:
            assert state is ended
        if state in DONE:
            ended = state


@pytest.mark.parametrize("state", sorted(set(S) - DONE, key=str))
def test_whatever_is_not_done_can_still_end(state: S) -> None:
    assert {MOVES[state][move] for move in (M.FILLED, M.CANCELLED, M.EXPIRED)} <= DONE
    assert M.PART_FILLED in MOVES[state], "a fill may come at any time"
