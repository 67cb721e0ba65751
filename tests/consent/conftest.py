"""A house on both engines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.consent.house import House, living
from tests.core.rig import Clock, Network


@pytest.fixture(params=("sqlite", "postgres"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """What `open_store` takes."""
    if request.param == "sqlite":
        return tmp_path
    url: str = request.getfixturevalue("tables_url")
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def network() -> Network:
    return Network()


@pytest_asyncio.fixture
async def house(place: Path | str, network: Network, clock: Clock) -> AsyncIterator[House]:
    async with living(place, network, clock) as house:
        yield house


@pytest_asyncio.fixture
async def laptop(tmp_path: Path, network: Network, clock: Clock) -> AsyncIterator[House]:
    """For what is the same on every engine."""
    async with living(tmp_path, network, clock) as house:
        yield house
