"""The other end, on loopback: a scripted HTTP server over raw streams, and the certificates it shows."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import NamedTuple, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from columba.http.egress import Egress, Policy, Resolve

LOOPBACK = Policy((ip_network("127.0.0.0/8"), ip_network("::1/128")))


class Request(NamedTuple):
    line: str
    headers: dict[str, str]
    body: bytes


Script: TypeAlias = Callable[[asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """Reads requests one by one and lets the script answer each; the script may close the connection."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.gone = asyncio.Event()  # set whenever a connection has ended
        self.port = 0

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            while not writer.is_closing() and (request := await _read(reader)):
                self.requests.append(request)
                answering = asyncio.ensure_future(self.script(writer))
                watching = asyncio.ensure_future(_closed(reader))
                await asyncio.wait([answering, watching], return_when=asyncio.FIRST_COMPLETED)
                for task in (answering, watching):
                    task.cancel()
                await asyncio.gather(answering, watching, return_exceptions=True)
        except (OSError, asyncio.CancelledError):  # hung up on; or the test is over
            pass
        finally:
            self.open -= 1
            self.gone.set()
            writer.transport.abort()


@asynccontextmanager
async def serve(script: Script, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    peer = Peer(script)
    tasks: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        await peer.converse(reader, writer)

    server = await asyncio.start_server(converse, host, 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


@asynccontextmanager
async def egress(
    policy: Policy = LOOPBACK, resolve: Resolve | None = None, resolved_for: float = 30.0, **bounds: int
) -> AsyncIterator[Egress]:
    out = Egress(policy, resolve=resolve, resolved_for=resolved_for, **bounds)
    try:
        yield out
    finally:
        await out.close()


def says(*pieces: bytes, close: bool = False) -> Script:
    """A script that always gives the same answer."""

    async def script(writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if close:
            writer.close()

    return script


def answer(body: bytes = b"", status: str = "200 OK", *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers))
    return head.encode() + b"\r\n" + body


OK = says(answer(b"ok"))


async def never(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def names(table: dict[str, list[str]]) -> Resolve:
    async def resolve(host: str) -> list[str]:
        return table[host]

    return resolve


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return None
    line, *fields = head[:-4].split("\r\n")
    headers = dict(field.split(": ", 1) for field in fields)
    return Request(line, headers, await reader.readexactly(int(headers.get("Content-Length", 0))))


async def _closed(reader: asyncio.StreamReader) -> None:
    """Waits until the client is gone: it never sends ahead of an answer."""
    assert await reader.read(1) == b""


class Authority:
    """A certificate authority that lives as long as the test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "An authority")])
        self.pem = self._sign(self._name, self._key, [], authority=True)

    def issue(self, *names: str) -> bytes:
        """PEM, certificate and key, for names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = []
        for name in names:
            try:
                alternatives.append(x509.IPAddress(ip_address(name)))
            except ValueError:
                alternatives.append(x509.DNSName(name))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._sign(subject, key, alternatives) + private

    def server(self, *names: str, wants_client: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        path = self._folder / "server.pem"
        path.write_bytes(self.issue(*names))
        context.load_cert_chain(path)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=self.pem.decode())
        return context

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        alternatives: list[x509.GeneralName],
        authority: bool = False,
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
