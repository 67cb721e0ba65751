"""A house with two providers and a route through them in their order."""

from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from columba.carriers import kinds
from columba.core import ids
from columba.core.model import Message
from tests.routing.house import Routed, routed
from tests.routing.providers import KIND, Provider


class Two(Routed):
    first: Provider
    second: Provider
    carriers_of: dict[str, str]

    async def prepare(self, **route: Any) -> None:
        self.first, self.second = Provider("first"), Provider("second")
        self.carriers_of = {
            name: await self.make({"provider": name}, kind="provider", name=name) for name in ("first", "second")
        }
        ways = [{"carrier": an_id} for an_id in self.carriers_of.values()]
        self.route = await self.api("POST", "/v1/routes", {"name": "both", "carriers": ways, **route})
        assert self.route.status == 201, self.route.json

    async def send_many(self, count: int, **more: Any) -> list[Message]:
        return [await self.send(f"+4477009{n:05}", **more) for n in range(1000, 1000 + count)]

    def taken(self) -> Counter[tuple[int, int]]:
        return self.first.taken + self.second.taken

    async def shown(self, message: Message) -> Any:
        reply = await self.api("GET", f"/v1/messages/{ids.show('msg', message.id)}")
        assert reply.status == 200, reply.json
        return reply.json


@pytest_asyncio.fixture
async def two(tmp_path: Path, database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Two]:
    monkeypatch.setitem(kinds(), "provider", KIND)
    monkeypatch.setattr(Provider, "all", {})
    monkeypatch.setattr("columba.routing.health.DOWN_MS", 100)
    monkeypatch.setattr("columba.core.flight.RETRY_FIRST_MS", 50)
    async with routed(tmp_path, database) as house:
        house.__class__ = Two
        assert isinstance(house, Two)
        await house.prepare()
        yield house
