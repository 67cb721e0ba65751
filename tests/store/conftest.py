"""Both engines behind the same fixtures: every test that takes `store` or `place` runs on each."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from columba.store import Store
from tests.store import places


@pytest.fixture(params=places.ENGINES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """What `open_store` takes: an empty folder, or the URL of an empty database."""
    if request.param == "sqlite":
        return tmp_path
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest_asyncio.fixture
async def store(place: Path | str) -> AsyncIterator[Store]:
    """An open store with the tables of birds.sql beside its own."""
    async with places.opened(place) as store:
        await places.execute(place, places.TABLES[store.engine])
        yield store
