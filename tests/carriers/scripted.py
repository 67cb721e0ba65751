"""An SMSC that does what a test says, right or wrong, octet by octet."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any, TypeVar

from columba.smpp.codec import decode, encode
from columba.smpp.pdu import Bind, EnquireLink, EnquireLinkResp, Pdu, Request, Unbind

PATIENCE = 30.0
P = TypeVar("P", bound=Pdu)


class Peer:
    """One connection to us, seen from the SMSC. PDUs wait in `inbox` until the test takes them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, smsc: "Smsc") -> None:
        self._reader, self._writer, self._smsc = reader, writer, smsc
        self.inbox: asyncio.Queue[tuple[Pdu, int]] = asyncio.Queue()
        self.gone = asyncio.Event()
        self.deaf = False  # reads nothing more
        self.sequence = 0

    async def read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(4)
                pdu, sequence = decode(head + await self._reader.readexactly(int.from_bytes(head, "big") - 4))
                while self.deaf:
                    await asyncio.sleep(0.01)
                if self._smsc.friendly and isinstance(pdu, EnquireLink):
                    self.send(EnquireLinkResp(), sequence)
                elif self._smsc.friendly and isinstance(pdu, Bind | Unbind):
                    self.answer(pdu, sequence)
                    if isinstance(pdu, Bind):
                        self.inbox.put_nowait((pdu, sequence))
                        self._smsc.bound.put_nowait(self)
                else:
                    self.inbox.put_nowait((pdu, sequence))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.gone.set()

    async def get(self, kind: type[P]) -> tuple[P, int]:
        """The next PDU, which has to be of this kind."""
        pdu, sequence = await asyncio.wait_for(self.inbox.get(), PATIENCE)
        assert isinstance(pdu, kind), pdu
        return pdu, sequence

    def send(self, pdu: Pdu, sequence: int = 0) -> int:
        if not sequence:
            self.sequence += 1
            sequence = self.sequence
        self._writer.write(encode(pdu, sequence))
        return sequence

    def answer(self, pdu: Request, sequence: int, **fields: Any) -> None:
        assert pdu.response is not None
        self.send(pdu.response(**fields), sequence)

    def write(self, octets: bytes) -> None:
        self._writer.write(octets)

    def cut(self) -> None:
        """Break the connection, at once."""
        self._writer.transport.abort()

    async def left(self) -> None:
        await asyncio.wait_for(self.gone.wait(), PATIENCE)


class Smsc:
    """`friendly`: it answers binds, unbind and enquire_link by itself."""

    def __init__(self, friendly: bool) -> None:
        self.friendly = friendly
        self.port = 0
        self.peers: list[Peer] = []
        self.came: asyncio.Queue[Peer] = asyncio.Queue()
        self.bound: asyncio.Queue[Peer] = asyncio.Queue()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, self)
        self.peers.append(peer)
        self.came.put_nowait(peer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await peer.read()
        writer.close()

    @contextlib.asynccontextmanager
    async def connected(self, port: int) -> AsyncIterator[Peer]:
        """A connection that the SMSC makes, as soon as somebody listens."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    break
                except OSError:
                    await asyncio.sleep(0.01)
        reading = asyncio.create_task(self.accept(reader, writer))
        peer = await asyncio.wait_for(self.came.get(), PATIENCE)
        try:
            yield peer
        finally:
            peer.cut()
            await reading

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self.accept, "127.0.0.1", self.port, ssl=tls, limit=1 << 24)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for peer in self.peers:
                peer.cut()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self.peers.clear()
            self._tasks.clear()
            await self._server.wait_closed()
            self._server = None

    async def next(self) -> Peer:
        """The next connection; with a friendly one, the next that is bound."""
        waiting = self.bound if self.friendly else self.came
        return await asyncio.wait_for(waiting.get(), PATIENCE)

    async def taken(self) -> Peer:
        """The next that is bound, its bind taken out of its inbox."""
        peer = await self.next()
        await peer.get(Bind)
        return peer


@contextlib.asynccontextmanager
async def smsc(friendly: bool = True, tls: ssl.SSLContext | None = None) -> AsyncIterator[Smsc]:
    made = Smsc(friendly)
    await made.start(tls)
    try:
        yield made
    finally:
        await made.stop()
