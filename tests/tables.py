"""Stores that have this version's tables from the start, as the migrations make them, made once a process and copied.

A test that is not about the start of an empty store need not run every migration: tests/store and tests/e2e do.
"""

import asyncio
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from columba.store.postgres import migrate_postgres
from columba.store.sqlite import migrate_sqlite

FILE = "columba.db"


@cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        migrate_sqlite(Path(folder) / FILE)
        return (Path(folder) / FILE).read_bytes()


def lay(place: Path | str) -> None:
    """An SQLite store in a folder that has none. A database at a URL comes with its tables (`tables_url`)."""
    if isinstance(place, Path) and not (place / FILE).exists():
        place.mkdir(parents=True, exist_ok=True)
        (place / FILE).write_bytes(_content())


def migrate(url: str) -> None:
    """Give a PostgreSQL database its tables. In a thread: whoever asks may have an event loop of their own."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, migrate_postgres(url)).result()
