"""All that a database holds, as text, and who of the tables names a word."""

from pathlib import Path

from columba.store import Store
from columba.store.sqlite import SqliteStore
from tests.store import places


async def holding(store: Store, folder: Path, url: str, *words: str) -> list[str]:
    """The tables, and for SQLite the files, in which one of these words still stands."""
    place: Path | str = url or folder
    if url:
        rows = await places.execute(place, "select tablename from pg_tables where schemaname = 'public'")
    else:
        rows = await places.execute(place, "select name from sqlite_master where type = 'table'")
    found = []
    for (table,) in rows:
        kept = str(await places.execute(place, f'select * from "{table}"'))
        found += [f"{table}: {word}" for word in words if word in kept]
    if isinstance(store, SqliteStore):
        for path in folder.rglob("*"):
            if path.is_file():
                octets = path.read_bytes()
                found += [f"{path.name}: {word}" for word in words if word.encode() in octets]
    return found
