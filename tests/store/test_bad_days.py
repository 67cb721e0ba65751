"""Disks that are full or can't be trusted, and a PostgreSQL that goes away under load."""

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from columba.store import Plan, Step, Store, StoreRefused, StoreUnavailable, open_store, plan
from columba.store.sqlite import SqliteStore
from tests import engines
from tests.store import places
from tests.store.disk import small_disk
from tests.store.places import BIRDS


def insert(an_id: int, name: str = "dove") -> Plan:
    return plan(Step(BIRDS["insert_birds"], [(an_id, name, 1.0, an_id)]))


async def until(true: Callable[[], bool], patience: float = 30.0) -> None:
    deadline = asyncio.get_running_loop().time() + patience
    while not true():
        assert asyncio.get_running_loop().time() < deadline, "it did not come true in time"
        await asyncio.sleep(0.005)


# The disk at the start


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/self", "/proc/columba", "dangling"])
async def test_a_folder_that_can_not_be_written_is_refused(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere" / "at all")
    folder = tmp_path / where
    with pytest.raises(StoreRefused) as refused:
        await open_store(folder)
    assert str(folder) in str(refused.value)
    assert "can't be written durably" in str(refused.value)
    assert "--data DIR" in str(refused.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file", "dangling"] or not list(tmp_path.glob(".fsync*"))


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO, errno.ENOSPC])
async def test_a_disk_that_can_not_be_synced_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """No filesystem at hand refuses fsync, so here it is made to."""

    def fsync(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StoreRefused, match=rf"can't be written durably \({os.strerror(number)}\).*supports fsync"):
        await open_store(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_closed_store_is_one_file(tmp_path: Path) -> None:
    async with places.opened(tmp_path) as store:
        await places.execute(tmp_path, places.TABLES["sqlite"])
        await store.commit(insert(1))
        assert len(await store.read(BIRDS["all_birds"])) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["columba.db"]


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "columba.db").write_bytes(b"this is a diary, not a database" * 1000)
    with pytest.raises(StoreRefused, match=r"columba\.db can't be opened: .*not a database"):
        await open_store(tmp_path)


# A disk that fills


async def test_a_full_disk_is_said_and_work_resumes_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path) as small:
        async with places.opened(small.folder) as store:
            await places.execute(small.folder, places.TABLES["sqlite"])
            await store.commit(insert(0))
            kept = [0]

            async def go_on(first: int) -> None:
                for n in range(first, first + 100):
                    await store.commit(insert(n, "x" * 20_000))
                    kept.append(n)

            for first in (1000, 2000):
                small.fill(store)
                with pytest.raises(StoreUnavailable):
                    await go_on(first)
                with pytest.raises(StoreUnavailable):
                    await store.commit(insert(5, "x" * 20_000))
                small.free(store)
                await go_on(first + 500)  # nobody had to help
            found = [row[0] for row in await store.read(BIRDS["all_birds"])]
            assert found == sorted(kept)


# A file that is taken away


@pytest.mark.parametrize("what", ["columba.db", "columba.db-wal"])
async def test_nothing_is_acknowledged_that_goes_to_a_file_that_is_gone(tmp_path: Path, what: str) -> None:
    async with places.opened(tmp_path) as store:
        await places.execute(tmp_path, places.TABLES["sqlite"])
        await store.commit(insert(1))
        (tmp_path / what).rename(tmp_path / "aside")
        for n in (2, 3):
            with pytest.raises(StoreUnavailable) as refused:
                await store.commit(insert(n))
            assert "removed or replaced while the server runs" in refused.value.why
        (tmp_path / what).write_bytes(b"")
        with pytest.raises(StoreUnavailable):
            await store.commit(insert(4))
        (tmp_path / "aside").replace(tmp_path / what)
        await store.commit(insert(5))
        assert 5 in {row[0] for row in await store.read(BIRDS["all_birds"])}


async def test_a_writer_makes_no_new_database(tmp_path: Path) -> None:
    async with places.opened(tmp_path) as store:
        assert isinstance(store, SqliteStore)
        assert store._process is not None
        await places.execute(tmp_path, places.TABLES["sqlite"])
        (tmp_path / "columba.db").rename(tmp_path / "aside")
        store._process.kill()
        await until(lambda: "unable to open" in store._why)
        assert not (tmp_path / "columba.db").exists()
        with pytest.raises(StoreUnavailable, match="store"):
            await store.commit(insert(1))
        (tmp_path / "aside").rename(tmp_path / "columba.db")
        await until(lambda: not store._why)
        await store.commit(insert(2))


async def test_why_the_store_can_not_be_written_is_said_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with places.opened(tmp_path) as store:
        await places.execute(tmp_path, places.TABLES["sqlite"])
        await store.commit(insert(0))
        (tmp_path / "columba.db").rename(tmp_path / "aside")
        for n in (1, 2, 3):
            with contextlib.suppress(StoreUnavailable):
                await store.commit(insert(n))
        (tmp_path / "aside").rename(tmp_path / "columba.db")
        assert isinstance(store, SqliteStore)
        store.journal._failed_at -= 2
        await store.commit(insert(5))
        await store.commit(insert(6))
    said = capfd.readouterr()
    lines = [line for line in (said.out + said.err).splitlines() if "store." in line]
    assert [("store.unavailable" in line, "store.available" in line) for line in lines] == [
        (True, False),
        (False, True),
    ]
    assert "removed or replaced" in lines[0]


# A writer that dies


async def test_a_writer_that_is_killed_under_load_is_replaced(tmp_path: Path) -> None:
    async with places.opened(tmp_path) as store:
        assert isinstance(store, SqliteStore)
        await places.execute(tmp_path, places.TABLES["sqlite"])
        load = Load(store)
        for _ in range(3):
            await load.goes_on()
            assert store._process is not None
            store._process.kill()
        await load.goes_on()
        await load.stop()
        assert not load.others
        there = {row[0] for row in await store.read(BIRDS["all_birds"])}
        assert set(load.acknowledged) <= there


@pytest.mark.parametrize("when", ["idle", "busy"])
async def test_closing_while_the_writer_dies_ends(tmp_path: Path, when: str) -> None:
    async with places.opened(tmp_path) as store:
        assert isinstance(store, SqliteStore)
        await places.execute(tmp_path, places.TABLES["sqlite"])
        waiting = [store.commit(insert(n)) for n in range(300)] if when == "busy" else []
        assert store._process is not None
        store._process.kill()
        if when == "idle":
            await until(lambda: store._line is None)
    for each in waiting:
        with contextlib.suppress(StoreUnavailable):
            await each


def test_the_writer_ends_with_its_parent(tmp_path: Path) -> None:
    """However that ends."""
    script = (
        "import asyncio, pathlib, sys\n"
        "from columba.store import open_store\n"
        "async def main():\n"
        "    store = await open_store(pathlib.Path(sys.argv[1]))\n"
        "    print(store._process.pid, flush=True)\n"
        "    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        writer = int(parent.stdout.readline())
        assert Path(f"/proc/{writer}").exists()
        parent.kill()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{writer}").exists() and "State:\tZ" not in Path(f"/proc/{writer}/status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# PostgreSQL


async def test_a_server_that_is_not_there_is_refused() -> None:
    with pytest.raises(StoreRefused, match=r"PostgreSQL can't be reached .*Check --database"):
        await open_store("postgresql://postgres@127.0.0.1:1/nothing")


async def test_a_server_that_does_not_sync_is_refused() -> None:
    with (
        engines.postgres(memory=True, settings={"fsync": "off"}) as server,
        pytest.raises(StoreRefused, match=r"fsync=off.*nothing accepted would survive"),
    ):
        await open_store(server.url())


class Load:
    """Callers that commit one row after the other, and remember what was acknowledged."""

    def __init__(self, store: Store, callers: int = 8) -> None:
        self.acknowledged: list[int] = []
        self.refused = 0
        self.others: list[BaseException] = []
        self._store = store
        self._next = 0
        self._tasks = [asyncio.create_task(self._call()) for _ in range(callers)]

    async def _call(self) -> None:
        while True:
            self._next += 1
            mine = self._next
            try:
                await self._store.commit(insert(mine))
            except StoreUnavailable:
                self.refused += 1
                await asyncio.sleep(0.01)
            except Exception as error:
                self.others.append(error)
                raise
            else:
                self.acknowledged.append(mine)

    async def goes_on(self) -> None:
        seen = len(self.acknowledged)
        await until(lambda: len(self.acknowledged) > seen + 50, 5.0)

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_postgres_restarted_under_load(own_postgres: engines.Postgres, how: str) -> None:
    loop = asyncio.get_running_loop()
    url = own_postgres.url(own_postgres.create_database())
    async with places.opened(url) as store, places.opened(url) as other:
        heard: list[str] = []
        other.on_bell(heard.append)
        await places.execute(url, places.TABLES["postgres"])
        load = Load(store)
        await until(lambda: len(load.acknowledged) > 200)
        await asyncio.to_thread(getattr(own_postgres, how))
        await until(lambda: load.refused > 20)
        with pytest.raises(StoreUnavailable):
            await store.read(BIRDS["all_birds"])
        before = len(load.acknowledged)
        await asyncio.to_thread(own_postgres.start)
        began = loop.time()
        await until(lambda: len(load.acknowledged) > before + 200, 5.0)
        assert loop.time() - began < 5.0
        assert len(await store.read(BIRDS["all_birds"])) > before
        await load.stop()
        assert not load.others
        there = {row[0] for row in await store.read(BIRDS["all_birds"])}
        assert set(load.acknowledged) <= there

        def rung() -> bool:
            store.ring("after")
            return "after" in heard

        await until(rung, 5.0)


async def test_a_connection_cut_in_the_middle_fails_what_was_on_it_and_no_more(postgres_url: str) -> None:
    async with places.opened(postgres_url) as store:
        await places.execute(postgres_url, places.TABLES["postgres"])
        load = Load(store)
        cut = (
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            "where datname = current_database() and pid <> pg_backend_pid()"
        )
        for _ in range(5):
            await load.goes_on()
            await places.execute(postgres_url, cut)
        await load.goes_on()
        await load.stop()
        assert not load.others
        there = {row[0] for row in await store.read(BIRDS["all_birds"])}
        assert set(load.acknowledged) <= there


async def test_closing_while_the_server_is_away_ends(own_postgres: engines.Postgres) -> None:
    url = own_postgres.url(own_postgres.create_database())
    async with places.opened(url) as store:
        await places.execute(url, places.TABLES["postgres"])
        await store.commit(insert(1))
        await asyncio.to_thread(own_postgres.kill)
        waiting = [store.commit(insert(n)) for n in range(2, 5)]
    for each in waiting:
        with pytest.raises(StoreUnavailable):
            await each


# The bell


async def test_what_one_rings_the_others_hear(postgres_url: str) -> None:
    async with places.opened(postgres_url) as one, places.opened(postgres_url) as two:
        heard: list[str] = []
        two.on_bell(heard.append)

        def rung() -> bool:
            one.ring("lane:64")
            one.ring("it's a 'topic' 🔔")
            return {"lane:64", "it's a 'topic' 🔔"} <= set(heard)

        await until(rung)


async def test_ringing_harms_nobody_where_nobody_listens(store: Store) -> None:
    store.ring("lane:64")
    with contextlib.suppress(StoreUnavailable):
        await store.commit(insert(1))
    assert len(await store.read(BIRDS["all_birds"])) == 1


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("/nothere", r'no such database .*"nothere".*createdb'),
        ("nobody@", r"lets nobody in .*Check the user and the password"),
        (":notaport/", r"no URL of PostgreSQL"),
    ],
)
async def test_what_is_wrong_with_a_url_is_said_at_once(postgres_url: str, wrong: str, why: str) -> None:
    server, _, name = postgres_url.rpartition("/")
    urls = {
        "/nothere": f"{server}/nothere",
        "nobody@": postgres_url.replace("postgres@", "nobody@"),
        ":notaport/": f"postgresql://postgres@127.0.0.1:notaport/{name}",
    }
    with pytest.raises(StoreRefused, match=why):
        await open_store(urls[wrong], patience=60)


async def test_a_user_that_may_make_no_tables_is_told(postgres_url: str) -> None:
    guest = f"guest_{uuid.uuid4().hex}"  # the server is others' too
    await places.execute(postgres_url, f"create role {guest} login; revoke create on schema public from public")
    try:
        with pytest.raises(StoreRefused, match=r"may not make tables.*GRANT CREATE"):
            await open_store(postgres_url.replace("postgres@", f"{guest}@"))
    finally:
        await places.execute(postgres_url, f"drop role {guest}")


async def test_a_user_that_may_make_no_temporary_functions_is_told(postgres_url: str) -> None:
    name = postgres_url.rpartition("/")[2]
    await places.execute(postgres_url, f"create role passer login; revoke temporary on database {name} from public")
    with pytest.raises(
        StoreRefused, match=rf"passer may not make temporary .*grant temporary on database {name} to passer"
    ):
        await open_store(postgres_url.replace("postgres@", "passer@"))
    await places.execute(postgres_url, "drop role passer; select 1")


async def test_a_server_that_is_still_starting_is_waited_for(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    really, tries = asyncpg.connect, 0

    async def connect(*args: object, **how: object) -> object:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise asyncpg.CannotConnectNowError("the database system is starting up")
        return await really(*args, **how)

    monkeypatch.setattr(asyncpg, "connect", connect)
    store = await open_store(postgres_url, patience=30)
    await store.close()
    said = capfd.readouterr()
    assert (said.out + said.err).count("store.waiting") == 1


async def test_after_the_end_nothing_rings(postgres_url: str) -> None:
    async with places.opened(postgres_url) as store:
        pass
    store.ring("lane:64")
    assert "ring" not in {task.get_name() for task in asyncio.all_tasks()}
