"""Gathering what comes singly into plans of a good size.

An outcome or a receipt doesn't keep anybody waiting, and a statement costs nearly the same for one row as for fifty. So
while the store is busy such things gather for a few ms; while it is idle they go at once.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from columba.store import Store

Item = TypeVar("Item")
DELAY_S = 0.005
MOST = 500


class Gather(Generic[Item]):
    def __init__(self, store: Store, flush: Callable[[list[Item]], None]) -> None:
        self._store = store
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._items: list[Item] = []
        self._due: asyncio.Handle | None = None

    def add(self, items: Iterable[Item]) -> None:
        self._items += items
        if self._due is None:
            if self._store.backlog:
                self._due = self._loop.call_later(DELAY_S, self._go)
            else:
                self._due = self._loop.call_soon(self._go)
        elif len(self._items) >= MOST:
            self._due.cancel()
            self._go()

    def _go(self) -> None:
        items, self._items, self._due = self._items, [], None
        if items:
            self._flush(items)
