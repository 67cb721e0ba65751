"""`columba` is on both stores, `small` on SQLite, where the store makes no difference."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api import Columba, columba, database, running

__all__ = ["columba", "database"]


@pytest_asyncio.fixture
async def small(tmp_path: Path) -> AsyncIterator[Columba]:
    async with running(tmp_path) as started:
        yield started
