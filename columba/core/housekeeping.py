"""What is done by the clock, in small steps: expiry of what waits, messages without receipts, sweeping of old rows.

Every step is conditional in the store, so it does no harm that several processes take it.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import structlog

from columba.store import StoreUnavailable

log = structlog.get_logger()


class Chore(NamedTuple):
    name: str
    every_s: float
    do: Callable[[], Awaitable[object]]


class Housekeeping:
    def __init__(self, chores: tuple[Chore, ...]) -> None:
        self._chores = chores
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._run(chore), name=f"chore-{chore.name}") for chore in self._chores]

    async def _run(self, chore: Chore) -> None:
        while True:
            await asyncio.sleep(chore.every_s)
            try:
                await chore.do()
            except StoreUnavailable:
                continue
            except Exception:
                log.exception("chore.failed", chore=chore.name)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
