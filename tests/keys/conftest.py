"""A process's keys on both stores (`home`), or on SQLite where the store makes no difference (`small`)."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.keys.house import Clock, House, house


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new store is to be."""
    if request.param == "sqlite":
        return tmp_path
    url: str = request.getfixturevalue("tables_url")
    return url


@pytest.fixture
async def home(place: Path | str, clock: Clock) -> AsyncIterator[House]:
    async with house(place, clock) as it:
        yield it


@pytest.fixture
async def small(tmp_path: Path, clock: Clock) -> AsyncIterator[House]:
    async with house(tmp_path, clock) as it:
        yield it
