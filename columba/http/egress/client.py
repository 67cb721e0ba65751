"""Requests over pooled connections to checked addresses.

`Egress` belongs to one event loop. Connections are kept alive for each endpoint (host, port, terms of trust). Requests
in flight are bounded, each endpoint's and all together; those beyond wait their turn within their own time. An idle
connection gives way when the total is reached. Fails only with EgressError.
"""

import asyncio
import errno
import os
import ssl
import tempfile
from collections.abc import Iterable, Mapping
from time import perf_counter
from types import MappingProxyType
from typing import NamedTuple

from columba.http.egress.connection import Answer, Connection, compose
from columba.http.egress.errors import EgressError
from columba.http.egress.names import Names, Resolve
from columba.http.egress.policy import Address, Policy
from columba.http.egress.url import Target, check_url, forbidden, parse_url

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MOST_TRIED = 4  # addresses of one name
_TRY = 5.0  # seconds for an address while there is another
_MOST_CONTEXTS = 64


class _Trust(NamedTuple):
    """What requests must agree in to share a connection."""

    tls: bool
    host: str
    port: int
    trusted: bool
    client_cert: bytes | None
    ca: bytes | None


class _Endpoint:
    __slots__ = ("idle", "slots", "trust", "users", "working")

    def __init__(self, trust: _Trust, slots: int) -> None:
        self.trust = trust
        self.idle: list[Connection] = []  # the last one used is the next
        self.slots = asyncio.Semaphore(slots)
        self.users = 0
        self.working: Address | None = None  # the address of the last connection


class Egress:
    """`policy` says which addresses may be reached; `resolve` gives a host's addresses, kept `resolved_for` seconds."""

    def __init__(
        self,
        policy: Policy,
        *,
        resolve: Resolve | None = None,
        resolved_for: float = 30.0,
        per_endpoint: int = 64,
        total: int = 800,
    ) -> None:
        self._policy = policy
        self._loop = asyncio.get_running_loop()
        self._names = Names(self._loop, resolve, resolved_for)
        self._per_endpoint = per_endpoint
        self._total = total
        self._slots = asyncio.Semaphore(total)
        self._endpoints: dict[_Trust, _Endpoint] = {}
        self._open: dict[Connection, _Endpoint] = {}
        self._opening = 0
        self._contexts: dict[tuple[bytes | None, bytes | None], ssl.SSLContext] = {}
        self._closed = False

    def check_url(self, url: str) -> EgressError | None:
        """What is wrong with a URL, told when it is configured: nothing is looked up."""
        return check_url(url, self._policy)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] = _NO_HEADERS,
        body: bytes = b"",
        timeout: float = 15.0,
        max_answer: int = 20_000,
        trusted: bool = False,
        client_cert: bytes | None = None,
        ca: bytes | None = None,
    ) -> Answer:
        """Sends a request once and gives its answer, whatever its status; raises EgressError when there is none.

        `timeout` covers all, from waiting for a connection to the answer's last byte. `trusted` is for URLs that the
        operator wrote: every address is permitted. `client_cert` is PEM, chain and key; `ca`, PEM, takes the place of
        the system's roots.
        """
        started = perf_counter()
        deadline = self._loop.time() + timeout
        target = parse_url(url)
        request = compose(method, target, headers, body)
        trust = _Trust(target.tls, target.host, target.port, trusted, client_cert, ca)
        endpoint = self._endpoints.get(trust)
        if endpoint is None:
            endpoint = self._endpoints[trust] = _Endpoint(trust, self._per_endpoint)
        endpoint.users += 1
        try:
            await self._admit(endpoint, deadline)
            try:
                connection = self._idle(endpoint) or await self._connect(target, endpoint, deadline)
                waiter = connection.send(request, max_answer, deadline)
                try:
                    reply = await waiter
                except asyncio.CancelledError:
                    connection.end()
                    raise
                if isinstance(reply, EgressError):
                    raise reply
                if connection.rest():
                    endpoint.idle.append(connection)
            finally:
                self._slots.release()
                endpoint.slots.release()
        finally:
            endpoint.users -= 1
            self._forget(endpoint)
        return Answer(*reply, perf_counter() - started)

    async def reach(self, host: str) -> str:
        """An address of a host that the policy permits, for those who connect by themselves; OSError where there is none."""
        try:
            for address in await self._names.addresses(host.strip("[]")):
                if self._policy.permits(address):
                    return str(address)
        except EgressError as error:
            raise OSError(error.detail) from error
        raise OSError(f"{host} leads to a private network, and --allow-network doesn't name it")

    async def close(self) -> None:
        """Ends every connection; requests in flight fail as disconnected."""
        self._closed = True
        self._names.close()
        connections = list(self._open)
        for connection in connections:
            connection.end("disconnected", "Columba is shutting down.")
        if connections:
            await asyncio.wait([connection.lost for connection in connections])

    async def _admit(self, endpoint: _Endpoint, deadline: float) -> None:
        """Takes one slot of the endpoint and one of all."""
        if not endpoint.slots.locked() and not self._slots.locked():
            await endpoint.slots.acquire()  # neither waits
            await self._slots.acquire()
        else:
            try:
                async with asyncio.timeout_at(deadline):
                    await endpoint.slots.acquire()
                    try:
                        await self._slots.acquire()
                    except asyncio.CancelledError:
                        endpoint.slots.release()
                        raise
            except TimeoutError:
                raise EgressError("busy", "No connection was free in time.") from None

    def _idle(self, endpoint: _Endpoint) -> Connection | None:
        while endpoint.idle:
            connection = endpoint.idle.pop()
            if connection.usable():
                return connection
        return None

    async def _connect(self, target: Target, endpoint: _Endpoint, deadline: float) -> Connection:
        """A new connection, to the first of the permitted addresses that takes one."""
        if self._closed:
            raise EgressError("disconnected", "Columba is shutting down.")
        trust = endpoint.trust
        step = "The host's name could not be looked up in time."
        self._make_room()
        self._opening += 1
        try:
            async with asyncio.timeout_at(deadline):
                addresses: Iterable[Address] = [target.address] if target.address else ()
                addresses = addresses or await self._names.addresses(target.host)
                permitted = [a for a in addresses if trust.trusted or self._policy.permits(a)][:_MOST_TRIED]
                if not permitted:
                    raise forbidden(target.host)
                permitted.sort(key=lambda address: address != endpoint.working)
                step = "The server could not be connected to in time."
                context = await self._context(trust.client_cert, trust.ca) if target.tls else None
                *others, last = permitted
                for address in others:
                    try:
                        async with asyncio.timeout(_TRY):
                            return await self._reach(address, target, endpoint, context)
                    except TimeoutError:
                        continue
                    except EgressError as error:
                        if error.kind != "connect":
                            raise
                return await self._reach(last, target, endpoint, context)
        except TimeoutError:
            raise EgressError("timeout", step) from None
        finally:
            self._opening -= 1

    async def _reach(
        self, address: Address, target: Target, endpoint: _Endpoint, context: ssl.SSLContext | None
    ) -> Connection:
        try:
            # The address itself: nothing is looked up here, and the name serves the certificate only.
            _, connection = await self._loop.create_connection(
                lambda: Connection(self._loop, self._lost),
                str(address),
                target.port,
                ssl=context,
                server_hostname=target.host if context else None,
            )
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", None) or error.reason or "handshake failed"
            raise EgressError("tls", f"The server can't be trusted: {reason.replace('_', ' ').lower()}.") from None
        except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError):
            raise EgressError("tls" if context else "connect", "The server closed the connection at once.") from None
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise EgressError("busy", "Too many files are open.") from None
            reason = os.strerror(error.errno).lower() if error.errno else "no connection"
            raise EgressError("connect", f"The server can't be connected to: {reason}.") from None
        if not connection.lost.done():
            self._open[connection] = endpoint
        if self._closed:
            connection.end()
            raise EgressError("disconnected", "Columba is shutting down.")
        endpoint.working = address
        return connection

    def _make_room(self) -> None:
        """Ends the idle connection that would be the next to end, where one more would be too many.

        There is one: this request has a slot and no connection, so fewer than `total` are in use.
        """
        if len(self._open) + self._opening >= self._total:
            idle = [endpoint for endpoint in self._endpoints.values() if endpoint.idle]
            if idle:
                min(idle, key=lambda endpoint: endpoint.idle[0].deadline).idle.pop(0).end()

    def _lost(self, connection: Connection) -> None:
        endpoint = self._open.pop(connection, None)
        if endpoint:
            if connection in endpoint.idle:
                endpoint.idle.remove(connection)
            self._forget(endpoint)

    def _forget(self, endpoint: _Endpoint) -> None:
        if not endpoint.users and not endpoint.idle and self._endpoints.get(endpoint.trust) is endpoint:
            del self._endpoints[endpoint.trust]

    async def _context(self, client_cert: bytes | None, ca: bytes | None) -> ssl.SSLContext:
        context = self._contexts.get((client_cert, ca))
        if context is None:
            # In a thread: the system's roots take 15 ms to read.
            context = await asyncio.to_thread(_tls, client_cert, ca)
            if len(self._contexts) >= _MOST_CONTEXTS:
                del self._contexts[next(iter(self._contexts))]
            self._contexts[client_cert, ca] = context
        return context


def _tls(client_cert: bytes | None, ca: bytes | None) -> ssl.SSLContext:
    try:
        if ca == b"":
            raise ValueError  # create_default_context would take the system's roots for it
        context = ssl.create_default_context(cadata=None if ca is None else ca.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise EgressError("tls", "The CA certificate is not PEM.") from None
    context.set_alpn_protocols(["http/1.1"])
    if client_cert is not None:
        # The ssl module reads a key from a file only; one that is memory, where the system has that.
        memory = hasattr(os, "memfd_create")
        with os.fdopen(os.memfd_create("key"), "wb") if memory else tempfile.NamedTemporaryFile() as file:
            file.write(client_cert)
            file.flush()
            name = f"/proc/self/fd/{file.fileno()}" if memory else file.name
            try:
                context.load_cert_chain(name, password=lambda: "")  # else it would ask at the terminal
            except (ssl.SSLError, OSError, ValueError):
                raise EgressError("tls", "The client certificate is not PEM with its unencrypted key.") from None
    return context
