"""The tests' PostgreSQL: empty databases, servers that can be killed, and nothing left behind."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import pytest

from tests import engines
from tests.keeper import gone
from tests.program import eventually

TABLES = "select count(*) from pg_class where relnamespace = 'public'::regnamespace"


async def test_a_test_gets_an_empty_database_of_its_own(postgres_server: engines.Postgres, postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetchval(TABLES) == 0
    await connection.execute("create table message (id int)")
    with postgres_server.database() as other:
        name = other.rpartition("/")[2]
        assert postgres_server.query(TABLES, name) == "0"
    assert name not in postgres_server.query("select datname from pg_database")
    await connection.close()


async def test_a_database_is_dropped_though_somebody_is_connected(postgres_server: engines.Postgres) -> None:
    with postgres_server.database() as url:
        connection = await asyncpg.connect(url)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.execute("select 1")
    connection.terminate()
    await asyncio.sleep(0)


def test_a_database_can_start_as_a_copy(postgres_server: engines.Postgres) -> None:
    with postgres_server.database() as pattern:
        name = pattern.rpartition("/")[2]
        postgres_server.query("create table message as select generate_series(1, 3) id", name)
        with postgres_server.database(template=name) as copy:
            assert postgres_server.query("select count(*) from message", copy.rpartition("/")[2]) == "3"


def test_commits_are_on_disk_before_they_are_acknowledged() -> None:
    with engines.postgres() as server:
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            assert server.query(f"show {setting}") == "on"
        assert not server.folder.is_relative_to("/dev/shm")


async def test_it_answers_on_tcp_and_on_a_unix_socket(postgres_server: engines.Postgres) -> None:
    for unix, local in ((False, False), (True, True)):
        connection = await asyncpg.connect(postgres_server.url(unix=unix))
        assert await connection.fetchval("select inet_server_addr() is null") is local
        await connection.close()


def test_a_server_of_ones_own_keeps_its_address_and_its_rows(own_postgres: engines.Postgres) -> None:
    url, first = own_postgres.url(), own_postgres.pid
    own_postgres.query("create table message as select 1 id")
    own_postgres.restart()
    assert (own_postgres.url(), own_postgres.pid == first) == (url, False)
    own_postgres.query("insert into message values (2)")
    own_postgres.kill()
    assert own_postgres.pid is None
    with pytest.raises(engines.EngineError):
        own_postgres.query("select 1")
    own_postgres.start()
    assert own_postgres.query("select count(*) from message") == "2"
    assert "automatic recovery" in own_postgres.log


def test_orders_that_make_no_sense_are_refused(postgres_server: engines.Postgres) -> None:
    for order in (postgres_server.stop, postgres_server.kill, postgres_server.restart, postgres_server.start):
        with pytest.raises(engines.EngineError, match="own_postgres"):
            order()
    with engines.postgres(memory=True) as server, pytest.raises(engines.EngineError, match="is running"):
        server.start()


def test_a_bad_setting_is_told_with_the_servers_words() -> None:
    with pytest.raises(engines.EngineError, match='unrecognized configuration parameter "no_such"'):
        engines.postgres(memory=True, settings={"no_such": "1"}).__enter__()


def test_the_server_is_never_root(postgres_server: engines.Postgres) -> None:
    assert Path(f"/proc/{postgres_server.pid}").stat().st_uid != 0


def test_one_server_for_all_who_name_the_same_folder(tmp_path: Path) -> None:
    with ExitStack() as last:
        with engines.shared_postgres(tmp_path) as first:
            second = last.enter_context(engines.shared_postgres(tmp_path))
            assert (second.pid, second.url()) == (first.pid, first.url())
        assert second.query("select 1") == "1"
        pid, folder = second.pid, second.folder
    assert pid
    assert gone(pid)
    assert not folder.exists()
    with engines.shared_postgres(tmp_path) as third:
        assert third.query("select 1") == "1"


USER = """
import signal, sys
from tests import engines
with engines.postgres(memory=True) as server:
    print(server.pid, server.folder, flush=True)
    signal.pause()
"""


@pytest.fixture
def user() -> Iterator[subprocess.Popen[str]]:
    """Another process that uses a server."""
    command = [sys.executable, "-c", USER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]) as process:
        yield process
        process.kill()


def test_no_server_outlives_a_user_that_is_killed(user: subprocess.Popen[str]) -> None:
    assert user.stdout
    pid, folder = user.stdout.readline().split()
    assert not gone(int(pid))
    user.kill()
    eventually(lambda: gone(int(pid)) and not Path(folder).exists())


def test_no_server_outlives_its_keeper(user: subprocess.Popen[str]) -> None:
    assert user.stdout
    pid, folder = user.stdout.readline().split()
    status = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    os.kill(int(status[1]), signal.SIGKILL)  # its parent
    eventually(lambda: gone(int(pid)))
    shutil.rmtree(folder)


def test_programs_that_nobody_may_run_in_place_are_copied(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    software = engines.find()
    root = Path(os.path.commonpath([tree.parent for tree in software.trees]))
    trees = [private / tree.relative_to(root) for tree in software.trees]
    for tree, link in zip(software.trees, trees, strict=True):
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(tree)
    there = engines.Software(private / software.binaries.relative_to(root), trees)
    with engines.postgres(memory=True, software=there) as server:
        assert server.query("select 1") == "1"


def test_no_postgresql_is_an_error_that_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(engines.EngineError, match="make setup-test"):
        engines.find(tmp_path, "no_such_package")
    newer, older = (tmp_path / version / "bin" for version in ("18", "9"))
    for folder in (newer, older):
        folder.mkdir(parents=True)
        (folder / "postgres").touch()
    assert engines.find(tmp_path, "no_such_package").binaries == newer
