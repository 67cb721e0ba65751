"""Configuration in memory: loaded at the start, replaced when it has changed, by whichever process."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest_asyncio

from columba.core.snapshots import POLL_S, Snapshots
from columba.store import Store, open_store, plan
from tests.core.rig import until

Start = Callable[..., Awaitable[tuple[Store, Snapshots]]]


class Loader:
    def __init__(self) -> None:
        self.loads = 0
        self.broken = False

    async def __call__(self) -> None:
        self.loads += 1
        if self.broken:
            raise RuntimeError("can't be read")


@pytest_asyncio.fixture
async def start(place: Path | str) -> AsyncIterator[Start]:
    """A process of its own with these loaders."""
    async with AsyncExitStack() as stack:

        async def process(**loaders: Loader) -> tuple[Store, Snapshots]:
            store = await open_store(place)
            stack.push_async_callback(store.close)
            snapshots = Snapshots(store)
            for topic, loader in loaders.items():
                snapshots.on(topic, loader)
            store.on_bell(snapshots.heard)
            await snapshots.start()
            stack.push_async_callback(snapshots.stop)
            return store, snapshots

        yield process


async def test_every_topic_is_loaded_at_the_start(start: Start) -> None:
    """One that the store has never heard of too."""
    keys, new = Loader(), Loader()
    await start(keys=keys, brand_new=new)
    assert (keys.loads, new.loads) == (1, 1)


async def test_a_change_is_seen_at_once_here_and_soon_elsewhere(start: Start) -> None:
    here, elsewhere, other = Loader(), Loader(), Loader()
    store, snapshots = await start(keys=here, webhooks=other)
    await start(keys=elsewhere)
    await store.commit(plan(snapshots.bump("keys")))
    await snapshots.changed()
    assert (here.loads, other.loads) == (2, 1)
    await until(lambda: elsewhere.loads == 2)
    assert POLL_S < 0.5  # in force everywhere within a second, the time to load it included
    await snapshots.refresh()
    assert (here.loads, other.loads) == (2, 1)


async def test_it_stops_even_when_the_bell_rings_just_then(start: Start) -> None:
    _, snapshots = await start(keys=Loader())
    for _ in range(50):
        snapshots.heard("config")
        await asyncio.wait_for(snapshots.stop(), 30.0)
        await snapshots.start()
        await asyncio.sleep(0)


async def test_a_topic_that_is_new_to_the_store_can_be_bumped(start: Start) -> None:
    loader = Loader()
    store, snapshots = await start(brand_new=loader)
    for n in (2, 3):
        await store.commit(plan(snapshots.bump("brand_new")))
        await snapshots.changed()
        assert loader.loads == n


async def test_one_that_can_not_be_loaded_keeps_nobody_from_theirs_and_is_tried_again(start: Start) -> None:
    bad, good = Loader(), Loader()
    store, snapshots = await start(carriers=bad, keys=good)
    bad.broken = True
    await store.commit(plan(snapshots.bump("carriers"), snapshots.bump("keys")))
    await snapshots.changed()
    assert good.loads == 2
    bad.broken = False
    seen = bad.loads
    await until(lambda: bad.loads > seen, 2.0)
    loads = bad.loads
    await snapshots.refresh()
    assert bad.loads == loads
