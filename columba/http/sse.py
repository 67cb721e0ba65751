"""Server-Sent Events (WHATWG HTML §9.2): a stream that notices when nobody listens and when the server stops.

One event is on its way at a time, so a slow reader slows the generator and costs no memory; one that takes nothing for
`patience` seconds is dropped. What fails in the generator is logged and ends the stream; the reader comes back by
itself with Last-Event-ID.
"""

import asyncio
from collections.abc import AsyncGenerator
from typing import Final, NamedTuple

import structlog
from starlette.types import Receive, Scope, Send

from columba.http.problems import trace

HEARTBEAT: Final = 15.0
PATIENCE: Final = 30.0

_HEADERS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold the events back
]
_log = structlog.get_logger(__name__)


class StreamEvent(NamedTuple):
    """One event: its id (what Last-Event-ID will say; '' leaves that as it was), its type and its JSON."""

    id: str
    event: str
    data: bytes


class EventStream:
    """An answer that goes on until the generator ends, the reader leaves or `stopping` is set."""

    def __init__(
        self,
        events: AsyncGenerator[StreamEvent, None],
        stopping: asyncio.Event,
        *,
        heartbeat: float = HEARTBEAT,
        patience: float = PATIENCE,
    ) -> None:
        self.events = events
        self._stopping = stopping
        self._heartbeat = heartbeat
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream as an ASGI app."""
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        if scope["method"] == "HEAD":
            await self.events.aclose()
            await send({"type": "http.response.body"})
            return
        pump = asyncio.create_task(self._pump(send))
        ends = {
            pump,
            asyncio.create_task(self._beat(send)),
            asyncio.create_task(_leaves(receive)),
            asyncio.create_task(self._stopping.wait()),
        }
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            outcomes = await asyncio.gather(*ends, return_exceptions=True)
            await self.events.aclose()
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(outcome, TimeoutError):
                _log.error("stream_failed", path=scope["path"], exception=trace(outcome))
        if not any(isinstance(outcome, TimeoutError) for outcome in outcomes):
            await send({"type": "http.response.body"})

    async def _pump(self, send: Send) -> None:
        async for event in self.events:
            await self._put(send, frame(event))

    async def _beat(self, send: Send) -> None:
        """A comment now, so that the reader knows it is through, and now and then: proxies cut what is silent."""
        while True:
            await self._put(send, b":\n\n")
            await asyncio.sleep(self._heartbeat)

    async def _put(self, send: Send, chunk: bytes) -> None:
        async with asyncio.timeout(self._patience):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _leaves(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def frame(event: StreamEvent) -> bytes:
    """An event as it goes over the wire."""
    lines = event.data.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    data = b"".join(b"data: " + line + b"\n" for line in lines)
    place = f"id: {_word(event.id)}\n" if event.id else ""
    return f"{place}event: {_word(event.event)}\n".encode() + data + b"\n"


def _word(text: str) -> str:
    return "".join(text.split()).replace("\x00", "")
