"""Alerts in a started App, on either store, with a mail server, a sink and a clock that a test may put forward."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from columba.core import events, ids
from columba.core.model import TYPE_NUMBERS, Event
from columba.store import plan
from tests.alerts.postbox import Letter, Postbox
from tests.api import Api, Columba, database, eventually, running
from tests.program import Sink

__all__ = ["database"]
LOOPBACK = ("127.0.0.0/8", "::1/128")
OPS = "ops@example.org"


class Clock:
    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead


class House:
    """The whole API, and what a test does with alerts over and over."""

    def __init__(self, columba: Columba, clock: Clock, box: Postbox) -> None:
        self.columba = columba
        self.app = columba.app
        self.clock = clock
        self.box = box
        self.api: Api = columba.whole

    async def get(self, target: str, status: int = 200, **more: Any) -> Any:
        reply = await self.api("GET", target, **more)
        assert reply.status == status, reply.body
        return reply.json

    async def alert(self, status: int = 201, **fields: Any) -> Any:
        body = {"name": "Ops", "channels": [{"kind": "email", "to": [OPS]}], "wait": 0, **fields}
        reply = await self.api("POST", "/v1/alerts", body)
        assert reply.status == status, reply.body
        return reply.json

    async def happens(self, kind: str, data: Any = None, subject: int = 7, mode: int = 0) -> None:
        """An event, as any room would make it."""
        event = Event(
            self.app.ids(), self.columba.account_id, mode, TYPE_NUMBERS[kind], subject, self.clock(), data or {}
        )
        results = await self.app.store.commit(plan(*events.steps([events.row(event)], 0)))
        self.app.publisher.published(results[1], {event.id: event})

    async def fails(self, count: int = 1, klass: str = "transactional", **fields: Any) -> list[str]:
        """Texts that are not delivered; their ids, once that is known."""
        made = []
        for n in range(count):
            body = {"to": f"+4477{n + 10:04}0002", "text": "Hello", "class": klass, **fields}
            reply = await self.api("POST", "/v1/messages", body)
            assert reply.status == 202, reply.body
            made.append(reply.json["id"])

        async def ended() -> bool:
            shown = [(await self.get(f"/v1/messages/{an_id}"))["status"] for an_id in made]
            return set(shown) <= {"undelivered"}

        await eventually(ended)
        return made

    async def steps(self) -> None:
        """What the chores do."""
        await self.app.collecting.step()
        await self.app.alert_sending.step()

    async def letters(self, count: int) -> list[Letter]:
        """The mail, once there is so much."""

        async def look() -> bool:
            await self.steps()
            return len(self.box.letters) >= count

        await eventually(look)
        assert len(self.box.letters) == count, [letter.text for letter in self.box.letters]
        return self.box.letters

    async def silent(self) -> None:
        """Nothing more is told, for all that is known."""
        before = len(self.box.letters)
        await self.steps()
        await self.steps()

        async def done() -> bool:
            return self.app.alert_sending.outbox.is_idle

        await eventually(done)
        assert len(self.box.letters) == before, self.box.letters[-1].text

    async def told(self, alert: Any, status: str, count: int = 1) -> list[Any]:
        """The notices, once so many of them are so."""

        async def look() -> Any:
            await self.steps()
            found = (await self.get(f"/v1/alerts/{alert['id']}/notices"))["data"]
            return found if [each["status"] for each in found].count(status) >= count else None

        found: list[Any] = await eventually(look)
        return found

    def number(self, alert: Any) -> int:
        return ids.read("alr", alert["id"]) or 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("columba.app.clock", clock)
    return clock


@pytest.fixture(scope="module")
def postbox() -> Iterator[Postbox]:
    with Postbox() as box:
        yield box


@pytest.fixture
def box(postbox: Postbox) -> Postbox:
    postbox.letters.clear()
    postbox.rcpt.clear()
    postbox.data.clear()
    postbox.refuses.clear()
    return postbox


@pytest_asyncio.fixture
async def house(tmp_path: Path, database: str, clock: Clock, box: Postbox) -> AsyncIterator[House]:
    smtp = f"smtp://127.0.0.1:{box.port}?tls=off"
    async with running(tmp_path, database, allow_network=LOOPBACK, smtp_url=smtp) as columba:
        yield House(columba, clock, box)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as listening:
        yield listening
