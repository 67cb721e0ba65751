"""The sample API behind a real server."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
import uvicorn
from starlette.types import ASGIApp

from tests.http import sample


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, stopping: asyncio.Event | None = None) -> AsyncIterator[int]:
    """An ASGI app on a port of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings: dict[str, Any] = {"http": "httptools", "lifespan": "off", "log_level": "critical"}
        server = uvicorn.Server(uvicorn.Config(app, **settings))
        running = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            if stopping is not None:
                stopping.set()
            server.should_exit = True
            await running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    """The sample API's port, one server for all tests of a module."""
    loft = sample.Loft()
    async with serving(sample.app(loft), loft.stopping) as port:
        yield port
