"""Where a store can be, and what a test may do to it behind the store's back."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import asyncpg

from columba.store import Store, open_store, statements

ENGINES = ("sqlite", "postgres")
BIRDS = statements(Path(__file__).with_name("birds.sql"))
TABLES = {
    "sqlite": """
        create table birds (id integer primary key, name text, weight double precision, owner bigint);
        create table rings (bird bigint not null, word text);
        create table notes (n integer primary key, bird bigint);
    """,
    "postgres": """
        create table birds (id bigint primary key, name text, weight double precision, owner bigint,
          tx bigint default (pg_current_xact_id()::text::bigint));
        create table rings (bird bigint not null, word text);
        create table notes (n bigserial primary key, bird bigint);
    """,
}


@contextlib.asynccontextmanager
async def connected(url: str, settings: dict[str, str] | None = None) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close()


async def execute(place: Path | str, sql: str) -> list[tuple[Any, ...]]:
    """Run SQL on a connection of its own."""
    if isinstance(place, Path):
        connection = apsw.Connection(str(place / "columba.db"))
        try:
            connection.set_busy_timeout(5_000)
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
    async with connected(place) as other:
        if ";" in sql.strip().rstrip(";"):
            await other.execute(sql)
            return []
        return [tuple(row) for row in await other.fetch(sql)]


@contextlib.asynccontextmanager
async def opened(place: Path | str, **how: Any) -> AsyncIterator[Store]:
    store = await open_store(place, **how)
    try:
        yield store
    finally:
        await store.close()
