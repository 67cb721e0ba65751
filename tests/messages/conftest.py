"""Every test here that takes `api` runs on both stores."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest_asyncio

from columba.app import clock
from columba.http.egress import Policy
from columba.messages import urls
from columba.messages.api import endpoints
from columba.messages.hot import Hot
from columba.messages.redact import Redacting
from tests.api import Api, Columba, columba, database, running

__all__ = ["columba", "database"]


def messages_of(columba: Columba, patience: float = 2.0, country: Callable[[int], str | None] = lambda _: None) -> Api:
    """The endpoints of messages, put together as app.py does. `patience` is that of canceling."""
    app = columba.app
    app.cancel._patience = patience
    if not any(gate.__module__ == urls.__name__ for gate in app.accept._gates):
        app.accept._gates = (*app.accept._gates, urls.gate(Policy()))
    hot = Hot(
        app.accept, app.ids, columba.auth.caller, app.repeats.first_answer, lambda: "req_1", lambda *_: None, Policy()
    )
    return columba.api(
        endpoints(app.store, app.cancel, Redacting(app.store, clock), clock, country),
        {("POST", "/v1/messages"): hot.message, ("POST", "/v1/messages/batch"): hot.batch},
    )


@pytest_asyncio.fixture
async def api(columba: Columba) -> Api:
    return messages_of(columba)


@pytest_asyncio.fixture
async def quick(tmp_path: Path) -> AsyncIterator[Api]:
    """On SQLite alone, and nothing leaves: for what no store and no carrier decides."""
    async with running(tmp_path) as columba:
        hold(columba)
        yield messages_of(columba)


def hold(columba: Columba) -> None:
    """From now on nothing leaves: the carriers' sessions are not ready."""
    for lane in columba.app.lanes.owned.values():
        if lane.kind is columba.app.sending:
            lane.ready = False


def let_go(columba: Columba) -> None:
    for lane in columba.app.lanes.owned.values():
        lane.ready = True
        lane.wake()
