"""What tests share: PostgreSQL, one server a run and an empty database a test."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import engines

# The same examples everywhere, so that a run says the same twice. COLUMBA_EXPLORE=1 looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("explore" if os.environ.get("COLUMBA_EXPLORE") else "same")


# The files that take longest go first: else one of them may begin when all others have ended, and be waited for alone.
LONG = ("test_document.py", "test_crash.py", "test_flow.py", "test_postgres.py", "test_http_carriers_crash.py")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[engines.Postgres]:
    """The run's server, the same for all of its processes: `url(database)`, `database()`, `query(sql)`."""
    folder: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # each has a folder of its own in the run's
        folder = folder.parent
    with engines.shared_postgres(folder) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: engines.Postgres) -> Iterator[str]:
    """A new empty database, dropped after the test."""
    with postgres_server.database() as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[engines.Postgres]:
    """A server that the test may stop, kill and start again. For one that is really on a disk: `engines.postgres()`."""
    with engines.postgres(memory=True) as server:
        yield server
