"""From an empty place, or an older database, to one that this program reads; and when it refuses."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from columba.store import Statement, StoreRefused, migrate, open_store, sqlite, statements
from columba.store.postgres import migrate_postgres
from columba.store.sqlite import migrate_sqlite
from tests import engines
from tests.store import places
from tests.store.test_statements import ALL

NUMBERS = [each.number for each in migrate.all_migrations()]
ROOT = Path(__file__).parents[2]
OLD = Path(__file__).with_name("v1.sql")


async def run_migrations(place: Path | str, upto: int | None = None) -> list[int]:
    if isinstance(place, Path):
        return migrate_sqlite(place / "columba.db", upto)
    return await migrate_postgres(place, upto)


def test_migrations_are_numbered_without_a_gap() -> None:
    assert list(range(1, len(NUMBERS) + 1)) == NUMBERS
    files = list(migrate.FOLDER.glob("*.sql"))
    assert len(files) == len(NUMBERS)


async def test_each_migration_runs_once(place: Path | str) -> None:
    assert await run_migrations(place) == NUMBERS
    assert await run_migrations(place) == []
    rows = await places.execute(place, "select number, at > 1700000000000 from migrations order by number")
    assert [(row[0], bool(row[1])) for row in rows] == [(number, True) for number in NUMBERS]


class Starter:
    """A process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.store.starter"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders: IO[str] = self._process.stdin
        self._answers: IO[str] = self._process.stdout

    def tell(self, place: str) -> None:
        self._orders.write(place + "\n")
        self._orders.flush()

    def answer(self) -> object:
        line = self._answers.readline()
        return line.strip() if line == "ready\n" else json.loads(line)

    def end(self) -> None:
        self._orders.close()
        self._process.wait()
        self._answers.close()


@pytest.fixture(scope="module")
def starters() -> Iterator[list[Starter]]:
    processes = [Starter() for _ in range(3)]
    try:
        assert [each.answer() for each in processes] == ["ready"] * 3
        yield processes
    finally:
        for each in processes:
            each.end()


@pytest.mark.parametrize("engine", places.ENGINES)
def test_processes_that_start_together_migrate_once(
    engine: str, starters: list[Starter], tmp_path: Path, postgres_server: engines.Postgres
) -> None:
    for n in range(15 if engine == "sqlite" else 4):
        if engine == "sqlite":
            place = tmp_path / str(n)
            place.mkdir()
            answers = together(starters, str(place))
        else:
            with postgres_server.database() as url:
                answers = together(starters, url)
        assert sorted(map(str, answers)) == sorted(map(str, [NUMBERS, [], []]))


def together(starters: list[Starter], place: str) -> list[object]:
    for each in starters:
        each.tell(place)
    return [each.answer() for each in starters]


async def test_a_newer_database_is_refused(place: Path | str) -> None:
    await run_migrations(place)
    await places.execute(place, "insert into migrations (number, at) values (9999, 0)")
    with pytest.raises(StoreRefused) as refused:
        await open_store(place)
    assert "version 9999" in str(refused.value)
    assert f"up to {NUMBERS[-1]}" in str(refused.value)
    assert "newer Columba" in str(refused.value)


@pytest.mark.parametrize(
    ("version", "good"),
    [("3.51.3", True), ("3.51.2", False), ("3.7.17", False), ("3.50.4", False), ("3.52.0", True), ("4.0", True)],
)
def test_a_sqlite_that_corrupts_is_refused(version: str, good: bool) -> None:
    if good:
        sqlite.check_version(version)
    else:
        with pytest.raises(StoreRefused, match=rf"SQLite {version} can corrupt .* 3\.51\.3 or later: reinstall"):
            sqlite.check_version(version)


# The upgrade


def tables(sql: str) -> set[str]:
    """The tables that a text makes or fills."""
    words = sql.split()
    return {after for word, after in itertools.pairwise(words) if word in ("table", "into")} - {"if"}


def test_the_old_database_has_rows_in_every_table() -> None:
    first = migrate.all_migrations()[0]
    made = {name for name in tables(first.source) if f"create table {name}" in first.source}
    missing = made - tables(OLD.read_text())
    assert not missing, "a table of the first migration has no row in v1.sql"


async def old_database(place: Path | str) -> None:
    """A database of the first version, as it was left by a program that ran."""
    assert await run_migrations(place, upto=1) == [1]
    await places.execute(place, OLD.read_text())


async def test_an_old_database_is_migrated_and_read_by_every_statement(place: Path | str) -> None:
    await old_database(place)
    assert await run_migrations(place) == NUMBERS[1:]
    async with places.opened(place) as store:
        for name, statement in ALL.items():
            if statement.sqlite.startswith("select") and not statement.columns:
                values = dict(zip(statement.params, await values_for(place, statement), strict=True))
                assert isinstance(await store.read(statement, **values), list), name


async def values_for(place: Path | str, statement: Statement) -> list[int | str]:
    """A value of the right type for each parameter."""
    if isinstance(place, Path):
        return [1] * len(statement.params)
    async with places.connected(place) as connection:
        types = (await connection.prepare(statement.postgres)).get_parameters()
    return ["1" if each.name == "text" else 1 for each in types]


async def test_what_an_old_database_knew_is_known_after_the_upgrade(place: Path | str) -> None:
    await old_database(place)
    async with places.opened(place) as store:
        core = statements(ROOT / "columba" / "core" / "core.sql")
        rows = await store.read(core["messages_by_id"], [(101,), (102,), (103,), (104,)])
        found = {row[0]: row for row in rows}
        assert sorted(found) == [101, 102, 103, 104]
        assert found[101][6:9] == ("+447700900101", "+12025550100", "Grüße, “delivered”")
        assert [found[n][11] for n in (101, 102, 103, 104)] == [50, 20, 10, 60]
        assert await places.execute(
            place, "select message_id, n, carrier_message_id, status from parts order by n"
        ) == [(101, 1, "carrier-1", 50), (101, 2, "carrier-2", 50)]
