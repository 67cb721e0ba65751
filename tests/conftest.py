"""What tests share: how many run at once, and PostgreSQL: one server a run, and a database a test."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from columba.store import postgres
from tests import engines, tables

# The same examples everywhere, so that a run says the same twice. COLUMBA_EXPLORE=1 looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None)
settings.load_profile("explore" if os.environ.get("COLUMBA_EXPLORE") else "same")

# What a shell starts in the background is deaf to Ctrl-C, and so would be every program that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two for each processor: more than half of the time a test waits, for a program, a disk or a moment to come."""
    return min(8, 2 * len(os.sched_getaffinity(0)))


# A process that is held up in a transaction for two seconds is cut off. This one may be, by what else runs here; that it
# is true of the program is for tests/e2e/test_postgres.py to show.
postgres.WRITER["idle_in_transaction_session_timeout"] = "60000"

# The files that take longest go first (and pyproject has xdist keep to it): else one of them may begin when all others
# have ended, and be waited for alone.
LONG = (
    "test_document.py", "test_crash.py", "test_flow.py", "test_postgres.py", "test_smpp_server.py", "test_smpp_path.py",
    "test_http_carriers_crash.py", "test_leases.py", "test_events.py", "test_examples.py", "test_lanes.py",
    "test_operation.py", "test_smpp_peers.py", "test_alerts.py", "test_delivering.py",
)  # fmt: skip


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


@pytest.fixture(scope="session")
def postgres_template(postgres_server: engines.Postgres) -> Iterator[str]:
    """The name of a database to copy, with this version's tables."""
    with postgres_server.database() as url:
        tables.migrate(url)
        yield url.rpartition("/")[2]


@pytest.fixture
def tables_url(postgres_server: engines.Postgres, postgres_template: str) -> Iterator[str]:
    """A new database that has this version's tables already, dropped after the test."""
    with postgres_server.database(postgres_template) as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[engines.Postgres]:
    """A server that the test may stop, kill and start again. For one that is really on a disk: `engines.postgres()`."""
    with engines.postgres(memory=True) as server:
        yield server
