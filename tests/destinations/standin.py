"""Stand-ins for the systems that are forwarded to, on loopback; and destinations that are performed against them."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec

from columba.errors import Refusal
from columba.forwarding.auth.oauth2 import Tokens
from columba.forwarding.destinations import Destination
from columba.forwarding.destinations_making import made, tried_context
from columba.forwarding.destinations_shapes import NewDestination, Spec
from columba.forwarding.destinations_views import TriedMessage
from columba.forwarding.performing import Performed, Performing
from columba.http.body import decode
from columba.http.egress import Egress
from tests.http.egress.peer import LOOPBACK

AT = 1_767_323_045_678  # 2026-01-02T03:04:05.678Z
ID = "fwd_0000000000001"


class Got(NamedTuple):
    method: str
    target: str
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = {}


Handler = Callable[[Got], Answer | Awaitable[Answer]]


class StandIn:
    """An HTTP server that gives each request to a handler and keeps it."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.got: list[Got] = []
        self.port = 0
        self.tls = False

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                line, *fields = head[:-4].split("\r\n")
                headers = {name.lower(): value for name, value in (field.split(": ", 1) for field in fields)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                method, target, _ = line.split(" ")
                got = Got(method, target, headers, body)
                self.got.append(got)
                answer = self.handler(got)
                if not isinstance(answer, Answer):
                    answer = await answer
                content = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
                more = "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items())
                kind = "" if isinstance(answer.body, bytes) else "Content-Type: application/json\r\n"
                writer.write(
                    f"HTTP/1.1 {answer.status} X\r\n{kind}{more}Content-Length: {len(content)}\r\n\r\n".encode()
                    + content
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def standing(handler: Handler, tls: Any = None) -> AsyncIterator[StandIn]:
    peer = StandIn(handler)
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        await peer.converse(reader, writer)

    server = await asyncio.start_server(converse, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    peer.tls = tls is not None
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


class Shelf:
    """Tokens between processes, for tests of one."""

    def __init__(self) -> None:
        self.kept: dict[int, str] = {}

    async def load(self, destination_id: int) -> str | None:
        return self.kept.get(destination_id)

    async def keep(self, destination_id: int, token: str, at: int) -> None:
        self.kept[destination_id] = token


class Clock:
    def __init__(self) -> None:
        self.now = AT

    def __call__(self) -> int:
        return self.now


class Forwarder:
    """Performs destinations as the program does."""

    def __init__(self, egress: Egress, clock: Clock, shelf: Shelf) -> None:
        self.clock = clock
        self.shelf = shelf
        self.performing = Performing(egress, Tokens(shelf, clock), clock, bytes)

    async def __call__(
        self, found: Destination, text: str = "Hello", done: Mapping[str, Mapping[str, Any]] | None = None, **more: Any
    ) -> Performed:
        return await self.performing.perform(found, context(text, **more), idempotency_id=ID, done=done)

    async def rehearse(self, found: Destination, text: str = "Hello", **more: Any) -> Performed:
        return await self.performing.rehearse(found, context(text, **more), idempotency_id=ID)


@asynccontextmanager
async def forwarder(egress: Egress | None = None, shelf: Shelf | None = None) -> AsyncIterator[Forwarder]:
    own = egress or Egress(LOOPBACK)
    try:
        yield Forwarder(own, Clock(), shelf or Shelf())
    finally:
        await own.close()


def context(text: str = "Hello", **more: Any) -> dict[str, Any]:
    """What templates see of a text."""
    groups, media = more.pop("groups", {}), more.pop("media", [])
    said = TriedMessage(from_="+447700900123", to="+12025550100", text=text, groups=groups, media=media)
    return tried_context(said, 1, {"id": "acc_0000000000002", "name": "test"}, AT) | more


def destination(an_id: int = 7, account: Mapping[str, str] | None = None, **fields: Any) -> Destination:
    """A destination, made as the API makes it."""
    asked = decode(NewDestination, msgspec.json.encode(fields))
    wanted = made(asked, lambda url: None, account or {})
    return of_spec(wanted.spec, an_id, account)


def of_spec(spec: Spec, an_id: int = 7, account: Mapping[str, str] | None = None) -> Destination:
    return Destination(an_id, 2, 1, "it", "", None, True, spec, lambda: account or {}, None, 1, AT, AT)


def problems(**fields: Any) -> dict[str, str]:
    """What is wrong with a destination, by field."""
    try:
        destination(**fields)
    except Refusal as refusal:
        return {error.field: error.detail for error in refusal.errors}
    return {}
