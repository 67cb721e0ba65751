"""Group commit: many callers, few transactions, and none of them answered before it is on the disk."""

import asyncio
import json
from pathlib import Path

from columba.store import Step, plan, statements
from columba.store.sqlite import migrate_sqlite
from columba.store.writer import Known, Writer, connect
from columba.store.writer import Step as WriterStep
from tests.store import places
from tests.store.disk import commits, disk
from tests.store.places import BIRDS


async def test_plans_that_wait_share_a_transaction(place: Path | str) -> None:
    observed: list[int] = []
    async with places.opened(place, observe=lambda size, _seconds: observed.append(size)) as store:
        await places.execute(place, places.TABLES[store.engine])
        before = commits(place) if isinstance(place, Path) else 0
        await asyncio.gather(
            *(store.commit(plan(Step(BIRDS["insert_birds"], [(n, "dove", 1.0, n)]))) for n in range(500))
        )
        if isinstance(place, Path):
            count = commits(place) - before
        else:
            ((count,),) = await places.execute(place, "select count(distinct tx) from birds")
        assert 1 <= count <= 5
        assert len(observed) == count
        assert sum(observed) == 500


async def test_shapes_share_a_transaction_too(place: Path | str) -> None:
    observed: list[int] = []
    async with places.opened(place, observe=lambda size, _seconds: observed.append(size)) as store:
        await places.execute(place, places.TABLES[store.engine])
        before = commits(place) if isinstance(place, Path) else 0
        some = [store.commit(plan(Step(BIRDS["insert_birds"], [(n, "dove", 1.0, n)]))) for n in range(100)]
        others = [store.commit(plan(Step(BIRDS["note_birds"], [(n,)]))) for n in range(100)]
        await asyncio.gather(*some, *others)
        assert len(observed) <= 5
        if isinstance(place, Path):
            assert commits(place) - before == len(observed)


async def test_two_that_want_the_same_row_go_one_after_the_other(place: Path | str) -> None:
    observed: list[int] = []
    async with places.opened(place, observe=lambda size, _seconds: observed.append(size)) as store:
        await places.execute(place, places.TABLES[store.engine])
        await store.commit(plan(Step(BIRDS["insert_birds"], [(n, "dove", 1.0, 0) for n in range(20)])))

        async def claim(those: range, owner: int) -> list[int]:
            rows = [(n, 0, owner) for n in those]
            results = await store.commit(
                plan(Step(BIRDS["claim_birds"], rows), Step(BIRDS["insert_rings"], [(n, f"{owner}") for n in those], 0))
            )
            mine = set(those) & {row[0] for row in results[0]}
            return sorted(mine)

        observed.clear()
        first, second, third, last = await asyncio.gather(
            claim(range(10), 1), claim(range(5, 12), 2), claim(range(12, 20), 3), claim(range(20), 4)
        )
        assert (first, second, third, last) == ([*range(10)], [10, 11], [*range(12, 20)], [])
        assert await store.read(BIRDS["all_rings"]) == [
            (n, "1" if n < 10 else "2" if n < 12 else "3") for n in range(20)
        ]
        assert len(observed) <= 3


def test_a_commit_is_synced_before_its_caller_knows(tmp_path: Path) -> None:
    """The writer answers when `transact` has returned."""
    path = tmp_path / "columba.db"
    migrate_sqlite(path)
    insert = Known("insert into versions (topic, n) values (json_extract(?1, '$[0][0]'), 1)", "", "")
    with disk() as watched:
        writer = Writer(connect(str(path)))
        writer.known[0] = insert
        for n in range(10):
            before = watched.syncs
            writer.transact([[WriterStep(0, 1, json.dumps([[f"mark {n}"]]), None, None, None)]])
            assert watched.syncs > before
        writer.connection.close()


async def test_postgres_waits_for_the_disk_whatever_its_settings_say(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    await places.execute(postgres_url, f"alter database {name} set synchronous_commit = off")
    settings = statements(Path(__file__).with_name("settings.sql"))
    async with places.opened(postgres_url) as store:
        (found,) = await store.commit(plan(Step(settings["of_the_journal"], [("synchronous_commit",)])))
        assert [tuple(row) for row in found] == [("on",)]
