"""A stream goes on until its reader leaves or the server stops, and says that it lives."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from starlette.types import Message
from structlog.testing import capture_logs

from columba.http.sse import EventStream, StreamEvent, frame
from tests.http import sample
from tests.http.client import ALL, head, read_head
from tests.http.conftest import serving


@pytest.mark.parametrize(
    ("event", "wire"),
    [
        (StreamEvent("evt_1", "message.sent", b'{"a":1}'), b'id: evt_1\nevent: message.sent\ndata: {"a":1}\n\n'),
        (StreamEvent("1", "x", b"a\nb\r\nc\rd"), b"id: 1\nevent: x\ndata: a\ndata: b\ndata: c\ndata: d\n\n"),
        (StreamEvent("1\ndata: y", "x\r\nid: 2", b""), b"id: 1data:y\nevent: xid:2\ndata: \n\n"),
    ],
)
def test_an_event_cannot_break_out_of_its_frame(event: StreamEvent, wire: bytes) -> None:
    assert frame(event) == wire


async def follow(port: int, last: str = "") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head("GET", "/v1/birds/stream", {"last-event-id": last} if last else {}, ALL))
    status, headers = await read_head(reader)
    assert (status, headers["content-type"], headers["cache-control"]) == (200, "text/event-stream", "no-store")
    assert headers["x-request-id"]
    return reader, writer


async def test_events_come_with_heartbeats_between_and_resume() -> None:
    loft = sample.Loft()
    async with serving(sample.app(loft), loft.stopping) as port:
        reader, writer = await follow(port, last="7")
        for number in (8, 9, 10):
            await reader.readuntil(b'id: %d\nevent: bird.seen\ndata: {"n":%d}\n\n' % (number, number))
        await reader.readuntil(b":\n\n")
        await reader.readuntil(b":\n\n")
        writer.close()


async def test_a_reader_that_leaves_ends_the_generator() -> None:
    loft = sample.Loft()
    async with serving(sample.app(loft), loft.stopping) as port:
        reader, writer = await follow(port)
        await reader.readuntil(b"id: 3")
        assert not loft.left.is_set()
        writer.close()
        await asyncio.wait_for(loft.left.wait(), 30)


async def test_a_server_that_stops_ends_the_stream_cleanly() -> None:
    loft = sample.Loft()
    async with serving(sample.app(loft), loft.stopping) as port:
        reader, writer = await follow(port)
        await reader.readuntil(b"id: 3")
        loft.stopping.set()
        rest = await asyncio.wait_for(reader.readuntil(b"\r\n0\r\n\r\n"), 30)
        assert b"id: 4" not in rest
        await asyncio.wait_for(loft.left.wait(), 30)
        writer.close()


async def never() -> Message:
    await asyncio.Event().wait()
    raise AssertionError


class Sent(list[Message]):
    """What was sent; nothing more is taken after `room` messages."""

    room = 1000

    async def __call__(self, message: Message) -> None:
        if len(self) >= self.room:
            await asyncio.Event().wait()
        self.append(message)

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self)


SCOPE = {"type": "http", "method": "GET", "path": "/stream"}


async def test_a_reader_that_takes_nothing_is_dropped() -> None:
    closed = asyncio.Event()

    async def events() -> AsyncGenerator[StreamEvent, None]:
        try:
            for number in range(10**9):
                yield StreamEvent(str(number), "x", b"{}")
        finally:
            closed.set()

    sent = Sent()
    sent.room = 20
    await EventStream(events(), asyncio.Event(), patience=0.01)(SCOPE, never, sent)
    assert closed.is_set()
    assert len(sent) == 20
    assert all(message["type"] == "http.response.start" or message["more_body"] for message in sent)


async def test_a_stream_that_ends_by_itself_is_closed() -> None:
    async def events() -> AsyncGenerator[StreamEvent, None]:
        yield StreamEvent("1", "x", b"{}")

    sent = Sent()
    await EventStream(events(), asyncio.Event())(SCOPE, never, sent)
    assert b"id: 1\n" in sent.text
    assert sent[-1] == {"type": "http.response.body"}


async def test_a_generator_that_fails_is_logged_and_the_stream_closed() -> None:
    async def events() -> AsyncGenerator[StreamEvent, None]:
        yield StreamEvent("1", "x", b"{}")
        raise RuntimeError("broken")

    sent = Sent()
    with capture_logs() as logs:
        await EventStream(events(), asyncio.Event())(SCOPE, never, sent)
    assert b"broken" not in sent.text
    assert sent[-1] == {"type": "http.response.body"}
    [entry] = logs
    assert entry["event"] == "stream_failed"
    assert "RuntimeError: broken" in entry["exception"]
