"""Sessions that end with their test."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
import pytest
import uvloop

from columba.carriers.smpp.config import Config
from columba.core.contract import Session
from tests.carriers import air
from tests.carriers.air import Ground
from tests.carriers.scripted import Peer, Smsc, smsc

Start = Callable[..., Session]
Bound = Callable[..., Awaitable[tuple[Peer, Session]]]


@pytest.fixture
def ground() -> Ground:
    return Ground()


@pytest.fixture
async def carrier() -> AsyncIterator[Smsc]:
    """An SMSC that lets everybody in and does no more by itself."""
    async with smsc() as made:
        yield made


@pytest.fixture
async def start(ground: Ground) -> AsyncIterator[Start]:
    """Opens a session, with quick timers where a test sets none."""
    async with contextlib.AsyncExitStack() as ends:

        def begin(port: int, *, window: int = 100, ground: Ground = ground, **settings: Any) -> Session:
            settings = {"host": "127.0.0.1", "port": port, "reconnect": 0.02, "enquire_link": 60.0, **settings}
            session = air.session(ground, msgspec.convert(settings, Config), window=window)
            ends.push_async_callback(session.close)
            return session

        yield begin


@pytest.fixture
async def bound(ground: Ground, carrier: Smsc, start: Start) -> Bound:
    """A session that is bound, and the carrier's end of it."""

    async def begin(**settings: Any) -> tuple[Peer, Session]:
        session = start(carrier.port, **settings)
        peer = await carrier.taken()
        await ground.until(lambda: ground.up)
        return peer, session

    return begin


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Sessions run on both event loops that the server may have."""
    if item.path.name in ("test_smpp_session.py", "test_smpp_intake.py"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
