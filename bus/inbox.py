"""A bounded queue on the way out of the core: the only place where an event may be lost, counted, by a named rule."""

from __future__ import annotations

import asyncio
import enum
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Overflow(enum.Enum):
    """What a full inbox does with one more item. There is no rule that blocks: the core waits for nobody."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"


class Inbox(Generic[Item]):
    """Filled from the core without waiting, emptied by one consumer with ``async for``.

    ``dropped`` counts what was lost; ``put`` never tells the core, so a slow consumer cannot change what it does.
    """

    def __init__(self, capacity: int, policy: Overflow) -> None:
        if capacity < 1:
            raise ValueError("an inbox holds at least one item")
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._policy = policy
        self._wake: asyncio.Future[None] | None = None
        self._closed = False
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Item) -> None:
        if self._closed:
            return
        if len(self._items) >= self._capacity:
            self.dropped += 1
            if self._policy is Overflow.DROP_NEWEST:
                return
            self._items.popleft()
        self._items.append(item)
        self._rouse()

    def take(self, most: int) -> list[Item]:
        """What is inside, ``most`` of it, the oldest first; nobody waits for it."""
        items = self._items
        return [items.popleft() for _ in range(min(most, len(items)))]

    def close(self) -> None:
        """What is inside is still delivered; nothing more gets in."""
        self._closed = True
        self._rouse()

    def __aiter__(self) -> Inbox[Item]:
        return self

    async def __anext__(self) -> Item:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        return self._items.popleft()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
