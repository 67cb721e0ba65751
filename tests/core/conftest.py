"""The main path on both engines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.core.rig import Clock, Network, Rig, running


@pytest.fixture(params=("sqlite", "postgres"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """What `running` takes: a folder, or the URL of a database that has its tables."""
    if request.param == "sqlite":
        return tmp_path
    url: str = request.getfixturevalue("tables_url")
    return url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def network() -> Network:
    """Takes every part, and sends no receipt unless told."""
    return Network()


@pytest_asyncio.fixture
async def laptop(tmp_path: Path, network: Network, clock: Clock) -> AsyncIterator[Rig]:
    """For what is the same on every engine."""
    async with running(tmp_path, network, clock) as rig:
        yield rig


@pytest_asyncio.fixture
async def rig(place: Path | str, network: Network, clock: Clock) -> AsyncIterator[Rig]:
    async with running(place, network, clock) as rig:
        yield rig
