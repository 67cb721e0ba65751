"""One program for each module of end-to-end tests, on SQLite, and a sink for what it sends."""

from collections.abc import Iterator

import pytest

from tests.e2e.talk import marketing_to_all
from tests.program import Program, Sink


@pytest.fixture(scope="module")
def columba() -> Iterator[Program]:
    """Shared by a module's tests: what they send and set up is their own, what they list they narrow down."""
    with Program() as program:
        marketing_to_all(program)
        yield program


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as listening:
        yield listening
