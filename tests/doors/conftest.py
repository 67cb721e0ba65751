"""An App with its SMPP server on a free port, on either store."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api import database, running
from tests.doors.house import House

__all__ = ["database"]


@pytest_asyncio.fixture
async def house(tmp_path: Path, database: str) -> AsyncIterator[House]:
    async with running(tmp_path, database, smpp_port=0) as columba:
        columba.app.smpp.delay = 0.01
        house = House(columba)
        yield house
        house.close()


@pytest_asyncio.fixture
async def sqlite_house(tmp_path: Path) -> AsyncIterator[House]:
    """For what has nothing to do with the store."""
    async with running(tmp_path, smpp_port=0) as columba:
        columba.app.smpp.delay = 0.01
        house = House(columba)
        yield house
        house.close()
