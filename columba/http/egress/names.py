"""Names to addresses: looked up by us, once for all who wait, and kept for a short while. Holds no judgement of them.

Fails with EgressError("dns"), or "busy" when too many lookups hang. A lookup outlives the request that began it, and
serves the next.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TypeAlias

from columba.http.egress.errors import EgressError
from columba.http.egress.policy import Address, canonical

Resolve: TypeAlias = Callable[[str], Awaitable[Iterable[str]]]  # fails with OSError or ValueError

_MOST_KEPT = 4096  # names
_MOST_PENDING = 4096  # lookups: more than requests in flight, for those whose request gave up
_THREADS = 16  # getaddrinfo blocks: its own threads, so that a name that hangs holds up names only


class Names:
    """A cache over `resolve`, which is the system's resolver unless told otherwise. Belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, resolve: Resolve | None, kept: float) -> None:
        self._loop = loop
        self._kept = kept
        self._threads = ThreadPoolExecutor(_THREADS, "columba-names")
        self._resolve = resolve or self._system
        self._known: dict[str, tuple[float, tuple[Address, ...]]] = {}
        self._pending: dict[str, asyncio.Task[tuple[Address, ...] | EgressError]] = {}

    async def addresses(self, host: str) -> tuple[Address, ...]:
        known = self._known.get(host)
        if known and known[0] > self._loop.time():
            return known[1]
        lookup = self._pending.get(host)
        if lookup is None:
            if len(self._pending) >= _MOST_PENDING:
                raise EgressError("busy", "Too many names are being looked up.")
            lookup = self._pending[host] = self._loop.create_task(self._lookup(host))
            lookup.add_done_callback(lambda _: self._pending.pop(host, None))
        try:
            found = await asyncio.shield(lookup)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if lookup.cancelled() and task and not task.cancelling():
                raise EgressError("disconnected", "The server is shutting down.") from None
            raise
        if isinstance(found, EgressError):
            raise EgressError(found.kind, found.detail)
        return found

    def close(self) -> None:
        for lookup in list(self._pending.values()):
            lookup.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _lookup(self, host: str) -> tuple[Address, ...] | EgressError:
        try:
            texts = await self._resolve(host)
            addresses = tuple(dict.fromkeys(canonical(ip_address(text)) for text in texts))
        except (OSError, ValueError):  # gaierror; UnicodeError; not an address
            addresses = ()
        if not addresses:
            return EgressError("dns", f"{host} has no address.")
        if host not in self._known and len(self._known) >= _MOST_KEPT:
            del self._known[next(iter(self._known))]
        self._known[host] = (self._loop.time() + self._kept, addresses)
        return addresses

    async def _system(self, host: str) -> Iterable[str]:
        return await self._loop.run_in_executor(self._threads, _getaddrinfo, host)


def _getaddrinfo(host: str) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
