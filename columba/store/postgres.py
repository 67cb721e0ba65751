"""The shared store: PostgreSQL, for any number of processes.

Owns its connections: four that commit plans in groups (each in order), a pool for reading, one that rings and hears
the bell (LISTEN/NOTIFY; a lost ring costs a poll). A lost connection fails what was on it with StoreUnavailable
and is opened anew with growing pauses; nothing is retried here that might have been committed.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import asyncpg
import msgspec
import structlog

from . import migrate
from .plan import Attempts, Journal, Outcome, Plan, Results, StoreUnavailable, attempts, batch, came_back
from .routine import routine
from .sql import Row, Statement, Value
from .sqlite import StoreRefused

_LOST = (
    OSError,
    asyncio.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.CannotConnectNowError,
    asyncpg.PostgresIOError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)
OLDEST = 140_000
_told = msgspec.json.Decoder(list[bool | None | list[tuple[Any, ...]]]).decode
log = structlog.get_logger()
RING_S = 0.02
BULK = 2_000  # rows
_LOCK = 0x436F6C75  # advisory lock for migrations: "Colu"
# Batches join a few hundred rows to tables of any size by their keys: the planner, which can't know how long a JSON
# array is, must not be tempted into reading a whole table.
PLANNER = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "application_name": "columba",
}

WRITER = {
    "plan_cache_mode": "force_generic_plan",
    "synchronous_commit": "on",
    "default_transaction_isolation": "read committed",
    # A process that is held up in the middle of a transaction has locks on its lanes: they must not keep others from
    # taking the lanes over.
    "idle_in_transaction_session_timeout": "2000",
}


class _Writer:
    """A connection that commits plans in groups, one after the other."""

    def __init__(self, url: str, observe: Callable[[int, float], None] | None) -> None:
        self._url = url
        self._connection: asyncpg.Connection | None = None
        self._routines: dict[tuple[Any, ...], str] = {}  # that the connection has, by shape
        self._pause = 0.0
        self._bell = asyncio.Event()
        self.journal = Journal(self._bell.set, observe=observe)
        self._working: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._connected()
        self._working = asyncio.get_running_loop().create_task(self._work(), name="journal")

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._bell.wait()
            self._bell.clear()
            while groups := self.journal.take():
                began = loop.time()
                outcomes = await self._drive(attempts(groups))
                self.journal.done(groups, outcomes, loop.time() - began)

    async def _drive(self, work: Attempts) -> list[list[Outcome]]:
        plans = next(work)
        while True:
            came: list[Results] | Exception
            try:
                came = await self._execute(plans)
            except Exception as error:
                came = error
            try:
                plans = work.send(came)
            except StopIteration as stop:
                outcomes: list[list[Outcome]] = stop.value
                return outcomes

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            if self._pause:
                await asyncio.sleep(self._pause)
            try:
                self._connection = await asyncpg.connect(
                    self._url,
                    server_settings=PLANNER | WRITER,
                    timeout=5,
                    command_timeout=60,
                    statement_cache_size=500,
                )
            except (*_LOST, asyncpg.PostgresError) as error:  # whatever the reason, a plan has no part in it
                self._pause = min(1.0, self._pause * 2 or 0.05)
                raise StoreUnavailable(f"PostgreSQL can't be reached: {error or type(error).__name__}") from error
            self._pause = 0.0
            self._routines = {}
        return self._connection

    async def _execute(self, plans: Sequence[Plan]) -> list[Results]:
        """All in one journey: a statement that calls a function for each plan."""
        try:
            connection = await self._connected()
            calls = [f"{await self._routine(connection, plan)}(${n})" for n, plan in enumerate(plans, 1)]
            given = [[batch(step.rows) if step.rows else None for step in plan.steps] for plan in plans]
            told = await connection.fetchrow(f"select {', '.join(calls)}", *given)
        except _LOST as error:
            if self._connection is not None:
                self._connection.terminate()
                self._connection = None
            raise StoreUnavailable(str(error) or type(error).__name__) from error
        except asyncpg.TransactionRollbackError as error:  # a deadlock with another process, which went first
            if len(plans) > 1:
                raise  # each is tried alone
            raise StoreUnavailable(str(error)) from error
        return [list(map(came_back, plan.steps, _told(text))) for plan, text in zip(plans, told, strict=True)]

    async def _routine(self, connection: asyncpg.Connection, plan: Plan) -> str:
        """The function that runs plans of this shape, made when the connection needs it first."""
        shape = tuple((step.statement.postgres, step.given, step.missing, step.feed) for step in plan.steps)
        name = self._routines.get(shape)
        if name is None:
            name = f"pg_temp.plan_{len(self._routines)}"
            await connection.execute(routine(name, plan.steps))
            self._routines[shape] = name
        return name

    async def close(self) -> None:
        await self.journal.close()
        if self._working is not None:
            self._working.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._working
        if self._connection is not None:
            await self._connection.close()


class PostgresStore:
    engine = "postgres"

    def __init__(self, url: str, observe: Callable[[int, float], None] | None = None) -> None:
        self.url = url
        # What callers wait for at the door need not wait for what carriers and endpoints answered, and a single message
        # not for a batch of thousands. One of the two for those is given what comes while the other is at work.
        self._door, self._rest = _Writer(url, observe), _Writer(url, observe)
        self._bulk = (_Writer(url, observe), _Writer(url, observe))
        self._writers = (self._door, self._rest, *self._bulk)
        self._pool: asyncpg.Pool | None = None
        self._ear: asyncpg.Connection | None = None
        self._listeners: list[Callable[[str], None]] = []
        self._to_ring: set[str] = set()
        self._ringing: asyncio.Task[None] | None = None
        self._hearing: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        self._pool = await asyncpg.create_pool(
            self.url, min_size=1, max_size=4, command_timeout=30, server_settings=PLANNER
        )
        for writer in self._writers:
            await writer.open()
        self._hearing = asyncio.get_running_loop().create_task(self._hear(), name="bell")

    # Writing

    @property
    def backlog(self) -> int:
        return sum(writer.journal.backlog for writer in self._writers)

    def commit(self, plan: Plan, *, apart: bool = False) -> Awaitable[Results]:
        if not apart:
            return self._rest.journal.commit(plan)
        if plan.size <= BULK:
            return self._door.journal.commit(plan)
        return min(self._bulk, key=lambda writer: writer.journal.backlog).journal.commit(plan)

    # Reading

    async def read(self, statement: Statement, rows: Sequence[Row] = (), **params: Value) -> list[Row]:
        """Rows as they are after the last commit."""
        if self._pool is None:
            raise StoreUnavailable("the store is closed")
        arguments: list[Value] = [params[name] for name in statement.params]
        if statement.columns:
            arguments.insert(0, batch(rows))
        try:
            return [tuple(row) for row in await self._pool.fetch(statement.postgres, *arguments)]
        except _LOST as error:
            raise StoreUnavailable(str(error) or type(error).__name__) from error

    async def scrub(self) -> None:
        """Dead rows are in no dump; their space is the server's own to clear (autovacuum)."""

    # The bell

    def on_bell(self, listener: Callable[[str], None]) -> None:
        self._listeners.append(listener)

    def ring(self, topic: str) -> None:
        """Tell the other processes that there is work. May be lost."""
        if self._closed:  # what was about to be told finds no loop to be told in
            return
        self._to_ring.add(topic)
        if self._ringing is None or self._ringing.done():
            self._ringing = asyncio.get_running_loop().create_task(self._ring(), name="ring")

    async def _ring(self) -> None:
        while self._to_ring and self._ear is not None:
            topics, self._to_ring = self._to_ring, set()
            with contextlib.suppress(Exception):  # the ear may be cut off meanwhile: that ring is lost
                await self._ear.execute("select pg_notify('columba', t) from unnest($1::text[]) t", sorted(topics))
            await asyncio.sleep(RING_S)  # under load one ring is for many

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        for listener in self._listeners:
            listener(str(payload))

    async def _hear(self) -> None:
        while True:
            ear: asyncpg.Connection | None = None
            try:
                ear = await asyncpg.connect(
                    self.url, timeout=5, command_timeout=10, server_settings={"synchronous_commit": "off"}
                )
                lost = asyncio.Event()
                ear.add_termination_listener(lambda _connection, lost=lost: lost.set())
                await ear.add_listener("columba", self._heard)
                self._ear = ear
                self._heard(None, 0, "", "*")  # what was rung while nobody listened
                await lost.wait()
            except (*_LOST, asyncpg.PostgresError):
                pass
            finally:
                self._ear = None
                if ear is not None:
                    ear.terminate()
            await asyncio.sleep(0.5)

    async def close(self) -> None:
        for writer in self._writers:
            await writer.close()
        self._closed = True
        tasks = [task for task in (self._ringing, self._hearing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._pool is not None:
            await self._pool.close()


async def open_postgres(
    url: str, observe: Callable[[int, float], None] | None = None, patience: float = 0.0
) -> PostgresStore:
    """The store at a URL: checked, migrated, ready."""
    await migrate_postgres(url, patience=patience)
    store = PostgresStore(url, observe)
    await store.open()
    return store


async def _reached(url: str, patience: float) -> asyncpg.Connection:
    """A connection. A server that is not there (yet), or full, is waited for; what is wrong with the URL is not."""
    loop = asyncio.get_running_loop()
    end, said = loop.time() + patience, False
    while True:
        try:
            return await asyncpg.connect(url, timeout=10)
        except (TimeoutError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
            passing = isinstance(error, (*_LOST, TimeoutError)) and not isinstance(error, asyncpg.InterfaceError)
            if not passing or loop.time() >= end:
                raise StoreRefused(_why(error)) from error
            if not said:
                log.warning("store.waiting", seconds=round(patience), why=f"{type(error).__name__}: {error}")
                said = True
            await asyncio.sleep(0.5)


def _why(error: Exception) -> str:
    """Why there is no connection, and what to do about it."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, asyncpg.InvalidCatalogNameError):
        return f"PostgreSQL has no such database ({error}). Make it (`createdb`), or correct the name in --database."
    if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
        return (
            f"PostgreSQL lets nobody in as that ({error}). Check the user and the password in --database, and that"
            " pg_hba.conf lets this machine in."
        )
    if isinstance(error, ValueError | asyncpg.InterfaceError):
        return f"--database is no URL of PostgreSQL ({error}). It looks like postgresql://USER:PASSWORD@HOST:5432/NAME."
    return f"PostgreSQL can't be reached ({said}). Check --database and that it runs."


async def migrate_postgres(url: str, upto: int | None = None, patience: float = 0.0) -> list[int]:
    """Run the migrations that are missing; processes that start together run them once."""
    connection = await _reached(url, patience)
    try:
        version = connection.get_server_version()
        if version.major * 10_000 < OLDEST:
            raise StoreRefused(f"PostgreSQL {version.major} is too old: Columba needs {OLDEST // 10_000} or later.")
        if await connection.fetchval("show fsync") == "off":
            raise StoreRefused("This PostgreSQL runs with fsync=off: nothing accepted would survive a power cut.")
        if not await connection.fetchval("select has_database_privilege(current_database(), 'TEMP')"):
            who, where = await connection.fetchrow("select current_user, current_database()")
            raise StoreRefused(
                f"{who} may not make temporary functions in {where}: grant temporary on database {where} to {who};"
            )
        done = []
        async with connection.transaction():
            await connection.execute(f"select pg_advisory_xact_lock({_LOCK})")
            await connection.execute("create table if not exists migrations (number int primary key, at bigint)")
            have = {int(row[0]) for row in await connection.fetch("select number from migrations")}
            for step in migrate.missing(have, upto):
                await connection.execute(step.text("postgres"))
                await connection.execute(
                    "insert into migrations values ($1, (extract(epoch from now()) * 1000)::bigint)", step.number
                )
                done.append(step.number)
        return done
    except migrate.NewerDatabase as error:
        raise StoreRefused(str(error)) from error
    except asyncpg.InsufficientPrivilegeError as error:
        raise StoreRefused(
            f"The user of --database may not make tables there ({error}). Make it the owner: ALTER DATABASE ... OWNER TO"
            " ..., or GRANT CREATE ON SCHEMA public TO ..."
        ) from error
    except asyncpg.ReadOnlySQLTransactionError as error:
        raise StoreRefused(f"This PostgreSQL takes no writes ({error}). Name the primary in --database.") from error
    except _LOST as error:
        raise StoreUnavailable(str(error) or type(error).__name__) from error
    finally:
        await connection.close()
