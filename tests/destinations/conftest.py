"""Everything that a started App serves, on either store, with loopback allowed."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api import Columba, database, running

__all__ = ["database"]


@pytest_asyncio.fixture
async def columba(tmp_path: Path, database: str) -> AsyncIterator[Columba]:
    async with running(tmp_path, database, allow_network=("127.0.0.0/8",)) as started:
        yield started
