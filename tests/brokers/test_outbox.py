"""Client ids: unique, fit for every venue, and nobody's but their strategy's to shift."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.outbox import Outbox

names = st.text(min_size=1, max_size=32)
VENUE_RULE = re.compile(r"[A-Za-z0-9\-_.:/]{1,36}")


@pytest.mark.property
@given(st.lists(names, min_size=1, max_size=60), st.integers(0, 10**6))
def test_ids_are_unique_and_every_venue_takes_them(strategies: list[str], epoch: int) -> None:
    outbox = Outbox(epoch)

    ids = [outbox.next_id(strategy) for strategy in strategies]

    assert len(set(ids)) == len(ids)
    assert all(VENUE_RULE.fullmatch(client_id) for client_id in ids)


@pytest.mark.property
@given(st.lists(names, max_size=40), names)
def test_no_strategy_shifts_the_ids_of_another(others: list[str], mine: str) -> None:
    alone, among = Outbox(), Outbox()
    expected = [alone.next_id(mine) for _ in range(3)]

    got = []
    for n in range(3):
        for other in others[n::3]:
            if other != mine:
                among.next_id(other)
        got.append(among.next_id(mine))

    assert got == expected


def test_a_restart_begins_a_new_epoch_and_repeats_nothing() -> None:
    before, after = Outbox(1), Outbox(2)

    assert {before.next_id("s") for _ in range(100)}.isdisjoint({after.next_id("s") for _ in range(100)})


def test_epochs_and_counters_do_not_run_into_each_other() -> None:
    ids = [Outbox(epoch).next_id(name) for epoch in (1, 11, 111) for name in ("s", "s1", "1")]

    assert len(set(ids)) == len(ids)
