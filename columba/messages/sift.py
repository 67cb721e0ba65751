"""Lists with filters, newest first: ids by an index, then those of them that are wanted, page by page.

A filter that no index serves may want few of many rows. So a page looks at no more than some thousands: it then holds
fewer than were asked for, perhaps none, and its cursor says where to go on. Only a list without a cursor has ended.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from columba.store import Row

STEPS: Final = (1_000, 5_000, 15_000)  # ids to look at, after the first few

Newest = Callable[[int, int], Awaitable[Sequence[Row]]]
"""Rows whose id, the first column, is below one; so many of them, newest first."""
Pick = Callable[[Sequence[Row], int], Awaitable[list[Any]]]
"""Of these rows, those that are wanted and in full; so many of them, newest first, the id in front."""


async def sift(newest: Newest, pick: Pick, before: int, most: int) -> tuple[list[Any], int | None]:
    """The rows of one page, and the id below which the next page begins, if there may be one."""
    found: list[Any] = []
    for step in (most + 1, *STEPS):
        looked_at = await newest(before, step)
        if looked_at:
            found += await pick(looked_at, most + 1 - len(found))
        if len(found) > most:
            return found[:most], found[most - 1][0]
        if len(looked_at) < step:
            return found, None
        before = looked_at[-1][0]
    return found, before
