"""One program for each module of end-to-end tests, on SQLite, and a sink for what it sends."""

from collections.abc import Iterator

import pytest

from tests.program import Program, Sink


@pytest.fixture(scope="module")
def columba() -> Iterator[Program]:
    """Shared by a module's tests: what they send and set up is their own, what they list they narrow down."""
    with Program() as program:
        # Live marketing needs an opt-in of each person: that has tests of its own.
        done = program.request("PATCH", "/v1/consent-settings", {"marketing": "unless_opted_out"}, key=program.live_key)
        assert done.status == 200, done
        yield program


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as listening:
        yield listening
