"""Routes past ASGI: what goes there, what doesn't, and that a connection is the same for both."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from starlette.types import Receive, Scope, Send

from columba.http import server
from columba.http.direct import Exchange
from columba.http.server import with_direct
from columba.http.wire import read_body, send_answer

HEAD = b"content-type: text/plain\r\n"


class House:
    """A server with a route that is served both ways and says by which."""

    def __init__(self, listening: socket.socket) -> None:
        self.port = listening.getsockname()[1]
        self.waiting: list[Exchange] = []
        config = uvicorn.Config(
            self.asgi, loop="none", http=with_direct({b"/a": self.direct}), ws="none", lifespan="off", access_log=False,
            log_config=None, interface="asgi3", proxy_headers=False, timeout_keep_alive=75, timeout_graceful_shutdown=5,
        )  # fmt: skip
        self.server = uvicorn.Server(config)
        self.peers: list[Peer] = []
        self.serving = asyncio.create_task(self.server.serve(sockets=[listening]))

    async def asgi(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        await send_answer(send, 202, b"asgi %s %s" % (scope["raw_path"], body), [(b"content-type", b"text/plain")])

    def direct(self, exchange: Exchange) -> None:
        if b"leave" in exchange.body:
            exchange.leave()
        elif b"later" in exchange.body:
            self.waiting.append(exchange)
        else:
            exchange.answer(202, HEAD, b"direct %s" % exchange.body)

    async def connect(self) -> "Peer":
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port))
        self.peers.append(peer)
        return peer


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self) -> tuple[bytes, dict[bytes, bytes]]:
        """The next answer's body and headers."""
        async with asyncio.timeout(10):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status, *lines = head.strip().split(b"\r\n")
            assert status == b"HTTP/1.1 202 Accepted"
            headers = dict(line.lower().split(b": ", 1) for line in lines)
            return await self.reader.readexactly(int(headers[b"content-length"])), headers

    async def ends(self) -> bool:
        async with asyncio.timeout(10):
            return await self.reader.read() == b""


def post(body: bytes, path: bytes = b"/a", more: bytes = b"", version: bytes = b"1.1") -> bytes:
    return b"POST %s HTTP/%s\r\nhost: x\r\n%scontent-length: %d\r\n\r\n%s" % (path, version, more, len(body), body)


@pytest_asyncio.fixture
async def house() -> AsyncIterator[House]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        house = House(listening)
        while not house.server.started:
            await asyncio.sleep(0.001)
        yield house
        for peer in house.peers:
            peer.writer.close()
        house.server.should_exit = True
        await house.serving


async def heard(house: House, *pieces: bytes) -> bytes:
    """What is answered to a request that comes in pieces."""
    peer = await house.connect()
    for piece in pieces:
        peer.say(piece)
        await asyncio.sleep(0.02)
    body, _ = await peer.hear()
    return body


async def test_what_is_plain_goes_past_asgi(house: House) -> None:
    whole = post(b"Hello")
    assert await heard(house, whole) == b"direct Hello"
    assert await heard(house, whole[:-5], whole[-5:]) == b"direct Hello"
    assert await heard(house, whole[:30], whole[30:]) == b"direct Hello"
    assert await heard(house, post(b"")) == b"direct "
    chunked = b"POST /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nHe\r\n3\r\nllo\r\n0\r\n\r\n"
    assert await heard(house, chunked) == b"direct Hello"


@pytest.mark.parametrize(
    ("pieces", "answer"),
    [
        ([post(b"Hello", b"/b")], b"asgi /b Hello"),
        ([post(b"Hello", b"/a?x=1")], b"asgi /a Hello"),
        ([post(b"please leave")], b"asgi /a please leave"),
        ([post(b"please leave")[:-3], b"ave"], b"asgi /a please leave"),
        ([post(b"Hello").replace(b"POST", b"PUT", 1)], b"asgi /a Hello"),
        ([post(b"Hello", version=b"1.0")], b"asgi /a Hello"),
        ([post(b"Hello")[:-4], b"e", b"l", b"lo"], b"asgi /a Hello"),
    ],
)
async def test_what_is_not_goes_the_long_way(house: House, pieces: list[bytes], answer: bytes) -> None:
    assert await heard(house, *pieces) == answer


async def test_who_expects_leave_to_go_on_gets_it(house: House) -> None:
    peer = await house.connect()
    peer.say(post(b"Hello", more=b"expect: 100-continue\r\n")[:-5])
    async with asyncio.timeout(10):
        assert await peer.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    peer.say(b"Hello")
    assert (await peer.hear())[0] == b"asgi /a Hello"


async def test_a_body_that_is_long_in_coming(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.01)
    peer = await house.connect()
    whole = post(b"Hello")
    peer.say(whole[:-4])
    await asyncio.sleep(0.1)
    peer.say(whole[-4:])
    assert (await peer.hear())[0] == b"asgi /a Hello"


async def test_answers_come_in_the_order_of_their_requests(house: House) -> None:
    peer = await house.connect()
    peer.say(post(b"later") + post(b"second") + post(b"third", b"/b") + post(b"fourth"))
    while not house.waiting:
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    house.waiting.pop().answer(202, HEAD, b"first")
    assert [(await peer.hear())[0] for _ in range(4)] == [
        b"first", b"asgi /a second", b"asgi /b third", b"asgi /a fourth",
    ]  # fmt: skip
    peer.say(post(b"fifth"))
    assert (await peer.hear())[0] == b"direct fifth"


async def test_the_connection_is_closed_where_that_was_asked_for(house: House) -> None:
    peer = await house.connect()
    peer.say(post(b"Hello", more=b"connection: close\r\n"))
    body, headers = await peer.hear()
    assert (body, headers[b"connection"]) == (b"direct Hello", b"close")
    assert await peer.ends()


async def test_who_has_gone_away_hears_nothing(house: House) -> None:
    peer = await house.connect()
    peer.say(post(b"later"))
    while not house.waiting:
        await asyncio.sleep(0.001)
    peer.writer.transport.abort()
    while not house.waiting[0].disconnected:
        await asyncio.sleep(0.001)
    house.waiting[0].answer(202, HEAD, b"to nobody")
    assert await heard(house, post(b"Hello")) == b"direct Hello"


async def test_nonsense_is_refused(house: House) -> None:
    peer = await house.connect()
    peer.say(post(b"Hello") + b"NONSENSE\r\n\r\n")
    assert (await peer.hear())[0] == b"direct Hello"
    async with asyncio.timeout(10):
        assert (await peer.reader.read()).startswith(b"HTTP/1.1 400 ")


async def test_a_stop_waits_for_the_answer(house: House) -> None:
    idle, busy = await house.connect(), await house.connect()
    idle.say(post(b"Hello"))
    await idle.hear()
    busy.say(post(b"later"))
    while not house.waiting:
        await asyncio.sleep(0.001)
    house.server.should_exit = True
    assert await idle.ends()
    await asyncio.sleep(0.05)
    house.waiting[0].answer(202, HEAD, b"at last")
    body, headers = await busy.hear()
    assert (body, headers[b"connection"]) == (b"at last", b"close")
    await house.serving


@pytest.mark.parametrize("body", [b"direct", b"leave, to ASGI"])
async def test_who_is_idle_for_long_is_left(house: House, body: bytes) -> None:
    house.server.config.timeout_keep_alive = 0  # what a connection has when it is made
    peer = await house.connect()
    peer.say(post(body))
    await peer.hear()
    assert await peer.ends()


async def test_who_is_busy_is_not_left(house: House) -> None:
    peer = await house.connect()
    peer.say(post(b"Hello"))
    await peer.hear()
    (connection,) = house.server.server_state.connections
    assert isinstance(connection, server.Protocol)
    connection.timeout_keep_alive_handler()  # its time has run out, but it has just been used
    peer.say(post(b"later"))
    while not house.waiting:
        await asyncio.sleep(0.001)
    connection.timeout_keep_alive_handler()  # it waits for us
    house.waiting.pop().answer(202, HEAD, b"at last")
    assert (await peer.hear())[0] == b"at last"
    peer.say(post(b"Hello"))
    assert (await peer.hear())[0] == b"direct Hello"


def test_an_exchange_is_what_uvicorn_looks_for() -> None:
    """The names that uvicorn's protocol reads of its own cycle."""
    exchange: Any = Exchange(None, [], b"", None, True)  # type: ignore[arg-type]
    exchange.disconnected = True
    exchange.message_event.set()
    assert exchange.keep_alive is True
    assert exchange.response_complete is False
