"""The store: the only truth. `open_store` gives SQLite in a folder or PostgreSQL at a URL behind the same verbs."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from .plan import Plan, Results, Step, StoreUnavailable, plan
from .sql import Row, Statement, Value, statements
from .sqlite import SqliteStore, StoreRefused, open_sqlite

__all__ = [
    "Plan",
    "Results",
    "Row",
    "Statement",
    "Step",
    "Store",
    "StoreRefused",
    "StoreUnavailable",
    "Value",
    "open_store",
    "plan",
    "statements",
]


class Store(Protocol):
    """What both engines do."""

    engine: str

    @property
    def backlog(self) -> int:
        """Rows that wait to be committed."""
        ...

    def commit(self, plan: Plan, *, apart: bool = False) -> Awaitable[Results]:
        """Run a plan in a transaction shared with others; durable when it returns.

        Plans commit in the order of the calls. Those that are `apart` keep it among themselves only, and so don't wait
        for the others where the engine can do both at once; the large ones of them (some 2,000 rows) keep none.
        """
        ...

    async def read(self, statement: Statement, rows: Sequence[Row] = (), **params: Value) -> list[Row]: ...

    def ring(self, topic: str) -> None:
        """Tell the other processes that there is work. May be lost."""
        ...

    def on_bell(self, listener: Callable[[str], None]) -> None: ...

    async def scrub(self) -> None:
        """What was deleted is to be in none of our files any more, as far as the engine lets us say so."""
        ...

    async def close(self) -> None: ...


async def open_store(
    where: Path | str, observe: Callable[[int, float], None] | None = None, patience: float = 0.0
) -> Store:
    """For so many seconds a server that is not there yet is waited for."""
    if isinstance(where, str) and where.startswith(("postgres://", "postgresql://")):
        from .postgres import open_postgres  # asyncpg is not loaded for a laptop's SQLite

        return await open_postgres(where, observe, patience)
    return await open_sqlite(Path(where), observe)


_: type[Store] = SqliteStore
