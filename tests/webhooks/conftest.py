"""Webhooks in a started App whose clock a test may put forward, on either store, with sinks on loopback addresses."""

import json
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from columba.core import ids
from columba.core.events import SQL
from columba.core.lanes import Lane
from columba.core.model import TYPE_NUMBERS, message_of
from columba.http.times import parse_time
from columba.messages.redact import Redacting
from columba.store.sql import Statement
from columba.webhooks.api import endpoints
from tests.api import Api, Columba, database, eventually, running
from tests.program import Request, Sink

__all__ = ["database"]
LOOPBACK = ("127.0.0.0/8", "::1/128")

_EVENTS = Statement("test_events", (), (), "select data from events where type = :type order by id")


class Clock:
    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead


class House:
    """The API of webhooks, and what a test does with it over and over."""

    def __init__(self, columba: Columba, clock: Clock) -> None:
        self.columba = columba
        self.app = app = columba.app
        self.clock = clock
        room = endpoints(app.endpoints, app.delivering, app.store, app.egress, app.ids, clock, os.urandom)
        self.api: Api = columba.api(room, limit=None)

    async def get(self, target: str) -> Any:
        reply = await self.api("GET", target)
        assert reply.status == 200, reply.body
        return reply.json

    async def post(self, target: str, body: Any = None, status: int = 202) -> Any:
        reply = await self.api("POST", target, body)
        assert reply.status == status, reply.body
        return reply.json

    async def hook(self, url: str, events: Iterable[str] = ("message.queued",), **more: Any) -> Any:
        """A new endpoint, once its lane is there."""
        made = await self.post("/v1/webhooks", {"url": url, "events": [*events], **more}, 201)
        await self.true(lambda: self.lane(made) is not None)
        return made

    async def patch(self, hook: Any, **changes: Any) -> Any:
        reply = await self.api("PATCH", f"/v1/webhooks/{hook['id']}", changes)
        assert reply.status == 200, reply.body
        return reply.json

    def lane(self, hook: Any) -> Lane | None:
        return self.app.lanes.owned.get(ids.read("whk", hook["id"]) or 0)

    def own_lane(self, hook: Any) -> Lane:
        lane = self.lane(hook)
        assert lane is not None
        return lane

    def hold(self, hook: Any) -> Lane:
        """Let what comes wait, until the lane is told to resume."""
        lane = self.own_lane(hook)
        lane.pause(600)
        return lane

    async def true(self, look: Callable[[], object]) -> None:
        """Wait until it is."""

        async def truth() -> object:
            return look()

        await eventually(truth)

    async def arrived(self, sink: Sink, count: int) -> list[Request]:
        """What came in at a sink, once there is so much of it."""
        await self.true(lambda: len(sink.requests) >= count)
        return list(sink.requests)

    async def deliveries(self, count: int = 1, **filters: Any) -> Any:
        """The deliveries, the newest first, once there are so many."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())

        async def look() -> Any:
            found = (await self.get(f"/v1/deliveries?{query}"))["data"]
            return found if len(found) >= count else None

        return await eventually(look)

    async def settled(self, hook: Any, attempts: int = 1) -> Any:
        """The endpoint's newest delivery with its attempts, once there were so many."""

        async def look() -> Any:
            for each in (await self.get(f"/v1/deliveries?endpoint={hook['id']}"))["data"][:1]:
                if each["attempt_count"] >= attempts:
                    return await self.get(f"/v1/deliveries/{each['id']}")
            return None

        return await eventually(look)

    async def forward(self, ms: int) -> None:
        """Let time pass; what is due by then is seen at once."""
        self.clock.ahead += ms
        for lane in self.app.lanes.owned.values():
            lane.poke()

    async def until(self, delivery: Any) -> None:
        """Let time pass until a delivery is due."""
        await self.forward(max(0, parse_time(delivery["next_attempt_at"]) - self.clock() + 1))

    async def events(self, kind: str) -> list[Any]:
        """The data of all events of a type, the oldest first."""
        rows = await self.app.store.read(_EVENTS, type=TYPE_NUMBERS[kind])
        return [json.loads(row[0]) for row in rows]

    async def redact(self, message_id: int) -> None:
        """As `POST /v1/messages/{id}/redact` does."""
        (row,) = await self.app.store.read(SQL["messages_by_id"], [(message_id,)])
        await Redacting(self.app.store, self.clock, [self.app.delivering.reread])(message_of(row))


def waited(delivery: Any) -> float:
    """Seconds from the last attempt to the next."""
    return (parse_time(delivery["next_attempt_at"]) - parse_time(delivery["last_attempt_at"])) / 1000


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
