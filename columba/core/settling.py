"""What has ended in a lane and is not in the store yet: settled one batch after another.

What ends while a batch is being settled is the next one, so no two can find the same news. Ends with its lane: what is
another process's is not for us to settle.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from columba.core.lane import Lane

Item = TypeVar("Item")


class Settling(Generic[Item]):
    __slots__ = ("_busy", "_ended", "_lane", "_settle")

    def __init__(self, lane: Lane, settle: Callable[[Lane, list[Item]], Coroutine[Any, Any, None]]) -> None:
        self._lane = lane
        self._settle = settle
        self._ended: list[Item] = []
        self._busy = False

    def add(self, item: Item) -> None:
        self._ended.append(item)
        if not self._busy:
            self._busy = True
            self._lane.spawn(self._settle_all())

    async def _settle_all(self) -> None:
        try:
            while self._ended and not self._lane.gone:
                ended, self._ended = self._ended, []
                await self._settle(self._lane, ended)
        finally:
            self._busy = False
