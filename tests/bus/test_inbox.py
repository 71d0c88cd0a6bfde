"""The bounded way out: what is lost is lost by rule and counted."""

from __future__ import annotations

import asyncio

import pytest

from bus.inbox import Inbox, Overflow

OLDEST, NEWEST = Overflow.DROP_OLDEST, Overflow.DROP_NEWEST


async def drain(inbox: Inbox[int]) -> list[int]:
    inbox.close()
    return [item async for item in inbox]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("policy", "put", "kept", "dropped"),
    [
        (OLDEST, 3, [0, 1, 2], 0),
        (OLDEST, 5, [2, 3, 4], 2),
        (NEWEST, 3, [0, 1, 2], 0),
        (NEWEST, 5, [0, 1, 2], 2),
    ],
)
async def test_a_full_inbox_drops_by_its_policy_and_counts(policy, put, kept, dropped) -> None:
    inbox: Inbox[int] = Inbox(3, policy)

    for item in range(put):
        inbox.put(item)

    assert (len(inbox), inbox.dropped) == (len(kept), dropped)
    assert await drain(inbox) == kept


@pytest.mark.asyncio
async def test_a_waiting_consumer_is_woken_by_an_item() -> None:
    inbox: Inbox[int] = Inbox(2, OLDEST)
    waiting = asyncio.ensure_future(anext(inbox))
    await asyncio.sleep(0)

    inbox.put(7)

    assert await waiting == 7


@pytest.mark.asyncio
async def test_two_items_before_the_consumer_runs_are_both_delivered() -> None:
    inbox: Inbox[int] = Inbox(2, OLDEST)
    waiting = asyncio.ensure_future(anext(inbox))
    await asyncio.sleep(0)

    inbox.put(1)
    inbox.put(2)

    assert [await waiting, await anext(inbox)] == [1, 2]


@pytest.mark.asyncio
async def test_closing_wakes_a_waiting_consumer_and_ends_it() -> None:
    inbox: Inbox[int] = Inbox(2, OLDEST)
    waiting = asyncio.ensure_future(drain_open(inbox))
    await asyncio.sleep(0)

    inbox.close()

    assert await waiting == []


async def drain_open(inbox: Inbox[int]) -> list[int]:
    return [item async for item in inbox]


@pytest.mark.asyncio
async def test_nothing_gets_in_after_closing_and_that_is_no_loss_of_the_policy() -> None:
    inbox: Inbox[int] = Inbox(2, OLDEST)
    inbox.put(1)
    inbox.close()

    inbox.put(2)

    assert [item async for item in inbox] == [1]
    assert inbox.dropped == 0


@pytest.mark.asyncio
async def test_a_cancelled_wait_leaves_the_inbox_whole() -> None:
    inbox: Inbox[int] = Inbox(2, OLDEST)
    waiting = asyncio.ensure_future(anext(inbox))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    inbox.put(1)

    assert await anext(inbox) == 1


def test_an_inbox_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Inbox(0, OLDEST)
