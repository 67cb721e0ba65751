"""The listening side: who may connect and bind, and for how long.

A bind needs a login's password, a key that is good, a scope for what it binds for, and room among its login's sessions. Who
fails is answered late, and after five failures in a minute from one address for one system_id not heard any more. Sessions
whose key was revoked or has expired, or whose password was replaced, are unbound within a second. Fails at the start with
OSError (the port, the certificate), later never.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final

import structlog

from columba.core.accept import Accept
from columba.core.ids import Ids
from columba.core.submission import Caller
from columba.doors.smpp.bind import Session as Bound
from columba.doors.smpp.handing import Handing
from columba.doors.smpp.logins import Lockout, Login, Logins, matches
from columba.doors.smpp.parts import Parts
from columba.keys import Key, Keys
from columba.keys.limits import Limits, neighbourhood
from columba.messages.cancel import Canceling
from columba.smpp.pdu import Bind, BindReceiver, BindTransmitter
from columba.smpp.session import Role, Session
from columba.smpp.status import Status
from columba.smpp.stream import serve
from columba.smpp.watch import Counts
from columba.store import Store

MOST_CONNECTIONS: Final = 2_000
AT_ONCE: Final = 2  # passwords that are checked at once
DELAY_S: Final = 1.0
LOOK_S: Final = 0.25
WRITE, READ = "messages:write", "messages:read"

Network = IPv4Network | IPv6Network
log = structlog.get_logger()


def wanted(kind: type[Bind]) -> set[str]:
    """The scopes that a bind takes."""
    return {BindTransmitter: {WRITE}, BindReceiver: {READ}}.get(kind, {READ, WRITE})


class SmppDoor:
    def __init__(
        self,
        store: Store,
        new_id: Ids,
        clock: Callable[[], int],
        keys: Keys,
        logins: Logins,
        limits: Limits,
        accept: Accept,
        cancel: Canceling,
        handing: Handing,
        networks: Sequence[Network] = (),
        delay: float = DELAY_S,
    ) -> None:
        self.store = store
        self.clock = clock
        self.limits = limits
        self.accept = accept
        self.cancel = cancel
        self.handing = handing
        self.logins = logins
        self.parts = Parts(store, new_id, clock, accept, self._caller_of)
        self._keys = keys
        self._networks = networks
        self.delay = delay
        self._lockout = Lockout(clock)
        self._checking = asyncio.Semaphore(AT_ONCE)
        self.sessions: set[Bound] = set()
        self._numbered = 0
        self._ended: dict[int, Counts] = {}  # by login, of its sessions that are no more
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking: asyncio.TimerHandle | None = None
        self._stopping = False
        logins.on_change.append(self._look)

    @property
    def ports(self) -> list[int]:
        """The ports that it listens on."""
        return [each.getsockname()[1] for server in self._servers for each in server.sockets]

    @property
    def binds(self) -> int:
        return sum(1 for each in self.sessions if each.bound)

    async def start(
        self, host: str, port: int | None, tls_port: int | None = None, tls: tuple[str, str] = ("", "")
    ) -> None:
        """Listen; `tls` are the files of the certificate chain and of its key."""
        await self.parts.start()

        def session(now: float) -> Session:
            return Session(Role.SMSC, now=now)

        if port is not None:
            self._servers.append(await serve(host, port, lambda: Bound(self), session))
        if tls_port is not None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(tls[0], tls[1] or None)
            self._servers.append(await serve(host, tls_port, lambda: Bound(self), session, tls=context))
        self._look_again()

    async def stop(self, patience: float = 2.0) -> None:
        """Unbind everybody, once what they submitted is answered."""
        self._stopping = True
        if self._looking is not None:
            self._looking.cancel()
        for server in self._servers:
            server.close()
        for session in list(self.sessions):
            session.unbind()
        loop = asyncio.get_running_loop()
        end = loop.time() + patience
        while (self._tasks or self.sessions) and loop.time() < end:  # noqa: ASYNC110 - two things to wait for
            await asyncio.sleep(0.01)
        for session in list(self.sessions):
            session.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def step(self) -> None:
        """Texts whose parts don't come any more: a chore."""
        await self.parts.step()

    async def sweep(self) -> None:
        """What nobody comes for: a chore."""
        await self.logins.sweep(self._keys.all)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # Who may

    def counted(self) -> dict[int, Counts]:
        """What passed over the sessions of each login, those that have ended too."""
        found: dict[int, Counts] = {}
        for key_id, ended in self._ended.items():
            if key_id in self.logins.all:
                found.setdefault(key_id, Counts()).add(ended)
        for session in self.sessions:
            if session.bound:
                found.setdefault(session.login.key_id, Counts()).add(session.watch.counts)
        return found

    def admits(self, session: Bound) -> bool:
        """A new connection."""
        self._numbered += 1
        session.id = f"{session.client or 'unknown'}/{self._numbered}"
        if self._stopping or len(self.sessions) >= MOST_CONNECTIONS:
            return False
        if self._networks:
            with contextlib.suppress(ValueError):
                client = ip_address(session.client.partition("%")[0])
                client = getattr(client, "ipv4_mapped", None) or client
                if any(client in network for network in self._networks):
                    self.sessions.add(session)
                    return True
            log.info("smpp.address_refused", client=session.client)
            return False
        self.sessions.add(session)
        return True

    async def let_in(self, session: Bound, name: str, password: str, kind: type[Bind]) -> int:
        """Check a bind: the command_status to answer. With ESME_ROK the session is one of its login's."""
        who = (neighbourhood(session.client), name)
        async with self._checking:
            if self._lockout.locked(who):
                code = int(Status.ESME_RBINDFAIL)
            else:
                code = await self._check(session, name, password)
                if code == Status.ESME_RINVPASWD:
                    self._lockout.failed(who)
        if code == Status.ESME_ROK:
            code = self._take_place(session, kind)
        if code != Status.ESME_ROK:
            log.info("smpp.bind_refused", client=session.client, system_id=name, status=int(code))
            await asyncio.sleep(self.delay)
        return code

    async def _check(self, session: Bound, name: str, password: str) -> int:
        login = self.logins.find(name)
        if login is None or not await asyncio.to_thread(matches, password, login.password_hash):
            was = login
            login = await self.logins.fresh(name)  # it may be a moment old, made by another process
            if login is None or (was is not None and login.password_hash == was.password_hash):
                return Status.ESME_RINVPASWD  # and not which of the two it was
            if not await asyncio.to_thread(matches, password, login.password_hash):
                return Status.ESME_RINVPASWD
        key = self._keys.all.get(login.key_id)
        if key is None or not self._is_good(key):
            return Status.ESME_RBINDFAIL
        session.login, session.key = login, key
        return Status.ESME_ROK

    def _take_place(self, session: Bound, kind: type[Bind]) -> int:
        login, key = session.login, session.key
        if self._stopping or not wanted(kind) <= key.scopes:
            return Status.ESME_RBINDFAIL
        there = sum(1 for each in self.sessions if each.bound and each.login.key_id == login.key_id)
        if there >= login.limits.binds or session not in self.sessions:
            return Status.ESME_RBINDFAIL
        caller = self._caller_of(key.id)
        assert caller is not None
        session.caller = caller
        session.bound = True
        return Status.ESME_ROK

    def _is_good(self, key: Key) -> bool:
        return key.revoked_at is None and (key.expires_at is None or self.clock() < key.expires_at)

    def _caller_of(self, key_id: int) -> Caller | None:
        key = self._keys.all.get(key_id)
        if key is None:
            return None
        account = self._keys.accounts.get(key.account_id)
        country = account.settings.get("default_country") if account is not None else None
        return Caller(key.account_id, key.mode, key.id, key.scopes, country if isinstance(country, str) else None)

    # Who may no longer

    def _look_again(self) -> None:
        self._look()
        if not self._stopping:
            self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look_again)

    def _look(self) -> None:
        for session in list(self.sessions):
            if not session.bound or session.ending:
                continue
            key, login = self._keys.all.get(session.key.id), self.logins.all.get(session.key.id)
            good = key is not None and self._is_good(key) and wanted(session.kind) <= key.scopes
            if key is None or login is None or not good or not self._is_same(session, login):
                session.unbind()
            elif key is not session.key:
                session.key = key
                session.caller = self._caller_of(key.id) or session.caller

    @staticmethod
    def _is_same(session: Bound, login: Login) -> bool:
        return login.password_hash == session.login.password_hash

    def left(self, session: Bound) -> None:
        """Its connection has ended."""
        self.sessions.discard(session)
        if session.bound:
            self._ended.setdefault(session.login.key_id, Counts()).add(session.watch.counts)
        if session.receives:
            self.handing.left(session)
