"""`house` runs on both stores, `small` on SQLite where the store makes no difference."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api import database
from tests.routing.house import Routed, routed

__all__ = ["database"]


@pytest_asyncio.fixture
async def house(tmp_path: Path, database: str) -> AsyncIterator[Routed]:
    async with routed(tmp_path, database) as it:
        yield it


@pytest_asyncio.fixture
async def small(tmp_path: Path) -> AsyncIterator[Routed]:
    async with routed(tmp_path) as it:
        yield it
