"""A session on an asyncio transport: the thin shell, for either side.

Owns the connection and its clock, no policy: nothing is retried, reconnected or answered here that the session doesn't.
All that is sent in one turn of the event loop leaves in one write. A peer that doesn't read stops what we ask of it
(`room` is 0), then what we take from it; a peer that sends too much waits while the owner has `pause`d. When the
connection ends, for whatever reason, the owner hears of it once, with every request that no response can reach now.
"""

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Any, Protocol, cast

from .pdu import Request, Response
from .session import Broken, Event, Session, Unanswered

LINGER = 5.0  # seconds that a closing connection has to take what was written
WRITE_AT = 1 << 16  # octets that don't wait for the turn's end
MAX_UNWRITTEN = 1 << 20  # octets that may wait for the peer to read them before we stop reading from it


class Owner(Protocol):
    """Who a link works for. Called in the event loop, so it has to be quick; what it raises ends the connection."""

    def connected(self, link: "Link") -> None: ...

    def received(self, link: "Link", events: Sequence[Event]) -> None: ...

    def drained(self, link: "Link") -> None:
        """The peer reads again: `room` may be above 0."""

    def lost(self, link: "Link", error: Exception | None, unanswered: Sequence[Unanswered]) -> None: ...


class Link(asyncio.Protocol):
    """One connection. `room` says how many requests may be sent now, `send` and `respond` are the session's."""

    def __init__(self, owner: Owner, make: Callable[[float], Session]) -> None:
        self._loop = asyncio.get_running_loop()
        self.session = make(self._loop.time())
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._flush: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ends: asyncio.TimerHandle | None = None
        self._blocked = False  # the peer doesn't read
        self._overfull = False  # ... and much waits for it
        self._paused = False  # the owner doesn't want more
        self._not_before = 0.0  # no timer is due earlier

    def peer(self, name: str = "peername") -> Any:
        """What the transport knows of the peer: `peername`, `peercert`, `cipher`..."""
        return self._transport.get_extra_info(name) if self._transport else None

    @property
    def room(self) -> int:
        return 0 if self._blocked or self._closing else self.session.room

    @property
    def _closing(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def send(self, pdu: Request, token: Any = None) -> int:
        """Send a request; fails like Session.send. Gives its sequence_number."""
        sequence = self.session.send(pdu, token, now=self._loop.time())
        self._flush_soon()
        return sequence

    def respond(self, sequence: int, pdu: Response) -> None:
        """Answer a request; fails like Session.respond."""
        self.session.respond(sequence, pdu)
        self._flush_soon()

    def pause(self) -> None:
        """Take no more from the peer until `resume`. The session's timers stand still, for we would not see answers."""
        self._paused = True
        self._read_or_not()
        self._arm()

    def resume(self) -> None:
        self._paused = False
        self._read_or_not()
        self._not_before = self._loop.time() + 1.0  # what has come meanwhile is read before a timer says it hasn't
        self._arm()

    def close(self) -> None:
        """Write what is left, then close; cut it if the peer doesn't take it in time."""
        if self._transport is not None and self._ends is None:
            self._write()
            self._transport.close()
            self._ends = self._loop.call_later(LINGER, self._transport.abort)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._arm()
        self._tell(self._owner.connected)

    def data_received(self, data: bytes) -> None:
        if self._ends is None:
            self._deliver(self.session.receive_data(data, self._loop.time()))

    def pause_writing(self) -> None:
        self._blocked = True

    def resume_writing(self) -> None:
        self._blocked = self._overfull = False
        self._read_or_not()
        self._tell(self._owner.drained)

    def connection_lost(self, exc: Exception | None) -> None:
        for handle in (self._flush, self._timer, self._ends):
            if handle is not None:
                handle.cancel()
        self._transport = None
        self._owner.lost(self, exc, self.session.close())

    # Ours

    def _tell(self, listener: Callable[..., None], *arguments: object) -> None:
        try:
            listener(self, *arguments)
        except BaseException:
            self.abort()
            raise

    def _deliver(self, events: Sequence[Event]) -> None:
        if events:
            self._tell(self._owner.received, events)
        if self.session.unsent < WRITE_AT:
            self._flush_soon()
        else:
            self._write()
        if events and isinstance(events[-1], Broken):
            self.close()

    def _flush_soon(self) -> None:
        if self._flush is None and self._transport is not None:
            self._flush = self._loop.call_soon(self._write)

    def _write(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._transport is None:
            return
        data = self.session.data_to_send()
        if data:
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > MAX_UNWRITTEN:
                self._overfull = True
                self._read_or_not()
        self._arm()

    def _read_or_not(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._paused or self._overfull:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _arm(self) -> None:
        """Have `_tick` called in time. A timer that is early only looks again, so it is moved forward alone."""
        deadline = self.session.next_deadline()
        if deadline is None or self._paused:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
            return
        deadline = max(deadline, self._not_before)
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self._ends is None:
            self._deliver(self.session.tick(self._loop.time()))


async def connect(
    host: str,
    port: int,
    owner: Owner,
    make: Callable[[float], Session],
    *,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    local_addr: tuple[str, int] | None = None,
) -> Link:
    """Connect; `make` gets the loop's time and makes the session, an ESME's or (for outbind) an SMSC's."""
    loop = asyncio.get_running_loop()
    _, link = await loop.create_connection(
        lambda: Link(owner, make), host, port, ssl=tls, server_hostname=server_hostname, local_addr=local_addr
    )
    return link


async def serve(
    host: str | Sequence[str],
    port: int,
    accept: Callable[[], Owner],
    make: Callable[[float], Session],
    *,
    tls: ssl.SSLContext | None = None,
    backlog: int = 100,
) -> asyncio.Server:
    """Listen. Each connection gets an owner and a session of its own; who it may be is the owner's affair."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Link(accept(), make), host, port, ssl=tls, backlog=backlog)
