"""The asyncio shell, over real loopback connections, in asyncio's loop and in uvloop's."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from columba.smpp import pdu as p
from columba.smpp.codec import decode, encode
from columba.smpp.pdu import Pdu
from columba.smpp.session import Answered, Event, Requested, Role, Session, State, Unanswered
from columba.smpp.status import Status
from columba.smpp.stream import MAX_UNWRITTEN, Link, connect, serve

HOST = "127.0.0.1"
LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=LOOPS, ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    def in_loop(story: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(story, 60))

    return in_loop


class Keeper:
    """An owner that keeps what it is told, for the story to await."""

    def __init__(self) -> None:
        self.link: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[tuple[Exception | None, Sequence[Unanswered]]] = (
            asyncio.get_running_loop().create_future()
        )
        self.events: asyncio.Queue[Event] = asyncio.Queue()
        self.drainings = 0

    def connected(self, link: Link) -> None:
        self.link.set_result(link)

    def received(self, link: Link, events: Sequence[Event]) -> None:
        for event in events:
            self.events.put_nowait(event)

    def drained(self, link: Link) -> None:
        self.drainings += 1

    def lost(self, link: Link, error: Exception | None, unanswered: Sequence[Unanswered]) -> None:
        self.ended.set_result((error, unanswered))


class Smsc(Keeper):
    """One that takes every bind and every submit_sm, and gives every message the id that its text is."""

    def received(self, link: Link, events: Sequence[Event]) -> None:
        super().received(link, events)
        for event in events:
            match event:
                case Requested(p.SubmitSm() as submit, sequence):
                    link.respond(sequence, p.SubmitSmResp(message_id=submit.short_message.decode()))
                case Requested(p.Bind() as bind, sequence):
                    link.respond(sequence, bind.response(system_id="smsc"))
                case Requested(p.Unbind(), sequence):
                    link.respond(sequence, p.UnbindResp())
                    link.close()


def session(role: Role, **options: Any) -> Callable[[float], Session]:
    return lambda now: Session(role, now=now, **options)


@asynccontextmanager
async def serving(
    owner: Callable[[], Keeper], tls: ssl.SSLContext | None = None, **options: Any
) -> AsyncIterator[tuple[int, list[Keeper]]]:
    owners: list[Keeper] = []

    def accept() -> Keeper:
        owners.append(owner())
        return owners[-1]

    server = await serve(HOST, 0, accept, session(Role.SMSC, **options), tls=tls)
    try:
        yield server.sockets[0].getsockname()[1], owners
    finally:
        for each in owners:
            if each.link.done():
                each.link.result().abort()
                await each.ended
        server.close()
        await server.wait_closed()


async def bound(port: int, bind: p.Bind | None = None, **options: Any) -> tuple[Link, Keeper]:
    keeper = Keeper()
    link = await connect(HOST, port, keeper, session(Role.ESME, **options))
    link.send(bind or p.BindTransceiver(system_id="me"))
    assert isinstance(await keeper.events.get(), Answered)
    assert link.session.bound
    return link, keeper


def test_a_conversation(run: Run) -> None:
    async def story() -> None:
        async with serving(Smsc) as (port, owners):
            link, keeper = await bound(port, window=10)
            assert link.room == 10
            tokens = list(range(10))
            for token in tokens:
                link.send(p.SubmitSm(short_message=b"%d" % token), token)
            assert link.room == 0
            answers = [await keeper.events.get() for _ in tokens]
            assert [(e.token, e.pdu.message_id) for e in answers if isinstance(e, Answered)] == [  # type: ignore[attr-defined]
                (token, str(token)) for token in tokens
            ]
            server = owners[0].link.result()
            server.send(p.DeliverSm(short_message=b"mo"), "mo")
            asked = await keeper.events.get()
            assert isinstance(asked, Requested)
            link.respond(asked.sequence, p.DeliverSmResp())
            link.send(p.Unbind(), "bye")
            assert await keeper.events.get() == Answered(p.UnbindResp(), "bye", 12)
            assert await keeper.ended == (None, [])
            assert await owners[0].ended == (None, [])
            assert Answered(p.DeliverSmResp(), "mo", 1) in owners[0].events._queue  # type: ignore[attr-defined]

    run(story())


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    begin = datetime(2020, 1, 1)  # noqa: DTZ001
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin)
        .not_valid_after(begin + timedelta(days=365 * 50))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "both.pem"
    path.write_bytes(certificate.public_bytes(pem) + secret)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=str(path))


def test_tls(run: Run, tmp_path: Path) -> None:
    ours, theirs = contexts(tmp_path)

    async def story() -> None:
        async with serving(Smsc, tls=ours) as (port, _):
            keeper = Keeper()
            link = await connect(HOST, port, keeper, session(Role.ESME), tls=theirs, server_hostname="localhost")
            link.send(p.BindTransmitter(system_id="me", password="secret"))
            assert isinstance(await keeper.events.get(), Answered)
            assert link.peer("cipher")
            link.close()
            await keeper.ended
            with pytest.raises(ssl.SSLError):
                await connect(HOST, port, Keeper(), session(Role.ESME), tls=theirs, server_hostname="other.example")

    run(story())


def test_what_is_sent_in_one_turn_leaves_in_one_write() -> None:
    writes: list[bytes] = []

    class Recorder(asyncio.Transport):
        def write(self, data: Any) -> None:
            writes.append(bytes(data))

        def is_closing(self) -> bool:
            return False

        def get_write_buffer_size(self) -> int:
            return 0

    async def story() -> None:
        link = Link(Keeper(), session(Role.ESME))
        link.connection_made(Recorder())
        link.send(p.BindTransmitter())
        await asyncio.sleep(0)
        link.data_received(encode(p.BindTransmitterResp(), 1))
        await asyncio.sleep(0)
        for _ in range(50):
            link.send(p.SubmitSm(short_message=b"x"))
        await asyncio.sleep(0)
        link.data_received(encode(p.EnquireLink(), 1) * 20)
        await asyncio.sleep(0)
        link.connection_lost(None)

    asyncio.run(story())
    assert [len(pdus(data)) for data in writes] == [1, 50, 20]


def pdus(data: bytes) -> list[Pdu]:
    found: list[Pdu] = []
    while data:
        length = int.from_bytes(data[:4], "big")
        found.append(decode(data[:length])[0])
        data = data[length:]
    return found


def test_a_cut_gives_back_what_is_unanswered(run: Run) -> None:
    async def story() -> None:
        async with serving(Smsc) as (port, owners):
            link, keeper = await bound(port)
            owners[0].link.result().pause()
            sequences = [link.send(p.SubmitSm(), token) for token in "ab"]
            owners[0].link.result().abort()
            _, unanswered = await keeper.ended
            assert unanswered == [Unanswered(p.SubmitSm, t, n) for t, n in zip("ab", sequences, strict=True)]
            assert link.room == 0
            assert link.peer() is None

    run(story())


def test_garbage_is_answered_and_cut_and_disturbs_no_one_else(run: Run) -> None:
    async def story() -> None:
        async with serving(Smsc) as (port, owners):
            link, keeper = await bound(port)
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
            assert pdus(await reader.read()) == [p.GenericNack(status=Status.ESME_RINVCMDLEN)]
            writer.close()
            await owners[1].ended
            link.send(p.SubmitSm(short_message=b"1"))
            assert isinstance(await keeper.events.get(), Answered)
            link.abort()
            await keeper.ended

    run(story())


def test_an_owner_that_fails_loses_its_own_connection_alone(run: Run) -> None:
    class Failing(Smsc):
        def received(self, link: Link, events: Sequence[Event]) -> None:
            super().received(link, events)
            if any(isinstance(event, Requested) and isinstance(event.pdu, p.QuerySm) for event in events):
                raise RuntimeError("a bug of the owner's")

    async def story() -> None:
        complaints: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
        async with serving(Failing) as (port, _):
            (one, first), (two, second) = await bound(port), await bound(port)
            one.send(p.QuerySm(), "q")
            _, unanswered = await first.ended
            assert [each.token for each in unanswered] == ["q"]
            two.send(p.SubmitSm(short_message=b"1"))
            assert isinstance(await second.events.get(), Answered)
            two.abort()
            await second.ended
        assert any(isinstance(each.get("exception"), RuntimeError) for each in complaints)

    run(story())


def test_an_owner_that_does_not_want_a_connection_need_not_keep_it(run: Run) -> None:
    class Choosy(Keeper):
        def connected(self, link: Link) -> None:
            super().connected(link)
            raise PermissionError

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
        async with serving(Choosy, bind_timeout=3600.0) as (port, _):
            reader, writer = await asyncio.open_connection(HOST, port)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(story())


def test_a_peer_that_does_not_read_costs_little_and_gets_all_when_it_does(run: Run) -> None:
    """It sends enquire_link for as long as it is let, and reads none of the responses."""

    async def story() -> None:
        loop = asyncio.get_running_loop()
        async with serving(Smsc, enquire_after=None) as (port, owners):
            with socket.create_connection((HOST, port)) as sock:
                sock.setblocking(False)
                await loop.sock_sendall(sock, encode(p.BindReceiver(system_id="me"), 1))
                await loop.sock_recv(sock, 1000)
                keeper = owners[0]
                link = keeper.link.result()
                block = encode(p.EnquireLink(), 1) * 4096
                sent = 0
                while not link._overfull:
                    try:
                        sent += sock.send(block[sent % 16 :])
                    except BlockingIOError:
                        await asyncio.sleep(0)
                assert link.room == 0
                assert link._transport is not None
                assert link._transport.get_write_buffer_size() < 2 * MAX_UNWRITTEN
                rest = block[sent % 16 : 16]
                sending = asyncio.ensure_future(loop.sock_sendall(sock, rest))
                answered = 0
                while answered < sent + len(rest):
                    answered += len(await loop.sock_recv(sock, 1 << 20))
                await sending
                assert answered == sent + len(rest)
                assert keeper.drainings >= 1
                assert link.room > 0

    run(story())


def test_a_paused_owner_gets_all_after_it_resumes(run: Run) -> None:
    async def story() -> None:
        async with serving(Smsc, enquire_after=0.01, response_timeout=0.01) as (port, owners):
            link, keeper = await bound(port, bind=p.BindReceiver(), window=1000)
            server = owners[0].link.result()
            server.pause()
            link.send(p.DataSm(), "data")
            await asyncio.sleep(0.1)  # the timers that must stand still
            assert not server.session.pending
            server.resume()
            while not server.session.pending:
                owners[0].events.get_nowait() if not owners[0].events.empty() else await asyncio.sleep(0)
            assert server.session.bound
            link.abort()
            await keeper.ended

    run(story())


def test_silent_peers_are_cut(run: Run) -> None:
    async def story() -> None:
        async with serving(Smsc, bind_timeout=0.05, enquire_after=0.05, response_timeout=0.05) as (port, owners):
            reader, writer = await asyncio.open_connection(HOST, port)
            assert await reader.read() == b""
            writer.close()
            await owners[0].ended
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(encode(p.BindReceiver(system_id="me"), 1))
            assert pdus(await reader.read()) == [p.BindReceiverResp(system_id="smsc"), p.EnquireLink()]
            writer.close()
            await owners[1].ended
            assert owners[1].link.result().session.state is State.CLOSED

    run(story())
