"""One connection to a carrier: opened, bound, kept, and opened again for as long as it is wanted.

Owns the socket and the pauses between attempts. `link` is the connection while it is bound, `why` says why there is
none. Never fails: what goes wrong is `why`, and then the next attempt.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

import structlog

from columba.core.contract import anywhere
from columba.smpp.errors import SmppError
from columba.smpp.pdu import Bind, BindReceiver, BindResponse, Outbind, Unbind, UnbindResp
from columba.smpp.session import Answered, Broken, Event, Refused, Requested, Role, Session, Unanswered
from columba.smpp.status import Status, meaning_of, name_of
from columba.smpp.stream import Link, connect, serve
from columba.smpp.watch import Watch

from .config import Config, context

_VERSIONS: Final = {"3.3": 0x33, "3.4": 0x34, "5.0": 0x50}
STEADY_S: Final = 10.0  # a session that lasted so long was a good one
REFUSED_S: Final = 5.0  # carriers lock out who tries a wrong password too fast
FAREWELL_S: Final = 2.0
_MORE_OF_THE_SAME: Final = 8  # doublings of the pause
_CREDENTIALS: Final = (Status.ESME_RINVPASWD, Status.ESME_RINVSYSID, Status.ESME_RBINDFAIL, Status.ESME_RINVSYSTYP)

log = structlog.get_logger()


class Holder(Protocol):
    """Who has the line. Called in the event loop."""

    def changed(self) -> None:
        """It is up, or down."""

    def received(self, line: "Line", link: Link, events: Sequence[Event]) -> None:
        """What came in over the bound connection."""

    def lost(self, line: "Line", link: Link, unanswered: Sequence[Unanswered]) -> None:
        """A connection that had been bound is gone, and with it the answers to these."""

    def drained(self, link: Link) -> None: ...


class Line:
    def __init__(
        self,
        config: Config,
        kind: type[Bind],
        window: int,
        random: Callable[[], float],
        holder: Holder,
        reach: Callable[[str], Awaitable[str]] = anywhere,
    ) -> None:
        self._reach = reach
        self.kind = kind
        self.watch = Watch()
        self.link: Link | None = None
        self.why = ""
        self._config = config
        self._window = window
        self._random = random
        self._holder = holder
        self._loop = asyncio.get_running_loop()
        self._tls: ssl.SSLContext | None = None
        self._open: Link | None = None  # the connection, bound or not
        self._over: asyncio.Future[None] | None = None
        self._reason = ""  # why the open connection is going to end
        self._refused = False
        self._closing = False
        self._farewell: asyncio.Task[None] | None = None
        port = config.receive_port if kind is BindReceiver and config.receive_port else config.port
        self._port = port if config.bind == "pair" else config.port
        self._task = self._loop.create_task(self._run(), name="smpp-line")

    # Coming and going

    async def _run(self) -> None:
        failures = 0
        while not self._closing:
            began = self._loop.time()
            self._refused = False
            try:
                await (self._waited_for() if self._config.outbind else self._connected())
            except ssl.SSLCertVerificationError as error:
                self._down(f"The carrier's certificate is not accepted: {error.verify_message}.")
            except ssl.SSLError as error:
                self._down(f"No TLS with {self._place}: {error.reason or 'it failed'}.")
            except TimeoutError:
                self._down(f"{self._place} did not answer within {self._config.bind_timeout:g} s.")
            except OSError as error:
                self._down(f"{self._place} can't be reached: {error.strerror or error}.")
            except Exception as error:
                log.exception("smpp.line_failed")
                self._down(f"It failed for a reason of ours: {type(error).__name__}.")
            failures = 0 if self._loop.time() - began >= STEADY_S + self._config.bind_timeout else failures + 1
            if self._closing:
                break
            await asyncio.sleep(self._pause(failures))

    @property
    def _place(self) -> str:
        return f"{self._config.host}:{self._port}"

    def _pause(self, failures: int) -> float:
        config = self._config
        pause = min(config.reconnect_most, config.reconnect * (1 << min(_MORE_OF_THE_SAME, max(0, failures - 1))))
        if self._refused:
            pause = min(config.reconnect_most, max(pause, REFUSED_S))
        return pause * (0.5 + 0.5 * self._random())

    async def _connected(self) -> None:
        """One connection of our making, from its beginning to its end."""
        config = self._config
        assert config.host is not None
        if config.tls and self._tls is None:  # not before it is needed: it reads all authorities
            self._tls = context(config)
        self._over = self._loop.create_future()
        async with asyncio.timeout(config.bind_timeout):
            await connect(
                await self._reach(config.host),
                self._port,
                self,
                self._session,
                tls=self._tls,
                server_hostname=(config.server_name or config.host) if self._tls else None,
            )
        await self._over

    async def _waited_for(self) -> None:
        """SMPP 3.4 §2.2.1: the carrier connects and asks with outbind to be bound to. For as long as it likes."""
        config = self._config
        assert config.outbind is not None
        server = await serve(config.outbind.host, config.outbind.port, self._accept, self._session)
        try:
            while not self._closing:
                self._over = self._loop.create_future()
                await self._over
        finally:
            server.close()
            await server.wait_closed()

    def _accept(self) -> "Line | _Unwanted":
        return _Unwanted() if self._open is not None else self

    def _session(self, now: float) -> Session:
        config = self._config
        return Session(
            Role.ESME,
            now=now,
            window=self._window,
            bind_timeout=config.bind_timeout,
            enquire_after=config.enquire_link or None,
            response_timeout=config.response_timeout,
        )

    def _bind(self, link: Link) -> None:
        config = self._config
        ton, npi = config.address_range_type
        version = _VERSIONS[config.interface_version]
        link.send(
            self.kind(
                (), config.system_id, config.password, config.system_type, version, ton, npi, config.address_range
            )
        )

    def _down(self, why: str) -> None:
        self.link = None
        self.why = self._reason = why
        if not self._closing:
            log.warning("smpp.down", why=why)
        self._holder.changed()

    def drop(self, link: Link, why: str) -> None:
        """Give up a connection that has died without saying so."""
        if link is self.link:
            self._down(why)
        link.abort()

    # The link's owner

    def connected(self, link: Link) -> None:
        self._open, self._reason = link, ""
        self.watch.attach(link.session)
        if self._config.outbind is None:
            self._bind(link)

    def received(self, link: Link, events: Sequence[Event]) -> None:
        if link is not self.link:
            events = [event for event in events if not self._first(link, event)]
        if events:
            self._holder.received(self, link, events)

    def _first(self, link: Link, event: Event) -> bool:
        """What comes before the session is bound, or after that."""
        if isinstance(event, Answered) and isinstance(event.pdu, BindResponse):
            if event.pdu.status == Status.ESME_ROK:
                self.link, self.why = link, ""
                log.info("smpp.up", bind=self.kind.name)
                self._holder.changed()
            else:
                self._turned_away(link, event.pdu.status)
        elif isinstance(event, Answered) and event.token is None:
            if not isinstance(event.pdu, UnbindResp):  # a generic_nack, SMPP 3.4 §4.3
                self._turned_away(link, event.pdu.status)
        elif isinstance(event, Requested) and isinstance(event.pdu, Outbind):
            self._asked(link, event.pdu)
        elif isinstance(event, Broken):
            if not self._reason:
                self._down(f"The session ended: {event.reason}.")
        elif not isinstance(event, Refused):
            return False
        return True

    def _turned_away(self, link: Link, status: int) -> None:
        self._refused = status in _CREDENTIALS
        self._down(f"The carrier refuses the bind: {name_of(status)} ({meaning_of(status)}).")
        link.close()

    def _asked(self, link: Link, pdu: Outbind) -> None:
        wanted = self._config.outbind
        if wanted is None or self._over is None:
            return
        if wanted.system_id not in ("", pdu.system_id) or wanted.password not in ("", pdu.password):
            self._down("An outbind came with another system_id or password.")
            link.close()
        else:
            self._bind(link)

    def ended(self, link: Link, event: Event) -> None:
        """What only concerns the connection itself."""
        if isinstance(event, Requested) and isinstance(event.pdu, Unbind):
            self._down("The carrier ended the session (unbind).")
            self._farewell = self._loop.create_task(self._let_go(link, event.sequence))
        elif isinstance(event, Broken):
            self._down(f"The session ended: {event.reason}.")
        elif isinstance(event, Refused):
            log.warning("smpp.refused", status=name_of(event.status), detail=event.detail)

    async def _let_go(self, link: Link, sequence: int) -> None:
        """SMPP 3.4 §4.2: what came before the unbind is answered before it."""
        await _until(lambda: link.session.pending <= 1 and not link.session.outstanding)
        with contextlib.suppress(SmppError):
            link.respond(sequence, UnbindResp())
        link.close()

    def drained(self, link: Link) -> None:
        self._holder.drained(link)

    def lost(self, link: Link, error: Exception | None, unanswered: Sequence[Unanswered]) -> None:
        if link is not self._open:
            return
        self._open = None
        if not self._reason:
            self._down(f"The connection was lost: {error}." if error else "The carrier closed the connection.")
        self._holder.lost(self, link, [each for each in unanswered if each.token is not None])
        if self._over is not None and not self._over.done():
            self._over.set_result(None)

    # The end

    async def close(self) -> None:
        """Unbind, if there is a bind, and close."""
        self._closing = True
        link = self.link
        if link is not None:
            with contextlib.suppress(SmppError):
                link.send(Unbind())
            session = link.session
            await _until(lambda: self._open is None or (not session.bound and not session.pending))
        if self._open is not None:
            self._open.close()
            await _until(lambda: self._open is None)
        self._task.cancel()
        if self._open is not None:
            self._open.abort()
        for task in (self._task, self._farewell):
            if task is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await task


class _Unwanted:
    """The owner of a connection that is one too many."""

    def connected(self, link: Link) -> None:
        link.abort()

    def received(self, link: Link, events: Sequence[Event]) -> None: ...

    def drained(self, link: Link) -> None: ...

    def lost(self, link: Link, error: Exception | None, unanswered: Sequence[Unanswered]) -> None: ...


async def _until(done: Callable[[], bool], seconds: float = FAREWELL_S) -> None:
    """Wait for it, but not for ever: the other side may be gone."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not done():  # noqa: ASYNC110  what ends it has no event
                await asyncio.sleep(0.005)
