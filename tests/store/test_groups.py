"""Group commit: many callers, few transactions, and none of them answered before it is on the disk."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from columba.store import Step, plan, statements
from tests.store import places
from tests.store.disk import disk
from tests.store.places import BIRDS


@pytest.fixture
def commits() -> Iterator[list[str]]:
    """SQLite's commits on any connection opened meanwhile."""
    made: list[str] = []

    def watch(connection: apsw.Connection) -> None:
        def committing() -> bool:
            made.append(connection.filename)
            return False

        connection.set_commit_hook(committing)

    apsw.connection_hooks.append(watch)
    yield made
    apsw.connection_hooks.remove(watch)


async def test_plans_that_wait_share_a_transaction(place: Path | str, commits: list[str]) -> None:
    observed: list[int] = []
    async with places.opened(place, observe=lambda size, _seconds: observed.append(size)) as store:
        await places.execute(place, places.TABLES[store.engine])
        commits.clear()
        await asyncio.gather(
            *(store.commit(plan(Step(BIRDS["insert_birds"], [(n, "dove", 1.0, n)]))) for n in range(500))
        )
        if store.engine == "postgres":
            assert isinstance(place, str)
            ((count,),) = await places.execute(place, "select count(distinct tx) from birds")
        else:
            count = len(commits)
        assert 1 <= count <= 5
        assert len(observed) == count
        assert sum(observed) == 500


async def test_shapes_share_a_transaction_too(place: Path | str, commits: list[str]) -> None:
    observed: list[int] = []
    async with places.opened(place, observe=lambda size, _seconds: observed.append(size)) as store:
        await places.execute(place, places.TABLES[store.engine])
        commits.clear()
        some = [store.commit(plan(Step(BIRDS["insert_birds"], [(n, "dove", 1.0, n)]))) for n in range(100)]
        others = [store.commit(plan(Step(BIRDS["note_birds"], [(n,)]))) for n in range(100)]
        await asyncio.gather(*some, *others)
        assert len(observed) <= 5
        if store.engine == "sqlite":
            assert len(commits) == len(observed)


async def test_a_commit_is_synced_before_its_caller_knows(tmp_path: Path) -> None:
    with disk() as watched:
        async with places.opened(tmp_path) as store:
            await places.execute(tmp_path, places.TABLES["sqlite"])
            for n in range(10):
                before = watched.syncs
                await store.commit(plan(Step(BIRDS["insert_birds"], [(n, "dove", 1.0, n)])))
                assert watched.syncs > before


async def test_postgres_waits_for_the_disk_whatever_its_settings_say(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    await places.execute(postgres_url, f"alter database {name} set synchronous_commit = off")
    settings = statements(Path(__file__).with_name("settings.sql"))
    async with places.opened(postgres_url) as store:
        (found,) = await store.commit(plan(Step(settings["of_the_journal"], [("synchronous_commit",)])))
        assert [tuple(row) for row in found] == [("on",)]
