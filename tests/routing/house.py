"""An App whose carriers are looked after, and what tests ask of them."""

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from columba.app import clock
from columba.core import ids, status
from columba.core.events import SQL as CORE
from columba.core.housekeeping import Chore, Housekeeping
from columba.core.model import Message
from columba.routing.emptying import Emptying
from columba.store import Statement
from tests.api import Api, Columba, eventually, running
from tests.routing import lines

PARTS = Statement(
    "test_parts", (), (), "select n, carrier_id, status, error from parts where message_id = :id order by n"
)


class Routed:
    """A started App, and its API as a live key asks it. What is done by the clock is done often."""

    def __init__(self, columba: Columba) -> None:
        app = columba.app
        self.columba = columba
        self.app = app
        self.carriers = app.network
        self.states = app.states
        emptying = Emptying(app.store, app.ids, clock, app.publisher, app.sending, app.carriers)
        self.chores = Housekeeping((Chore("states", 0.05, self.states.step), Chore("emptying", 0.05, emptying.step)))
        self.api = Api(app.asgi, columba.live_key)

    async def make(self, config: dict[str, Any] | None = None, **more: Any) -> str:
        """The id of a new carrier, once it is up (or whatever else it comes to)."""
        reply = await self.api(
            "POST", "/v1/carriers", {"name": "one", "kind": "sandbox", "config": config or {}, **more}
        )
        assert reply.status == 201, reply.json
        an_id: str = reply.json["id"]
        await self.until(an_id, lambda it: it["state"] != "connecting")
        return an_id

    async def get(self, an_id: str) -> Any:
        reply = await self.api("GET", f"/v1/carriers/{an_id}")
        assert reply.status == 200, reply.json
        return reply.json

    async def until(self, an_id: str, what: Callable[[Any], bool], seconds: float = 10.0) -> Any:
        """The carrier, once this is true of it."""

        async def look() -> Any:
            found = await self.get(an_id)
            return found if what(found) else None

        return await eventually(look, seconds)

    async def send(self, to: str = "+447700900123", **more: Any) -> Message:
        return await self.columba.send(to, mode=status.LIVE, **more)

    async def message(self, an_id: int) -> tuple[str, str | None, int]:
        """Its status, its error and the carrier whose lane it is on."""
        (row,) = await self.app.store.read(CORE["messages_by_id"], [(an_id,)])
        return status.NAMES[row[11]], row[17], row[5] & ~63

    async def ends(self, messages: list[Message], seconds: float = 30.0) -> list[str]:
        """What became of messages, once each has a final status or `unknown`."""

        async def look() -> list[str] | None:
            rows = await self.app.store.read(CORE["messages_by_id"], [(message.id,) for message in messages])
            found = {row[0]: row[11] for row in rows}
            return [status.NAMES[found[m.id]] for m in messages] if min(found.values()) >= status.UNKNOWN else None

        ended: list[str] = await eventually(look, seconds)
        return ended


def number(an_id: str) -> int:
    found = ids.read("car", an_id)
    assert found is not None
    return found


@contextlib.asynccontextmanager
async def routed(folder: Path, url: str = "", **settings: Any) -> AsyncIterator[Routed]:
    async with running(folder, url, public_url="https://sms.example.org", **settings) as columba:
        it = Routed(columba)
        it.chores.start()
        try:
            yield it
        finally:
            for line in lines.Line.opened:
                line.answer("unsent")  # nothing to wait for
            await it.chores.stop()
