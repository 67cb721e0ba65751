"""A store as it is looked at from outside: nothing is made, migrated or locked, so that a server may run meanwhile.

Fails with StoreRefused, which says what to do.
"""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import apsw

from columba.cli.options import Settings
from columba.store import StoreRefused
from columba.store.sqlite import check_disk, check_version, migrate_sqlite

T = TypeVar("T")
DATABASE = "columba.db"


def wait(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def path(settings: Settings) -> Path:
    """Where the SQLite database is, if that is what the settings name."""
    return Path(settings.data) / DATABASE


def shown(settings: Settings) -> str:
    """The store in words, without a password."""
    return masked(settings.database) if settings.database else str(path(settings))


def masked(url: str) -> str:
    """A database's URL without its password, wherever that stands."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        user = f"{parts.username}{':***' if parts.password else ''}@" if parts.username else ""
        words = [
            word if not word.lower().startswith("password=") else "password=***" for word in parts.query.split("&")
        ]
        return f"{parts.scheme}://{user}{host}{parts.path}{'?' if parts.query else ''}{'&'.join(words)}"
    except ValueError:
        return "postgresql://***"


def look(settings: Settings) -> apsw.Connection:
    """A connection to the SQLite database that can't write."""
    file = path(settings)
    try:
        connection = apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY)
        connection.set_busy_timeout(2_000)
        connection.execute("select count(*) from sqlite_schema").get  # noqa: B018  it is opened by being read
        return connection
    except apsw.Error as error:
        raise StoreRefused(f"{file} can't be read: {error}") from error


async def reach(settings: Settings, timeout: float = 5.0) -> Any:
    """A connection to PostgreSQL."""
    import asyncpg

    try:
        return await asyncpg.connect(
            settings.database, timeout=timeout, command_timeout=30, server_settings={"application_name": "columba"}
        )
    except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        said = str(error) or type(error).__name__
        raise StoreRefused(f"PostgreSQL can't be reached at {shown(settings)}: {said}") from error


async def applied(settings: Settings) -> set[int]:
    """The numbers of the migrations that have run; none where there is no database yet."""
    if settings.database:
        import asyncpg

        connection = await reach(settings)
        try:
            return {int(row[0]) for row in await connection.fetch("select number from migrations")}
        except asyncpg.UndefinedTableError:
            return set()
        finally:
            await connection.close()
    if not path(settings).exists():
        return set()
    reader = look(settings)
    try:
        if not reader.execute("select 1 from sqlite_schema where name = 'migrations'").get:
            return set()
        return {int(row[0]) for row in reader.execute("select number from migrations")}
    except apsw.Error as error:
        raise StoreRefused(f"{path(settings)} can't be read: {error}") from error
    finally:
        reader.close()


async def bring_up(settings: Settings) -> list[int]:
    """Run the migrations that are missing; their numbers."""
    if settings.database:
        from columba.store.postgres import migrate_postgres

        return await migrate_postgres(settings.database)
    check_version()
    check_disk(Path(settings.data))
    try:
        return migrate_sqlite(path(settings))
    except apsw.Error as error:
        raise StoreRefused(f"{path(settings)} can't be opened: {error}") from error
