"""Media in a started App, on either store and with a clock that a test may put forward; a sink that serves files."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.api import Api, Columba, database, running
from tests.http.client import Reply
from tests.program import Sink

__all__ = ["database"]
LOOPBACK = ("127.0.0.0/8", "::1/128")


class Clock:
    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead


class House:
    """The whole API, and what a test does with media over and over."""

    def __init__(self, columba: Columba, clock: Clock, folder: Path) -> None:
        self.columba = columba
        self.app = columba.app
        self.clock = clock
        self.folder = folder
        self.api: Api = columba.whole

    async def upload(self, body: bytes, kind: str = "", status: int = 201, **more: Any) -> Any:
        reply = await self.api("POST", "/v1/media", body, headers={"content-type": kind}, **more)
        assert reply.status == status, reply.body
        return reply.json

    async def get(self, target: str, status: int = 200, **more: Any) -> Any:
        reply = await self.api("GET", target, **more)
        assert reply.status == status, reply.body
        return reply.json

    async def send(self, status: int = 202, **fields: Any) -> Any:
        reply = await self.api("POST", "/v1/messages", {"to": "+447700900123", **fields})
        assert reply.status == status, reply.body
        return reply.json

    async def text_in(self, *media: str, key: str | None = None) -> Any:
        body = {"from": "+447700900123", "to": "+12025550100", "text": "Look", "media": [*media]}
        reply = await self.api("POST", "/v1/sandbox/inbound", body, key=key)
        assert reply.status == 201, reply.body
        return reply.json

    async def follow(self, url: str, **more: Any) -> Reply:
        """What a link leads to, without a key."""
        return await self.api("GET", url.removeprefix(self.app.media.links.base), key="", **more)

    def files(self) -> list[Path]:
        """What is in the folder."""
        return sorted(path for path in (self.folder / "media").rglob("*") if path.is_file())


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("columba.app.clock", clock)
    return clock


@pytest.fixture
def more_settings() -> dict[str, Any]:
    return {}


@pytest_asyncio.fixture
async def house(tmp_path: Path, database: str, clock: Clock, more_settings: dict[str, Any]) -> AsyncIterator[House]:
    settings = {"allow_network": LOOPBACK, "media_max_size": 100_000, **more_settings}
    async with running(tmp_path, database, **settings) as columba:
        yield House(columba, clock, tmp_path)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as listening:
        yield listening
