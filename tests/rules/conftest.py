"""Rules in a started App whose clock a test may put forward, on either store, with sinks on loopback addresses."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from columba.core import ids
from columba.core.contract import Inbound
from columba.core.lanes import Lane
from columba.core.model import Message
from columba.forwarding.destinations import Wanted
from columba.forwarding.destinations_shapes import Spec
from columba.http.times import parse_time
from columba.sandbox import CARRIER_ID
from columba.store.sql import Statement
from tests.api import Api, Columba, database, eventually, running
from tests.program import Sink

__all__ = ["database"]
_WAITING = Statement("test_waiting", (), (), "select id from runs where kind = 6")
LOOPBACK = ("127.0.0.0/8", "::1/128")
ONE_STORE = pytest.mark.parametrize("database", [""])  # what the store has no part in
ANNA, OURS = "+447700900123", "+12025550100"


class Clock:
    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead


class House:
    """The API as a whole, and what a test does with it over and over."""

    def __init__(self, columba: Columba, clock: Clock) -> None:
        self.columba = columba
        self.app = columba.app
        self.clock = clock
        self.api: Api = columba.whole

    async def get(self, target: str) -> Any:
        reply = await self.api("GET", target)
        assert reply.status == 200, reply.body
        return reply.json

    async def post(self, target: str, body: Any = None, status: int = 202) -> Any:
        reply = await self.api("POST", target, body)
        assert reply.status == status, reply.body
        return reply.json

    async def patch(self, target: str, **changes: Any) -> Any:
        reply = await self.api("PATCH", target, changes)
        assert reply.status == 200, reply.body
        return reply.json

    async def rule(self, *then: Any, **more: Any) -> Any:
        """A new rule that does this with every text, or those of its `when`."""
        return await self.post("/v1/rules", {"name": "a rule", "then": [*then], **more}, 201)

    async def destination(self, url: str, **more: Any) -> str:
        """A new destination, once its lane is there."""
        request = {
            "url": url,
            "body": {"json": {"from": "{{ from }}", "text": "{{ text }}", "order": "{{ groups.order }}"}},
        }
        spec = msgspec.convert({"request": request, **more}, Spec)
        an_id = self.app.ids()
        await self.app.destinations.add(
            an_id, self.columba.account_id, 0, Wanted("a destination", "", None, True, spec)
        )

        async def there() -> bool:
            return an_id in self.app.lanes.owned

        await eventually(there)
        return ids.show("dst", an_id)

    def lane(self, destination: str) -> Lane:
        return self.app.lanes.owned[ids.read("dst", destination) or 0]

    async def hear(self, text: str, sender: str = ANNA, to: str = OURS, **more: Any) -> str:
        """A text comes in; its id."""
        carrier = self.app.carriers()[CARRIER_ID]
        (message,) = await self.app.receive.inbound(
            carrier, [Inbound(sender, to, text, **more)], self.columba.account_id
        )
        assert isinstance(message, Message)
        return ids.show("msg", message.id)

    async def forwards(self, count: int = 1, status: str | None = None, **filters: Any) -> Any:
        """What rules did, the oldest first, once there is so much of it (with this status)."""
        filters |= {"status": status} if status == "dead" else {}
        query = "&".join(f"{name}={value}" for name, value in {"kind": "all", **filters}.items())

        async def look() -> Any:
            found = (await self.get(f"/v1/forwards?{query}"))["data"]
            fitting = [each for each in found if status is None or each["status"] == status]
            return fitting[::-1] if len(fitting) >= count else None

        return await eventually(look)

    async def events(self, kind: str) -> list[Any]:
        """The data of the events of a type, once there is one."""

        async def look() -> Any:
            return [each["data"] for each in (await self.get(f"/v1/events?type={kind}"))["data"]]

        found: list[Any] = await eventually(look)
        return found

    async def looked(self) -> None:
        """Once no text waits for its rules any more."""

        async def look() -> bool:
            return not await self.app.store.read(_WAITING)

        await eventually(look)

    async def messages(self, count: int, **filters: Any) -> Any:
        """What was sent, the oldest first, once there is so much of it."""
        query = "&".join(f"{name}={value}" for name, value in {"direction": "outbound", **filters}.items())

        async def look() -> Any:
            found = (await self.get(f"/v1/messages?{query}"))["data"]
            return found[::-1] if len(found) >= count else None

        return await eventually(look)

    async def arrived(self, sink: Sink, count: int) -> list[Any]:
        async def look() -> Any:
            return list(sink.requests) if len(sink.requests) >= count else None

        found: list[Any] = await eventually(look)
        return found

    async def forward(self, ms: int) -> None:
        """Let time pass; what is due by then is seen at once."""
        self.clock.ahead += ms
        for lane in self.app.lanes.owned.values():
            lane.poke()

    async def until(self, run: Any) -> None:
        """Let time pass until a forward is due."""
        await self.forward(max(0, parse_time(run["next_attempt_at"]) - self.clock() + 1))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("columba.app.clock", clock)
    return clock


@pytest_asyncio.fixture
async def house(tmp_path: Path, database: str, clock: Clock) -> AsyncIterator[House]:
    async with running(tmp_path, database, allow_network=LOOPBACK) as columba:
        yield House(columba, clock)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture
def other() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink
