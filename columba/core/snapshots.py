"""Configuration in memory: immutable snapshots, replaced when the store's version of a topic changes.

The hot path reads snapshots and never the store. A change bumps its topic's version in its own transaction; every
process sees it by the bell, or within POLL_S in any case.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from columba.errors import Refusal
from columba.store import Step, Store, StoreUnavailable, statements

SQL = statements(Path(__file__).with_name("snapshots.sql"))
POLL_S = 0.4

log = structlog.get_logger()


class Snapshots:
    def __init__(self, store: Store) -> None:
        self._store = store
        self._loaders: dict[str, list[Callable[[], Awaitable[None]]]] = {}
        self._seen: dict[str, int] = {}
        self._failed: dict[str, int] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()

    def on(self, topic: str, load: Callable[[], Awaitable[None]]) -> None:
        """Call `load` at the start and whenever the topic has changed."""
        self._loaders.setdefault(topic, []).append(load)

    def bump(self, topic: str) -> Step:
        """The step that tells every process of a change."""
        return Step(SQL["bump"], [(topic,)])

    async def refresh(self, strict: bool = False) -> None:
        """Load what has changed, now. After a change of our own, this makes it visible before the answer.

        A topic that can't be loaded keeps its last snapshot, is tried again, and must not keep the others from theirs: a
        key that was revoked ends whatever else is wrong. At the start (`strict`) it is raised.
        """
        async with self._turn:
            versions = {row[0]: int(row[1]) for row in await self._store.read(SQL["versions"])}
            for topic in self._loaders:
                n = versions.get(topic, 0)
                if self._seen.get(topic) != n and await self._load(topic, n, strict):
                    self._seen[topic] = n

    async def _load(self, topic: str, n: int, strict: bool) -> bool:
        try:
            for load in self._loaders[topic]:
                await load()
        except Refusal:
            raise
        except Exception:
            if strict:
                raise
            if self._failed.get(topic) != n:
                self._failed[topic] = n
                log.exception("snapshot.not_loaded", topic=topic, version=n)
            return False
        return True

    async def changed(self) -> None:
        await self.refresh()
        self._store.ring("config")

    def heard(self, topic: str) -> None:
        if topic in ("config", "*"):
            self._wake.set()

    async def start(self) -> None:
        await self.refresh(strict=True)
        self._task = asyncio.get_running_loop().create_task(self._run(), name="snapshots")

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):  # not wait_for: it may swallow a cancellation
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self.refresh()
            except StoreUnavailable:
                await asyncio.sleep(POLL_S)
            except Exception:
                log.exception("snapshots.refresh_failed")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
